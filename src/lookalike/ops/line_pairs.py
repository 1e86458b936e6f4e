"""Sums over pairs of positives in plain torch, without meeting every pair.

The weight of a pair is the smaller of its two, and its step depends on the levels. Where all items
of a level weigh the same, one level of targets meets sources whose weights are their own: a sum
over points on a line (:mod:`lookalike.ops.line_sums`) for each level and step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lookalike.ops.line_sums import Points, line_sums
from lookalike.ops.steps import Heaviside, Step

if TYPE_CHECKING:
    from lookalike.ops.pair_sums import PairSteps

MOST_LEVELS = 64


def line_pair_sums(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps
) -> Tensor | None:
    """As :func:`lookalike.ops.pair_sums.torch_pair_sums`; None unless levels tell the weights."""
    levels = Levels.of(weight, level, steps)
    if levels is None:
        return None
    sums = torch.zeros_like(pivots, dtype=torch.float64)
    for meeting in levels.meetings(steps):
        part = line_sums(
            Points.of(pivots, meeting.share), pivots.gather(1, meeting.targets), meeting.step
        )
        sums.scatter_add_(1, meeting.targets, part * meeting.real)
    # An item does not push itself.
    itself = steps.peer(torch.zeros((), dtype=torch.float64)).item()
    return (sums - itself * weight).to(pivots.dtype)


def line_pair_slopes(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps, by_sum: Tensor
) -> Tensor | None:
    """As :func:`lookalike.ops.pair_sums.torch_pair_slopes`; None unless levels tell the weights."""
    levels = Levels.of(weight, level, steps)
    if levels is None:
        return None
    slopes = torch.zeros_like(pivots, dtype=torch.float64)
    for meeting in levels.meetings(steps):
        if isinstance(meeting.step, Heaviside):
            continue
        at = pivots.gather(1, meeting.targets)
        by_target = by_sum.double().gather(1, meeting.targets) * meeting.real
        # Both ends of a pair move its difference, in opposite directions.
        down = line_sums(Points.of(pivots, meeting.share), at, meeting.step, is_slope=True)
        up = line_sums(Points.of(-at, by_target), -pivots, meeting.step, is_slope=True)
        slopes.scatter_add_(1, meeting.targets, -down * by_target)
        slopes += meeting.share * up
    return slopes.to(pivots.dtype)


@dataclass(frozen=True)
class Meeting:
    """The items of one level, and those that meet them by one step.

    Attributes:
        targets: ``(c, n)`` columns.
        real: ``(c, n)`` float64, 0 on padding.
        step: the step.
        share: ``(c, P)`` float64, the weight of every item as a source.
    """

    targets: Tensor
    real: Tensor
    step: Step
    share: Tensor


@dataclass(frozen=True)
class Levels:
    """The level of each item and the weight of each level.

    Attributes:
        own: ``(c, P)`` int64, -1 for items of weight 0.
        weights: ``(c, L + 1)`` float64.
    """

    own: Tensor
    weights: Tensor

    @classmethod
    def of(cls, weight: Tensor, level: Tensor | None, steps: PairSteps) -> Levels | None:
        """None where items of one level of a row weigh differently, or levels are no numbers."""
        own = torch.zeros_like(weight, dtype=torch.long) if level is None else level.long()
        most = int(own.max())
        if most >= MOST_LEVELS or int(own.min()) < 0:
            return None
        weights = weight.new_zeros(len(own), most + 1).scatter_reduce_(1, own, weight, "amax")
        if not ((weight == weights.gather(1, own)) | (weight == 0)).all():
            return None
        is_same = ((weights == weights.amax(dim=1, keepdim=True)) | (weights == 0)).all()
        if is_same and steps.lower == steps.peer == steps.better:
            own, weights = torch.zeros_like(own), weights.amax(dim=1, keepdim=True)
        return cls(torch.where(weight == 0, -1, own), weights.double())

    def meetings(self, steps: PairSteps) -> Iterator[Meeting]:
        """Each level of targets with each step that some source takes."""
        own, weights = self.own, self.weights
        weight = weights.gather(1, own.clamp(min=0))
        for level in range(weights.shape[1]):
            members = own == level
            count = int(members.sum(dim=1).max())
            if count == 0:
                continue
            targets = members.byte().argsort(dim=1, descending=True)[:, :count]
            real = members.gather(1, targets).double()
            least = torch.minimum(weight, weights[:, level : level + 1])
            relations = (own < level, own == level, own > level)
            pushes = (steps.lower, steps.peer, steps.better)
            for step in dict.fromkeys(pushes):
                takes = torch.stack(
                    [r for r, push in zip(relations, pushes, strict=True) if push == step]
                ).any(dim=0)
                share = least * (takes & (own >= 0))
                if share.any():
                    yield Meeting(targets, real, step, share)
