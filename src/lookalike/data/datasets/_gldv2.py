"""Google Landmarks v2, cleaned, with or without the hierarchy of H-GLDv2."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from lookalike.data.datasets.layout import against_official, existing
from lookalike.data.frames import read_frame
from lookalike.data.table import Table
from lookalike.errors import DataError, counted

_LAYOUT = (
    "train_clean.csv, retrieval_solution_v2.1.csv, index_image_to_landmark.csv and the images in"
    " train/a/b/c/abc….jpg, test/…, index/… (or below images/)"
)
_OFFICIAL = {"train": 1580470}
_HIERARCHY = ("cluster", "overall_cluster")


def gldv2(
    root: str | Path,
    *,
    hierarchy: bool = False,
    evaluation: bool = True,
    train_clusters: str = "train_label_to_subcategory_with_clusters.csv",
    index_clusters: str = "index_label_to_subcategory_with_clusters.csv",
) -> Table:
    """1.58 million photos of 81,313 landmarks (Weyand et al., CVPR 2020; cleaned by Yokoo et al.).

    Queries are those of the retrieval challenge that have an answer, labelled with the landmark of
    their first one; the gallery is the index set, whose landmarks are numbered apart from those of
    training.

    Args:
        root: the folder with the CSV files.
        hierarchy: levels landmark, cluster and overall cluster; rows without a cluster are left
            out and counted.
        evaluation: also read queries and gallery (762,000 images more).
        train_clusters: file with columns landmark_id, cluster, overall_cluster for training.
        index_clusters: the same for the index set.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.

    Example:
        ``gldv2("data/gldv2", hierarchy=True, evaluation=False)``
    """
    base = existing(root, _LAYOUT, "train_clean.csv")
    pictures = "images/" if (base / "images").is_dir() else ""
    parts = [_training(base, pictures)]
    clusters = {"train": train_clusters}
    if evaluation:
        parts += _evaluation(base, pictures)
        clusters["test"] = index_clusters
    frame = pd.concat(parts, ignore_index=True)
    notes = against_official(Counter(frame["split"]), _OFFICIAL)
    levels = ("landmark",)
    if hierarchy:
        frame, left_out = _with_clusters(base, frame, clusters)
        levels = ("landmark", *_HIERARCHY)
        if left_out:
            notes.append(f"{counted(left_out, 'image')} of landmarks without a cluster left out")
    prefix = frame["split"].map({"train": "", "test": "index/"})
    frame["landmark"] = prefix + frame["landmark"].astype("str")
    return Table.from_frame(frame, levels=levels, name="gldv2", root=base, notes=notes, source=base)


def _training(base: Path, pictures: str) -> pd.DataFrame:
    rows = _read(base, "train_clean.csv", "landmark_id", "images")
    lists = rows["images"].astype("str").str.split()
    frame = pd.DataFrame({"id": lists, "landmark": rows["landmark_id"]}).explode("id")
    return _placed(frame, f"{pictures}train/").assign(
        split="train", is_query=False, is_gallery=False
    )


def _evaluation(base: Path, pictures: str) -> list[pd.DataFrame]:
    index = _read(base, "index_image_to_landmark.csv", "id", "landmark_id")
    solution = _read(base, "retrieval_solution_v2.1.csv", "id", "images")
    answered = solution[solution["images"].notna() & (solution["images"] != "None")]
    first = answered["images"].str.split().str[0]
    landmark = first.map(index.set_index("id")["landmark_id"])
    if landmark.isna().any():
        raise DataError(
            f"{base / 'retrieval_solution_v2.1.csv'}: {first[landmark.isna()].iloc[0]} is not in"
            " index_image_to_landmark.csv"
            f" ({counted(int(landmark.isna().sum()), 'query', 'queries')} concerned)"
        )
    query = pd.DataFrame({"id": answered["id"], "landmark": landmark.astype("int64")})
    gallery = index.rename(columns={"landmark_id": "landmark"})[["id", "landmark"]]
    return [
        _placed(query, f"{pictures}test/").assign(split="test", is_query=True, is_gallery=False),
        _placed(gallery, f"{pictures}index/").assign(split="test", is_query=False, is_gallery=True),
    ]


def _read(base: Path, name: str, *columns: str) -> pd.DataFrame:
    existing(base, _LAYOUT, name)
    frame = read_frame(base / name, text=["id"])
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise DataError(
            f"{base / name}: no column {', '.join(missing)}; it has {list(frame.columns)}"
        )
    return frame


def _placed(frame: pd.DataFrame, folder: str) -> pd.DataFrame:
    name = frame["id"].astype("str")
    path = folder + name.str[0] + "/" + name.str[1] + "/" + name.str[2] + "/" + name + ".jpg"
    return pd.DataFrame({"path": path, "landmark": frame["landmark"]})


def _with_clusters(
    base: Path, frame: pd.DataFrame, files: dict[str, str]
) -> tuple[pd.DataFrame, int]:
    for split, name in files.items():
        table = _read(base, name, "landmark_id", *_HIERARCHY).set_index("landmark_id")
        rows = frame["split"] == split
        for level in _HIERARCHY:
            column = table[level].astype("str").where(table[level].notna())
            frame.loc[rows, level] = frame["landmark"][rows].map(column)
    whole = frame[list(_HIERARCHY)].notna().all(axis=1)
    return frame[whole].reset_index(drop=True), int((~whole).sum())
