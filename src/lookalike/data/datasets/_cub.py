"""Caltech-UCSD Birds-200-2011 in its original layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from lookalike.data.datasets.layout import (
    against_official,
    decimal,
    existing,
    fields,
    whole_number,
    within,
)
from lookalike.data.datasets.published_levels import CUB_FAMILY, CUB_ORDER
from lookalike.data.frames import read_frame
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError

_LAYOUT = (
    "images/001.Black_footed_Albatross/*.jpg and so on, images.txt, image_class_labels.txt,"
    " classes.txt (CUB_200_2011.tgz unpacked)"
)
_OFFICIAL = {"classes": {"train": 5864, "test": 5924}, "images": {"train": 5994, "test": 5794}}
_TAXONOMY = ("genus", "family", "order")


def cub(
    root: str | Path,
    *,
    split: Literal["classes", "images"] = "classes",
    crop: bool = False,
    taxonomy: Literal["file", "suprank"] = "file",
    levels: Sequence[str] | None = None,
) -> Table:
    """200 bird species, 11,788 photos (Wah et al., 2011).

    Args:
        root: the folder ``CUB_200_2011``, or the one that holds it.
        split: ``"classes"``: species 1 to 100 to train, 101 to 200 to test, as retrieval papers
            do; ``"images"``: the official split of every species, from ``train_test_split.txt``.
        crop: cut every photo to its box, from ``bounding_boxes.txt``.
        taxonomy: where coarser levels come from: ``"file"``, a ``taxonomy.csv`` in the folder
            (columns class_id, genus, family, order); or ``"suprank"``, the 38 families and 13
            orders of that paper, which have numbers for names.
        levels: out of ``species, genus, family, order``, finest first; by default all there are.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.

    Example:
        ``cub("data/CUB_200_2011", levels=["species", "order"])``
    """
    base = existing(within(root, "CUB_200_2011", "images.txt"), _LAYOUT, "images.txt")
    existing(base, _LAYOUT, "image_class_labels.txt", "images")
    if split not in _OFFICIAL:
        raise ConfigError(f"dataset.split: '{split}'; give 'classes' or 'images'")
    frame = _column(base / "images.txt", "path").to_frame()
    frame["class"] = _by_id(base / "image_class_labels.txt", frame.index)
    frame["species"] = frame["path"].str.split("/").str[0]
    if split == "classes":
        frame["split"] = (frame["class"] > 100).map({True: "test", False: "train"}).astype("str")
    else:
        existing(base, _LAYOUT + ", train_test_split.txt", "train_test_split.txt")
        training = _by_id(base / "train_test_split.txt", frame.index)
        frame["split"] = (training == 1).map({True: "train", False: "test"}).astype("str")
    if crop:
        frame = frame.join(_boxes(base, frame.index))
    above = _above(base, taxonomy, levels)
    frame = frame.join(above, on="class")
    notes = against_official(Counter(frame["split"]), _OFFICIAL[split])
    frame["path"] = "images/" + frame["path"]
    return Table.from_frame(
        frame.drop(columns="class"),
        levels=levels or ("species", *above.columns),
        name="cub",
        root=base,
        notes=notes,
        source=base,
    )


def _above(base: Path, taxonomy: str, levels: Sequence[str] | None) -> pd.DataFrame:
    """The coarser labels of each class, a column a level."""
    if taxonomy == "suprank":
        columns = {"family": CUB_FAMILY, "order": CUB_ORDER}
        return pd.DataFrame(columns, index=range(1, len(CUB_FAMILY) + 1))
    if taxonomy != "file":
        raise ConfigError(f"dataset.taxonomy: '{taxonomy}'; give 'file' or 'suprank'")
    file = base / "taxonomy.csv"
    if file.exists():
        return _taxonomy(file)
    if any(level in _TAXONOMY for level in levels or ()):
        raise DataError(
            f"{file} is missing; it gives the levels {', '.join(_TAXONOMY)} (columns class_id,"
            " genus, family, order). Add it, set dataset.taxonomy=suprank, or ask for"
            " levels=[species]"
        )
    return pd.DataFrame(index=range(1, 201))


def _column(file: Path, name: str) -> pd.Series:
    rows = fields(file, 2)
    index = [whole_number(row[0], file, "the image's number") for row in rows]
    return pd.Series([row[1] for row in rows], index=index, name=name, dtype="str")


def _by_id(file: Path, wanted: pd.Index) -> pd.Series:
    column = _column(file, file.stem)
    _refuse_lost(file, wanted.difference(column.index))
    values = [whole_number(text, file, "the value") for text in column[wanted]]
    return pd.Series(values, index=wanted)


def _refuse_lost(file: Path, lost: Sequence[object] | pd.Index) -> None:
    if len(lost):
        raise DataError(f"{file}: no line for image {lost[0]} ({len(lost)} missing in all)")


def _boxes(base: Path, wanted: pd.Index) -> pd.DataFrame:
    file = base / "bounding_boxes.txt"
    if not file.exists():
        raise DataError(
            f"{file} is missing, which crop=true needs (a line an image: number x y width height)."
            " It comes with CUB_200_2011.tgz; or set dataset.crop=false"
        )
    rows = {row[0]: row[1:] for row in fields(file, 5)}
    _refuse_lost(file, [i for i in wanted if str(i) not in rows])
    # Fractions are cut off, as the published croppings do.
    x, y, width, height = (
        pd.Series([int(decimal(rows[str(i)][n], file, "a box")) for i in wanted], index=wanted)
        for n in range(4)
    )
    return pd.DataFrame({"x_1": x, "x_2": x + width, "y_1": y, "y_2": y + height})


def _taxonomy(file: Path) -> pd.DataFrame:
    table = read_frame(file)
    missing = [c for c in ("class_id", *_TAXONOMY) if c not in table.columns]
    if missing:
        raise DataError(f"{file}: no column {', '.join(missing)}; it has {list(table.columns)}")
    return table.set_index("class_id")[list(_TAXONOMY)]
