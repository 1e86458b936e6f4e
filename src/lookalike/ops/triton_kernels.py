"""The soft-step kernels of :mod:`lookalike.ops.step_sums` in Triton, for float32 on CUDA.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lookalike.ops.steps import SoftStep

# Differences of a program at a time: 16 a thread, so that two running sums of each stay in its
# registers. More pivots share one reading of a row, up to four: then arithmetic takes longer.
TILE = 2048
MOST_PIVOTS = 4
# Side of the squares in which a matrix meets its transpose: 16 numbers of each a thread.
BLOCK = 64
_SQUARE: dict[str, Any] = {"block": BLOCK, "num_warps": 8}


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_sums`."""
    return _reduce(scores, pivots, step, has_slopes=False)[0]


def step_sums_and_slopes(scores: Tensor, pivots: Tensor, step: SoftStep) -> tuple[Tensor, Tensor]:
    """:func:`step_sums` and the sums of the slopes, both ``(c, P)``, from one reading of a row."""
    return _reduce(scores, pivots, step, has_slopes=True)


def step_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> None:
    """As :func:`lookalike.ops.step_sums.step_slopes_`, where the sums of the slopes are known."""
    (rows, width), depth = scores.shape, pivots.shape[1]
    shape = _shape(depth, step)
    blocks = triton.cdiv(width, shape["columns"])
    _mix[(rows * blocks,)](
        scores,
        pivots.detach().contiguous(),
        weights.detach().contiguous(),
        width,
        depth,
        blocks,
        *_numbers(step),
        **shape,
    )


def add_transpose_(square: Tensor) -> Tensor:
    """``square += square.T`` in place."""
    blocks = triton.cdiv(len(square), BLOCK)
    _add_transpose[(blocks * blocks,)](square.detach(), len(square), blocks, **_SQUARE)
    return square


def _reduce(
    scores: Tensor, pivots: Tensor, step: SoftStep, has_slopes: bool
) -> tuple[Tensor, Tensor]:
    (rows, width), depth = scores.shape, pivots.shape[1]
    pivots = pivots.detach().contiguous()
    sums = torch.empty_like(pivots)
    slopes = torch.empty_like(pivots) if has_slopes else sums
    shape = _shape(depth, step)
    groups = triton.cdiv(depth, shape["pivots_at_once"])
    _sum_rows[(rows * groups,)](
        scores.detach(),
        pivots,
        sums,
        slopes,
        width,
        depth,
        groups,
        *_numbers(step),
        **shape | {"has_slopes": has_slopes},
    )
    return sums, slopes


def _numbers(step: SoftStep) -> Any:
    # An infinite delta is never compared with: the sigmoid has a branch of its own.
    return 1.0 / step.tau, step.start, min(step.delta, 1e30), step.rho, step.offset


def _shape(depth: int, step: SoftStep) -> dict[str, Any]:
    """What a kernel is compiled for."""
    together = min(MOST_PIVOTS, triton.next_power_of_2(depth))
    columns = TILE // together
    return {"is_sigmoid": step.is_sigmoid, "columns": columns, "pivots_at_once": together}


@triton.jit
def _value(x, near, start, delta, rho, offset, is_sigmoid: tl.constexpr):
    """The step of differences and their sigmoid."""
    value = near
    if not is_sigmoid:
        value = tl.where(x > 0, value + start, value)
        value = tl.where(x > delta, rho * (x - delta) + offset, value)
    return value


@triton.jit
def _slope(x, near, inverse_tau, delta, rho, is_sigmoid: tl.constexpr):
    """Its derivative."""
    slope = near * (1 - near) * inverse_tau
    if not is_sigmoid:
        slope = tl.where(x > delta, rho, slope)
    return slope


@triton.jit
def _sum_rows(
    scores,
    pivots,
    sums,
    slopes,
    width,
    depth,
    groups,
    inverse_tau,
    start,
    delta,
    rho,
    offset,
    is_sigmoid: tl.constexpr,
    columns: tl.constexpr,
    pivots_at_once: tl.constexpr,
    has_slopes: tl.constexpr,
):
    """One program: a row and a few of its pivots; its neighbours read the same row."""
    row = (tl.program_id(0) // groups).to(tl.int64)
    which = tl.program_id(0) % groups * pivots_at_once + tl.arange(0, pivots_at_once)
    real = which < depth
    pivot = tl.load(pivots + row * depth + which, mask=real, other=float("inf"))
    # Added up across the threads once, at the end: in the loop that would take most of the time.
    value = tl.zeros([pivots_at_once, columns], dtype=tl.float32)
    slope = tl.zeros([pivots_at_once, columns], dtype=tl.float32)
    for first in range(0, width, columns):
        column = first + tl.arange(0, columns)
        score = tl.load(scores + row * width + column, mask=column < width, other=float("-inf"))
        x = score[None, :] - pivot[:, None]
        near = tl.sigmoid(x * inverse_tau)
        value += _value(x, near, start, delta, rho, offset, is_sigmoid)
        if has_slopes:
            slope += _slope(x, near, inverse_tau, delta, rho, is_sigmoid)
    tl.store(sums + row * depth + which, tl.sum(value, axis=1), mask=real)
    if has_slopes:
        tl.store(slopes + row * depth + which, tl.sum(slope, axis=1), mask=real)


@triton.jit
def _mix(
    scores,
    pivots,
    weights,
    width,
    depth,
    blocks,
    inverse_tau,
    start,
    delta,
    rho,
    offset,
    is_sigmoid: tl.constexpr,
    columns: tl.constexpr,
    pivots_at_once: tl.constexpr,
):
    """One program: a block of a row, which no other program reads or writes."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = tl.program_id(0) % blocks * columns + tl.arange(0, columns)
    inside = column < width
    score = tl.load(scores + row * width + column, mask=inside, other=float("-inf"))
    mixed = tl.zeros([columns], dtype=tl.float32)
    for first in range(0, depth, pivots_at_once):
        which = first + tl.arange(0, pivots_at_once)
        real = which < depth
        pivot = tl.load(pivots + row * depth + which, mask=real, other=float("inf"))
        weight = tl.load(weights + row * depth + which, mask=real, other=0.0)
        x = score[None, :] - pivot[:, None]
        slope = _slope(x, tl.sigmoid(x * inverse_tau), inverse_tau, delta, rho, is_sigmoid)
        mixed += tl.sum(weight[:, None] * slope, axis=0)
    tl.store(scores + row * width + column, mixed, mask=inside)


@triton.jit
def _add_transpose(square, side, blocks, block: tl.constexpr):
    """One program: a block above the diagonal, or on it, and its mirror image."""
    top = tl.program_id(0) // blocks
    left = tl.program_id(0) % blocks
    if left >= top:
        row = (top * block + tl.arange(0, block)).to(tl.int64)
        column = (left * block + tl.arange(0, block)).to(tl.int64)
        upper = square + row[:, None] * side + column[None, :]
        lower = square + column[:, None] * side + row[None, :]
        in_upper = (row < side)[:, None] & (column < side)[None, :]
        in_lower = (column < side)[:, None] & (row < side)[None, :]
        one = tl.load(upper, mask=in_upper, other=0.0)
        other = tl.load(lower, mask=in_lower, other=0.0)
        # On the diagonal both are one block: all of it is read before any of it is written.
        tl.debug_barrier()
        total = one + tl.trans(other)
        tl.store(upper, total, mask=in_upper)
        tl.store(lower, tl.trans(total), mask=in_lower)
