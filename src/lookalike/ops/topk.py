"""The k best gallery items of each query, in the exact order."""

from __future__ import annotations

import numpy as np
import torch

from lookalike.ops.exact_scores import exact_scores
from lookalike.ops.tiles import Pairs, error_bound

_ROWS = 16384  # gallery rows widened to float64 at a time


def exact_topk(
    query: np.ndarray,
    gallery: np.ndarray,
    k: int,
    excluded: Pairs | None = None,
    *,
    scores: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k items with the highest float64 dot product, equal scores by rising index.

    Args:
        query: ``(b, d)`` float32 or float64; a block small enough for its ``(b, n)`` scores.
        gallery: ``(n, d)``.
        k: how many; fewer where the gallery, less what is excluded, holds fewer.
        excluded: items that may not be returned.
        scores: ``(b, n)`` float64 that decide in place of the products; changed in place.

    Returns:
        ``(b, k)`` int64 indices, -1 where there is none, and float64 scores, NaN there.

    >>> indices, scores = exact_topk(np.eye(2, dtype="f4"), np.eye(2, dtype="f4"), k=1)
    >>> indices.tolist(), scores.tolist()
    ([[0], [1]], [[1.0], [1.0]])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = min(k, len(gallery))
    final = scores is not None
    if scores is None:
        scores, error = _products(query, gallery)
    else:
        error = np.zeros(len(query))
    if excluded is not None:
        scores[excluded.rows, excluded.items] = -np.inf
    indices = np.full((len(query), k), -1)
    values = np.full((len(query), k), np.nan)
    if k == 0:
        return indices, values
    for i, row in enumerate(scores):
        floor = np.partition(row, len(row) - k)[len(row) - k] - 2 * error[i]
        near = np.flatnonzero((row >= floor) & (row > -np.inf))
        own = np.full(len(near), i)
        exact = row[near] if final else exact_scores(query, gallery, own, near)
        best = np.argsort(-exact, kind="stable")[:k]
        indices[i, : len(best)] = near[best]
        values[i, : len(best)] = exact[best]
    return indices, values


def _products(query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every score in float64, and how far those of a query may lie from the exact ones."""
    q = query.astype(np.float64)
    scores = np.empty((len(q), len(gallery)))
    widest = 0.0
    for start in range(0, len(gallery), _ROWS):
        part = gallery[start : start + _ROWS].astype(np.float64)
        scores[:, start : start + _ROWS] = q @ part.T
        widest = max(widest, float(np.linalg.norm(part, axis=1).max(initial=0.0)))
    error = error_bound(np.linalg.norm(q, axis=1), widest, q.shape[1], torch.float64)
    return scores, error
