"""Landmarks, split dictionaries, and what is in pickles, which is never run."""

import json
import pickle

import numpy as np
import pytest
import torch
from layouts import rows, text

from lookalike.data import datasets, unpickle
from lookalike.data.datasets._revisited import ground_truth
from lookalike.errors import ConfigError, DataError

# ── Google Landmarks v2 ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def gldv2(tmp_path):
    text(tmp_path / "train_clean.csv", "landmark_id,images", "1,17660ef415d37059 92b6290d571448f6",
         "7,cd41bf948edc0340", end="\r\n")  # fmt: skip
    text(
        tmp_path / "index_image_to_landmark.csv",
        "id,landmark_id",
        "0011223344556677,1",
        "aa11,9",
        "bb22,9",
    )
    text(tmp_path / "retrieval_solution_v2.1.csv", "id,images,Usage", "q100,aa11 bb22,Public",
         "q200,None,Ignored", "q300,0011223344556677,Private")  # fmt: skip
    return tmp_path


def test_gldv2(gldv2):
    table = datasets.gldv2(gldv2)
    assert rows(table, "path", "landmark", "split", "is_query", "is_gallery") == [
        ("train/1/7/6/17660ef415d37059.jpg", "1", "train", False, False),
        ("train/9/2/b/92b6290d571448f6.jpg", "1", "train", False, False),
        ("train/c/d/4/cd41bf948edc0340.jpg", "7", "train", False, False),
        ("test/q/1/0/q100.jpg", "index/9", "test", True, False),
        ("test/q/3/0/q300.jpg", "index/1", "test", True, False),
        ("index/0/0/1/0011223344556677.jpg", "index/1", "test", False, True),
        ("index/a/a/1/aa11.jpg", "index/9", "test", False, True),
        ("index/b/b/2/bb22.jpg", "index/9", "test", False, True),
    ]
    assert len(datasets.gldv2(gldv2, evaluation=False)) == 3
    (gldv2 / "images").mkdir()
    assert datasets.gldv2(gldv2).frame["path"][0] == "images/train/1/7/6/17660ef415d37059.jpg"


def test_gldv2_hierarchy(gldv2):
    train = gldv2 / "train_label_to_subcategory_with_clusters.csv"
    text(train, "landmark_id,cluster,overall_cluster", "1,church,building", "7,,")
    text(
        gldv2 / "index.csv",
        "landmark_id,cluster,overall_cluster",
        "1,lake,nature",
        "9,church,building",
    )
    table = datasets.gldv2(gldv2, hierarchy=True, index_clusters="index.csv")
    assert table.levels == ("landmark", "cluster", "overall_cluster") and len(table) == 7
    assert "1 image of landmarks without a cluster left out" in table.notes
    assert table.frame["cluster"].tolist()[:4] == ["church", "church", "church", "lake"]
    assert table.split("test").labels[0, 1] == table.split("train").labels[0, 1]


def test_gldv2_faults(gldv2):
    text(gldv2 / "retrieval_solution_v2.1.csv", "id,images,Usage", "q100,zz99,Public")
    with pytest.raises(DataError, match=r"zz99 is not in index_image_to_landmark.csv \(1 query"):
        datasets.gldv2(gldv2)
    text(gldv2 / "train_clean.csv", "landmark,images", "1,a")
    with pytest.raises(DataError, match=r"train_clean.csv: no column landmark_id"):
        datasets.gldv2(gldv2)
    with pytest.raises(DataError, match=r"index_label_to_subcategory_with_clusters.csv is missing"):
        text(gldv2 / "train_clean.csv", "landmark_id,images", "1,abc")
        text(gldv2 / "retrieval_solution_v2.1.csv", "id,images,Usage", "q100,aa11,Public")
        text(
            gldv2 / "train_label_to_subcategory_with_clusters.csv",
            "landmark_id,cluster,overall_cluster",
            "1,a,b",
        )
        datasets.gldv2(gldv2, hierarchy=True)


# ── revisited Oxford and Paris, and pickles ─────────────────────────────────────────────────────

TRUTH = {
    "imlist": ["all_souls_000013", "oxford_002", "christ_church_1"],
    "qimlist": ["all_souls_000051", "christ_church_9"],
    "gnd": [
        {
            "bbx": [136.5, 34.1, 648.5, 955.7],
            "easy": np.array([0]),
            "hard": np.array([], int),
            "junk": [1],
        },
        {"bbx": [1, 2, 30, 40], "easy": [], "hard": [2], "junk": []},
    ],
}


@pytest.mark.parametrize("protocol", [2, 4])
def test_revisited(tmp_path, protocol):
    home = tmp_path / "roxford5k"
    home.mkdir()
    (home / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(TRUTH, protocol))
    for root in (home, tmp_path):
        table = datasets.revisited(root)
    assert len(table) == 5 and table.splits == ["test"]
    assert table.notes == (
        "not the official set: query has 2 of 70 images, gallery has 3 of 4,993 images",
    )
    assert table.frame["is_query"].tolist() == [True, True, False, False, False]
    assert table.paths[0] == str(home / "jpg/all_souls_000051.jpg")
    assert (
        table.boxes[0].tolist() == [136.5, 34.1, 648.5, 955.7] and np.isnan(table.boxes[2:]).all()
    )
    assert table.labels[0, 0] == table.labels[2, 0] and table.names() == [
        "all_souls",
        "christ_church",
        "oxford",
    ]
    truth = ground_truth(home)
    assert truth[0]["easy"].tolist() == [0] and truth[1]["hard"] == [2] and "bbx" not in truth[0]


