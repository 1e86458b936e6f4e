import pkgutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from layouts import tree

from lookalike.data import datasets
from lookalike.data.datasets import folder, table_file
from lookalike.data.datasets.table_files import write_table
from lookalike.data.splits import class_disjoint
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, DiskError

# ── image folders ───────────────────────────────────────────────────────────────────────────────


def test_classes_are_divided_when_there_are_no_splits(tmp_path):
    tree(tmp_path, *(f"{c}/{i}.jpg" for c in "abcd" for i in range(3)))
    table = folder(tmp_path)
    assert len(table) == 12 and set(table.splits) == {"train", "test"}
    train, test = (set(table.split(s).frame["label"]) for s in ("train", "test"))
    assert len(train) == len(test) == 2 and not train & test
    (note,) = table.notes
    assert note.startswith("4 classes: 2 to train on, 2 to test on, drawn with seed 0; tested are")
    assert table.fingerprint == folder(tmp_path).fingerprint
    assert len({tuple(folder(tmp_path, seed=s).frame["split"]) for s in range(9)}) > 1
    named = folder(tmp_path, test_classes=["d"])
    assert set(named.split("test").frame["label"]) == {"d"}
    assert folder(tmp_path, test_classes=0).splits == ["train"]
    assert len(set(folder(tmp_path, test_classes=3).split("test").frame["label"])) == 3
    assert table.name == tmp_path.name and table.paths[0] == str(tmp_path / "a/0.jpg")


def test_top_folders_may_be_the_splits(tmp_path):
    tree(
        tmp_path,
        "train/a/1.png",
        "train/b/1.png",
        "test/c/1.png",
        "test_hard/a/1.png",
        "val/c/2.png",
    )
    table = folder(tmp_path)
    assert table.splits == ["test", "test_hard", "train", "val"]
    assert table.names() == ["a", "b", "c"]
    assert table.split("test_hard").labels.tolist() == [[0]]


def test_a_test_folder_may_hold_query_and_gallery(tmp_path):
    tree(
        tmp_path,
        "train/a/1.png",
        "test/query/b/1.png",
        "test/gallery/b/2.png",
        "test/gallery/c/3.png",
    )
    test = folder(tmp_path).split("test")
    assert test.frame["is_query"].tolist() == [False, False, True]
    assert test.frame["is_gallery"].tolist() == [True, True, False]
    assert test.frame["label"].tolist() == ["b", "c", "b"]


@pytest.mark.parametrize("names", [("valley", "testudo"), ("test_tube", "cat"), ("train",)])
def test_classes_that_sound_like_splits_stay_classes(tmp_path, names):
    files = [f"{n}/x/{i}.png" for n in names for i in range(2)]
    tree(tmp_path, *files)
    if names == ("train",):
        assert folder(tmp_path).splits == ["train"]
    else:
        assert set(folder(tmp_path, levels=["a", "b"]).frame["b"]) == set(names)


def test_nested_folders_are_a_hierarchy(tmp_path):
    tree(
        tmp_path,
        "crows/corvus/corax/1.jpg",
        "crows/corvus/corone/1.jpg",
        "crows/pica/pica/1.jpg",
        "owls/bubo/bubo/1.jpg",
        "owls/strix/corax/1.jpg",
    )
    table = folder(tmp_path, test_classes=["owls/strix/corax"])
    assert table.levels == ("label", "label_1", "label_2")
    assert sorted(set(table.frame["label_1"])) == ["bubo", "corvus", "pica", "strix"]
    # corax lives twice, so leaves are told apart by their path
    assert "crows/corvus/corax" in set(table.frame["label"])
    assert folder(tmp_path, levels=["species", "genus", "family"]).levels[1] == "genus"
    with pytest.raises(ConfigError, match=r"2 names .* for 3 levels"):
        folder(tmp_path, levels=["species", "genus"])


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path, "set/a/1.png", "elsewhere/2.png")
    (tmp_path / "set/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/a/round").symlink_to(tmp_path / "set")
    assert sorted(folder(tmp_path / "set").frame["path"]) == ["a/1.png", "b/2.png"]


def test_what_is_left_out_is_stated(tmp_path):
    tree(tmp_path, "a/1.JPG", "b/1.png", ".hidden/c/1.png", "a/.DS_Store.png")
    (tmp_path / "a/notes.txt").touch()
    (tmp_path / "a/Thumbs.db").touch()
    (tmp_path / "empty").mkdir()
    table = folder(tmp_path)
    assert len(table) == 2
    assert table.notes[0] == "1 folder without images left out: empty"
    assert table.notes[1] == "1 file that is not an image by name left out: 1 × .txt"


