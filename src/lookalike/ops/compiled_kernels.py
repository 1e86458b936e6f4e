"""The soft-step kernels of :mod:`lookalike.ops.step_sums` as fused loops made by ``torch.compile``.

For any dtype and device, on request only: the first call compiles for half a minute. The graphs
hold the arithmetic of one block of rows and nothing else, with sizes and numbers as inputs, so that
every loss and every batch shares them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from lookalike.ops.steps import SoftStep

TOGETHER = 4


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_sums`."""
    sums = _fused(_sigmoid_sums if step.is_sigmoid else _bound_sums)
    return sums(scores.detach(), pivots.detach().contiguous(), _numbers(step, scores))


def step_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_slopes_`."""
    totals, mix = (
        (_sigmoid_totals, _sigmoid_mix) if step.is_sigmoid else (_bound_totals, _bound_mix)
    )
    scores, pivots, numbers = scores.detach(), pivots.detach().contiguous(), _numbers(step, scores)
    sums = _fused(totals)(scores, pivots, numbers)
    # A sum over pivots makes a slow loop; a few of them written out are one pass over the scores.
    extra = -pivots.shape[1] % TOGETHER
    pivots = pad(pivots, (0, extra), value=math.inf)
    weights = pad(weights.detach(), (0, extra))
    mixed = torch.zeros_like(scores)
    for first in range(0, pivots.shape[1], TOGETHER):
        few = slice(first, first + TOGETHER)
        mixed = _fused(mix)(
            mixed, scores, pivots[:, few].contiguous(), weights[:, few].contiguous(), numbers
        )
    scores.copy_(mixed)
    return sums


@cache
def _fused(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(function, dynamic=True, fullgraph=True)


def _numbers(step: SoftStep, like: Tensor) -> Tensor:
    # A tensor: Python numbers would be compiled in, and every temperature compiled anew.
    values = 1.0 / step.tau, step.start, step.delta, step.rho, step.offset
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _ahead(scores: Tensor, pivots: Tensor) -> Tensor:
    return scores[:, None, :] - pivots[:, :, None]


def _sigmoid_sums(scores: Tensor, pivots: Tensor, numbers: Tensor) -> Tensor:
    return torch.sigmoid(_ahead(scores, pivots) * numbers[0]).sum(dim=2)


def _bound_sums(scores: Tensor, pivots: Tensor, numbers: Tensor) -> Tensor:
    inverse_tau, start, delta, rho, offset = numbers.unbind()
    x = _ahead(scores, pivots)
    near = torch.sigmoid(x * inverse_tau)
    near = torch.where(x > 0, near + start, near)
    return torch.where(x > delta, rho * (x - delta) + offset, near).sum(dim=2)


def _sigmoid_slope(x: Tensor, numbers: Tensor) -> Tensor:
    near = torch.sigmoid(x * numbers[0])
    return near * (1 - near) * numbers[0]


def _bound_slope(x: Tensor, numbers: Tensor) -> Tensor:
    return torch.where(x > numbers[2], numbers[3], _sigmoid_slope(x, numbers))


def _sigmoid_totals(scores: Tensor, pivots: Tensor, numbers: Tensor) -> Tensor:
    return _sigmoid_slope(_ahead(scores, pivots), numbers).sum(dim=2)


def _bound_totals(scores: Tensor, pivots: Tensor, numbers: Tensor) -> Tensor:
    return _bound_slope(_ahead(scores, pivots), numbers).sum(dim=2)


def _sigmoid_mix(
    mixed: Tensor, scores: Tensor, pivots: Tensor, weights: Tensor, numbers: Tensor
) -> Tensor:
    for pivot, weight in zip(pivots.split(1, 1), weights.split(1, 1), strict=True):
        mixed = mixed + weight * _sigmoid_slope(scores - pivot, numbers)
    return mixed


def _bound_mix(
    mixed: Tensor, scores: Tensor, pivots: Tensor, weights: Tensor, numbers: Tensor
) -> Tensor:
    for pivot, weight in zip(pivots.split(1, 1), weights.split(1, 1), strict=True):
        mixed = mixed + weight * _bound_slope(scores - pivot, numbers)
    return mixed
