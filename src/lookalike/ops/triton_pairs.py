"""The sums of :mod:`lookalike.ops.pair_sums` in Triton, for float32 on CUDA.

Every pair is met; nothing is kept of it, so no ``P × P`` table is made.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false
from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lookalike.ops.steps import Heaviside, LowerBound, SoftStep, Step

if TYPE_CHECKING:
    from lookalike.ops.pair_sums import PairSteps

# Pairs of a program at a time: 16 a thread.
TILE = 2048
MOST_TOGETHER = 64
SIGMOID, SOFT, EXACT, BOUND = range(4)


def pair_sums(pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps) -> Tensor:
    """As :func:`lookalike.ops.pair_sums.torch_pair_sums`."""
    return _meet(pivots, weight, level, steps, None)


def pair_slopes(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps, by_sum: Tensor
) -> Tensor:
    """As :func:`lookalike.ops.pair_sums.torch_pair_slopes`."""
    return _meet(pivots, weight, level, steps, by_sum)


def _meet(
    pivots: Tensor,
    weight: Tensor,
    level: Tensor | None,
    steps: PairSteps,
    by_sum: Tensor | None,
) -> Tensor:
    rows, depth = pivots.shape
    pivots = pivots.detach().contiguous()
    found = torch.empty_like(pivots)
    together = min(MOST_TOGETHER, triton.next_power_of_2(depth))
    blocks = triton.cdiv(depth, together)
    kinds = [_kind(step) for step in (steps.lower, steps.peer, steps.better)]
    shape: dict[str, Any] = {
        "lower": kinds[0],
        "peer": kinds[1],
        "better": kinds[2],
        "has_levels": level is not None,
        "is_slope": by_sum is not None,
        "together": together,
        "others": min(TILE // together, triton.next_power_of_2(depth)),
    }
    _sum_pairs[(rows * blocks,)](
        pivots,
        weight.detach().contiguous(),
        pivots if level is None else level.detach().contiguous(),
        pivots if by_sum is None else by_sum.detach().contiguous(),
        found,
        _numbers(steps.lower, steps.peer, steps.better, pivots.device),
        depth,
        blocks,
        **shape,
    )
    return found


def _kind(step: Step) -> int:
    if isinstance(step, SoftStep):
        return SIGMOID if step.is_sigmoid else SOFT
    return EXACT if isinstance(step, Heaviside) else BOUND


@lru_cache(maxsize=64)
def _numbers(lower: Step, peer: Step, better: Step, device: torch.device) -> Tensor:
    """``(3, 5)``, copied to the device once."""
    return torch.tensor([_numbers_of(s) for s in (lower, peer, better)], device=device)


def _numbers_of(step: Step) -> list[float]:
    if isinstance(step, SoftStep):
        return [1.0 / step.tau, step.start, min(step.delta, 1e30), step.rho, step.offset]
    if isinstance(step, LowerBound):
        # Beyond 1 the bound is 1, without slope.
        beta = 0.0 if step.gamma > 1 else step.beta
        return [beta, step.gamma, step.leak, 0.0, 0.0]
    return [0.0] * 5


@triton.jit
def _step(x, numbers, kind: tl.constexpr, is_slope: tl.constexpr):
    """A step of differences, or its slope."""
    if kind == 2:  # the exact step
        value = tl.where(x >= 0, 0.0 if is_slope else 1.0, 0.0)
    elif kind == 3:  # the lower bound
        beta = tl.load(numbers)
        leak = tl.load(numbers + 2)
        line = beta * x + tl.load(numbers + 1)
        if is_slope:
            value = tl.where(x > 0, tl.where(line <= 1, beta, 0.0), leak)
        else:
            value = tl.where(x > 0, tl.minimum(line, 1.0), leak * x)
    else:
        inverse_tau = tl.load(numbers)
        value = tl.sigmoid(x * inverse_tau)
        if is_slope:
            value = value * (1 - value) * inverse_tau
        if kind == 1:  # the upper bound
            delta = tl.load(numbers + 2)
            rho = tl.load(numbers + 3)
            if is_slope:
                value = tl.where(x > delta, rho, value)
            else:
                value = tl.where(x > 0, value + tl.load(numbers + 1), value)
                value = tl.where(x > delta, rho * (x - delta) + tl.load(numbers + 4), value)
    return value


@triton.jit
def _relation(
    x,
    level,
    own,
    numbers,
    lower: tl.constexpr,
    peer: tl.constexpr,
    better: tl.constexpr,
    has_levels: tl.constexpr,
    is_slope: tl.constexpr,
):
    """The step that an item of a level takes against one of another."""
    value = _step(x, numbers + 5, peer, is_slope)
    if has_levels:
        value = tl.where(level < own, _step(x, numbers, lower, is_slope), value)
        value = tl.where(level > own, _step(x, numbers + 10, better, is_slope), value)
    return value


@triton.jit
def _sum_pairs(
    pivots,
    weights,
    levels,
    by_sums,
    found,
    numbers,
    depth,
    blocks,
    lower: tl.constexpr,
    peer: tl.constexpr,
    better: tl.constexpr,
    has_levels: tl.constexpr,
    is_slope: tl.constexpr,
    together: tl.constexpr,
    others: tl.constexpr,
):
    """One program: some items of a row, which meet all items of it."""
    start = (tl.program_id(0) // blocks).to(tl.int64) * depth
    item = tl.program_id(0) % blocks * together + tl.arange(0, together)
    real = item < depth
    s = tl.load(pivots + start + item, mask=real, other=0.0)[:, None]
    w = tl.load(weights + start + item, mask=real, other=0.0)[:, None]
    level = s
    by = s
    if has_levels:
        level = tl.load(levels + start + item, mask=real, other=0.0)[:, None]
    if is_slope:
        by = tl.load(by_sums + start + item, mask=real, other=0.0)[:, None]
    total = tl.zeros([together, others], dtype=tl.float32)
    for first in range(0, depth, others):
        other = first + tl.arange(0, others)
        there = other < depth
        t = tl.load(pivots + start + other, mask=there, other=0.0)[None, :]
        v = tl.load(weights + start + other, mask=there, other=0.0)[None, :]
        its = t
        if has_levels:
            its = tl.load(levels + start + other, mask=there, other=0.0)[None, :]
        share = tl.where(other[None, :] == item[:, None], 0.0, tl.minimum(w, v))
        push = _relation(t - s, its, level, numbers, lower, peer, better, has_levels, is_slope)
        if is_slope:
            # Both ends of a pair move its difference, in opposite directions.
            by_other = tl.load(by_sums + start + other, mask=there, other=0.0)[None, :]
            pull = _relation(s - t, level, its, numbers, lower, peer, better, has_levels, is_slope)
            total += share * (pull * by_other - push * by)
        else:
            total += share * push
    tl.store(found + start + item, tl.sum(total, axis=1), mask=real)
