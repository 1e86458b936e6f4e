"""What was planted into an index is found by its audit, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lookalike.errors import ConfigError, DataError
from lookalike.jobs import audit as job
from lookalike.search import Index
from lookalike.search.auditing import audit


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """300 vectors of 10 classes; rows 0 and 1 are one, 7 carries another's label, 299 is alone."""
    folder = tmp_path_factory.mktemp("audit")
    draw = np.random.default_rng(0)
    labels = np.arange(300) % 10
    centres = np.linalg.qr(draw.normal(size=(24, 24)))[0]
    x = centres[labels] + 0.05 * draw.normal(size=(300, 24))
    x[10] = x[0] + 1e-4 * draw.normal(size=24)
    x[299] = centres[20]
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    shown = labels.astype(str)
    shown[7] = "3"
    shown[55] = "-1"
    shown[299] = "only"
    paths = []
    for i in range(300):
        paths.append(str(folder / f"{i}.png"))
        if i in (0, 7, 10, 299):
            Image.new("RGB", (20, 20), (i % 255, 90, 40)).save(paths[-1])
    items = pd.DataFrame({"path": paths, "label": shown, "year": 1})
    about = {"levels": ["label"]}
    return Index.build(folder / "ix", x, items, about=about)


def test_what_was_planted_is_found(planted):
    found = audit(planted, planted.items["label"].tolist())
    assert found.copies[0] == [0, 10]
    assert found.outliers[0][0] == 299
    (suspect,) = found.suspects
    assert (suspect.row, suspect.label, suspect.suggested) == (7, "3", "7")
    assert suspect.share == 1.0
    assert found.agreement == pytest.approx(297 / 298)
    x = np.asarray(planted.vectors, np.float64)
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)
    near = np.argsort(-scores, axis=1)[:, :10]
    counts = np.bincount(near.ravel(), minlength=300)
    limit = counts.mean() + 2 * counts.std()
    assert {row for row, _ in found.hubs} == set(np.flatnonzero(counts > limit).tolist())
    assert [n for _, n in found.hubs] == sorted(counts[counts > limit].tolist(), reverse=True)
    assert found.orphans == (counts == 0).sum()
    skewness = ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3
    assert found.skewness == pytest.approx(skewness)


def test_copies_are_chosen_by_the_data_and_do_not_chain(planted):
    found = audit(planted)
    assert found.copies == [[0, 10]] and 0.98 < found.same < 1
    # A line of images, each near the next: the ends are no copies of each other.
    angles = np.arange(12) * 0.1
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    items = pd.DataFrame({"path": [f"{i}.png" for i in range(12)]})
    index = Index.build(planted.folder.parent / "line", x, items)
    for group in audit(index, k=4, same=0.99).copies:
        assert (x[group[0]] @ x[group].T >= 0.99).all() and len(group) <= 3


def test_files_of_the_same_bytes_are_found_whatever_the_model(tmp_path):
    draw = np.random.default_rng(1)
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(draw.integers(0, 256, (9, 9, 3), np.uint8)).save(paths[-1])
    for copy, original in ((1, 0), (4, 2), (5, 2)):
        paths[copy].write_bytes(paths[original].read_bytes())
    items = pd.DataFrame({"path": [*map(str, paths), "gone.png"]})
    x = draw.normal(size=(7, 4)).astype(np.float32)
    index = Index.build(tmp_path / "ix", x, items)
    assert audit(index, list("abccccc"), k=3).exact == [[0, 1], [2, 4, 5]]
    assert audit(index, list("aaccccc"), k=3).exact == [[2, 4, 5], [0, 1]]


def test_without_labels_none_are_judged(planted):
    found = audit(planted)
    assert found.suspects == []
    assert found.agreement is None
    with pytest.raises(ConfigError, match="below the 300 images"):
        audit(planted, k=300)


def test_the_page_and_the_list(planted, tmp_path, capsys):
    page = tmp_path / "audit.html"
    listed = job.run(planted.folder, out=page, shown=5)
    assert "1 of 'label' are doubtful" in capsys.readouterr().out
    text = page.read_text()
    assert "Doubtful labels" in text
    assert "3 · 7.png #7" in text and ">1 group<" in text and ">None found.<" in text
    assert "100% carry 7" in text
    assert "data:image/png;base64" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    job.run(planted.folder, as_json=True)
    assert json.loads(capsys.readouterr().out) == listed
    assert [item["id"] for item in listed["copies"][0]] == [0, 10]
    with pytest.raises(DataError, match="no such column"):
        job.run(planted.folder, label="lable")
    with pytest.raises(ConfigError, match="name a file.html"):
        job.run(planted.folder, out="audit.png")
