"""How many items score above each relevant item, exactly, from a float32 tile of scores.

A retrieval metric needs the ranks of the relevant items and nothing else, and a rank is a count:
the items that score higher. The float32 product says on which side of a relevant item nearly every
other item lies; the few that fall inside its rounding error are scored again in float64, so the
counts are those of the float64 order whatever the tile, the library and the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lookalike.ops import paths
from lookalike.ops.exact_ranks_torch import best_scores_torch, exact_counts_torch
from lookalike.ops.exact_scores import exact_scores
from lookalike.ops.scratch import Scratch
from lookalike.ops.tiles import Pairs, ScoredTile, Vectors

_MANY = 32  # relevant items a query, without native code
_FEW = 8  # relevant items of a row searched one by one; more share one binary search
# Compute capabilities of cards that multiply in float64 at the rate of float32: A100, H100, B200.
_WIDE_CARDS = {(8, 0), (9, 0), (10, 0)}
_SORT = 24  # relevant items of a row from which one sort is cheaper than two counts for each


@dataclass(frozen=True)
class Counts:
    """Where each relevant item stands, ``(m,)`` int64 each, in the order of the pairs.

    Attributes:
        above: items that score higher.
        tied: other items that score the same.
        tied_before: those of them with a smaller gallery index.
        rescored: how many items of the tile had to be scored again.
    """

    above: np.ndarray
    tied: np.ndarray
    tied_before: np.ndarray
    rescored: int = 0


def tile_type(vectors: torch.dtype, device: torch.device, relevant: float) -> torch.dtype:
    """The type of tile that ranks with the least work: int32, float32 or float64.

    Native code takes int32. A card that multiplies in float64 as fast as in float32 takes float64,
    which leaves next to nothing to be scored again. Without either, where a query has tens of
    relevant items, nearly every other item lies within the float32 error of one of them; scoring
    those again one by one costs more than a float64 product.

    Args:
        vectors: the type of the vectors; float64 ones need a float64 tile.
        device: where the products are taken.
        relevant: how many relevant items a query has on average.
    """
    if vectors == torch.float64:
        return torch.float64
    if device.type == "cpu" and paths.native() is not None:
        return torch.int32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) in _WIDE_CARDS:
        return torch.float64
    return torch.float64 if relevant > _MANY else torch.float32


def bytes_per_score(tile: torch.dtype, device: torch.device) -> int:
    """What counting holds for each score of a tile: the score, and what a sort needs."""
    if device.type != "cpu":
        return 2 * tile.itemsize + 8
    return tile.itemsize * (1 if paths.native() is not None else 2)


def bytes_per_pair() -> int:
    """What counting and the metrics hold for each relevant item."""
    return 64 if paths.native() is not None else 128


def exact_counts(
    tile: ScoredTile,
    relevant: Pairs,
    query: Vectors,
    gallery: Vectors,
    *,
    best: np.ndarray | None = None,
    scratch: Scratch | None = None,
) -> Counts:
    """Count, for every relevant item, what ranks above it and what ties with it.

    Args:
        tile: the scores of b queries with n items.
        relevant: the items to rank; none of them may score -inf.
        query: the queries.
        gallery: the items.
        best: ``(b,)`` float64 to be filled with the exact score of each row's nearest item, -inf
            where every item is out.
        scratch: where the counts may be written.
    """
    if tile.scores.device.type != "cpu":
        return _on_device(tile, relevant, query, gallery, best)
    scores, error = tile.scores.numpy(), tile.error
    suits = query.fast.dtype == torch.float32 and scores.dtype != np.float32
    library = paths.native() if suits else None
    if library is None:
        if best is not None:
            best[:] = _best_scores(scores, error, query.exact, gallery.exact)
        return _count(scores, error, relevant, query.exact, gallery.exact)
    own = scratch or Scratch()
    names = "above", "tied", "tied before"
    above, tied, before = (own.take(name, len(relevant.items)) for name in names)
    bounds = np.stack([tile.scale, error, tile.doubt], axis=1)
    rescored = library.count_ranks(
        scores,
        bounds,
        relevant.starts,
        relevant.items,
        query.exact,
        gallery.exact,
        above,
        tied,
        before,
        np.empty(0) if best is None else best,
        isa=paths.instruction_set(),
        threads=torch.get_num_threads(),
    )
    return Counts(above, tied, before, rescored)


def _on_device(
    tile: ScoredTile, relevant: Pairs, query: Vectors, gallery: Vectors, best: np.ndarray | None
) -> Counts:
    error = torch.from_numpy(tile.error).to(tile.scores.device)
    if best is not None:
        found = best_scores_torch(tile.scores, error, query.fast, gallery.fast)
        best[:] = found.numpy(force=True)
    counts = exact_counts_torch(tile.scores, error, relevant, query.fast, gallery.fast)
    return Counts(*counts.numpy(force=True))


def _count(
    scores: np.ndarray, error: np.ndarray, relevant: Pairs, query: np.ndarray, gallery: np.ndarray
) -> Counts:
    """Without native code: two counts for each relevant item, or one sort of a row with many."""
    if not error.any():
        return _count_exact(scores, relevant)
    rows = relevant.rows
    approximate = scores[rows, relevant.items].astype(np.float64)
    low, high = _band(approximate, 2 * error[rows], scores.dtype)
    above, reach = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for row, start, stop in zip(scores, relevant.starts[:-1], relevant.starts[1:], strict=True):
        if stop - start < _SORT:
            for p in range(start, stop):
                above[p] = np.count_nonzero(row > high[p])
                reach[p] = np.count_nonzero(row >= low[p])
        else:
            ordered = np.sort(row)
            above[start:stop] = len(row) - np.searchsorted(ordered, high[start:stop], "right")
            reach[start:stop] = len(row) - np.searchsorted(ordered, low[start:stop], "left")
    crowd = reach - above
    counts = Counts(above, np.zeros_like(above), np.zeros_like(above))
    unsure = relevant.keep(crowd > 1)
    if len(unsure.items) == 0:
        return counts
    where = np.flatnonzero(crowd > 1)
    rescored = _settle(counts, where, unsure, scores, low, high, query, gallery)
    return Counts(counts.above, counts.tied, counts.tied_before, rescored)


def _count_exact(scores: np.ndarray, relevant: Pairs) -> Counts:
    """The same where the scores of the tile are the exact ones."""
    above, tied_with, tied_before = (np.zeros(len(relevant.items), np.int64) for _ in range(3))
    for i, row in enumerate(scores):
        own = slice(relevant.starts[i], relevant.starts[i + 1])
        order = np.argsort(row, kind="stable")
        ordered, mine = row[order], row[relevant.items[own]]
        left = np.searchsorted(ordered, mine, "left")
        right = np.searchsorted(ordered, mine, "right")
        place = np.empty(len(row), np.int64)
        place[order] = np.arange(len(row))
        above[own], tied_with[own] = len(row) - right, right - left - 1
        tied_before[own] = place[relevant.items[own]] - left
    return Counts(above, tied_with, tied_before)


def _band(
    scores: np.ndarray, radius: np.ndarray, kind: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the tile's own kind that enclose ``scores ± radius``."""
    low = np.nextafter((scores - radius).astype(kind), kind.type(-np.inf))
    high = np.nextafter((scores + radius).astype(kind), kind.type(np.inf))
    return low, high


