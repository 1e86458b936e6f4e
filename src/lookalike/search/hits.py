"""What a search gives: for each query the rows it found and their scores, best first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hits:
    """The nearest items of each query, best first.

    Attributes:
        rows: int64 ``(Q, k)``, row numbers of the index; −1 where there are no more.
        scores: float32 ``(Q, k)``, dot products: cosines, since embeddings have unit length; NaN
            where there are no more.

    >>> Hits(np.array([[4, 2]]), np.array([[0.9, 0.2]], "f4")).at_least(0.5).rows.tolist()
    [[4, -1]]
    """

    rows: np.ndarray
    scores: np.ndarray

    def top(self, count: int) -> Hits:
        """The first ``count`` of each query."""
        return Hits(self.rows[:, :count], self.scores[:, :count])

    def at_least(self, score: float) -> Hits:
        """Without those that score less."""
        low = ~(self.scores >= score)
        return Hits(np.where(low, -1, self.rows), np.where(low, np.nan, self.scores))

    def without(self, own: np.ndarray) -> Hits:
        """Without row ``own[q]`` of each query (−1: none); what stands behind it moves up."""
        is_own = (self.rows == own[:, None]) & (own[:, None] >= 0)
        order = np.argsort(is_own, axis=1, kind="stable")
        rows = np.where(is_own, -1, self.rows)
        scores = np.where(is_own, np.nan, self.scores).astype(np.float32)
        return Hits(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))


def best(rows: np.ndarray, scores: np.ndarray, top: int) -> Hits:
    """The ``top`` of ``(Q, n)`` candidates by score, equal scores by rising row.

    Candidates of row −1 or of score NaN count as none.
    """
    none = (rows < 0) | np.isnan(scores)
    key = np.where(none, -np.inf, scores)
    order = np.lexsort((rows, -key), axis=1)[:, :top]
    none = np.take_along_axis(none, order, 1)
    rows = np.where(none, -1, np.take_along_axis(rows, order, 1))
    scores = np.where(none, np.nan, np.take_along_axis(scores, order, 1))
    return Hits(rows.astype(np.int64), scores.astype(np.float32))
