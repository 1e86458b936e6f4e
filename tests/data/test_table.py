import time

import numpy as np
import pandas as pd
import pytest

from lookalike.data.table import Table
from lookalike.errors import DataError


def birds(**columns):
    frame = pd.DataFrame(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"],
            "species": ["wren", "crow", "crow", "auk", "wren"],
            "family": ["small", "black", "black", "sea", "small"],
            "split": ["train", "test", "test", "train", "train"],
        }
    )
    return frame.assign(**columns)


def table(frame=None, **options):
    options.setdefault("levels", ["species", "family"])
    return Table.from_frame(birds() if frame is None else frame, source="birds.csv", **options)


def test_training_labels_come_first_in_order():
    t = table()
    assert t.names("species") == ["auk", "wren", "crow"]
    assert t.names(1) == ["sea", "small", "black"]
    assert t.labels.tolist() == [[1, 1], [2, 2], [2, 2], [0, 0], [1, 1]]
    assert t.labels.dtype == np.int64
    assert t.split("train").num_classes() == 2


def test_subsets_share_the_code_book_and_the_row_numbers():
    t = table()
    test = t.split("test")
    assert test.labels.tolist() == [[2, 2], [2, 2]]
    assert test.names("species") == t.names("species")
    assert list(test.frame.index) == [1, 2]
    assert t.where([4, 0]).paths == ["e.jpg", "a.jpg"]
    assert t.where(t.labels[:, 0] == 1).labels[:, 0].tolist() == [1, 1]


def test_whole_numbers_sort_as_numbers_and_minus_one_stays_a_distractor():
    frame = pd.DataFrame({"path": list("abcd"), "label": [10, 9, -1, 9], "split": "test"})
    t = Table.from_frame(frame)
    assert t.labels[:, 0].tolist() == [1, 0, -1, 0]
    assert t.names() == ["9", "10"]
    text = Table.from_frame(frame.assign(label=["b", "a", "-1", "a"]))
    assert text.labels[:, 0].tolist() == [1, 0, -1, 0]


def test_roles_are_true_on_rows_to_evaluate_unless_given():
    t = table()
    assert t.frame["is_query"].tolist() == [False, True, True, False, False]
    given = table(birds(is_query=[None, "True", "0", None, None], is_gallery=[0, 1, 1, 0, 0]))
    assert given.frame["is_query"].tolist() == [False, True, False, False, False]
    assert given.frame["is_gallery"].tolist() == [False, True, True, False, False]


def test_every_test_or_val_split_is_evaluated():
    t = table(birds(split=["train", "test_small", "validation", "u_in", " test "]))
    assert t.splits == ["train", "test_small", "validation", "u_in", "test"]
    assert t.evaluation_splits == ["test_small", "validation", "test"]


def test_without_a_split_all_rows_are_training():
    assert table(birds().drop(columns="split")).splits == ["train"]


def test_relative_paths_start_at_the_root(tmp_path):
    t = table(birds(path=["a.jpg", "/x/b.jpg", "c.jpg", "d.jpg", "e.jpg"]), root=tmp_path)
    assert t.paths[:2] == [str(tmp_path / "a.jpg"), "/x/b.jpg"]
    assert t.path(2) == str(tmp_path / "c.jpg")


def test_the_fingerprint_follows_the_rows_not_the_machine(tmp_path):
    t = table()
    assert t.fingerprint == table(root=tmp_path, name="other").fingerprint
    assert t.fingerprint == t.where(np.ones(5, bool)).fingerprint
    for change in ({"path": list("abcde")}, {"species": list("abcde")}, {"split": ["test"] * 5}):
        assert table(birds(**change)).fingerprint != t.fingerprint
    assert t.where([0, 1]).fingerprint != t.where([1, 0]).fingerprint


def test_the_fingerprint_is_stable_between_versions():
    assert table().fingerprint == "5d8a18e72cd8f8f0"


def test_boxes_are_kept_in_corner_order():
    nan = float("nan")
    t = table(
        birds(x_1=[1, nan, nan, nan, nan], x_2=[9, nan, nan, nan, nan], y_1=2, y_2=5).assign(
            y_1=[2, nan, nan, nan, nan], y_2=[5, nan, nan, nan, nan]
        )
    )
    assert t.boxes is not None
    assert t.boxes[0].tolist() == [1, 2, 9, 5]
    assert np.isnan(t.boxes[1:]).all()
    assert table().boxes is None


def test_two_hundred_thousand_rows_take_seconds():
    n = 200_000
    frame = pd.DataFrame(
        {
            "path": [f"x/{i:07d}.jpg" for i in range(n)],
            "label": np.arange(n) % 8000,
            "split": "train",
        }
    )
    start = time.process_time()
    Table.from_frame(frame)
    assert time.process_time() - start < 15  # of CPU: only what grows too fast fails


