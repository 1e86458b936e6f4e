"""Tiles of the similarity matrix: how many queries at a time, and at which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

UNIT_ROUNDOFF = 2.0**-24  # float32, round to nearest
DEFAULT_BYTES = 48 * 2**20
WIDEST_TILE = 1024  # a float32 product gains nothing from more rows


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


def default_bytes(gallery: torch.Tensor) -> int:
    """The byte budget when none is given: 48 MiB and half the gallery's own size."""
    return DEFAULT_BYTES + gallery.numel() * 2


def tile_rows(gallery_size: int, relevant: int, byte_budget: int) -> int:
    """How many queries fit one tile: two float32 rows of scores and the pairs' arrays each.

    Args:
        gallery_size: items scored for each query.
        relevant: the most relevant items a query has.
        byte_budget: bytes to stay below; one query is the least there can be.
    """
    row = 8 * gallery_size + 160 * relevant
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
    """The float32 product ``query @ gallery.T`` written into ``out[: len(query)]``."""
    tile = out[: len(query)]
    torch.mm(query, gallery.T, out=tile)
    return tile


def error_bound(query: np.ndarray, gallery: float, size: int) -> np.ndarray:
    """How far a float32 dot product can lie from the float64 one, whatever the order of its sum.

    With u = 2⁻²⁴ and n = size + 6 (the products, the sums, the rounding of float64 inputs to
    float32, and the float64 sum itself), |error| ≤ n·u / (1 − n·u) · ‖q‖·‖g‖
    (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), and a little for underflow.

    Args:
        query: ``(b,)`` norms of the queries.
        gallery: the largest norm of the gallery.
        size: dimensions of a vector.
    """
    n = size + 6
    gamma = n * UNIT_ROUNDOFF / (1 - n * UNIT_ROUNDOFF)
    return gamma * (1 + 1e-6) * query * gallery + n * 2.0**-126
