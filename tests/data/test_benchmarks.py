"""The benchmark data sets, each on a small fixture in its original layout."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from layouts import rows, text
from scipy.io import savemat

from lookalike.data import datasets
from lookalike.data.datasets.published_levels import CAR_TYPE, CUB_FAMILY, CUB_ORDER
from lookalike.errors import ConfigError, DataError
from lookalike.metrics import evaluate

GOLDEN = Path(__file__).parents[1] / "golden" / "suprank" / "hierarchy_tables.npz"


def test_published_levels_are_the_golden_ones():
    golden = np.load(GOLDEN, allow_pickle=False)
    assert tuple(golden["cub_mid_family"]) == CUB_FAMILY
    assert tuple(golden["cub_coarse_order"]) == CUB_ORDER
    assert tuple(golden["cars_type"]) == CAR_TYPE


# ── Stanford Online Products ────────────────────────────────────────────────────────────────────


@pytest.fixture
def sop(tmp_path):
    root = tmp_path / "Stanford_Online_Products"
    header = "image_id class_id super_class_id path"
    bicycles = ["1 1 1 bicycle_final/11_0.JPG", "2 1 1 bicycle_final/11_1.JPG"]
    text(root / "Ebay_train.txt", header, *bicycles, "3 2 2 cabinet_final/2_0.JPG", end="\r\n")
    text(
        root / "Ebay_test.txt",
        header,
        "4 11319 1 bicycle_final/3_0.JPG",
        "5 11320 2 cabinet_final/4_0.JPG",
    )
    return root


def test_sop(sop):
    for root in (sop, sop.parent):
        table = datasets.sop(root)
    assert table.levels == ("product", "category") and table.splits == ["train", "test"]
    assert table.names("product") == ["1", "2", "11319", "11320"]
    assert table.names("category") == ["bicycle", "cabinet"]
    assert table.labels.tolist() == [[0, 0], [0, 0], [1, 1], [2, 0], [3, 1]]
    assert table.paths[0] == str(sop / "bicycle_final/11_0.JPG")
    assert table.notes[0] == (
        "not the official set: train has 3 of 59,551 images, test has 2 of 60,502 images"
    )


def test_sop_faults(sop):
    text(sop / "Ebay_test.txt", "header", "4 11319 1")
    with pytest.raises(DataError, match=r"Ebay_test.txt: line 2 has 3 fields, not 4"):
        datasets.sop(sop)
    text(sop / "Ebay_test.txt", "header")
    with pytest.raises(DataError, match=r"Ebay_test.txt: holds no lines after its header"):
        datasets.sop(sop)
    text(sop / "Ebay_test.txt", "header", "4 x 1 a/b.jpg")
    with pytest.raises(DataError, match=r"the product 'x' is not a whole number"):
        datasets.sop(sop)
    (sop / "Ebay_test.txt").unlink()
    with pytest.raises(DataError, match=r"Ebay_test.txt is missing. Expected in"):
        datasets.sop(sop)


def test_sop_with_renamed_folders_keeps_the_numbers(sop):
    text(sop / "Ebay_test.txt", "header", "4 11319 1 images/3_0.JPG")
    assert datasets.sop(sop).names("category") == ["1", "2"]


# ── Cars196 ─────────────────────────────────────────────────────────────────────────────────────

CARS = [(1, 39, 116, 569, 375), (98, 36, 116, 868, 587), (99, 85, 109, 601, 381), (196, 1, 2, 3, 4)]


def annotations(path_field, cars):
    corners = [f"bbox_{c}" for c in ("x1", "y1", "x2", "y2")]
    out = np.zeros((1, len(cars)), [(f, "O") for f in (path_field, *corners, "class", "test")])
    for i, (number, x1, y1, x2, y2) in enumerate(cars):
        name = f"{'car_ims/' if path_field != 'fname' else ''}{i:06d}.jpg"
        out[0, i] = (name, *(np.array([[v]]) for v in (x1, y1, x2, y2, number, i % 2)))
    return out


def class_names():
    out = np.empty((1, 196), dtype=object)
    out[0] = [f"Maker Model/{i}" for i in range(1, 197)]
    return out


def test_cars_in_one_file(tmp_path):
    savemat(
        tmp_path / "cars_annos.mat",
        {"annotations": annotations("relative_im_path", CARS), "class_names": class_names()},
    )
    table = datasets.cars196(tmp_path)
    assert rows(table, "path", "split") == [
        ("car_ims/000000.jpg", "train"), ("car_ims/000001.jpg", "train"),
        ("car_ims/000002.jpg", "test"), ("car_ims/000003.jpg", "test"),
    ]  # fmt: skip
    assert table.levels == ("model", "type")
    assert table.frame["model"][0] == "001 Maker Model-1"
    assert table.frame["type"].tolist()[0] == "SUV"
    assert table.boxes is None and "4 of" not in table.fingerprint
    assert datasets.cars196(tmp_path, crop=True).boxes[1].tolist() == [36, 116, 868, 587]
    assert datasets.cars196(tmp_path, levels=["model"]).levels == ("model",)


def test_cars_in_three_files(tmp_path):
    (tmp_path / "devkit").mkdir()
    for name, cars in (("train_annos", CARS[::2]), ("test_annos_withlabels", CARS[1::2])):
        savemat(tmp_path / f"devkit/cars_{name}.mat", {"annotations": annotations("fname", cars)})
    table = datasets.cars196(tmp_path)
    assert rows(table, "path", "model", "split") == [
        ("cars_train/000000.jpg", "001", "train"), ("cars_train/000001.jpg", "099", "test"),
        ("cars_test/000000.jpg", "098", "train"), ("cars_test/000001.jpg", "196", "test"),
    ]  # fmt: skip


def test_cars_faults(tmp_path):
    with pytest.raises(DataError, match=r"cars_train_annos.mat is missing. Expected in"):
        datasets.cars196(tmp_path)
    (tmp_path / "cars_annos.mat").write_bytes(b"no matlab")
    with pytest.raises(DataError, match=r"cars_annos.mat: cannot be read as a Matlab file"):
        datasets.cars196(tmp_path)
    savemat(tmp_path / "cars_annos.mat", {"x": 1})
    with pytest.raises(DataError, match=r"no variable 'annotations'; it has x"):
        datasets.cars196(tmp_path)
    savemat(tmp_path / "cars_annos.mat", {"annotations": annotations("fname", CARS)})
    with pytest.raises(DataError, match=r"annotations lack relative_im_path"):
        datasets.cars196(tmp_path)
    bad = [(197, 1, 2, 3, 4)]
    savemat(tmp_path / "cars_annos.mat", {"annotations": annotations("relative_im_path", bad)})
    with pytest.raises(DataError, match=r"class 197, but Cars196 has 196"):
        datasets.cars196(tmp_path)


# ── In-shop ─────────────────────────────────────────────────────────────────────────────────────

SHOP = [
    "5",
    "image_name item_id evaluation_status",
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg                 id_00000002 train",
    "img/WOMEN/Shorts/id_00000004/01_1_front.jpg                  id_00000004 query",
    "img/WOMEN/Shorts/id_00000004/01_2_side.jpg                   id_00000004 gallery",
    "img/MEN/Shorts/id_00000007/01_1_front.jpg                    id_00000007 gallery",
]


@pytest.mark.parametrize("place", ["", "Eval"])
def test_inshop(tmp_path, place):
    text(tmp_path / place / "list_eval_partition.txt", *SHOP, end="\r\n")
    table = datasets.inshop(tmp_path)
    assert table.levels == ("item", "category", "gender")
    assert table.splits == ["train", "test"]
    assert table.frame["is_query"].tolist() == [False, True, False, False]
    assert table.frame["is_gallery"].tolist() == [False, False, True, True]
    assert table.frame["category"].tolist()[2:] == ["WOMEN/Shorts", "MEN/Shorts"]
    assert table.labels[1, 0] == table.labels[2, 0]  # query and gallery share the codes
    assert "query has 1 of 14,218" in table.notes[0]
    (tmp_path / "Img" / "img").mkdir(parents=True)
    assert datasets.inshop(tmp_path).root == tmp_path / "Img"


def test_inshop_faults(tmp_path):
    with pytest.raises(DataError, match=r"list_eval_partition.txt is missing"):
        datasets.inshop(tmp_path)
    text(tmp_path / "list_eval_partition.txt", *SHOP, "img/a/b/c/d.jpg id_1 validation")
    with pytest.raises(DataError, match=r"line 7 says 'validation', not train"):
        datasets.inshop(tmp_path)
    text(tmp_path / "list_eval_partition.txt", *SHOP, "img/d.jpg id_1 train")
    with pytest.raises(DataError, match=r"path 'img/d.jpg' is not img/GENDER"):
        datasets.inshop(tmp_path)


# ── iNaturalist 2018 ────────────────────────────────────────────────────────────────────────────


def nature(root, splits="Inat_dataset_splits", **lists):
    for name, paths in lists.items():
        whole = name in ("train", "test")
        file = f"Inaturalist_{name}_set1.txt" if whole else f"{name}_train_set1.txt"
        text(root / splits / file, *(f"train_val2018/{p}.jpg" for p in paths), end="\r\n")
    return root


@pytest.fixture
def inat(tmp_path):
    return nature(
        tmp_path, train=["Aves/12/a", "Aves/12/b", "Plantae/7/c"], test=["Aves/3/d", "Aves/3/e"]
    )


def test_inaturalist_with_lists_of_ones_own(inat, tmp_path):
    text(inat / "Inat_dataset_splits/few.txt", "train_val2018/Aves/12/a.jpg")
    own = tmp_path / "elsewhere.txt"
    text(own, "train_val2018/Plantae/9/z.jpg", "train_val2018/Plantae/9/y.jpg")
    table = datasets.inaturalist(inat, train_list="few.txt", test_list=str(own))
    assert [len(table.split(s)) for s in ("train", "test")] == [1, 2]
    assert table.notes == (f"lists of your own: few.txt, {own}",)
    with pytest.raises(DataError, match="none.txt is missing"):
        datasets.inaturalist(inat, train_list="none.txt")


def test_inaturalist_base(inat):
    table = datasets.inaturalist(inat)
    assert table.levels == ("species", "super_category") and len(table) == 5
    assert table.names("species") == ["Aves/12", "Plantae/7", "Aves/3"]
    assert table.split("test").labels[:, 1].tolist() == [0, 0]
    assert table.paths[0] == str(inat / "train_val2018/Aves/12/a.jpg")
    assert "train has 3 of 325,846" in table.notes[0]
    assert (
        datasets.inaturalist(nature(inat, "", train=["A/1/a", "A/1/b"])).name == "inaturalist_base"
    )


@pytest.mark.parametrize("name", ["train2018.json", "categories.json"])
def test_inaturalist_full(inat, name):
    levels = ("genus", "family", "order", "class", "phylum", "kingdom")
    categories = [
        {"id": i, "name": "x"} | {lv: f"{lv}{i % 2}" for lv in levels} for i in (3, 7, 12)
    ]
    whole = {"images": [{"id": 1}], "categories": categories, "annotations": [{"id": [1]}]}
    (inat / name).write_text(json.dumps(whole if name == "train2018.json" else categories))
    table = datasets.inaturalist(inat, guise="full")
    assert table.levels == ("species", *levels)
    assert table.frame["genus"].tolist() == ["genus0", "genus0", "genus1", "genus1", "genus1"]


def test_inaturalist_open_world(tmp_path):
    nature(
        tmp_path,
        "",
        lin=["Aves/1/a", "Aves/1/b"],
        uin=["Aves/1/c"],
        uout=["Aves/2/d"],
        test=["Aves/9/e"],
    )
    table = datasets.inaturalist(tmp_path, guise="open_world")
    assert table.splits == ["train", "u_in", "u_out", "test"]
    assert table.evaluation_splits == ["test"] and "train has 2 of 29,011" in table.notes[0]
    assert table.split("u_in").labels[0, 0] == table.split("train").labels[0, 0]
    (tmp_path / "uout_train_set1.txt").unlink()
    assert "u_out" not in datasets.inaturalist(tmp_path, guise="open_world").splits
    nature(tmp_path, train=["Aves/1/a", "Aves/1/c", "Fungi/5/x"])
    again = datasets.inaturalist(tmp_path, guise="open_world")
    assert again.split("u_out").frame["path"].tolist() == ["train_val2018/Fungi/5/x.jpg"]


def test_inaturalist_faults(inat):
    with pytest.raises(ConfigError, match="dataset.guise: 'fulll'"):
        datasets.inaturalist(inat, guise="fulll")
    with pytest.raises(DataError, match=r"train2018.json is missing, which guise=full needs"):
        datasets.inaturalist(inat, guise="full")
    with pytest.raises(DataError, match=r"lin_train_set1.txt is missing"):
        datasets.inaturalist(inat, guise="open_world")
    (inat / "train2018.json").write_text('{"categories": [{"id": 12}, {"id": 7}]}')
    with pytest.raises(DataError, match="no category 3 in the JSON file"):
        datasets.inaturalist(inat, guise="full")
    (inat / "train2018.json").write_text('{"categories": [{"id": 12}, {"id": 7}, {"id": 3}]}')
    with pytest.raises(DataError, match="the categories have no 'genus', only id"):
        datasets.inaturalist(inat, guise="full")
    (inat / "train2018.json").write_text("nothing")
    with pytest.raises(DataError, match="is not valid JSON with categories"):
        datasets.inaturalist(inat, guise="full")
    text(inat / "Inat_dataset_splits/Inaturalist_test_set1.txt", "short.jpg")
    with pytest.raises(DataError, match=r"the path 'short.jpg' is not train_val2018"):
        datasets.inaturalist(inat)


# ── DyML ────────────────────────────────────────────────────────────────────────────────────────


# The published files: the first line lacks its end, and fine is the last column.
DYML = "fname, coarse_id, middle_id, fine_id"


def dyml(root):
    text(root / "train/label.csv", f"{DYML}0.jpg, 0, 2, 5", "1.jpg, 0, 2, 5", "2.jpg, 0, 3, 9")
    for level in ("fine", "middle", "coarse"):
        for role in ("query", "gallery"):
            (root / f"bmk_{level}" / role).mkdir(parents=True)
            more = ["2.jpg, 5"] if role == "gallery" else []
            rows = ["fname, labels0.jpg, 5", "1.jpg, 6", *more]
            text(root / f"bmk_{level}/{role}.csv", *rows, end="\r\n")
    return root


@pytest.mark.parametrize("name", ["dyml_vehicle", "dyml_animal"])
def test_dyml_three_benchmarks(tmp_path, name):
    table = getattr(datasets, name)(dyml(tmp_path))
    assert table.levels == ("fine", "middle", "coarse")
    assert table.splits == ["train", "test_fine", "test_middle", "test_coarse"]
    train = table.split("train")
    assert [train.num_classes(i) for i in range(3)] == [2, 2, 1]
    assert [Path(path).name for path in train.paths] == ["0.jpg", "1.jpg", "2.jpg"]
    assert train.labels[0].tolist() == train.labels[1].tolist()
    middle = table.split("test_middle")
    assert (middle.labels[:, [0, 2]] == -1).all()
    # queries and gallery share the codes, and test classes do not meet training classes
    assert middle.labels[0, 1] == middle.labels[2, 1] == middle.labels[4, 1]
    assert middle.labels[0, 1] != middle.labels[1, 1]
    assert not set(middle.labels[:, 1]) & set(train.labels[:, 1])
    assert middle.frame["is_query"].tolist() == [True, True, False, False, False]
    assert middle.paths[2] == str(tmp_path / "bmk_middle/gallery/0.jpg")


def test_a_dyml_query_does_not_find_its_own_copy(tmp_path):
    middle = datasets.dyml_vehicle(dyml(tmp_path)).split("test_middle")
    sequence = middle.frame["sequence"].to_numpy()
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 0, 1, 2]]  # a copy is the nearest of all
    report = evaluate(
        vectors[:2], middle.labels[:2], vectors[2:], middle.labels[2:], levels=[1],
        metrics=["mean_average_precision"], sequences=(sequence[:2], sequence[2:]),
    )  # fmt: skip
    # Of 0.jpg's class 2.jpg is left, behind 1.jpg in the order of the rows; 1.jpg has no other.
    assert report.values == {"mean_average_precision_level1": 0.5}
    text(tmp_path / "bmk_middle/gallery.csv", "fname, labels", "0.jpg, 6", "2.jpg, 5")
    other = datasets.dyml_vehicle(tmp_path).split("test_middle").frame["sequence"]
    assert other.nunique() == len(other), "a name of another class is another image"


def test_dyml_columns_are_read_by_name(tmp_path):
    dyml(tmp_path)
    text(tmp_path / "train/label.csv", "fname, fine_id, middle_id, coarse_id", "0.jpg, 5, 2, 0",
         "1.jpg, 9, 2, 0")  # fmt: skip
    train = datasets.dyml_animal(tmp_path).split("train")
    assert [train.num_classes(level) for level in range(3)] == [2, 1, 1]


def test_dyml_product(tmp_path):
    text(tmp_path / "train/label.csv", f"{DYML}0.jpg, 0, 2, 5")
    text(tmp_path / "mini-bmk_all_in_one/label.csv", "fname,a,b,c", "0.jpg,0,2,5", "1.jpg,0,2,6")
    table = datasets.dyml_product(tmp_path)
    assert table.splits == ["train", "test"]
    test = table.split("test")
    assert test.frame["is_query"].all() and test.labels.tolist() == [[1, 1, 1], [2, 1, 1]]
    assert test.paths[0] == str(tmp_path / "mini-bmk_all_in_one/imgs/0.jpg")


def test_dyml_faults(tmp_path):
    dyml(tmp_path)
    text(tmp_path / "train/label.csv", "fname, a, b, c", "0.jpg, 5, 2")
    with pytest.raises(DataError, match=r"label.csv: line 2 lacks a field"):
        datasets.dyml_vehicle(tmp_path)
    text(tmp_path / "train/label.csv", "fname, a", "0.jpg, 5")
    with pytest.raises(DataError, match=r"label.csv: has 2 columns, not 4"):
        datasets.dyml_vehicle(tmp_path)
    text(tmp_path / "train/label.csv", "fname, a, b, c", "0.jpg, 5, 2, 0", "1.jpg, 9, 3, 0")
    with pytest.raises(DataError, match=r"1 fine, 2 middle, 2 coarse classes, but the fine level"):
        datasets.dyml_vehicle(tmp_path)
    text(tmp_path / "train/label.csv", DYML)
    with pytest.raises(DataError, match=r"label.csv: holds no lines after its header"):
        datasets.dyml_vehicle(tmp_path)
    (tmp_path / "bmk_fine/query.csv").unlink()
    with pytest.raises(DataError, match=r"bmk_fine/query.csv is missing"):
        datasets.dyml_vehicle(tmp_path)
    dyml(tmp_path / "b")
    (tmp_path / "b/bmk_fine/query").rmdir()
    with pytest.raises(DataError, match="no folder of query images"):
        datasets.dyml_animal(tmp_path / "b")


# ── size ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_half_a_million_rows_take_seconds(tmp_path):
    import time

    paths = [f"Aves/{i % 8000}/{i:032x}" for i in range(460_000)]
    nature(tmp_path, train=paths[:330_000], test=paths[330_000:])
    start = time.process_time()
    assert len(datasets.inaturalist(tmp_path)) == 460_000
    assert time.process_time() - start < 45  # of CPU: only what grows too fast fails


@pytest.mark.slow
def test_gldv2_in_full_size_takes_seconds(tmp_path):
    import time

    count = 1_580_470
    ids = pd.Series([f"{i * 2654435761 % 2**64:016x}" for i in range(count)])
    landmarks = pd.DataFrame({"landmark_id": np.arange(count) % 81_313, "images": ids})
    landmarks.groupby("landmark_id")["images"].agg(" ".join).reset_index().to_csv(
        tmp_path / "train_clean.csv", index=False
    )
    start = time.process_time()
    table = datasets.gldv2(tmp_path, evaluation=False)
    assert len(table) == count and table.notes == ()
    assert time.process_time() - start < 90  # of CPU: only what grows too fast fails
