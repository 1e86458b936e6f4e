"""The searches of :mod:`lookalike.ops.line_sums` in Triton, for float32 on CUDA.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lookalike.ops.line_plans import Cut

# A difference is scaled and moved in two roundings, as torch does it: a tie must stay one.
_TARGETS: dict[str, Any] = {"block": 256, "enable_fp_fusion": False}


def passed(x: Tensor, targets: Tensor, cut: Cut) -> Tensor:
    """``(c, P)`` int64: how many of the falling ``x`` are beyond the cut of each target.

    Args:
        x: ``(c, N)``, N at least 1.
        targets: ``(c, P)``.
        cut: where a difference counts as beyond.
    """
    (rows, width), depth = x.shape, targets.shape[1]
    found = torch.empty(targets.shape, dtype=torch.long, device=x.device)
    blocks = triton.cdiv(depth, _TARGETS["block"])
    is_scaled = cut.scale != 1.0 or cut.add != 0.0
    kind: dict[str, Any] = {"is_scaled": is_scaled, "is_strict": cut.is_strict}
    _passed[(rows * blocks,)](
        x.contiguous(),
        targets.contiguous(),
        found,
        width,
        depth,
        blocks,
        width.bit_length(),
        cut.scale,
        cut.add,
        max(cut.at, -1e38),
        **kind,
        **_TARGETS,
    )
    return found


@triton.jit
def _passed(
    points,
    targets,
    found,
    width,
    depth,
    blocks,
    halvings,
    scale,
    add,
    at,
    is_scaled: tl.constexpr,
    is_strict: tl.constexpr,
    block: tl.constexpr,
):
    """One program: some targets of a row, a bisection each."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    which = tl.program_id(0) % blocks * block + tl.arange(0, block)
    real = which < depth
    target = tl.load(targets + row * depth + which, mask=real, other=0.0)
    low = tl.zeros([block], dtype=tl.int32)
    high = tl.full([block], 0, dtype=tl.int32) + width
    for _ in range(halvings):
        middle = (low + high) // 2
        is_open = low < high
        y = tl.load(points + row * width + middle, mask=is_open, other=0.0) - target
        if is_scaled:
            y = scale * y + add
        is_beyond = y > at if is_strict else y >= at
        low = tl.where(is_open & is_beyond, middle + 1, low)
        high = tl.where(is_open & (is_beyond == 0), middle, high)
    tl.store(found + row * depth + which, low.to(tl.int64), mask=real)
