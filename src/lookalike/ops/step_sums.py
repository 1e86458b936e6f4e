"""The one heavy kernel of every rank loss: sums of soft steps from a row to its pivots.

For row ``b`` with scores ``s`` and pivots ``p`` (the scores of its positives) it gives
``sum_j step(s[b, j] - p[b, i])``, and then the derivatives. A few pivots meet every score: work is
``c·P·M`` for ``c`` rows, memory one small tile. Many are sorted onto a line with the scores, and
work is ``c·(P + M)`` (:mod:`lookalike.ops.line_plans`). Columns that must not count hold ``-inf``;
padded pivots hold ``+inf``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from lookalike.ops import native_kernels, paths
from lookalike.ops.differences import difference_tiles
from lookalike.ops.line_sums import Points, line_sums, many
from lookalike.ops.steps import SoftStep


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """``sum_j step(scores[b, j] - pivots[b, i])``.

    Args:
        scores: ``(c, M)``; ``-inf`` marks columns that do not count.
        pivots: ``(c, P)``; ``+inf`` marks padding, whose sum is 0.
        step: the soft step.

    Returns:
        ``(c, P)``.

    >>> import torch
    >>> step_sums(torch.tensor([[0.2, 0.1]]), torch.tensor([[0.2]]), SoftStep(tau=0.01)).round(
    ...     decimals=3
    ... )
    tensor([[0.5000]])
    """
    if pivots.shape[1] >= many(scores):
        if native_kernels.suits(scores):
            return native_kernels.line_sums(scores, pivots, step)
        return line_sums(Points.of(scores), pivots, step).to(scores.dtype)
    kernels = _kernels(scores)
    if kernels:
        return kernels.step_sums(scores, pivots, step)
    return torch_sums(scores, pivots, step)


class Known(NamedTuple):
    """What was found out about the slopes beside the sums.

    Attributes:
        slopes: ``(c, P)``, ``sum_j step'(scores[b, j] - pivots[b, i])``.
        order: ``(c, M)`` int32, the columns of the scores in falling order, where they were
            sorted.
    """

    slopes: Tensor
    order: Tensor | None = None


def step_sums_and_slopes(
    scores: Tensor, pivots: Tensor, step: SoftStep
) -> tuple[Tensor, Known | None]:
    """:func:`step_sums`, and what it costs little more to know of the slopes, else None."""
    if pivots.shape[1] >= many(scores):
        if native_kernels.suits(scores):
            sums, *known = native_kernels.line_sums_and_slopes(scores, pivots, step)
            return sums, Known(*known)
        if paths.triton_suits(scores):
            points = Points.of(scores)
            sums, slopes = (line_sums(points, pivots, step, is_slope) for is_slope in (False, True))
            return sums.to(scores.dtype), Known(slopes.to(scores.dtype))
    elif paths.triton_suits(scores):
        sums, slopes = _triton().step_sums_and_slopes(scores, pivots, step)
        return sums, Known(slopes)
    return step_sums(scores, pivots, step), None


def step_slopes_(
    scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep, known: Known | None = None
) -> Tensor:
    """Replace each score by ``sum_i weights[b, i] * step'(scores[b, j] - pivots[b, i])``.

    Args:
        scores: ``(c, M)``, overwritten.
        pivots: ``(c, P)``.
        weights: ``(c, P)``, 0 on the padding.
        step: the soft step.
        known: what :func:`step_sums_and_slopes` gave for the same scores and pivots.

    Returns:
        ``(c, P)``, ``sum_j step'(scores[b, j] - pivots[b, i])`` before the weights.
    """
    if pivots.shape[1] >= many(scores):
        if native_kernels.suits(scores):
            if known is None or known.order is None:
                _, slopes, order = native_kernels.line_sums_and_slopes(scores, pivots, step)
            else:
                slopes, order = known.slopes, known.order
            native_kernels.line_slopes_(scores, pivots, weights, order, step)
            return slopes
        return _line_slopes_(scores, pivots, weights, step, known)
    if paths.triton_suits(scores):
        slopes = (known or Known(_triton().step_sums_and_slopes(scores, pivots, step)[1])).slopes
        _triton().step_slopes_(scores, pivots, weights, step)
        return slopes
    kernels = _kernels(scores)
    if kernels:
        return kernels.step_slopes_(scores, pivots, weights, step)
    return torch_slopes_(scores, pivots, weights, step)


def _kernels(scores: Tensor) -> ModuleType | None:
    """The module with kernels for such scores, or None for plain torch."""
    if paths.triton_suits(scores):
        return _triton()
    if native_kernels.suits(scores):
        return native_kernels
    return import_module("lookalike.ops.compiled_kernels") if paths.compiles() else None


def _triton() -> ModuleType:
    return import_module("lookalike.ops.triton_kernels")


def _line_slopes_(
    scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep, known: Known | None
) -> Tensor:
    totals = line_sums(Points.of(scores), pivots, step, True) if known is None else known.slopes
    # Seen from the other end: a score is the target of its pivots.
    scores.copy_(line_sums(Points.of(-pivots, weights), -scores, step, is_slope=True))
    return totals.to(scores.dtype)


def torch_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """:func:`step_sums` in plain torch."""
    sums = torch.empty_like(pivots)
    for rows, x, work in difference_tiles(scores, pivots, step.tau):
        near = torch.sigmoid(x, out=work)
        if step.is_sigmoid:
            torch.sum(near, dim=2, out=sums[rows])
            continue
        # Masks are floats: on a CPU a multiplication is ten times as fast as `where`.
        edge = step.delta / step.tau
        mask = torch.le(x, edge, out=torch.empty_like(x))
        far = x.shape[2] - mask.sum(dim=2)
        total = near.mul_(mask).sum(dim=2) + step.offset * far
        if step.start:
            total += step.start * (torch.gt(x, 0.0, out=mask).sum(dim=2) - far)
        total += step.rho * step.tau * x.sub_(edge).relu_().sum(dim=2)
        sums[rows] = total
    return sums


def torch_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> Tensor:
    """:func:`step_slopes_` in plain torch."""
    totals = torch.empty_like(pivots)
    for rows, x, work in difference_tiles(scores, pivots, step.tau):
        near = torch.sigmoid(x, out=work)
        if step.is_sigmoid:
            slope = torch.addcmul(near, near, near, value=-1, out=x)
        else:
            edge = step.delta / step.tau
            mask = torch.le(x, edge, out=torch.empty_like(x))
            far = torch.gt(x, edge, out=x)
            near.addcmul_(near, near, value=-1).mul_(mask)
            slope = near.add_(far, alpha=step.rho * step.tau)
        torch.sum(slope, dim=2, out=totals[rows])
        torch.bmm(weights[rows, None, :], slope, out=scores[rows, None, :])
    scores.mul_(1.0 / step.tau)
    return totals.mul_(1.0 / step.tau)
