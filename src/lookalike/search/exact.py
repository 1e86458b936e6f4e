"""Exact search: every stored vector is compared, by faiss's kernel or chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lookalike.search.hits import Hits, best
from lookalike.search.storage import CHUNK, Stored, Vectors


def nearest(
    queries: np.ndarray,
    stored: Vectors,
    top: int,
    *,
    rows: np.ndarray | None = None,
    own: np.ndarray | None = None,
) -> Hits:
    """The ``top`` rows of highest dot product, equal scores by rising row.

    Args:
        queries: float32 ``(Q, D)``.
        stored: the vectors.
        top: how many; at most as many as there are.
        rows: search only these, int64, ascending; None for all.
        own: int64 ``(Q,)``, the row that each query may not find (−1: none).

    >>> stored = Stored(np.eye(3, dtype="f4"), "float32", 3)
    >>> nearest(np.eye(3, dtype="f4")[:1], stored, 1, rows=np.array([1, 2])).rows.tolist()
    [[1]]
    """
    wanted = top if own is None else top + 1
    there = len(stored) if rows is None else len(rows)
    wanted = min(wanted, there)
    if wanted == 0:
        return Hits(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32))
    if rows is None and isinstance(stored, Stored) and stored.storage == "float32":
        found = _knn(queries, stored.codes, wanted)
    else:
        found = _by_chunks(queries, stored, wanted, rows)
    return found if own is None else found.without(own).top(top)


class Gallery(Protocol):
    """What re-ranking needs of an index."""

    @property
    def vectors(self) -> Vectors:
        """The vectors."""
        ...

    def search(
        self,
        queries: np.ndarray,
        top: int = 10,
        *,
        allowed: np.ndarray | None = None,
        own: np.ndarray | None = None,
    ) -> Hits:
        """See `Index.search`."""
        ...


@dataclass(frozen=True)
class MemoryGallery:
    """Vectors in memory, searched exactly: a `Gallery` without a folder.

    >>> MemoryGallery.of(np.eye(2, dtype="f4")).search(np.eye(2, dtype="f4"), 1).rows.tolist()
    [[0], [1]]
    """

    vectors: Stored

    @classmethod
    def of(cls, vectors: np.ndarray) -> MemoryGallery:
        """A gallery of float32 ``(N, D)``."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        return cls(Stored(vectors, "float32", vectors.shape[1]))

    def search(
        self,
        queries: np.ndarray,
        top: int = 10,
        *,
        allowed: np.ndarray | None = None,
        own: np.ndarray | None = None,
    ) -> Hits:
        """See `Index.search`."""
        rows = None if allowed is None else np.flatnonzero(allowed)
        queries = np.ascontiguousarray(queries, np.float32)
        return nearest(queries, self.vectors, top, rows=rows, own=own)


def _by_chunks(queries: np.ndarray, stored: Vectors, top: int, rows: np.ndarray | None) -> Hits:
    """Memory for one chunk, whatever the number of rows."""
    count = len(stored) if rows is None else len(rows)
    kept = Hits(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32))
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        here = np.arange(start, stop) if rows is None else rows[start:stop]
        part = stored[slice(start, stop)] if rows is None else stored[here]
        found = _knn(queries, np.ascontiguousarray(part), min(top, len(here)))
        kept = best(
            np.concatenate([kept.rows, here[found.rows]], axis=1),
            np.concatenate([kept.scores, found.scores], axis=1),
            top,
        )
    return kept


def _knn(queries: np.ndarray, vectors: np.ndarray, top: int) -> Hits:
    import faiss

    scores, rows = faiss.knn(queries, np.asarray(vectors), top, metric=faiss.METRIC_INNER_PRODUCT)
    return best(rows, scores, top)