def _settle(
    counts: Counts,
    where: np.ndarray,
    unsure: Pairs,
    scores: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    query: np.ndarray,
    gallery: np.ndarray,
) -> int:
    """Score again what float32 cannot order, and correct the counts at ``where``."""
    rescored = 0
    rows = np.flatnonzero(unsure.counts)
    for i in rows:
        own = where[unsure.starts[i] : unsure.starts[i + 1]]
        targets = unsure.items[unsure.starts[i] : unsure.starts[i + 1]]
        close = _close(scores[i], low[own], high[own])
        exact = exact_scores(query, gallery, np.full(len(close), i), close)
        rescored += len(close)
        # `close` rises, so a stable sort leaves equal scores in the order of their index.
        order = np.argsort(exact, kind="stable")
        exact_ordered = exact[order]
        place = np.empty(len(close), np.int64)
        place[order] = np.arange(len(close))
        mine = np.searchsorted(close, targets)
        left = np.searchsorted(exact_ordered, exact[mine], "left")
        right = np.searchsorted(exact_ordered, exact[mine], "right")
        # Those of `close` beyond the band are in `above` already.
        counted = len(close) - np.searchsorted(np.sort(scores[i, close]), high[own], "right")
        counts.above[own] += len(close) - right - counted
        counts.tied[own] = right - left - 1
        counts.tied_before[own] = place[mine] - left
    return rescored


def _close(scores: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The items inside any of the bands, rising."""
    if len(low) <= _FEW:
        inside = np.zeros(len(scores), bool)
        for a, b in zip(low, high, strict=True):
            inside |= (scores >= a) & (scores <= b)
    else:
        low, high = np.sort(low), np.sort(high)
        # The bands of a row are equally wide: the last one that starts below an item is the only
        # one that can still hold it, unless none does.
        last = np.searchsorted(low, scores, "right") - 1
        inside = (last >= 0) & (scores <= high[last])
    return np.flatnonzero(inside)


def _best_scores(
    scores: np.ndarray, error: np.ndarray, query: np.ndarray, gallery: np.ndarray
) -> np.ndarray:
    """The exact score of each row's nearest item."""
    best = np.full(len(scores), -np.inf)
    if scores.shape[1] == 0:
        return best
    if not error.any():
        return scores.max(axis=1).astype(np.float64)
    low, _ = _band(scores.max(axis=1).astype(np.float64), 2 * error, scores.dtype)
    near = [
        np.flatnonzero((row >= at) & (row > -np.inf)) for row, at in zip(scores, low, strict=True)
    ]
    rows = np.repeat(np.arange(len(scores)), [len(items) for items in near])
    exact = exact_scores(query, gallery, rows, np.concatenate(near).astype(np.int64))
    np.maximum.at(best, rows, exact)
    return best
