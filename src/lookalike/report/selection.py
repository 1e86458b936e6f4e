"""Which queries to show: the best, the median and the worst, chosen by rule and not by taste."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.errors import LookalikeError


@dataclass(frozen=True)
class Selection:
    """Rows of the chosen queries; no query stands in two lists."""

    best: list[int]
    median: list[int]
    worst: list[int]


def choose_queries(
    values: ArrayLike,
    *,
    labels: Sequence[object] | NDArray[np.generic] | None = None,
    positives: ArrayLike | None = None,
    count: int = 4,
) -> Selection:
    """Choose ``count`` queries each of the highest, the median and the lowest value.

    A class shows up once before any shows up twice, so that one easy class does not fill the
    sheet. Ties go to the query with more positives (to rank forty right is more than one), then
    to the lower row: the same input always gives the same choice.

    Args:
        values: ``(Q,)``, one number a query, such as its average precision; NaN = skipped query.
        labels: ``(Q,)`` classes of the queries; None lets a class repeat freely.
        positives: ``(Q,)`` relevant images of each query, for ties.
        count: queries a list; fewer where there are fewer than ``3 * count`` queries.

    Raises:
        LookalikeError: arguments of different length, or a count below 1.

    >>> choose_queries([0.1, 0.9, 0.5, float("nan"), 0.8], count=1)
    Selection(best=[1], median=[2], worst=[0])
    """
    score = np.asarray(values, dtype=np.float64)
    ties = np.zeros(len(score)) if positives is None else np.asarray(positives, dtype=np.float64)
    classes = np.arange(len(score)) if labels is None else np.asarray(labels)
    if score.ndim != 1 or ties.shape != score.shape or classes.shape != score.shape:
        raise LookalikeError(
            f"choose_queries: values has shape {score.shape}, labels {classes.shape}, positives "
            f"{ties.shape}; each must hold one entry a query."
        )
    if count < 1:
        raise LookalikeError(f"choose_queries: count={count}; it must be at least 1.")
    rows = np.flatnonzero(~np.isnan(score))
    count = min(count, len(rows) // 3) if len(rows) >= 3 else min(count, 1)
    middle = np.median(score[rows]) if len(rows) else 0.0
    taken: set[int] = set()

    def pick(badness: Callable[[int], float]) -> list[int]:
        order = sorted((int(row) for row in rows), key=lambda r: (badness(r), -ties[r], r))
        chosen = _spread([row for row in order if row not in taken], classes, count)
        taken.update(chosen)
        return chosen

    best = pick(lambda row: -score[row])
    worst = pick(lambda row: score[row])
    return Selection(best, pick(lambda row: abs(score[row] - middle)), worst)


def _spread(order: list[int], classes: NDArray[np.generic], count: int) -> list[int]:
    """The first ``count`` of ``order``, a class once before any twice."""
    seen: dict[object, int] = {}
    turns = []
    for position, row in enumerate(order):
        turn = seen.get(key := classes[row].item(), 0)
        seen[key] = turn + 1
        turns.append((turn, position, row))
    return [row for _, _, row in sorted(turns)[:count]]
