"""Labels of any kind as int64 codes, and the gallery rows of every class."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from lookalike.errors import DataError
from lookalike.ops.labels import DISTRACTOR, is_absent, label_columns
from lookalike.ops.scratch import Scratch
from lookalike.ops.tiles import Pairs

_LONG = 64  # members of a class


def label_codes(
    query: Any, gallery: Any | None, names: tuple[str, str] = ("query_labels", "gallery_labels")
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' labels as int64 codes of one code book, ``(N, L)``.

    Args:
        query: ``(N,)`` or ``(N, L)`` integers or strings, column 0 the finest level.
        gallery: the same for the gallery, or None for the queries themselves.
        names: what errors call them.

    Raises:
        DataError: another shape or kind, or a different number of columns on each side.
    """
    q = label_columns(query, names[0])
    if gallery is None:
        codes = np.stack([_encode(column) for column in q], axis=1)
        return codes, codes
    g = label_columns(gallery, names[1])
    if len(q) != len(g):
        raise DataError(
            f"{names[0]} have {len(q)} column(s) and {names[1]} {len(g)}; "
            "give both the same levels, the finest first"
        )
    codes = []
    for level, (a, b) in enumerate(zip(q, g, strict=True)):
        known = [side[~is_absent(side)] for side in (a, b)]
        if all(map(len, known)) and len({side.dtype.kind == "U" for side in known}) > 1:
            raise DataError(
                f"column {level} of {names[0]} is {a.dtype} and of {names[1]} {b.dtype}; "
                "give both integers or both strings"
            )
        codes.append(_encode(np.concatenate([_like(a, b), _like(b, a)])))
    both = np.stack(codes, axis=1)
    return both[: len(q[0])], both[len(q[0]) :]


def _like(column: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A column of nothing but distractors, in the other side's kind; any other as it is."""
    if (column.dtype.kind == "U") == (other.dtype.kind == "U") or not is_absent(column).all():
        return column
    return np.full(len(column), "" if other.dtype.kind == "U" else DISTRACTOR, other.dtype)


def _encode(column: np.ndarray) -> np.ndarray:
    """Codes 0, 1, … by rising label; what is no label stays a distractor."""
    _, inverse = np.unique(column, return_inverse=True)
    codes = inverse.reshape(-1).astype(np.int64)
    codes[is_absent(column)] = DISTRACTOR
    return codes


def is_nested(codes: np.ndarray) -> bool:
    """Whether each class of a column lies in one class of the next, distractors aside."""
    for fine, coarse in itertools.pairwise(codes.T):
        known = fine != DISTRACTOR
        if (coarse[known] == DISTRACTOR).any():
            return False
        home = np.empty(int(fine.max(initial=-1)) + 1, np.int64)
        home[fine[known]] = coarse[known]  # any one of a class's members
        if (home[fine[known]] != coarse[known]).any():
            return False
    return True


class Members:
    """The gallery rows of each class of one label column, found without a query × gallery mask."""

    def __init__(self, codes: np.ndarray) -> None:
        order = np.argsort(codes, kind="stable")
        self.codes = codes
        self._order = order
        self._sorted = codes[order]

    def of(self, wanted: np.ndarray, scratch: Scratch | None = None) -> Pairs:
        """For each wanted code its rows, rising; none for a distractor.

        Args:
            wanted: the codes.
            scratch: where a long list may be written.
        """
        start = np.searchsorted(self._sorted, wanted, "left")
        stop = np.searchsorted(self._sorted, wanted, "right")
        count = np.where(wanted == DISTRACTOR, 0, stop - start)
        starts = np.concatenate(([0], np.cumsum(count)))
        if starts[-1] > _LONG * len(wanted):  # a copy each costs less than an index for each item
            own = scratch or Scratch()
            items = own.take("members", int(starts[-1]))
            for i, first in enumerate(start):
                items[starts[i] : starts[i + 1]] = self._order[first : first + count[i]]
            return Pairs(starts, items)
        # Item j of query i lies at start[i] + j of the sorted gallery.
        offset = np.arange(starts[-1]) - np.repeat(starts[:-1], count)
        return Pairs(starts, self._order[np.repeat(start, count) + offset])

    def counts(self, wanted: np.ndarray) -> np.ndarray:
        """How many rows each wanted code has; 0 for a distractor."""
        start = np.searchsorted(self._sorted, wanted, "left")
        stop = np.searchsorted(self._sorted, wanted, "right")
        return np.where(wanted == DISTRACTOR, 0, stop - start)


def union(parts: list[Pairs]) -> Pairs:
    """The items of several lists, each once, rising within a query."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    items = np.concatenate([part.items for part in parts])
    width = int(items.max(initial=0)) + 1
    both = np.unique(rows * width + items)
    starts = np.searchsorted(both // width, np.arange(len(parts[0].starts)))
    return Pairs(starts, both % width)
