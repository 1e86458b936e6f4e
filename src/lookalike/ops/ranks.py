"""Soft ranks and H-ranks of the positives of each query, differentiable and small.

``rank(i) = 1 + sum over every other item j of step(s_j - s_i)``. What the non-positives add comes
from :mod:`lookalike.ops.step_sums`, what positives add to each other from
:mod:`lookalike.ops.pair_sums`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lookalike.ops.pair_sums import PairSteps, pair_sums
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
        levels: the number of label columns, which no level exceeds.
    """

    pivots: Tensor
    below: Tensor
    mask: Tensor
    level: Tensor | None
    steps: Steps
    levels: int = 1

    def rank(self) -> Tensor:
        """``(c, P)`` ranks, from 1 up, differentiable in ``pivots`` and ``below``."""
        steps = PairSteps(self.steps.lower, self.steps.peer, self.steps.peer)
        weight = self.mask.to(self.pivots.dtype)
        return 1 + self.below + pair_sums(self.pivots, weight, self._level(), steps)

    def h_rank(self, relevance: Tensor) -> Tensor:
        """``(c, P)`` H-ranks: positives only, weighed by ``min(r_i, r_j)`` (HAPPIER).

        With relevances of 1 this is the rank among the positives; on the padding they are 0.
        """
        peer, better = self.steps.peer, self.steps.better
        steps = PairSteps(peer, peer, better or peer)
        return relevance + pair_sums(self.pivots, relevance, self._level(), steps)

    def _level(self) -> Tensor | None:
        return None if self.level is None else self.level.to(self.pivots.dtype)
