import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from lookalike.data.doctor import check
from lookalike.data.near import near_pairs, perceptual_hash
from lookalike.data.table import Table


def photo(seed, size=(240, 180)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def described(images):
    found = [perceptual_hash(np.asarray(i.convert("RGB"))) for i in images]
    return [h for h, _ in found], np.stack([t for _, t in found])


def encoded(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


CHANGES = {
    "smaller": lambda i: i.resize((60, 45), Image.Resampling.LANCZOS),
    "larger": lambda i: i.resize((400, 300), Image.Resampling.BILINEAR),
    "re-encoded": lambda i: encoded(i, 30),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.15),
    "grey": lambda i: i.convert("L"),
    "cut by a few pixels": lambda i: i.crop((2, 1, 239, 178)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_slightly_changed_copies_are_found_and_nothing_else(name):
    originals = [photo(i) for i in range(30)]
    changed = [CHANGES[name](photo(i)) for i in range(30)]
    (a, ta), (b, tb) = described(originals), described(changed)
    assert near_pairs(a, b, ta, tb) == [(i, i) for i in range(30)]


def test_flat_pictures_match_nothing():
    a, ta = described([Image.new("RGB", (50, 50), c) for c in ("white", "white", "grey")])
    assert near_pairs(a, a, ta, ta) == []


def test_blocks_do_not_matter(monkeypatch):
    (a, ta), (b, tb) = (
        described([photo(i) for i in range(9)]),
        described([photo(i) for i in range(5)]),
    )
    whole = near_pairs(a, b, ta, tb)
    monkeypatch.setattr("lookalike.data.near._BLOCK", 7)
    assert near_pairs(a, b, ta, tb) == whole == [(i, i) for i in range(5)]
    assert near_pairs([], b, ta[:0], tb) == []


def test_the_doctor_reports_near_copies_across_splits(tmp_path):
    for i in range(6):
        photo(i).save(tmp_path / f"{i}.png")
    photo(0, (60, 45)).save(tmp_path / "4.png")  # a smaller copy of 0, on the other side
    photo(1, (60, 45)).save(tmp_path / "2.png")  # a smaller copy of 1, on the same side
    photo(3).save(tmp_path / "5.png")  # an exact copy: another finding
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(6)], "label": range(6)})
    table = Table.from_frame(frame.assign(split=["train"] * 4 + ["test"] * 2), root=tmp_path)
    report = check(table, near=True)
    finding = report.found("near")
    assert finding.count == 1 and finding.rows == (0, 4) and not finding.problem
    assert finding.items == ("row 0 (train, 0.png) ≈ row 4 (test, 4.png)",)
    assert report.found("leak").rows == (3, 5)
    assert check(table).found("near") is None
    assert check(table.split("train"), near=True).found("near") is None