def test_folders_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder. Expected there: one folder per"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no images"):
        folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, not a folder"):
        folder(tmp_path / "file")
    tree(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(ConfigError, match="no class 'c'. Known: a, b"):
        folder(tmp_path, test_classes=["c"])
    with pytest.raises(ConfigError, match="5 of 2 classes"):
        folder(tmp_path, test_classes=5)
    with pytest.raises(ConfigError, match="cannot be"):
        folder(tmp_path, test_classes=-0.5)
    tree(tmp_path, "a/deep/1.jpg")
    with pytest.raises(DataError, match=r"different depths: a/1.jpg \(1 deep\), a/deep/1.jpg \(2"):
        folder(tmp_path)
    tree(tmp_path, "loose.jpg")
    with pytest.raises(DataError, match=r"loose.jpg: an image outside any class folder"):
        folder(tmp_path)
    left = folder(tmp_path, strays="leave_out")
    assert left.frame["path"].tolist() == ["a/1.jpg", "b/1.jpg"]
    assert "2 images at another depth than most left out: loose.jpg, a/deep/1.jpg" in left.notes


def test_shares_leave_a_class_on_each_side():
    labels = pd.Series(list("abc"))
    assert class_disjoint(labels, 0.01)[0].tolist().count("test") == 1
    assert class_disjoint(labels, 0.5)[0].tolist().count("test") == 2
    assert class_disjoint(labels, 1)[0].tolist().count("test") == 1
    assert class_disjoint(labels, 0)[1] == "3 classes: 3 to train on, 0 to test on, none held out"


# ── tables on disk ──────────────────────────────────────────────────────────────────────────────


def test_our_columns_as_csv(tmp_path):
    file = tmp_path / "birds.csv"
    file.write_bytes(
        b"\xef\xbb\xbfpath, species ,genus,split\r\na.jpg,NA,x,train\r\nb.jpg,None,x,test\r\n"
    )
    table = table_file(file, levels=["species", "genus"])
    assert table.names("species") == ["NA", "None"] and table.splits == ["train", "test"]
    assert table.name == "birds" and table.paths[0] == str(tmp_path / "a.jpg")
    assert table_file(file, levels=["genus"], pictures=tmp_path / "x").path(1) == str(
        tmp_path / "x/b.jpg"
    )


def test_the_dataframe_of_open_metric_learning(tmp_path):
    pd.DataFrame(
        {
            "label": [0, 0, 1, 1],
            "path": list("abcd"),
            "split": ["train", "train", "validation", "validation"],
            "is_query": [None, None, True, False],
            "is_gallery": [None, None, False, True],
            "category": ["dress", "dress", "shoe", "shoe"],
            "x_1": [0, 0, 1, 1],
            "x_2": [5, 5, 6, 6],
            "y_1": [0, 0, 1, 1],
            "y_2": [5, 5, 6, 6],
        }
    ).to_csv(tmp_path / "df.csv", index=None)
    table = table_file(tmp_path / "df.csv")
    assert table.evaluation_splits == ["validation"]
    assert table.frame["is_query"].tolist() == [False, False, True, False]
    assert table.boxes[3].tolist() == [1, 1, 6, 6]
    assert "column 'category' can be a coarser level" in table.notes[0]
    assert table_file(tmp_path / "df.csv", levels=["label", "category"]).notes == ()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_what_is_written_is_read_again(tmp_path, name):
    frame = pd.DataFrame({"path": list("abcd"), "label": [3, 3, 1, -1], "colour": list("rrgb")})
    table = Table.from_frame(
        frame.assign(
            split=["train", "train", "test", "test"],
            is_query=[0, 0, 1, 0],
            x_1=[1, None, None, None],
            x_2=[2, None, None, None],
            y_1=[1, None, None, None],
            y_2=[2, None, None, None],
        ),
        levels=["label", "colour"],
    )
    write_table(table, tmp_path / "deep" / name)
    again = table_file(tmp_path / "deep" / name, levels=["label", "colour"])
    assert again.fingerprint == table.fingerprint
    assert again.labels.tolist() == table.labels.tolist()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == [name]


def test_without_a_split_the_classes_are_divided(tmp_path):
    pd.DataFrame({"path": list("abcd"), "label": list("wxyz")}).to_csv(tmp_path / "t.csv")
    table = table_file(tmp_path / "t.csv")
    assert sorted(table.splits) == ["test", "train"]
    assert table.notes[0].startswith("no split column: 4 classes: 2 to train on")
    assert set(table_file(tmp_path / "t.csv", test_classes=["w"]).split("test").frame["path"]) == {
        "a"
    }


def test_tables_that_cannot_be_read_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"absent.csv: no such file"):
        table_file(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"t.xlsx: not a kind of table; use .csv"):
        table_file(tmp_path / "t.xlsx")
    cases = {
        "empty.csv": b"",
        "odd.csv": b'a,b\n"1,2\n',
        "text.csv": b"\xff\xfe\x00",
        "t.parquet": b"no",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            table_file(tmp_path / name)
    mixed = pd.DataFrame({"path": list("abc"), "label": ["x", None, "y"], "split": "train"})
    mixed.to_csv(tmp_path / "gap.csv")
    with pytest.raises(DataError, match=r"gap.csv: no label in column 'label' at row 1"):
        table_file(tmp_path / "gap.csv")


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    table = Table.from_frame(pd.DataFrame({"path": ["a"], "label": [1]}))
    with pytest.raises(DiskError, match="Cannot write"):
        write_table(table, tmp_path / "file" / "t.csv")


# ── the room ────────────────────────────────────────────────────────────────────────────────────


def test_every_name_is_a_function_that_gives_a_table():
    for name in datasets.__all__:
        assert callable(getattr(datasets, name)), name
    with pytest.raises(AttributeError, match="attribute cup"):
        _ = datasets.cup


def test_no_module_bears_the_name_of_a_data_set():
    modules = {found.name for found in pkgutil.iter_modules(datasets.__path__)}
    assert not modules & set(datasets.__all__) - {"table_files"}


def test_listing_the_names_imports_nothing_heavy():
    code = (
        "import sys; from lookalike.data import datasets, samplers;"
        "assert 'cub' in dir(datasets) and 'RandomSampler' in dir(samplers);"
        "print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("count", [100_000])
def test_a_large_csv_is_read_in_seconds(tmp_path, count):
    import time

    frame = pd.DataFrame(
        {"path": [f"a/{i}.jpg" for i in range(count)], "label": np.arange(count) // 9}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    start = time.process_time()
    assert len(table_file(tmp_path / "t.csv")) == count
    assert time.process_time() - start < 12  # of CPU: only what grows too fast fails
