"""Tiles of the similarity matrix: how many queries at a time, and at which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

UNIT_ROUNDOFF = 2.0**-24  # float32, round to nearest
DEFAULT_BYTES = 48 * 2**20
WIDEST_TILE = 1024  # a product gains nothing from more rows
_WIDENED = 2048  # gallery rows held in float64 at a time


@dataclass(frozen=True)
class Pairs:
    """Some gallery rows for each query of a block, as one ragged list.

    Attributes:
        starts: ``(b + 1,)`` int64; query ``i`` owns ``items[starts[i]:starts[i + 1]]``.
        items: ``(m,)`` int64 gallery rows, rising within a query.
    """

    starts: np.ndarray
    items: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many items each query has, ``(b,)``."""
        return np.diff(self.starts)

    @property
    def rows(self) -> np.ndarray:
        """The query each item belongs to, ``(m,)``."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts)

    def keep(self, mask: np.ndarray) -> Pairs:
        """The pairs where ``mask`` is true."""
        kept = np.concatenate(([0], np.cumsum(mask)))
        return Pairs(starts=kept[self.starts], items=self.items[mask])

    @staticmethod
    def none(queries: int) -> Pairs:
        """No item for any of ``queries`` queries."""
        return Pairs(np.zeros(queries + 1, np.int64), np.zeros(0, np.int64))


def default_bytes(gallery_bytes: int) -> int:
    """The byte budget when none is given: 48 MiB and half the gallery's own size."""
    return DEFAULT_BYTES + gallery_bytes // 2


def tile_rows(gallery_size: int, relevant: int, byte_budget: int, score_bytes: int) -> int:
    """How many queries fit one tile: a row of scores and the arrays of its pairs each.

    Args:
        gallery_size: items scored for each query.
        relevant: the most relevant items a query has.
        byte_budget: bytes to stay below; one query is the least there can be.
        score_bytes: bytes held for each score.
    """
    row = score_bytes * gallery_size + 160 * relevant
    return max(1, min(WIDEST_TILE, byte_budget // max(row, 1)))


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in true float32, whatever autocast or the TF32 switches say, and no gradient."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def score_tile(query: torch.Tensor, gallery: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """The product ``query @ gallery.T`` in the type of ``out``, written into its first rows.

    Args:
        query: ``(b, d)`` float32, or float64 as the gallery.
        gallery: ``(n, d)``.
        out: ``(at least b, n)`` of the gallery's type, or float64.
    """
    tile = out[: len(query)]
    if tile.dtype == gallery.dtype:
        torch.mm(query, gallery.T, out=tile)
        return tile
    query = query.to(tile.dtype)
    for start in range(0, len(gallery), _WIDENED):
        part = gallery[start : start + _WIDENED].to(tile.dtype)
        tile[:, start : start + _WIDENED] = query @ part.T
    return tile


def error_bound(
    query: np.ndarray, gallery: float, size: int, kind: type[np.floating] = np.float32
) -> np.ndarray:
    """How far a tile's dot product can lie from the exact one, whatever the order of its sum.

    With u = 2⁻²⁴ and n = size + 6 (the products, the sums, the rounding of float64 inputs to
    float32, and the exact score's own sum), |error| ≤ n·u / (1 − n·u) · ‖q‖·‖g‖
    (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), and a little for underflow.
    A float64 tile has u = 2⁻⁵³, as the exact score itself, so twice that bound.

    Args:
        query: ``(b,)`` norms of the queries.
        gallery: the largest norm of the gallery.
        size: dimensions of a vector.
        kind: the type of the tile, float32 or float64.
    """
    n = size + 6
    gamma = n * UNIT_ROUNDOFF / (1 - n * UNIT_ROUNDOFF)
    bound = gamma * (1 + 1e-6) * query * gallery
    if kind is not np.float32:
        bound = bound * 2.0**-28
    return bound + n * 2.0**-126
