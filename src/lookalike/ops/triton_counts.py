"""Counts of scores above bounds, and exact dot products, in Triton, for tiles on CUDA.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PIVOTS = 4
# The product of two float64 numbers is rounded before it is added, as on a CPU.
_PAIRS: dict[str, Any] = {"block": 128, "enable_fp_fusion": False}
# A thread keeps 8 pairs of counts in its registers.
_SHAPE: dict[str, Any] = {"columns": 256, "pivots_at_once": PIVOTS}


def counts(scores: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Scores above ``high``, and scores not below ``low``: a row is read once for several bounds.

    Args:
        scores: ``(b, n)`` float32 or float64; rows may lie apart.
        low: ``(b, p)`` of the same type; infinity for none.
        high: ``(b, p)`` likewise.

    Returns:
        Two of ``(b, p)``, int64.
    """
    width, depth = scores.shape[1], low.shape[1]
    above, reach = (torch.empty(low.shape, dtype=torch.int64, device=low.device) for _ in range(2))
    groups = triton.cdiv(depth, PIVOTS)
    _count[(len(scores) * groups,)](
        scores,
        low.contiguous(),
        high.contiguous(),
        above,
        reach,
        width,
        scores.stride(0),
        depth,
        groups,
        **_SHAPE,
    )
    return above, reach


def exact_dots(query: Tensor, gallery: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """As :func:`lookalike.ops.exact_ranks_torch.exact_dots`."""
    found = torch.empty(len(rows), dtype=torch.float64, device=query.device)
    if len(rows):
        _dots[(triton.cdiv(len(rows), _PAIRS["block"]),)](
            query.contiguous(),
            gallery.contiguous(),
            rows.contiguous(),
            items.contiguous(),
            found,
            len(rows),
            query.shape[1],
            **_PAIRS,
        )
    return found


@triton.jit
def _dots(query, gallery, rows, items, found, number, width, block: tl.constexpr):
    """One program: some pairs, one a thread, their products added one dimension after the other."""
    pair = tl.program_id(0) * block + tl.arange(0, block)
    real = pair < number
    one = query + tl.load(rows + pair, mask=real, other=0).to(tl.int64) * width
    other = gallery + tl.load(items + pair, mask=real, other=0).to(tl.int64) * width
    total = tl.zeros([block], dtype=tl.float64)
    for dimension in range(width):
        a = tl.load(one + dimension, mask=real, other=0.0).to(tl.float64)
        b = tl.load(other + dimension, mask=real, other=0.0).to(tl.float64)
        total += a * b
    tl.store(found + pair, total, mask=real)


@triton.jit
def _count(
    scores,
    low,
    high,
    above,
    reach,
    width,
    stride,
    depth,
    groups,
    columns: tl.constexpr,
    pivots_at_once: tl.constexpr,
):
    """One program: a row and a few of its bounds; its neighbours read the same row."""
    row = (tl.program_id(0) // groups).to(tl.int64)
    which = tl.program_id(0) % groups * pivots_at_once + tl.arange(0, pivots_at_once)
    real = which < depth
    bottom = tl.load(low + row * depth + which, mask=real, other=float("inf"))
    top = tl.load(high + row * depth + which, mask=real, other=float("inf"))
    # Added up across the threads once, at the end.
    over = tl.zeros([pivots_at_once, columns], dtype=tl.int32)
    within = tl.zeros([pivots_at_once, columns], dtype=tl.int32)
    for first in range(0, width, columns):
        column = first + tl.arange(0, columns)
        score = tl.load(scores + row * stride + column, mask=column < width, other=float("-inf"))
        over += (score[None, :] > top[:, None]).to(tl.int32)
        within += (score[None, :] >= bottom[:, None]).to(tl.int32)
    tl.store(above + row * depth + which, tl.sum(over, axis=1).to(tl.int64), mask=real)
    tl.store(reach + row * depth + which, tl.sum(within, axis=1).to(tl.int64), mask=real)
