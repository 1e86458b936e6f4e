"""What a Python caller has at hand, as a table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lookalike.data.archive import cache_folder
from lookalike.data.splits import TestClasses
from lookalike.data.table import Table
from lookalike.errors import DataError


def as_table(
    data: Any,
    *,
    levels: Sequence[str] | None = None,
    test_classes: TestClasses = 0.5,
    seed: int = 0,
) -> Table:
    """A table, a data frame, or a data set of the Hugging Face ``datasets`` package, as a table.

    Args:
        data: a frame needs ``path`` and ``label``; without ``split`` its classes are divided, as
            for a folder. A Hugging Face data set (or dictionary of splits) is written to the
            cache once.
        levels: label columns, finest first; default ``label``.
        test_classes: where there is no split: share, number or names of the classes to test on.
        seed: of that draw.

    Raises:
        DataError: something else, or content that cannot be used.

    >>> frame = pd.DataFrame({"path": list("abcd"), "label": ["x", "x", "y", "y"]})
    >>> sorted(as_table(frame).splits)
    ['test', 'train']
    """
    from lookalike.data.datasets import hugging_face
    from lookalike.data.datasets.table_files import divided_frame

    if isinstance(data, Table):
        return data
    if isinstance(data, pd.DataFrame):
        return divided_frame(
            data, "data frame", levels=levels, test_classes=test_classes, seed=seed
        )
    if callable(getattr(data, "save_to_disk", None)):
        parts = [data] if hasattr(data, "_fingerprint") else list(data.values())
        told = "".join(str(part._fingerprint) for part in parts)
        place = cache_folder() / "objects" / hashlib.sha256(told.encode()).hexdigest()[:16]
        if not place.is_dir():
            part = place.with_name(f"{place.name}.part-{os.getpid()}")
            data.save_to_disk(str(part))
            part.rename(place)
        return hugging_face(
            place, levels=levels or ("label",), test_classes=test_classes, seed=seed
        )
    raise DataError(
        f"{type(data).__name__} is not a table: give a Table, a pandas data frame, a Hugging Face "
        "data set, or the name of a data set, folder or table file."
    )
