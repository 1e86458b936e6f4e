"""Tiles of the similarity matrix: how many queries at a time, and at which precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from lookalike.ops import paths
from lookalike.ops.scratch import Scratch
from lookalike.ops.sizes import sizes

UNIT_ROUNDOFF = 2.0**-24  # float32, round to nearest
DEFAULT_BYTES = 68 * 2**20
_FIXED_BITS = 30.9  # of an int32, with room for the error
_LINE = 64  # bytes
_RUN = 64  # items between two of those left out, from which they are copied run by run
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

    def without(self, other: Pairs, scratch: Scratch | None = None) -> Pairs:
        """The pairs that are not among another's: a bisection of each, all at once.

        Args:
            other: the pairs to leave out.
            scratch: where the rest of a long list may be written.

        >>> some = Pairs(np.array([0, 2, 5]), np.array([4, 9, 0, 4, 7]))
        >>> some.without(Pairs(np.array([0, 1, 3]), np.array([5, 4, 8]))).items.tolist()
        [4, 9, 0, 7]
        """
        if len(self.items) == 0:
            return self
        rows = other.rows
        low, high = self.starts[rows], self.starts[rows + 1]
        end = high
        while (still := low < high).any():
            middle = (low + high) // 2
            less = self.items[np.minimum(middle, len(self.items) - 1)] < other.items
            low = np.where(still & less, middle + 1, low)
            high = np.where(still & ~less, middle, high)
        there = low < end
        there[there] = self.items[low[there]] == other.items[there]
        gone = np.bincount(rows[there], minlength=len(self.starts) - 1)
        starts = self.starts - np.concatenate(([0], np.cumsum(gone)))
        return Pairs(starts, _left(self.items, low[there], scratch))

    @staticmethod
    def none(queries: int) -> Pairs:
        """No item for any of ``queries`` queries."""
        return Pairs(np.zeros(queries + 1, np.int64), np.zeros(0, np.int64))


def _left(items: np.ndarray, out: np.ndarray, scratch: Scratch | None) -> np.ndarray:
    """The items but those at the rising places ``out``."""
    if scratch is None or len(items) < _RUN * len(out):
        return np.delete(items, out)
    left = scratch.take("left", len(items) - len(out))
    begin = 0
    for number, end in enumerate([*out.tolist(), len(items)]):
        left[begin - number : end - number] = items[begin:end]
        begin = end + 1
    return left


@dataclass(frozen=True)
class Vectors:
    """One side's embeddings.

    Attributes:
        fast: ``(n, d)`` float32, or float64 where either side is, on the device of the products.
        norms: ``(n,)`` Euclidean norms, none too short.
    """

    fast: torch.Tensor
    norms: np.ndarray

    def __len__(self) -> int:
        return len(self.fast)

    @cached_property
    def exact(self) -> np.ndarray:
        """The same on the host; of vectors on a GPU a copy, made where it is asked for."""
        return self.fast.numpy(force=True)

    @cached_property
    def longest(self) -> float:
        """The largest norm."""
        return float(self.norms.max(initial=0.0))

    @cached_property
    def panels(self) -> dict[str | None, np.ndarray]:
        """The vectors as native code reads a gallery, by instruction set: once for all tiles."""
        return {}

    @property
    def held(self) -> int:
        """Bytes of what native code keeps of them beside the vectors."""
        return sum(panels.nbytes for panels in self.panels.values())

    def part(self, block: slice) -> Vectors:
        """Some of the vectors."""
        return Vectors(self.fast[block], self.norms[block])

    def rows(self, numbers: np.ndarray) -> Vectors:
        """Some of the vectors, by number."""
        fast = self.fast[torch.from_numpy(numbers).to(self.fast.device)]
        return Vectors(fast, self.norms[numbers])


@dataclass(frozen=True)
class ScoredTile:
    """The scores of a block of queries.

    Attributes:
        scores: ``(b, n)`` float32 or float64, -inf for items out of the ranking; or int32, of
            which the lowest number stands for those.
        error: ``(b,)`` how far a row's scores may lie from the exact ones, in units of the scores;
            0 where they are exact.
        scale: ``(b,)`` what one is in those units.
        doubt: ``(b,)`` how far two float64 sums of the same products may lie apart.
    """

    scores: torch.Tensor
    error: np.ndarray
    scale: np.ndarray
    doubt: np.ndarray

    def exclude(self, pairs: Pairs) -> None:
        """Take items out of the rankings."""
        rows, items = torch.from_numpy(pairs.rows), torch.from_numpy(pairs.items)
        device, kind = self.scores.device, self.scores.dtype
        out = -torch.inf if kind.is_floating_point else torch.iinfo(kind).min
        self.scores[rows.to(device), items.to(device)] = out


def default_bytes(gallery: Vectors) -> int:
    """The byte budget when none is given.

    68 MiB and half the gallery's own size; on a CUDA device a quarter of its free memory.
    """
    if gallery.fast.device.type == "cuda":
        return torch.cuda.mem_get_info(gallery.fast.device)[0] // 4
    return DEFAULT_BYTES + gallery.fast.nbytes // 2


def tile_rows(
    gallery_size: int, relevant: int, byte_budget: int, score_bytes: int, pair_bytes: int
) -> int:
    """How many queries fit one tile: a row of scores and the arrays of its pairs each.

    Args:
        gallery_size: items scored for each query.
        relevant: the most relevant items a query has.
        byte_budget: bytes to stay below; one query is the least there can be.
        score_bytes: bytes held for each score.
        pair_bytes: bytes held for each relevant item.
    """
    row = score_bytes * gallery_size + pair_bytes * relevant
    return max(1, byte_budget // max(row, 1))


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in true float32, whatever autocast or the TF32 switches say, and no gradient."""
    # Of each backend alone: torch's switch for all fails where one has been set by itself.
    backends: tuple[Any, ...] = (
        torch.backends.cuda.matmul,
        torch.backends.mkldnn.matmul,  # pyright: ignore[reportAttributeAccessIssue]
    )
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        with (
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def score_tile(
    query: Vectors, gallery: Vectors, out: torch.Tensor, *, exactly: bool = False
) -> ScoredTile:
    """The dot products of some queries with the whole gallery.

    Args:
        query: b queries.
        gallery: n items.
        out: ``(at least b, n)`` buffer; its first rows are overwritten. float32; float64; or int32,
            which needs native code and float32 vectors, and is the closest to exact for its cost.
        exactly: give exact scores even where that is slow; needs a float64 buffer on the CPU.
            Native code always does for float32 vectors and a float64 buffer.
    """
    tile = out[: len(query)]
    size = query.fast.shape[1]
    ones = np.ones(len(tile))
    doubt = error_bound(query.norms, gallery.longest, size, torch.float64)
    if tile.dtype == torch.int32:
        return _score_fixed(query, gallery, tile, doubt)
    wide = tile.device.type == "cpu" and tile.dtype == torch.float64
    library = paths.native() if wide and query.fast.dtype == torch.float32 else None
    if library is not None:
        isa, threads = paths.instruction_set(), torch.get_num_threads()
        library.exact_tile(query.exact, gallery.exact, tile.numpy(), isa=isa, threads=threads)
        return ScoredTile(tile, np.zeros(len(tile)), ones, doubt)
    if exactly:
        _score_exactly(query.exact, gallery.exact, tile.numpy())
        return ScoredTile(tile, np.zeros(len(tile)), ones, doubt)
    with full_precision():
        if tile.dtype == gallery.fast.dtype:
            torch.mm(query.fast, gallery.fast.T, out=tile)
        else:
            wide = query.fast.to(tile.dtype)
            chunk = sizes(tile.device).chunk // (tile.itemsize * size)
            step = _WIDENED if tile.device.type == "cpu" else max(1, chunk)
            for start in range(0, len(gallery.fast), step):
                part = gallery.fast[start : start + step].to(tile.dtype)
                torch.mm(wide, part.T, out=tile[:, start : start + step])
    error = error_bound(query.norms, gallery.longest, size, tile.dtype)
    return ScoredTile(tile, error, ones, doubt)


def exact_tile(scores: np.ndarray) -> ScoredTile:
    """A tile of scores that are exact as they stand, whatever function gave them.

    Args:
        scores: ``(b, n)`` float64.
    """
    ones = np.ones(len(scores))
    return ScoredTile(torch.from_numpy(scores), 0 * ones, ones, 0 * ones)


def _score_fixed(
    query: Vectors, gallery: Vectors, tile: torch.Tensor, doubt: np.ndarray
) -> ScoredTile:
    r"""Whole numbers: float32 sums of four products each, scaled, rounded and added without error.

    With a query scaled by a power of two s so that no score leaves ±2³⁰·⁹, product i of a chunk
    goes through r_i roundings, each of them at most u times what the chunk has added up by then.
    All chunks together are wrong by at most u·s·Σ r_i·|q_i·g_i| ≤ u·s·‖r∘q‖·‖g‖ (Cauchy and
    Schwarz), and by half a unit each for being whole. At 512 dimensions that is less than a
    hundredth of the bound on a float32 sum in any order.
    """
    library = paths.native()
    if library is None:
        raise RuntimeError("an int32 tile needs the native kernels")
    product = query.norms * gallery.longest
    # Vectors that are all but zero keep a scale that float32 can hold.
    exponent = np.floor(_FIXED_BITS - np.log2(np.maximum(product, 2.0**-95)))
    exponent = exponent.astype(np.int32)
    isa, threads = paths.instruction_set(), torch.get_num_threads()
    panels = packed(gallery)
    library.fixed_tile(query.exact, panels, exponent, tile.numpy(), isa=isa, threads=threads)
    roundings = library.roundings(isa)
    chunks = -(-query.exact.shape[1] // len(roundings))
    scale = np.exp2(exponent)
    rounded = UNIT_ROUNDOFF * (1 + 1e-6) * _weighted_norms(query, roundings) * gallery.longest
    error = scale * (rounded + doubt) + 0.5 * chunks + 1
    return ScoredTile(tile, error, scale, doubt)


def packed(gallery: Vectors) -> np.ndarray:
    """The gallery as native code reads it for an int32 tile: packed once, kept for all tiles."""
    library, isa = paths.native(), paths.instruction_set()
    if library is None:
        raise RuntimeError("an int32 tile needs the native kernels")
    panels = gallery.panels.get(isa)
    if panels is None:
        panels = _from_cache_line(library.panel_numbers(*gallery.exact.shape, isa))
        library.fixed_panels(gallery.exact, panels, isa=isa, threads=torch.get_num_threads())
        gallery.panels[isa] = panels
    return panels


def _from_cache_line(numbers: int) -> np.ndarray:
    """Unset float32 memory that begins with a cache line."""
    memory = np.empty(numbers + _LINE // 4, np.float32)
    first = -memory.ctypes.data % _LINE // 4
    return memory[first : first + numbers]


def _weighted_norms(query: Vectors, weights: Sequence[int]) -> np.ndarray:
    """``‖w∘q‖``, the weights over and over again; none too short."""
    squares = np.zeros(len(query.exact))
    for k, weight in enumerate(weights):
        part = query.exact[:, k :: len(weights)].astype(np.float64)
        squares += weight**2 * np.einsum("bd,bd->b", part, part)
    return np.sqrt(squares)


def _score_exactly(query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
    """Every entry as `exact_scores` has it: one dimension after the other."""
    for start in range(0, len(gallery), _WIDENED):
        part = gallery[start : start + _WIDENED].T.astype(np.float64)
        for q, row in zip(query.astype(np.float64), out[:, start : start + _WIDENED], strict=True):
            row[:] = 0.0
            for value, column in zip(q, part, strict=True):
                row += value * column


def error_bound(query: np.ndarray, gallery: float, size: int, tile: torch.dtype) -> np.ndarray:
    """How far a tile's dot product can lie from the exact one, whatever the order of its sum.

    With u = 2⁻²⁴ and n = size + 6 (the products, the sums, the rounding of float64 inputs to
    float32, and the exact score's own sum), |error| ≤ n·u / (1 − n·u) · ‖q‖·‖g‖
    (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), and a little for underflow.
    A float64 tile has u = 2⁻⁵³, as the exact score itself, so twice that bound.

    Args:
        query: ``(b,)`` norms of the queries.
        gallery: the largest norm of the gallery.
        size: dimensions of a vector.
        tile: the type of the tile, float32 or float64.
    """
    n = size + 6
    gamma = n * UNIT_ROUNDOFF / (1 - n * UNIT_ROUNDOFF)
    bound = gamma * (1 + 1e-6) * query * gallery
    if tile == torch.float64:
        return bound * 2.0**-28 + n * 2.0**-1022
    return bound + n * 2.0**-126