BAD = {
    "no rows": (lambda f: f.iloc[:0], "birds.csv: the table has no rows"),
    "no path": (lambda f: f.rename(columns={"path": "paths"}), "no column 'path'. Did you mean"),
    "no level": (lambda f: f.drop(columns="family"), "no label column 'family'"),
    "empty path": (lambda f: f.assign(path=["a", None, "c", " ", "e"]), "empty in rows 1, 3"),
    "empty split": (lambda f: f.assign(split=["train", "", None, "a", "b"]), "empty in rows 1, 2"),
    "nan label": (
        lambda f: f.assign(species=["a", None, "b", "c", " "]),
        r"no label in column 'species' at rows 1, 4; fill them in",
    ),
    "nan number": (
        lambda f: f.assign(species=[1, np.nan, 2, 3, 4]),
        r"no label in column 'species' at row 1;",
    ),
    "mixed": (
        lambda f: f.assign(species=["a", "b", 3, "c", "d"]),
        r"column 'species' mixes types: mostly str, but int at row 2, such as 3",
    ),
    "mixed with fraction": (
        lambda f: f.assign(species=pd.Series([1, 2, 2.5, 3, 4], dtype=object)),
        r"column 'species' holds fractions at row 2, such as 2.5",
    ),
    "odd objects": (lambda f: f.assign(species=[[1]] * 5), "column 'species' mixes types"),
    "odd role": (lambda f: f.assign(is_query=[1, 1, 2, 0, 0]), "'is_query' must hold true or fal"),
    "empty role": (
        lambda f: f.assign(is_query=[None, None, True, None, None]),
        "'is_query' is empty at row 1, which are to be evaluated",
    ),
    "half a box": (lambda f: f.assign(x_1=1, x_2=3, y_1=1), "needs the columns .* y_2 missing"),
    "half a row": (
        lambda f: f.assign(x_1=1, x_2=3, y_1=1, y_2=[3, None, 3, 3, 3]),
        "lacks some of its four numbers at row 1",
    ),
    "empty box": (lambda f: f.assign(x_1=1, x_2=3, y_1=3, y_2=3), "is empty or negative at rows"),
    "word in a box": (lambda f: f.assign(x_1="a", x_2=3, y_1=1, y_2=3), "'x_1' holds 'a' at rows"),
    "twice": (
        lambda f: f.assign(path=["a", "b", "b", "d", "e"]),
        r"stands twice in one split, in row 2, first 'b'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_frames_are_refused_with_place_and_remedy(case):
    spoil, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        table(spoil(birds()))
    assert "birds.csv" in str(caught.value)


def test_bad_requests_name_the_nearest():
    t = table()
    with pytest.raises(DataError, match=r"no split 'tets'. Did you mean 'test'"):
        t.split("tets")
    with pytest.raises(DataError, match=r"no level 'famly'. Did you mean 'family'"):
        t.names("famly")
    with pytest.raises(DataError, match=r"level 2, but the levels are 0 … 1: species, family"):
        t.names(2)
    with pytest.raises(DataError, match="candidates are: species, family"):
        table(levels=None)
    with pytest.raises(DataError, match="finest first"):
        table(levels="species")
    with pytest.raises(DataError, match="named twice"):
        table(levels=["species", "species"])
    with pytest.raises(DataError, match="'split' cannot be a level"):
        table(levels=["split"])
    with pytest.raises(DataError, match="mask"):
        t.where([True])


def test_a_picture_may_stand_in_several_test_splits_or_with_several_boxes():
    frame = birds(
        path=["a", "b", "b", "d", "e"], split=["train", "test_1", "test_2", "train", "gallery"]
    )
    assert len(table(frame)) == 5
    boxed = birds(path=["a", "b", "b", "d", "e"], x_1=0, x_2=[5, 5, 6, 5, 5], y_1=0, y_2=5)
    assert len(table(boxed)) == 5


def test_an_index_of_words_gives_way_to_row_numbers():
    assert list(table(birds().set_index(pd.Index(list("vwxyz")))).frame.index) == [0, 1, 2, 3, 4]


def test_a_csv_of_words_and_numbers_says_that_all_are_text(tmp_path):
    from lookalike.data.datasets import table_file

    file = tmp_path / "mixed.csv"
    file.write_text("path,label,split\na.jpg,0,train\nb.jpg,a,train\nc.jpg,2.5,train\n")
    table = table_file(file)
    assert any("2 of 3 labels are numbers; all count as text" in note for note in table.notes)
    assert table.names("label") == ["0", "2.5", "a"]
    file.write_text("path,label,split\na.jpg,0,train\nb.jpg,1,train\n")
    assert table_file(file).notes == ()


def test_rows_without_a_sequence_have_a_fingerprint():
    frame = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["x", "y"], "sequence": ["s", None]})
    one = Table.from_frame(frame).fingerprint
    assert one != Table.from_frame(frame.assign(sequence=["s", "t"])).fingerprint