def test_revisited_faults(tmp_path):
    with pytest.raises(DataError, match=r"gnd_rparis6k.pkl is missing"):
        datasets.revisited(tmp_path, collection="rparis6k")
    with pytest.raises(ConfigError, match="roxford5k or rparis6k"):
        datasets.revisited(tmp_path, collection="oxford")
    file = tmp_path / "gnd_roxford5k.pkl"
    for content, message in (
        ({"gnd": []}, "holds no imlist"),
        (TRUTH | {"qimlist": ["a"]}, "2 ground truths for 1 query"),
        (TRUTH | {"gnd": [{"bbx": 1}] * 2}, "query 0 has no easy, hard, junk"),
    ):
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match=message):
            datasets.revisited(tmp_path)


class Evil:
    def __reduce__(self):
        return (open, ("evil.txt", "w"))


def test_a_pickle_cannot_run_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (pickle.dumps(Evil()), b"cos\nsystem\n(S'touch evil.txt'\ntR.",
                    b"cbuiltins\neval\n(S'1'\ntR."):  # fmt: skip
        (tmp_path / "evil.pkl").write_bytes(content)
        with pytest.raises(
            DataError, match=r"evil.pkl: refused: it asks for (_io|io|os|builtins)\."
        ):
            unpickle.load("evil.pkl")
    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(DataError, match=r"evil.pth: refused, or damaged"):
        unpickle.load("evil.pth")
    assert not (tmp_path / "evil.txt").exists()


def test_what_data_needs_can_be_read(tmp_path):
    content = {
        "a": [1, 2.5, None, True, "ä", b"x", {1, 2}, (3,), np.arange(6).reshape(2, 3)],
        "b": np.float32(2), "c": np.array(["x", "yy"]), "d": np.array([{"k": 1}], dtype=object),
    }  # fmt: skip
    for protocol in range(6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
        again = unpickle.load(tmp_path / "a.pkl")
        assert again["a"][:-1] == content["a"][:-1] and again["b"] == 2
        np.testing.assert_array_equal(again["a"][-1], content["a"][-1])
        assert again["c"].tolist() == ["x", "yy"] and again["d"][0] == {"k": 1}
    torch.save({"train": {"1": ["a.jpg"]}, "w": torch.arange(3)}, tmp_path / "a.pth")
    assert unpickle.load(tmp_path / "a.pth")["w"].tolist() == [0, 1, 2]


def test_an_old_pickle_of_python_2_is_read(tmp_path):
    (tmp_path / "old.pkl").write_bytes(b"(dp0\nS'name'\np1\nS'caf\\xe9'\np2\ns.")
    assert unpickle.load(tmp_path / "old.pkl") == {"name": "café"}


@pytest.mark.parametrize(
    "content", [b"", b"hello", pickle.dumps([1, 2, 3])[:-3], b"\x80\x04N", b"PK\3\4"]
)
def test_damaged_pickles_are_refused(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"a.pkl: "):
        unpickle.load(tmp_path / "a.pkl")
    with pytest.raises(DataError, match="no such file"):
        unpickle.load(tmp_path / "b.pkl")


# ── split dictionaries ──────────────────────────────────────────────────────────────────────────

SPLIT = {
    "train": [["a/1.jpg", "a/2.jpg"], ["b/1.jpg"]],
    "val": [["c/1.jpg"]],
    "test": [["d/1.jpg"] * 1],
}


@pytest.mark.parametrize("kind", ["json", "pkl", "pth"])
def test_split_dictionary(tmp_path, kind):
    file = tmp_path / f"split.{kind}"
    if kind == "pth":
        torch.save(SPLIT, file)
    else:
        file.write_bytes(json.dumps(SPLIT).encode() if kind == "json" else pickle.dumps(SPLIT))
    table = datasets.split_dictionary(file)
    assert table.splits == ["train", "test"] and table.labels[:, 0].tolist() == [0, 0, 1, 2, 3]
    assert table.notes == ("the classes of 'val' join training",)
    kept = datasets.split_dictionary(file, validation=True, pictures=tmp_path / "x")
    assert kept.splits == ["train", "val", "test"] and kept.paths[0] == str(tmp_path / "x/a/1.jpg")


def test_split_dictionary_faults(tmp_path):
    file = tmp_path / "split.json"
    with pytest.raises(DataError, match="cannot be read"):
        datasets.split_dictionary(file)
    for content, message in (
        ("[1]", "is not a split dictionary"),
        ("{", "is not valid JSON"),
        ('{"train": [["a"], "b"]}', "class 1 of 'train' is not a list of paths"),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            datasets.split_dictionary(file)
