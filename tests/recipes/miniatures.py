"""Every data set of the recipes in its original layout, a few small images a class.

One function a data set, named as the recipes name it: it fills a folder below the data root.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

PER_CLASS = 4


def cub(root: Path) -> None:
    """Four species to train on, three to test on."""
    base = root / "CUB_200_2011"
    species = [1, 20, 50, 100, 101, 150, 200]
    names = [f"{s:03d}.Bird_{s}/Bird_{s}_{i}.jpg" for s in species for i in range(PER_CLASS)]
    numbers = [s for s in species for _ in range(PER_CLASS)]
    for name, number in zip(names, numbers, strict=True):
        _picture(base / "images" / name, number)
    columns = {
        "images.txt": names,
        "image_class_labels.txt": numbers,
        "train_test_split.txt": [i % 2 for i in range(len(names))],
        "bounding_boxes.txt": ["4.0 4.0 30.0 20.0"] * len(names),
    }
    for file, values in columns.items():
        _text(base / file, *(f"{i} {v}" for i, v in enumerate(values, 1)))
    _text(base / "classes.txt", *(f"{s} {s:03d}.Bird_{s}" for s in species))


def cars196(root: Path) -> None:
    """Four models to train on, three to test on, with one annotation file."""
    base = root / "cars196"
    models = [1, 30, 60, 98, 99, 150, 196]
    rows = [(f"car_ims/{m:03d}{i}.jpg", m) for m in models for i in range(PER_CLASS)]
    corners = [f"bbox_{corner}" for corner in ("x1", "y1", "x2", "y2")]
    fields = ["relative_im_path", *corners, "class", "test"]
    table = np.zeros((1, len(rows)), [(f, "O") for f in fields])
    for i, (path, model) in enumerate(rows):
        _picture(base / path, model)
        table[0, i] = (path, *(np.array([[v]]) for v in (2, 2, 30, 30, model, i % 2)))
    names = np.empty((1, 196), dtype=object)
    names[0] = [f"Maker Model {i}" for i in range(1, 197)]
    savemat(base / "cars_annos.mat", {"annotations": table, "class_names": names})


def sop(root: Path) -> None:
    """Products of three categories, two of each to train on and one to test on."""
    base = root / "Stanford_Online_Products"
    header = "image_id class_id super_class_id path"
    for file, products, first in (("train", 2, 1), ("test", 1, 11319)):
        lines = []
        for number, category in enumerate(c for c in range(3) for _ in range(products)):
            product = first + number
            for i in range(PER_CLASS):
                path = f"category{category}_final/{product}_{i}.JPG"
                _picture(base / path, product, size=(60, 60))
                lines.append(f"{len(lines) + 1} {product} {category + 1} {path}")
        _text(base / f"Ebay_{file}.txt", header, *lines)


def inaturalist(root: Path) -> None:
    """Species of two super-categories: the splits of the papers, of PSS, and the taxonomy."""
    base = root / "Inaturalist"
    species = {1: "Aves", 2: "Aves", 3: "Plantae", 4: "Plantae", 5: "Aves", 6: "Plantae"}
    paths = {
        s: [f"train_val2018/{name}/{s}/{i}.jpg" for i in range(2 * PER_CLASS)]
        for s, name in species.items()
    }
    for number, files in paths.items():
        for file in files:
            _picture(base / file, number)
    lists = {
        "Inaturalist_train_set1": [p for s in (1, 2, 3, 4) for p in paths[s]],
        "Inaturalist_test_set1": [p for s in (5, 6) for p in paths[s]],
        "lin_train_set1": [p for s in (1, 2, 3) for p in paths[s][:PER_CLASS]],
        "uin_train_set1": [p for s in (1, 2, 3) for p in paths[s][PER_CLASS:]],
        "uout_train_set1": paths[4],
    }
    for file, lines in lists.items():
        _text(base / "Inat_dataset_splits" / f"{file}.txt", *lines)
    ranks = ("genus", "family", "order", "class", "phylum", "kingdom")
    categories = [
        {"id": s, "name": f"species {s}"} | {r: f"{r} {s % 2}" for r in ranks} for s in species
    ]
    (base / "train2018.json").write_text(json.dumps({"categories": categories}))


def dyml_vehicle(root: Path) -> None:
    """Three benchmarks, each with queries and gallery at its own level."""
    _dyml_three(root / "dyml_vehicle")


def dyml_animal(root: Path) -> None:
    """Laid out as the vehicles."""
    _dyml_three(root / "dyml_animal")


def dyml_product(root: Path) -> None:
    """One benchmark that holds all three levels."""
    base = root / "dyml_product"
    _dyml_train(base)
    lines = []
    for number in (50, 51, 52):
        for i in range(PER_CLASS):
            _picture(base / "mini-bmk_all_in_one/imgs" / f"{number}_{i}.jpg", number)
            lines.append(f"{number}_{i}.jpg, 0, {number % 2}, {number}")
    file = base / "mini-bmk_all_in_one/label.csv"
    _glued(file, "fname, coarse_id, middle_id, fine_id", lines)


def gldv2(root: Path) -> None:
    """Landmarks to train on, queries and an index of others."""
    base = root / "gldv2"
    clean = []
    for landmark in (1, 2, 3, 4):
        names = [f"{landmark}{i}00000000000000" for i in range(PER_CLASS)]
        clean.append(f"{landmark},{' '.join(names)}")
        for name in names:
            _picture(base / "train" / "/".join(name[:3]) / f"{name}.jpg", landmark)
    _text(base / "train_clean.csv", "landmark_id,images", *clean)
    index, solution = [], []
    for landmark in (8, 9):
        names = [f"a{landmark}{i}0000000000000" for i in range(PER_CLASS)]
        index += [f"{name},{landmark}" for name in names]
        query = f"b{landmark}00000000000000"
        solution.append(f"{query},{' '.join(names)},Public")
        for name in names:
            _picture(base / "index" / "/".join(name[:3]) / f"{name}.jpg", landmark)
        _picture(base / "test" / "/".join(query[:3]) / f"{query}.jpg", landmark)
    _text(base / "index_image_to_landmark.csv", "id,landmark_id", *index)
    _text(base / "retrieval_solution_v2.1.csv", "id,images,Usage", *solution)


def _dyml_train(base: Path) -> None:
    lines = []
    for number in (1, 2, 3, 4):
        for i in range(PER_CLASS):
            _picture(base / "train/imgs" / f"{number}_{i}.jpg", number)
            lines.append(f"{number}_{i}.jpg, 0, {number % 2}, {number}")
    _glued(base / "train/label.csv", "fname, coarse_id, middle_id, fine_id", lines)


def _dyml_three(base: Path) -> None:
    """Three benchmarks, whose galleries hold the queries again, as the published ones do."""
    _dyml_train(base)
    for level in ("fine", "middle", "coarse"):
        for role, count in (("query", 1), ("gallery", 3)):
            lines = []
            for number in (60, 61):
                for i in range(count):
                    name = f"{number}_{i}.jpg"
                    _picture(base / f"bmk_{level}" / role / name, number)
                    lines.append(f"{name}, {number}")
            _glued(base / f"bmk_{level}" / f"{role}.csv", "fname, labels", lines)


def _glued(file: Path, header: str, lines: list[str]) -> None:
    """The published header lacks the end of its line."""
    _text(file, header + lines[0], *lines[1:])


def _text(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def _picture(file: Path, number: int, size: tuple[int, int] = (48, 40)) -> None:
    """An image whose colour says its class and whose noise says which of them it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([number, *file.name.encode()])
    colour = np.random.default_rng(number).integers(40, 200, 3)
    noise = rng.integers(0, 50, (size[1], size[0], 3))
    Image.fromarray((colour + noise).astype(np.uint8)).save(file, quality=90)


def make(root: Path, names: Iterable[str]) -> Path:
    """The named data sets below ``root``."""
    for name in names:
        globals()[name](root)
    return root
