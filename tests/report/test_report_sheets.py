from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import LookalikeError
from lookalike.report.images import Neighbour, SheetRow, data_uri, load, thumbnail
from lookalike.report.sheets import FAINT, PAPER, RIGHT, WRONG, contact_sheet, draw_mark

GREY = np.full((80, 80, 3), 128, np.uint8)


def _sheet(*rights: bool | None, **options: object) -> Image.Image:
    neighbours = [Neighbour(image=GREY, label="fox", score=0.5, right=right) for right in rights]
    row = SheetRow(query=GREY, neighbours=neighbours, title="fox")
    return contact_sheet([row], thumb=96, **options)  # pyright: ignore


def _luminance(colour: tuple[int, ...]) -> float:
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def _contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    dark, light = sorted([_luminance(a), _luminance(b)])
    return (light + 0.05) / (dark + 0.05)


def test_right_and_wrong_differ_without_colour() -> None:
    right = np.asarray(_sheet(True).convert("L"), dtype=int)
    wrong = np.asarray(_sheet(False).convert("L"), dtype=int)
    unknown = np.asarray(_sheet(None).convert("L"), dtype=int)
    for a, b in ((right, wrong), (right, unknown), (wrong, unknown)):
        assert a.shape == b.shape
        # Marks and dashes: hundreds of pixels whose lightness alone is far apart.
        assert (np.abs(a - b) > 60).sum() > 300


@pytest.mark.parametrize("size", [14, 20, 40])
def test_marks_differ_in_shape_alone(size: int) -> None:
    """Painted black and white, a tick in a disc is still no cross in a square."""
    tick, cross = (
        np.asarray(draw_mark(right, size).convert("RGBA"), dtype=int) for right in (True, False)
    )
    white = [(mark[..., :3].min(axis=2) > 190) & (mark[..., 3] > 128) for mark in (tick, cross)]
    assert (white[0] != white[1]).mean() > 0.15
    assert tick[0, 0, 3] < 60 < cross[size // 2, 0, 3]


def test_colours_carry_text_and_stay_apart() -> None:
    for colour in (RIGHT, WRONG):
        assert _contrast(colour, (255, 255, 255)) >= 4.4
        assert _contrast(colour, PAPER) >= 3
    assert _contrast(FAINT, PAPER) >= 4.5


def test_dashes_leave_paper_between_them() -> None:
    edge = np.asarray(_sheet(False))
    wrong = (np.abs(edge.astype(int) - WRONG).sum(axis=2) < 10).any(axis=1)
    solid = np.asarray(_sheet(True))
    right = (np.abs(solid.astype(int) - RIGHT).sum(axis=2) < 10).any(axis=1)
    assert right.sum() > 0 and wrong.sum() > 0
    columns = (np.abs(edge.astype(int) - WRONG).sum(axis=2) < 10).sum(axis=0)
    full = (np.abs(solid.astype(int) - RIGHT).sum(axis=2) < 10).sum(axis=0)
    assert 0.3 < columns.max() / full.max() < 0.8


def test_neighbours_beyond_the_columns_go_on_below() -> None:
    one, two = _sheet(*[True] * 4, columns=4), _sheet(*[True] * 4, columns=2)
    assert two.width < one.width and two.height > one.height
    marks = [(np.asarray(s).astype(int) == RIGHT).all(axis=2).sum() for s in (one, two)]
    assert marks[0] == marks[1] > 0


def test_the_same_rows_give_the_same_picture() -> None:
    assert _sheet(True, False, None).tobytes() == _sheet(True, False, None).tobytes()


def test_names_of_other_scripts_are_drawn() -> None:
    """No two of these may look alike, as they would if the font had only boxes for them."""

    def drawn(name: str) -> bytes:
        return contact_sheet([SheetRow(query=GREY, title=name)], thumb=64).tobytes()

    names = ["Ω", "Ж", "ā", "ß", "é", "Ł"]
    assert len({drawn(name) for name in names}) == len(names)


def test_names_that_are_no_valid_text_are_drawn_all_the_same() -> None:
    """Such as a file name of undecodable bytes."""
    row = SheetRow(
        query=GREY, title="a\udcffb\x00\n\tc", neighbours=[Neighbour(image=GREY, label="\udcff")]
    )
    assert contact_sheet([row], thumb=64).width > 64


def test_long_labels_wrap_and_are_cut_inside_their_column() -> None:
    long = Neighbour(image=GREY, label="an endless " * 20, score=0.1)
    short = Neighbour(image=GREY, label="", score=0.1)
    row = [SheetRow(query=GREY, neighbours=[n], title="t" * 400, value="v") for n in (long, short)]
    first, second = (contact_sheet([r], thumb=96) for r in row)
    assert first.size == second.size


def test_a_picture_from_a_file_and_one_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(GREY).save(path)
    there = contact_sheet([SheetRow(query=path)], thumb=64)
    gone = contact_sheet([SheetRow(query=tmp_path / "gone.png")], thumb=64)
    assert there.size == gone.size
    assert there.tobytes() == contact_sheet([SheetRow(query=GREY)], thumb=64).tobytes()
    assert there.tobytes() != gone.tobytes()


def test_bad_calls_are_refused() -> None:
    with pytest.raises(LookalikeError, match="no rows"):
        contact_sheet([])
    with pytest.raises(LookalikeError, match="thumb=8"):
        contact_sheet([SheetRow(query=GREY)], thumb=8)
    with pytest.raises(LookalikeError, match="columns=0"):
        _sheet(True, columns=0)
    for wrong in (GREY.astype(np.float32), np.zeros((3, 80, 80), np.uint8), GREY[:0]):
        with pytest.raises(LookalikeError, match="uint8 of shape"):
            contact_sheet([SheetRow(query=wrong)])


def test_thumbnails_keep_proportions_and_grow_only_on_request() -> None:
    wide = np.zeros((50, 200, 3), np.uint8)
    assert thumbnail(wide, 100).size == (100, 25)
    assert thumbnail(wide, 400).size == (200, 50)
    assert thumbnail(wide, 400, enlarge=True).size == (400, 100)
    assert load(np.zeros((4, 6), np.uint8)).mode == "RGB"


def test_drawings_become_png_and_photographs_jpeg() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert data_uri(load(GREY)).startswith("data:image/png;base64,")
    assert data_uri(load(noise)).startswith("data:image/jpeg;base64,")
