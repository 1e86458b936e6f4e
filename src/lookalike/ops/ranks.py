"""Soft ranks and H-ranks of the positives of each query, differentiable and small.

``rank(i) = 1 + sum over every other item j of step(s_j - s_i)``. What the non-positives add comes
from :mod:`lookalike.ops.step_sums`; what positives owe each other is computed here on ``P × P``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lookalike.ops.steps import Heaviside, LowerBound, SoftStep, Step


@dataclass(frozen=True)
class Steps:
    """Which step an item takes to push another down.

    Attributes:
        lower: for items of a lower level than the one ranked; the only one with ``M`` terms.
        peer: for items of the same or a higher level.
        better: for items of a higher level in the H-rank; None means as ``peer``.
    """

    lower: SoftStep
    peer: Step
    better: LowerBound | None = None

    @classmethod
    def smooth(cls, tau: float) -> Steps:
        """The sigmoid for every pair: Smooth-AP."""
        return cls(SoftStep(tau), SoftStep(tau))

    @classmethod
    def sup(
        cls,
        tau: float,
        rho: float,
        delta: float | None,
        start: float,
        offset: float | None,
        better: LowerBound | None = None,
    ) -> Steps:
        """The upper bound for lower items, the exact step for the others: ROADMAP, HAPPIER."""
        lower = SoftStep.upper_bound(tau, rho, delta, start, offset)
        return cls(lower, Heaviside(), better)


@dataclass(frozen=True)
class Ranked:
    """The positives of ``c`` queries among all references.

    Attributes:
        pivots: ``(c, P)`` their scores.
        below: ``(c, P)`` what the non-positives add to each one's rank.
        mask: ``(c, P)`` False on padding.
        level: ``(c, P)`` how many label columns agree with the query's; None means all the same.
        steps: which step which item takes.
    """

    pivots: Tensor
    below: Tensor
    mask: Tensor
    level: Tensor | None
    steps: Steps

    def rank(self) -> Tensor:
        """``(c, P)`` ranks, from 1 up, differentiable in ``pivots`` and ``below``."""
        ahead = self._ahead()
        push = self.steps.peer(ahead)
        if self.level is not None and self.steps.lower != self.steps.peer:
            is_lower = self.level[:, None, :] < self.level[:, :, None]
            push = torch.where(is_lower, self.steps.lower(ahead), push)
        return 1 + self.below + (push * self._others()).sum(dim=2)

    def h_rank(self, relevance: Tensor) -> Tensor:
        """``(c, P)`` H-ranks: positives only, weighed by ``min(r_i, r_j)`` (HAPPIER).

        With relevances of 1 this is the rank among the positives; on the padding they are 0.
        """
        ahead = self._ahead()
        push = self.steps.peer(ahead)
        if self.level is not None and self.steps.better is not None:
            is_better = self.level[:, None, :] > self.level[:, :, None]
            push = torch.where(is_better, self.steps.better(ahead), push)
        weight = torch.minimum(relevance[:, None, :], relevance[:, :, None])
        return relevance + (push * weight * self._others()).sum(dim=2)

    def _ahead(self) -> Tensor:
        """``[b, i, j] = s_j - s_i``: how far j is ahead of i."""
        return self.pivots[:, None, :] - self.pivots[:, :, None]

    def _others(self) -> Tensor:
        """1 where i and j are two different positives, neither of them padding."""
        apart = ~torch.eye(self.mask.shape[1], dtype=torch.bool, device=self.mask.device)
        return (self.mask[:, None, :] & self.mask[:, :, None] & apart).to(self.pivots.dtype)
