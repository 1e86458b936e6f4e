"""Where the images of an index come from, and what tells that one has changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike.compose import choices, compose
from lookalike.data.build import build_table
from lookalike.data.datasets.folders import loose_folder
from lookalike.data.datasets.table_files import table_file
from lookalike.data.table import Table
from lookalike.errors import DataError, suggest

STAMP = ("file_bytes", "file_mtime_ns")
_TABLES = (".csv", ".tsv", ".parquet", ".pq")


def read_source(source: str, overrides: Sequence[str] = (), split: str | None = None) -> Table:
    """A folder, a table file or a data set's name, as a table.

    A folder may hold its images in any way; those in no sub-folder have no label. With settings,
    such as ``dataset.levels=[species,family]``, it is read as a data set to train on.

    Args:
        source: which.
        overrides: settings of the data set.
        split: only the gallery rows of this split.

    Raises:
        DataError: nothing of that name.
    """
    path = Path(source).expanduser()
    if path.is_dir() and not overrides:
        table = loose_folder(path)
    elif path.suffix.lower() in _TABLES and not overrides:
        table = table_file(path)
    else:
        known, imported = choices("dataset"), "." in source and os.sep not in source
        if source not in known and not imported and not path.exists():
            raise DataError(
                f"{source}: there is no such folder or table, and no data set of that name. "
                f"{suggest(source, known)}"
            )
        table = build_table(compose([f"dataset={source}", *overrides]))
    if split is None:
        return table
    rows = table.split(split)
    return rows.where(rows.frame["is_gallery"].to_numpy(bool))


def origin(
    source: str, overrides: Sequence[str], split: str | None, table: Table
) -> dict[str, Any]:
    """What a manifest says of the source: enough to read it again, and the folders it may show."""
    path = Path(source).expanduser()
    absolute = all(os.path.isabs(p) for p in table.frame["path"])  # noqa: PTH117 (a column)
    if absolute:
        root = os.path.commonpath([os.path.dirname(p) for p in table.frame["path"]])  # noqa: PTH120
    else:
        root = os.path.abspath(table.root)  # noqa: PTH100 (links stay as they are)
    return {
        "name": table.name,
        "of": str(path.absolute()) if path.exists() else source,
        "overrides": list(overrides),
        "split": split,
        "roots": [root],
    }


def items_of(table: Table, rows: np.ndarray) -> pd.DataFrame:
    """The rows of an index: absolute paths, labels, further columns, and each file's stamp."""
    taken = table.where(rows)
    paths = [os.path.abspath(path) for path in taken.paths]  # noqa: PTH100 (links stay)
    frame = taken.frame.drop(columns=["is_query", "is_gallery"]).reset_index(drop=True)
    return pd.concat([frame.assign(path=paths), stamps(paths)], axis=1)


def stamps(paths: Sequence[str]) -> pd.DataFrame:
    """Size and time of change of files, −1 where there is none: what tells a changed image."""
    seen = np.full((len(paths), 2), -1, np.int64)
    for row, path in enumerate(paths):
        try:
            stat = os.stat(path.partition(".shard#")[0])  # noqa: PTH116 (a million of them)
        except OSError:
            continue  # a missing image is found, and named, when it is read
        seen[row] = stat.st_size, stat.st_mtime_ns
    return pd.DataFrame(seen, columns=list(STAMP))
