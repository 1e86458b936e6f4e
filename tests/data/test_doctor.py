import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lookalike.data.doctor import check
from lookalike.data.table import Table


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def table(folder, **columns):
    frame = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(10)],
            "label": ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"],
            "family": ["x", "x", "x", "x", "y", "y", "y", "y", "y", "y"],
            "split": ["train"] * 6 + ["test"] * 4,
        }
    ).assign(**columns)
    frame.index = frame.index + 100  # row numbers are those of the source
    return Table.from_frame(frame, levels=["label", "family"], root=folder, name="set")


def test_a_sound_set_has_no_findings(folder):
    seen = []
    report = check(table(folder), progress=seen.append)
    assert report.ok and report.findings == () and seen == list(range(1, 11))
    train, test = report.splits
    assert (train.rows, train.queries, test.queries, test.gallery) == (6, 0, 4, 4)
    assert str(train.classes[0]) == "3 classes of 2–2 (median 2)"
    assert [c.count for c in test.classes] == [2, 1]
    text = report.to_text()
    assert "set: 10 images" in text and "family: 2 classes of 2–4" in text
    assert "No problems found (every file was read)." in text
    assert "files were not read" in check(table(folder), pictures=False).to_text()
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_missing_and_broken_files_are_listed_by_row(folder):
    (folder / "3.png").unlink()
    (folder / "5.png").write_text("no image")
    (folder / "6.png").write_bytes((folder / "6.png").read_bytes()[:50])
    report = check(table(folder))
    assert not report.ok
    assert report.found("missing").rows == (103,)
    assert report.found("broken").rows == (105, 106)
    assert f"row 105: {folder / '5.png'}: no image" in report.to_text()
    assert check(table(folder), pictures=False).ok


def test_a_box_that_leaves_its_picture_is_broken(folder):
    boxes = {"x_1": 0, "x_2": [5] * 9 + [90], "y_1": 0, "y_2": 5}
    report = check(table(folder, **boxes))
    assert report.found("broken").rows == (109,)
    assert "leaves the image of 7×6 pixels" in report.to_text()


def test_a_class_below_two_coarser_ones_is_a_conflict(folder):
    family = ["x", "x", "x", "y", "y", "y", "y", "y", "y", "y"]
    report = check(table(folder, family=family), pictures=False)
    finding = report.found("conflict")
    assert not report.ok and finding.count == 1
    assert finding.items == ("b: x (row 102), y (row 103)",)


def test_overlap_and_singletons_are_remarks(folder):
    labels = ["a", "a", "b", "b", "c", "f", "a", "a", "e", "e"]
    report = check(table(folder, label=labels, family="x"), pictures=False)
    assert report.ok
    assert report.found("overlap").items == ("a",)
    assert report.found("singleton").rows == (104, 105)
    assert "Worth knowing" in report.to_text()


def test_queries_without_a_positive(folder):
    roles = {"is_query": [0] * 6 + [1, 0, 1, 0], "is_gallery": [0] * 6 + [0, 1, 1, 0]}
    finding = check(table(folder, **roles), pictures=False).found("lonely")
    assert finding.rows == (108,) and finding.items == ("row 108 (test, 8.png)",)


def test_equal_contents_are_found_whatever_the_names(folder):
    shutil.copy(folder / "0.png", folder / "7.png")  # train = test
    shutil.copy(folder / "2.png", folder / "4.png")  # labels b = c
    shutil.copy(folder / "8.png", folder / "9.png")  # a copy
    report = check(table(folder))
    assert report.found("leak").rows == (100, 107)
    assert report.found("contradiction").rows == (102, 104)
    assert report.found("copy").rows == (108, 109)
    assert report.found("leak").items == ("row 100 (train, 0.png) = row 107 (test, 7.png)",)
    assert not report.ok and not report.found("copy").problem


def test_two_boxes_of_one_picture_are_two_pictures(folder):
    frame = pd.DataFrame({"path": ["0.png"] * 2, "label": ["a", "b"], "split": ["train", "test"]})
    boxed = frame.assign(x_1=[0, 2], x_2=[3, 5], y_1=0, y_2=4)
    assert check(Table.from_frame(boxed, root=folder)).ok


def test_distractors_are_no_class(folder):
    report = check(table(folder, label=["a", "a"] + ["-1"] * 8), pictures=False)
    assert report.ok and report.splits[1].classes[0].count == 0
    assert "no classes" in report.to_text()


def test_many_findings_are_listed_in_part(tmp_path):
    frame = pd.DataFrame({"path": [f"{i}" for i in range(50)], "label": range(50)})
    report = check(Table.from_frame(frame, root=tmp_path))
    assert report.found("missing").count == 50 and len(report.found("missing").items) == 20
    assert "and 45 more" in report.to_text()
