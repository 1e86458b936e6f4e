"""DeepFashion In-shop Clothes Retrieval in its original layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from lookalike.data.datasets.layout import against_official, existing, fields
from lookalike.data.table import Table
from lookalike.errors import DataError

_LAYOUT = (
    "list_eval_partition.txt (or Eval/list_eval_partition.txt) and img/ (or Img/img/), from"
    " In-shop Clothes Retrieval Benchmark"
)
_OFFICIAL = {"train": 25882, "query": 14218, "gallery": 12612}


def inshop(root: str | Path) -> Table:
    """7,982 clothing items, 52,712 photos, with separate queries and gallery (Liu et al., 2016).

    The levels are item, category (``WOMEN/Dresses``) and gender.

    Args:
        root: the folder that holds the partition file and the images.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.

    Example:
        ``inshop("data/inshop").split("test").frame["is_query"].sum()``
    """
    base = existing(root, _LAYOUT)
    file = next(
        (f for f in (base / "list_eval_partition.txt", base / "Eval/list_eval_partition.txt")
         if f.exists()),
        None,
    )  # fmt: skip
    if file is None:
        raise DataError(f"{base / 'list_eval_partition.txt'} is missing. Expected: {_LAYOUT}")
    rows = fields(file, 3, header=2)
    frame = pd.DataFrame(rows, columns=["path", "item", "role"], dtype="str")
    for line, (path, _, role) in enumerate(rows, start=3):
        if role not in _OFFICIAL:
            raise DataError(f"{file}: line {line} says {role!r}, not train, query or gallery")
        if path.count("/") < 4:
            raise DataError(f"{file}: the path {path!r} is not img/GENDER/CATEGORY/ITEM/….jpg")
    parts = frame["path"].str.split("/", n=3, expand=True)
    frame["gender"] = parts[1]
    frame["category"] = parts[1] + "/" + parts[2]
    frame["split"] = (frame["role"] == "train").map({True: "train", False: "test"}).astype("str")
    frame["is_query"] = frame["role"] == "query"
    frame["is_gallery"] = frame["role"] == "gallery"
    notes = against_official(Counter(frame["role"]), _OFFICIAL)
    pictures = base / "Img" if (base / "Img" / "img").is_dir() else base
    return Table.from_frame(
        frame.drop(columns="role"),
        levels=("item", "category", "gender"),
        name="inshop",
        root=pictures,
        notes=notes,
        source=file,
    )
