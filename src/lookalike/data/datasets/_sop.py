"""Stanford Online Products in its original layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from lookalike.data.datasets.layout import against_official, existing, fields, whole_number, within
from lookalike.data.table import Table

_LAYOUT = (
    "Ebay_train.txt, Ebay_test.txt and the folders bicycle_final, cabinet_final, …"
    " (Stanford_Online_Products.zip unpacked)"
)
_OFFICIAL = {"train": 59551, "test": 60502}


def sop(root: str | Path) -> Table:
    """22,634 products of eBay in 12 categories, 120,053 photos (Oh Song et al., CVPR 2016).

    The levels are product and category. The official files divide the products: 11,318 to train
    on, 11,316 to test on.

    Args:
        root: the folder ``Stanford_Online_Products``, or the one that holds it.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.

    Example:
        ``sop("data/Stanford_Online_Products").split("test")``
    """
    base = within(root, "Stanford_Online_Products", "Ebay_train.txt")
    base = existing(base, _LAYOUT, "Ebay_train.txt", "Ebay_test.txt")
    parts = []
    for split in ("train", "test"):
        rows = fields(base / f"Ebay_{split}.txt", 4, header=1)
        part = pd.DataFrame(rows, columns=["id", "product", "category", "path"], dtype="str")
        parts.append(part.assign(split=split))
    frame = pd.concat(parts, ignore_index=True)
    frame["category"] = _category_names(frame)
    frame["product"] = [whole_number(p, base, "the product") for p in frame["product"]]
    notes = against_official(Counter(frame["split"]), _OFFICIAL)
    return Table.from_frame(
        frame[["path", "product", "category", "split"]],
        levels=("product", "category"),
        name="sop",
        root=base,
        notes=notes,
        source=base,
    )


def _category_names(frame: pd.DataFrame) -> pd.Series:
    """The folders' names in place of the categories' numbers, where they say the same."""
    names = frame["path"].str.split("/").str[0].str.removesuffix("_final")
    pairs = pd.DataFrame({"number": frame["category"], "name": names}).drop_duplicates()
    agree = not pairs["number"].duplicated().any() and not pairs["name"].duplicated().any()
    return names if agree else frame["category"]
