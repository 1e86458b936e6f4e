"""Folders as people have them: words of splits, links, odd names, other layouts."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import tree
from PIL import Image

from lookalike.data import doctor
from lookalike.data.datasets import folder, hugging_face, market1501
from lookalike.data.datasets.folders import loose_folder
from lookalike.data.split_words import meant, split_name
from lookalike.data.splits import class_disjoint
from lookalike.errors import ConfigError, DataError

# ── words ───────────────────────────────────────────────────────────────────────────────────────

SPLITS = {
    ("train", "test"): {"train", "test"},
    ("Train", "TEST"): {"train", "test"},
    ("training", "testing"): {"train", "testing"},
    ("train", "dev"): {"train", "val"},
    ("Training", "Validation"): {"train", "validation"},
    ("train", "eval"): {"train", "test"},
    ("train", "Test_Hard", "val"): {"train", "test_hard", "val"},
    ("train", "test", "unlabelled"): {"train", "test", "unlabelled"},
}


@pytest.mark.parametrize("words", SPLITS)
def test_split_words_in_any_case_and_their_synonyms(tmp_path, words):
    for number, word in enumerate(words):
        tree(tmp_path, f"{word}/c{number}/0.png", f"{word}/c{number}/1.png")
    table = folder(tmp_path)
    assert set(table.splits) == SPLITS[words] and table.levels == ("label",)
    assert table.frame.groupby("split")["label"].nunique().eq(1).all()


STRANGERS = [
    (("train", "eval", "test"), "'eval' and 'test' both mean the split 'test'"),
    (("train", "holdout"), "'train' is the name of a split, 'holdout' beside it is not"),
    (("train", "tets"), "'tets' beside it is not. Did you mean 'test'"),
    (("train", "test", "extra"), "'extra' beside it is not"),
    (("train", "query"), "'query' stands beside train without 'gallery'"),
]


@pytest.mark.parametrize(("words", "said"), STRANGERS)
def test_a_split_beside_what_is_none_is_refused_with_both(tmp_path, words, said):
    tree(tmp_path, *(f"{word}/c/{word}.png" for word in words))
    with pytest.raises(DataError, match=said):
        folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("x/train/a/1.png", "x/test/b/1.png"), "dataset=.*/x"),
        (("a/train/1.png", "a/test/2.png", "b/train/3.png"), "Put the splits on top"),
        (("x/Train/a/1.png", "y/val/b/1.png"), "Train, val lie below other folders"),
    ],
)
def test_splits_below_other_folders_are_refused(tmp_path, files, said):
    with pytest.raises(DataError, match=said):
        folder(tree(tmp_path, *files))


def test_a_class_may_be_called_train(tmp_path):
    tree(tmp_path, *(f"{c}/{i}.png" for c in ("bus", "train", "tram") for i in range(2)))
    table = folder(tmp_path, test_classes=["tram"])
    assert table.names() == ["bus", "train", "tram"] and "read as a class" in table.notes[0]


def test_query_and_gallery_beside_train_are_the_sides_of_the_test(tmp_path):
    tree(tmp_path, "train/a/1.png", "Query/b/1.png", "gallery/b/2.png", "gallery/c/1.png")
    test = folder(tmp_path).split("test").frame
    assert test["is_query"].tolist() == [True, False, False]
    assert test["is_gallery"].tolist() == [False, True, True]
    tree(tmp_path, "test/b/3.png")
    with pytest.raises(DataError, match="stand beside 'test'"):
        folder(tmp_path)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=12))
def test_the_spelling_of_a_split_is_settled_once(word):
    assert split_name(split_name(word)) == split_name(word)
    assert split_name(f" {word.upper()} ").casefold() == split_name(word.upper()).casefold()
    assert meant(split_name(word)) is None or split_name(word) == word.strip()


# ── links and names ─────────────────────────────────────────────────────────────────────────────


def test_a_second_way_to_a_folder_is_data_and_its_leak_is_found(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train/a/1.png", "train/b/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "test").symlink_to(tmp_path / "train")
    table = folder(tmp_path)
    assert len(table) == 4 and set(table.splits) == {"train", "test"}
    assert doctor.check(table).found("leak").count == 2


def test_links_that_go_round_end(tmp_path):
    tree(tmp_path, "a/x/1.png", "b/y/1.png")
    (tmp_path / "a/x/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    (tmp_path / "b/y/gone.png").symlink_to(tmp_path / "nowhere.png")
    table = folder(tmp_path)
    assert sorted(table.frame["path"]) == ["a/x/1.png", "b/y/1.png", "b/y/gone.png"]


def test_names_that_are_not_utf8_are_named(tmp_path):
    tree(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a/1.png").rename(tmp_path / os.fsdecode(b"a/caf\xe9.png"))
    with pytest.raises(DataError, match=r"1 name cannot be read as UTF-8: a/caf\\xe9.png; rename"):
        folder(tmp_path)
    table = loose_folder(tmp_path)
    assert len(table) == 1 and "1 file left out" in table.notes[0]


def test_a_gallery_keeps_all_levels_and_tells_equal_names_apart(tmp_path):
    tree(tmp_path, "Balinese/c1/1.png", "Korean/c1/1.png", "Korean/c2/1.png", "top.png")
    table = loose_folder(tmp_path)
    assert table.levels == ("label", "label_1")
    labels = table.frame.set_index("path")[["label", "label_1"]]
    assert labels.loc["Korean/c1/1.png"].tolist() == ["Korean/c1", "Korean"]
    assert labels.loc["Balinese/c1/1.png"].tolist() == ["Balinese/c1", "Balinese"]
    assert labels.loc["top.png"].tolist() == ["-1", "-1"]


def test_a_gallery_of_several_depths_has_one_level(tmp_path):
    tree(tmp_path, "cats/1.png", "dogs/old/1.png", "cats/old/1.png")
    table = loose_folder(tmp_path)
    assert table.levels == ("label",)
    assert sorted(table.frame["label"]) == ["cats", "cats/old", "dogs/old"]


# ── shares and counts ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "count"),
    [(1, 1), (1.0, 4), ("all", 4), (0.5, 2), (2, 2), (["b"], 1), ("b", 1), (0, 0), (0.0, 0)],
)
def test_a_float_is_a_share_and_an_int_a_number(wanted, count):
    labels = pd.Series([*"aabbccdd", "-1"])
    split, _ = class_disjoint(labels, wanted)
    assert labels[:8][split[:8] == "test"].nunique() == count
    assert split[8] == ("test" if count else "train")  # a distractor is not a class


@pytest.mark.parametrize("wanted", [1.5, -0.1, 5, -1, float("nan"), "nobody"])
def test_shares_that_cannot_be(wanted):
    with pytest.raises(ConfigError, match="test_classes"):
        class_disjoint(pd.Series(list("abcd")), wanted)


# ── Market-1501 ─────────────────────────────────────────────────────────────────────────────────

MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0007_c2s1_000001_01.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/0001_c1s1_002401_01.jpg",  # the same camera: not ranked
    "bounding_box_test/0001_c3s1_002401_01.jpg",
    "bounding_box_test/0000_c1s1_000001_01.jpg",
    "bounding_box_test/-1_c1s1_000001_01.jpg",
)


def test_market1501(tmp_path):
    tree(tmp_path, *MARKET)
    (tmp_path / "query/Thumbs.db").touch()
    table = market1501(tmp_path)
    test = table.split("test")
    assert table.split("train").names()[:2] == ["0002", "0007"] and len(test) == 4
    assert test.frame["sequence"].tolist() == ["0001 c1", "", "0001 c1", "0001 c3"]
    assert test.labels[:, 0].tolist() == [2, -1, 2, 2]
    assert test.frame["is_query"].tolist() == [True, False, False, False]
    assert any("1 image of identity -1" in note for note in table.notes)
    with pytest.raises(DataError, match="dataset=market1501"):
        folder(tmp_path)
    tree(tmp_path, "query/person.jpg")
    with pytest.raises(DataError, match=r"person.jpg: the name says no identity and camera"):
        market1501(tmp_path)


def test_market1501_leaves_the_same_camera_out_of_the_ranking(tmp_path):
    from lookalike.metrics import evaluate

    tree(tmp_path, *MARKET)
    test = market1501(tmp_path).split("test")
    query, gallery = (test.frame[c].to_numpy() for c in ("is_query", "is_gallery"))
    x = np.array([[1, 0], [0.9, 0.1], [1, 0], [0.5, 0.5]], "f4")
    sequence = test.frame["sequence"].to_numpy()
    report = evaluate(
        x[query], test.labels[query], x[gallery], test.labels[gallery],
        sequences=(sequence[query], sequence[gallery]), metrics=["R@1", "mrr"],
    )  # fmt: skip
    assert report.values["mean_reciprocal_rank"] == 0.5  # behind the distractor alone


# ── Hugging Face ────────────────────────────────────────────────────────────────────────────────


def parquet(file, values, labels, names=("ant", "bee")):
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = []
    for value in values:
        data = io.BytesIO()
        Image.new("L", (4, 3), value).save(data, "PNG")
        cells.append({"bytes": data.getvalue(), "path": None})
    table = pa.table({"image": cells, "label": pa.array(labels, pa.int64())})
    features = {"label": {"_type": "ClassLabel", "names": list(names)}}
    note = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pa.parquet.write_table(table.replace_schema_metadata(note), file)


def shades(table):
    return [int(np.asarray(Image.open(path))[0, 0]) for path in table.paths]


PLACES = {
    "default/train/0000.parquet": "train",
    "birds-train.parquet": "train",
    "data/train-00000-of-00001-1a2b.parquet": "train",
    "default/partial-test/0000.parquet": "test",
    "en/validation-00000-of-00001.parquet": "validation",
    "test.parquet": "test",
    "my_Test_set.parquet": "test",
}


@pytest.mark.parametrize("place", PLACES)
def test_the_split_is_read_from_folder_or_name(tmp_path, place):
    parquet(tmp_path / place, [7], [0])
    parquet(tmp_path / "default/other/train-00000-of-00001.parquet", [9], [1])
    parquet(tmp_path / "default/other/test-00000-of-00001.parquet", [11], [1])
    table = hugging_face(tmp_path, cache=tmp_path / "cache")
    assert table.frame["split"].tolist()[shades(table).index(7)] == PLACES[place]


def test_every_row_has_its_own_picture_in_every_configuration(tmp_path):
    parquet(tmp_path / "en/train-00000-of-00001.parquet", [10, 11], [0, 0])
    parquet(tmp_path / "de/train-00000-of-00001.parquet", [20, 21], [1, 1])
    table = hugging_face(tmp_path, cache=tmp_path / "cache", test_classes=1)
    shown = dict(zip(shades(table), table.frame["label"], strict=True))
    assert shown == {10: "ant", 11: "ant", 20: "bee", 21: "bee"}
    assert "2 configurations, all read: de, en" in table.notes[0]
    one = hugging_face(tmp_path, cache=tmp_path / "cache", config="en", test_classes=0)
    assert shades(one) == [10, 11] and not any("configurations" in n for n in one.notes)
    with pytest.raises(ConfigError, match="dataset.config=fr"):
        hugging_face(tmp_path, cache=tmp_path / "cache", config="fr")


def test_rows_without_a_label_match_nothing_and_a_strange_code_is_named(tmp_path):
    parquet(tmp_path / "train.parquet", [1, 2], [0, 1])
    parquet(tmp_path / "test.parquet", [3, 4, 5], [-1, None, 1])
    table = hugging_face(tmp_path, cache=tmp_path / "cache")
    assert table.split("test").labels[:, 0].tolist() == [-1, -1, 1]
    assert "2 rows without a label" in table.notes[0]
    parquet(tmp_path / "test.parquet", [3], [2])
    with pytest.raises(DataError, match=r"test.parquet: row 0, label: class 2, .* 2 classes"):
        hugging_face(tmp_path, cache=tmp_path / "cache")


def test_a_split_nothing_evaluates_is_refused(tmp_path):
    parquet(tmp_path / "train.parquet", [1, 2], [0, 1])
    parquet(tmp_path / "heap.parquet", [3, 4], [0, 1])
    with pytest.raises(
        DataError,
        match=r"'train' is a .* 'heap' beside it is not.*dataset.splits",
    ):
        hugging_face(tmp_path, cache=tmp_path / "cache")
