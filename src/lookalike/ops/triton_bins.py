"""Soft histograms, and counts in which a tie is one half, in Triton, for float32 on CUDA.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from lookalike.ops.histograms import Bins

# Pairs of a program at a time, 16 a thread; and scores, 8 a thread.
TILE = 2048
MOST_TOGETHER = 8
_SCORES: dict[str, Any] = {"columns": 1024}


def histogram(scores: Tensor, bins: Bins) -> Tensor:
    """As :func:`lookalike.ops.histograms.histogram`; all scores count."""
    shares = torch.empty(len(scores), bins.number, device=scores.device)
    groups, shape = _groups(bins.number)
    numbers = scores.shape[1], bins.number, groups, bins.high, bins.density
    _fill[(len(scores) * groups,)](scores.detach(), shares, *numbers, **shape)
    return shares


def histogram_slopes_(scores: Tensor, bins: Bins, table: Tensor) -> Tensor:
    """Replace each score by the entry of its bucket in its row of ``(c, bins + 1)``."""
    blocks = triton.cdiv(scores.shape[1], _SCORES["columns"])
    numbers = scores.shape[1], bins.number, blocks, bins.high, bins.density
    table = table.contiguous()
    _look_up[(len(scores) * blocks,)](scores.detach(), table, *numbers, **_SCORES)
    return scores


def count_above(scores: Tensor, pivots: Tensor) -> Tensor:
    """As :func:`lookalike.ops.tie_counts.count_above`."""
    pivots = pivots.detach().contiguous()
    sums = torch.empty_like(pivots)
    groups, shape = _groups(pivots.shape[1])
    numbers = scores.shape[1], pivots.shape[1], groups
    _count[(len(scores) * groups,)](scores.detach(), pivots, sums, *numbers, **shape)
    return sums


def mix_above_(scores: Tensor, pivots: Tensor, weights: Tensor) -> Tensor:
    """As :func:`lookalike.ops.tie_counts.mix_above_`."""
    blocks = triton.cdiv(scores.shape[1], _SCORES["columns"])
    pivots, weights = pivots.detach().contiguous(), weights.detach().contiguous()
    numbers = scores.shape[1], pivots.shape[1], blocks
    _mix[(len(scores) * blocks,)](scores.detach(), pivots, weights, *numbers, **_SCORES)
    return scores


def _groups(depth: int) -> tuple[int, dict[str, Any]]:
    together = min(MOST_TOGETHER, triton.next_power_of_2(depth))
    return triton.cdiv(depth, together), {"together": together, "columns": TILE // together}


@triton.jit
def _fill(
    scores,
    shares,
    width,
    depth,
    groups,
    high,
    density,
    together: tl.constexpr,
    columns: tl.constexpr,
):
    """One program: a row and a few of its bins."""
    row = (tl.program_id(0) // groups).to(tl.int64)
    which = tl.program_id(0) % groups * together + tl.arange(0, together)
    place = which.to(tl.float32)
    total = tl.zeros([together, columns], dtype=tl.float32)
    for first in range(0, width, columns):
        column = first + tl.arange(0, columns)
        inside = column < width
        score = tl.load(scores + row * width + column, mask=inside, other=0.0)
        # Beyond the ends all falls to the last bin there.
        depths = tl.minimum(tl.maximum((high - score) * density, 0.0), depth - 1.0)
        share = tl.maximum(1.0 - tl.abs(depths[None, :] - place[:, None]), 0.0)
        total += tl.where(inside[None, :], share, 0.0)
    tl.store(shares + row * depth + which, tl.sum(total, axis=1), mask=which < depth)


@triton.jit
def _look_up(scores, table, width, depth, blocks, high, density, columns: tl.constexpr):
    """One program: a block of a row."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = tl.program_id(0) % blocks * columns + tl.arange(0, columns)
    inside = column < width
    score = tl.load(scores + row * width + column, mask=inside, other=0.0)
    floor = tl.floor((high - score) * density)
    bucket = tl.minimum(tl.maximum(floor, -1.0), depth - 1.0).to(tl.int32) + 1
    slope = tl.load(table + row * (depth + 1) + bucket, mask=inside, other=0.0)
    tl.store(scores + row * width + column, slope, mask=inside)


@triton.jit
def _above(score, pivot):
    """1 above, one half for a tie."""
    return tl.where(score > pivot, 1.0, tl.where(score == pivot, 0.5, 0.0))


@triton.jit
def _count(
    scores, pivots, sums, width, depth, groups, together: tl.constexpr, columns: tl.constexpr
):
    """One program: a row and a few of its pivots."""
    row = (tl.program_id(0) // groups).to(tl.int64)
    which = tl.program_id(0) % groups * together + tl.arange(0, together)
    pivot = tl.load(pivots + row * depth + which, mask=which < depth, other=float("inf"))
    total = tl.zeros([together, columns], dtype=tl.float32)
    for first in range(0, width, columns):
        column = first + tl.arange(0, columns)
        inside = column < width
        score = tl.load(scores + row * width + column, mask=inside, other=0.0)
        total += tl.where(inside[None, :], _above(score[None, :], pivot[:, None]), 0.0)
    tl.store(sums + row * depth + which, tl.sum(total, axis=1), mask=which < depth)


@triton.jit
def _mix(scores, pivots, weights, width, depth, blocks, columns: tl.constexpr):
    """One program: a block of a row, which no other program reads or writes."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = tl.program_id(0) % blocks * columns + tl.arange(0, columns)
    inside = column < width
    score = tl.load(scores + row * width + column, mask=inside, other=0.0)
    mixed = tl.zeros([columns], dtype=tl.float32)
    for which in range(depth):
        weight = tl.load(weights + row * depth + which)
        mixed += weight * _above(score, tl.load(pivots + row * depth + which))
    tl.store(scores + row * width + column, mixed, mask=inside)
