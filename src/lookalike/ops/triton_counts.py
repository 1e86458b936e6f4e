"""How many scores lie above each of a few bounds, in Triton, for tiles on CUDA.

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
_SHAPE: dict[str, Any] = {"columns": 1024, "pivots_at_once": PIVOTS}


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
    _count[(len(scores), triton.cdiv(depth, PIVOTS))](
        scores,
        low.contiguous(),
        high.contiguous(),
        above,
        reach,
        width,
        scores.stride(0),
        depth,
        **_SHAPE,
    )
    return above, reach


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
    columns: tl.constexpr,
    pivots_at_once: tl.constexpr,
):
    """One program: a row and a few of its bounds."""
    row = tl.program_id(0).to(tl.int64)
    which = tl.program_id(1) * pivots_at_once + tl.arange(0, pivots_at_once)
    real = which < depth
    bottom = tl.load(low + row * depth + which, mask=real, other=float("inf"))
    top = tl.load(high + row * depth + which, mask=real, other=float("inf"))
    over = tl.zeros([pivots_at_once], dtype=tl.int64)
    within = tl.zeros([pivots_at_once], dtype=tl.int64)
    for first in range(0, width, columns):
        column = first + tl.arange(0, columns)
        score = tl.load(scores + row * stride + column, mask=column < width, other=float("-inf"))
        over += tl.sum((score[None, :] > top[:, None]).to(tl.int64), axis=1)
        within += tl.sum((score[None, :] >= bottom[:, None]).to(tl.int64), axis=1)
    tl.store(above + row * depth + which, over, mask=real)
    tl.store(reach + row * depth + which, within, mask=real)
