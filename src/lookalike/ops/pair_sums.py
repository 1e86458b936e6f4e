"""What the positives of a query add to each other's ranks, by steps that depend on their levels."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lookalike.ops import native_kernels, paths
from lookalike.ops.line_pairs import line_pair_slopes, line_pair_sums
from lookalike.ops.line_sums import many_pairs
from lookalike.ops.steps import Heaviside, Step


@dataclass(frozen=True)
class PairSteps:
    """The step of item j against item i, for j of a lower, the same or a higher level."""

    lower: Step
    peer: Step
    better: Step

    def has_slope(self, is_graded: bool) -> bool:
        """Whether any of the steps in use has a gradient."""
        used = (self.lower, self.peer, self.better) if is_graded else (self.peer,)
        return not all(isinstance(step, Heaviside) for step in used)

    def told_apart(self, level: Tensor | None) -> Tensor | None:
        """The levels, or None where they make no difference to the step."""
        return None if self.lower == self.peer == self.better else level


def pair_sums(pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps) -> Tensor:
    """``sum over j != i of min(w_i, w_j) * step(s_j - s_i)``.

    Args:
        pivots: ``(c, P)`` scores.
        weight: ``(c, P)`` of the same type, 0 on padding; has no gradient.
        level: ``(c, P)`` of the same type, whole numbers, or None when all are peers. Where the
            items of a level weigh the same and are many, time grows with P, not with P·P.
        steps: which step which item takes.

    Returns:
        ``(c, P)``, differentiable once in ``pivots``.

    >>> import torch
    >>> exact = PairSteps(Heaviside(), Heaviside(), Heaviside())
    >>> pair_sums(torch.tensor([[0.9, 0.5, 0.7]]), torch.ones(1, 3), None, exact)
    tensor([[0., 2., 1.]])
    """
    if steps.has_slope(level is not None):
        return _PairSums.apply(pivots, weight, level, steps)  # pyright: ignore[reportReturnType]
    return _sums(pivots.detach(), weight, level, steps)


def torch_pair_sums(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps
) -> Tensor:
    """:func:`pair_sums` in plain torch, without gradient."""
    ahead = pivots[:, None, :] - pivots[:, :, None]
    share = _shares(weight)
    push = steps.peer(ahead)
    if level is not None:
        for step, is_so in _other_levels(level, steps):
            push += is_so * (step(ahead) - push)
    return (push * share).sum(dim=2)


def torch_pair_slopes(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps, by_sum: Tensor
) -> Tensor:
    """``d (sum by_sum * pair_sums) / d pivots`` in plain torch."""
    ahead = pivots[:, None, :] - pivots[:, :, None]
    slope = steps.peer.slope(ahead)
    if level is not None:
        for step, is_so in _other_levels(level, steps):
            slope += is_so * (step.slope(ahead) - slope)
    slope = slope * _shares(weight) * by_sum[:, :, None]
    return slope.sum(dim=1) - slope.sum(dim=2)


def _other_levels(level: Tensor, steps: PairSteps) -> list[tuple[Step, Tensor]]:
    """The steps that differ from those of peers, with 1 where they are to be taken."""
    other, own = level[:, None, :], level[:, :, None]
    lower = (steps.lower, torch.lt(other, own).to(level.dtype))
    better = (steps.better, torch.gt(other, own).to(level.dtype))
    return [pair for pair in (lower, better) if pair[0] != steps.peer]


def _shares(weight: Tensor) -> Tensor:
    share = torch.minimum(weight[:, None, :], weight[:, :, None])
    share.diagonal(dim1=1, dim2=2).zero_()
    return share


def _kernels(pivots: Tensor) -> ModuleType | None:
    """The module that meets all pairs of such pivots without a table, or None for plain torch."""
    if paths.triton_suits(pivots):
        return import_module("lookalike.ops.triton_pairs")
    return native_kernels if native_kernels.suits(pivots) else None


def _sums(pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps) -> Tensor:
    is_native = native_kernels.suits(pivots)
    with torch.no_grad():
        if pivots.shape[1] >= many_pairs(pivots, steps.has_slope(level is not None)):
            by_line = native_kernels.line_pair_sums if is_native else line_pair_sums
            sums = by_line(pivots, weight, level, steps)
            if sums is not None:
                return sums
        kernels = _kernels(pivots)
        by_pair = kernels.pair_sums if kernels else torch_pair_sums
        return by_pair(pivots, weight, steps.told_apart(level), steps)


def _slopes(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps, by_sum: Tensor
) -> Tensor:
    is_native = native_kernels.suits(pivots)
    if pivots.shape[1] >= many_pairs(pivots, has_slope=True):
        by_line = native_kernels.line_pair_slopes if is_native else line_pair_slopes
        slopes = by_line(pivots, weight, level, steps, by_sum)
        if slopes is not None:
            return slopes
    kernels = _kernels(pivots)
    by_pair = kernels.pair_slopes if kernels else torch_pair_slopes
    return by_pair(pivots, weight, steps.told_apart(level), steps, by_sum)


class _PairSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps
    ) -> Tensor:
        ctx.save_for_backward(pivots, weight, level)
        ctx.steps = steps
        return _sums(pivots, weight, level, steps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        pivots, weight, level = ctx.saved_tensors
        return _slopes(pivots, weight, level, ctx.steps, *grad_output), None, None, None
