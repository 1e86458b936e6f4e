"""Rows divided by their length in Triton, a launch each way, for float32 on CUDA.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_COLUMNS = 512  # of a row at a time: 4 a thread


def unit_rows(x: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Rows ``(B, D)`` over their lengths, or over ``floor`` where that is larger; the lengths."""
    unit = torch.empty_like(x)
    length = torch.empty(len(x), device=x.device)
    if len(x):
        _divide[(len(x),)](x.detach(), unit, length, x.shape[1], floor, **_shape(x))
    return unit, length


def unit_rows_slope(grad: Tensor, unit: Tensor, length: Tensor, floor: float) -> Tensor:
    """The gradient of the rows: the part across each, over its length; 0 below ``floor``."""
    found = torch.empty_like(unit)
    if len(unit):
        numbers = unit.shape[1], floor
        _turn[(len(unit),)](grad.contiguous(), unit, length, found, *numbers, **_shape(unit))
    return found


def _shape(x: Tensor) -> dict[str, Any]:
    return {"columns": min(_COLUMNS, triton.next_power_of_2(max(1, x.shape[1])))}


@triton.jit
def _divide(rows, unit, lengths, width, floor, columns: tl.constexpr):
    """One program: a row."""
    start = tl.program_id(0).to(tl.int64) * width
    total = tl.zeros([columns], dtype=tl.float32)
    for first in range(0, width, columns):
        at = first + tl.arange(0, columns)
        x = tl.load(rows + start + at, mask=at < width, other=0.0)
        total += x * x
    length = tl.sqrt(tl.sum(total, axis=0))
    tl.store(lengths + tl.program_id(0), length)
    for first in range(0, width, columns):
        at = first + tl.arange(0, columns)
        x = tl.load(rows + start + at, mask=at < width, other=0.0)
        tl.store(unit + start + at, x / tl.maximum(length, floor), mask=at < width)


@triton.jit
def _turn(grads, unit, lengths, found, width, floor, columns: tl.constexpr):
    """One program: the gradient of a row."""
    start = tl.program_id(0).to(tl.int64) * width
    radial = tl.zeros([columns], dtype=tl.float32)
    for first in range(0, width, columns):
        at = first + tl.arange(0, columns)
        along = tl.load(unit + start + at, mask=at < width, other=0.0)
        radial += along * tl.load(grads + start + at, mask=at < width, other=0.0)
    share = tl.sum(radial, axis=0)
    length = tl.load(lengths + tl.program_id(0))
    scale = tl.where(length >= floor, 1.0 / tl.maximum(length, floor), 0.0)
    for first in range(0, width, columns):
        at = first + tl.arange(0, columns)
        along = tl.load(unit + start + at, mask=at < width, other=0.0)
        grad = tl.load(grads + start + at, mask=at < width, other=0.0)
        tl.store(found + start + at, (grad - along * share) * scale, mask=at < width)
