"""The formulas of a whole tile in one native pass, with the bits of `formulas`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from lookalike.metrics.definitions import Request
from lookalike.ops import paths
from lookalike.ops.exact_ranks import Counts
from lookalike.ops.tiles import Pairs

# The columns that native code fills for each level, before two for each cut-off (hits, and their
# summed precisions); and those for all levels together.
_LEVEL = (
    "relevant",
    "ap",
    "ap_at_r",
    "hits_at_r",
    "first",
    "trapezoid",
    "ndcg",
    "asi",
    "exclusive",
)
_GRADED = ("relevant", "ndcg", "asi", "h_ap")
_MOST_COLUMNS = 8
_FROM_COLUMN = {
    "r_precision": "hits_at_r",
    "mean_average_precision": "ap",
    "mean_average_precision_at_r": "ap_at_r",
    "mean_average_precision_trapezoid": "trapezoid",
    "exclusive_average_precision": "exclusive",
    "ndcg": "ndcg",
    "asi": "asi",
    "h_ap": "h_ap",
}


def can_fuse(ties: str, columns: int) -> bool:
    """Whether native code serves: stable ranks, and label columns that fit the bits of a byte."""
    return paths.native() is not None and ties == "stable" and columns <= _MOST_COLUMNS


@dataclass(frozen=True)
class Fused:
    """What one native pass noted for a tile of queries.

    Attributes:
        table: ``(b, columns)``.
        levels: the label columns evaluated.
        cuts: the cut-offs.
    """

    table: np.ndarray
    levels: Sequence[int]
    cuts: Sequence[int]

    @cached_property
    def _width(self) -> int:
        return len(_LEVEL) + 2 * len(self.cuts)

    @cached_property
    def _first(self) -> dict[int | None, int]:
        """Where the columns of each level begin."""
        starts: dict[int | None, int] = {v: i * self._width for i, v in enumerate(self.levels)}
        return starts | {None: len(self.levels) * self._width}

    @cached_property
    def _any(self) -> dict[int | None, np.ndarray]:
        """Which queries have something relevant, for levels where not all have."""
        found = {level: self.column(level, "relevant") > 0 for level in self._first}
        return {level: some for level, some in found.items() if not some.all()}

    def column(self, level: int | None, name: str) -> np.ndarray:
        """One column; level None is that of all levels together."""
        names = _GRADED if level is None else _LEVEL
        return self.table[:, self._first[level] + names.index(name)]

    def at(self, level: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Relevant items down to rank k, and the sum of their precisions."""
        place = self._first[level] + len(_LEVEL) + 2 * self.cuts.index(k)
        return self.table[:, place], self.table[:, place + 1]

    def relevant(self, level: int) -> np.ndarray:
        """R of each query."""
        return self.column(level, "relevant")

    def first_right(self, level: int) -> np.ndarray:
        """1 where the nearest item is relevant."""
        return (self.column(level, "first") == 1).astype(np.float64)

    def value(self, request: Request) -> np.ndarray:
        """One metric; NaN where a query has nothing relevant."""
        graded = request.level is None and request.base in ("ndcg", "asi", "h_ap")
        level = self.levels[0] if request.level is None else request.level
        if request.k is not None:
            value = self._cut(request.base, level, request.k)
        elif request.base == "mean_reciprocal_rank":
            with np.errstate(divide="ignore"):
                value = 1.0 / self.column(level, "first")
        else:
            value = self.column(None if graded else level, _FROM_COLUMN[request.base])
        if request.base == "exclusive_average_precision":
            return np.where(value >= 0, value, np.nan)
        some = self._any.get(None if graded else level)
        return value if some is None else np.where(some, value, np.nan)

    def _cut(self, base: str, level: int, k: int) -> np.ndarray:
        hits, precisions = self.at(level, k)
        relevant = self.relevant(level)
        if base == "precision_at_{k}":
            return hits / k
        if base == "recall_at_{k}":
            return (hits > 0).astype(np.float64)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nothing is relevant
            if base == "true_recall_at_{k}":
                return hits / np.minimum(relevant, k)
            return precisions / np.minimum(relevant, k)


class Tables:
    """What every tile needs again: inverse logarithms of the ranks, their sums, and what is asked.

    Args:
        items: size of the gallery.
        levels: the label columns evaluated.
        kind: of relevance, "pop" or "map".
        alpha: its exponent, or its weights.
        asked: the metrics wanted; the exclusive and the trapezoidal average precision cost extra.
    """

    def __init__(
        self,
        items: int,
        levels: Sequence[int],
        kind: str,
        alpha: float | list[float],
        asked: Collection[str],
    ) -> None:
        ranks = np.arange(0.0, items + 1)
        with np.errstate(divide="ignore"):  # there is no rank 0
            self.inverse_log = 1 / np.log2(1.0 + ranks)
        self.discount = np.concatenate(([0.0], np.cumsum(self.inverse_log[1:])))
        count = len(levels)
        weight = np.asarray(alpha, np.float64)
        if kind == "pop":
            weight = (np.arange(1, count + 1) / count) ** weight
        self.weights = np.concatenate(([0.0], weight))
        self.shared = kind == "pop"
        self.exclusive = "exclusive_average_precision" in asked
        self.trapezoid = "mean_average_precision_trapezoid" in asked


def fuse(
    relevant: Pairs,
    counts: Counts,
    codes: tuple[np.ndarray, np.ndarray],
    levels: Sequence[int],
    cuts: Sequence[int],
    tables: Tables,
) -> Fused:
    """Every number of a tile.

    Args:
        relevant: the items of each query that share a label in any level.
        counts: where they stand.
        codes: ``(b, L)`` of the queries and ``(n, L)`` of the gallery.
        levels: the label columns to evaluate.
        cuts: the cut-offs.
        tables: see `Tables`.
    """
    library = paths.native()
    assert library is not None
    width = len(levels) * (len(_LEVEL) + 2 * len(cuts)) + len(_GRADED)
    table = np.empty((len(codes[0]), width))
    library.rank_metrics(
        relevant.starts,
        relevant.items,
        counts.above,
        counts.tied_before,
        np.ascontiguousarray(codes[0]),
        np.ascontiguousarray(codes[1]),
        np.asarray(levels, np.int64),
        np.asarray(cuts, np.int64),
        tables.inverse_log,
        tables.discount,
        tables.weights,
        tables.shared,
        tables.exclusive,
        tables.trapezoid,
        table,
        torch.get_num_threads(),
    )
    return Fused(table, levels, cuts)
