"""Lists of easy, hard and junk images that a table carries for its queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lookalike.data.datasets._revisited import LISTS, as_text
from lookalike.data.table import Table
from lookalike.errors import DataError


def ground_truth(rows: Table) -> list[dict[str, Any]] | None:
    """For each query its gallery rows, or None where the table is judged by its labels.

    Args:
        rows: one split. Its columns ``easy``, ``hard`` and ``junk`` hold, for each query, positions
            among the gallery rows of the split, counted from 0, with blanks between them.

    Raises:
        DataError: a position that is not a whole number; names the row.
    """
    if not set(LISTS) <= set(rows.frame.columns):
        return None
    queries = rows.frame[rows.frame["is_query"]]
    return [
        {name: _positions(row[name], f"{rows.name}, row {number}, {name}") for name in LISTS}
        for number, row in queries.iterrows()
    ]


def without_others(rows: Table, kept: np.ndarray) -> Table:
    """Some of the rows, their lists renumbered for the gallery that is left.

    Args:
        rows: one split.
        kept: positions of the rows to keep.
    """
    left = rows.where(kept)
    if (truth := ground_truth(left)) is None:
        return left
    is_gallery = rows.frame["is_gallery"].to_numpy(bool)
    new = np.full(int(is_gallery.sum()), -1)
    staying = kept[is_gallery[kept]]
    new[(np.cumsum(is_gallery) - 1)[staying]] = np.arange(len(staying))
    frame = left.frame.copy()
    for name in LISTS:
        moved = [new[entry[name]] for entry in truth]
        frame.loc[frame["is_query"], name] = [as_text(places[places >= 0]) for places in moved]
    return replace(left, frame=frame)


def _positions(text: Any, where: str) -> np.ndarray:
    if not isinstance(text, str):  # an empty field of a CSV file
        return np.zeros(0, np.int64)
    try:
        return np.array([int(word) for word in text.split()], np.int64)
    except ValueError as error:
        raise DataError(
            f"{where}: {text[:40]!r} is not a list of positions; write whole numbers with blanks "
            "between them"
        ) from error
