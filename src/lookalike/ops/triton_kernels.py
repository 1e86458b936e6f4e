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

COLUMNS = 1024
PIVOTS = 4


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_sums`."""
    return _reduce(scores, pivots.detach().contiguous(), step, is_slope=False)


def step_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_slopes_`."""
    pivots = pivots.detach().contiguous()
    totals = _reduce(scores, pivots, step, is_slope=True)
    width, depth = scores.shape[1], pivots.shape[1]
    _mix[(len(scores), triton.cdiv(width, COLUMNS))](
        scores,
        pivots,
        weights.detach().contiguous(),
        width,
        depth,
        *_numbers(step),
        **_shape(step),
    )
    return totals


def _reduce(scores: Tensor, pivots: Tensor, step: SoftStep, is_slope: bool) -> Tensor:
    width, depth = scores.shape[1], pivots.shape[1]
    sums = torch.empty_like(pivots)
    _sum_rows[(len(scores), triton.cdiv(depth, PIVOTS))](
        scores,
        pivots,
        sums,
        width,
        depth,
        *_numbers(step),
        **_shape(step, is_slope=is_slope),
    )
    return sums


def _numbers(step: SoftStep) -> Any:
    # An infinite delta is never compared with: the sigmoid has a branch of its own.
    return 1.0 / step.tau, step.start, min(step.delta, 1e30), step.rho, step.offset


def _shape(step: SoftStep, **more: Any) -> dict[str, Any]:
    """What a kernel is compiled for."""
    return {"is_sigmoid": step.is_sigmoid, "columns": COLUMNS, "pivots_at_once": PIVOTS, **more}


@triton.jit
def _value(x, inverse_tau, start, delta, rho, offset, is_sigmoid: tl.constexpr):
    value = tl.sigmoid(x * inverse_tau)
    if not is_sigmoid:
        value = tl.where(x > 0, value + start, value)
        value = tl.where(x > delta, rho * (x - delta) + offset, value)
    return value


@triton.jit
def _slope(x, inverse_tau, delta, rho, is_sigmoid: tl.constexpr):
    near = tl.sigmoid(x * inverse_tau)
    slope = near * (1 - near) * inverse_tau
    if not is_sigmoid:
        slope = tl.where(x > delta, rho, slope)
    return slope


@triton.jit
def _sum_rows(
    scores,
    pivots,
    sums,
    width,
    depth,
    inverse_tau,
    start,
    delta,
    rho,
    offset,
    is_sigmoid: tl.constexpr,
    is_slope: tl.constexpr,
    columns: tl.constexpr,
    pivots_at_once: tl.constexpr,
):
    """One program: a row and a few of its pivots; the row is read once."""
    row = tl.program_id(0).to(tl.int64)
    which = tl.program_id(1) * pivots_at_once + tl.arange(0, pivots_at_once)
    pivot = tl.load(pivots + row * depth + which, mask=which < depth, other=float("inf"))
    total = tl.zeros([pivots_at_once], dtype=tl.float32)
    for first in range(0, width, columns):
        column = first + tl.arange(0, columns)
        score = tl.load(scores + row * width + column, mask=column < width, other=float("-inf"))
        x = score[None, :] - pivot[:, None]
        if is_slope:
            total += tl.sum(_slope(x, inverse_tau, delta, rho, is_sigmoid), axis=1)
        else:
            total += tl.sum(_value(x, inverse_tau, start, delta, rho, offset, is_sigmoid), axis=1)
    tl.store(sums + row * depth + which, total, mask=which < depth)


@triton.jit
def _mix(
    scores,
    pivots,
    weights,
    width,
    depth,
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
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    inside = column < width
    score = tl.load(scores + row * width + column, mask=inside, other=float("-inf"))
    mixed = tl.zeros([columns], dtype=tl.float32)
    for first in range(0, depth, pivots_at_once):
        which = first + tl.arange(0, pivots_at_once)
        real = which < depth
        pivot = tl.load(pivots + row * depth + which, mask=real, other=float("inf"))
        weight = tl.load(weights + row * depth + which, mask=real, other=0.0)
        x = score[None, :] - pivot[:, None]
        mixed += tl.sum(weight[:, None] * _slope(x, inverse_tau, delta, rho, is_sigmoid), axis=0)
    tl.store(scores + row * width + column, mixed, mask=inside)
