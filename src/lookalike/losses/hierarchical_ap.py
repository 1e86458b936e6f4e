"""SmoothHAP and SupHAP: average precision that knows near misses from far ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lookalike.errors import LookalikeError, counted
from lookalike.losses import relevance as relevances
from lookalike.losses.arguments import positive
from lookalike.losses.average_precision import average_precision
from lookalike.losses.inputs import Pairing
from lookalike.losses.rank_loss import RankLoss, Reduction, check_upper_bound
from lookalike.ops.positives import Positives
from lookalike.ops.ranks import Ranked, Steps
from lookalike.ops.row_losses import RowFunction
from lookalike.ops.steps import LowerBound


class SmoothHAP(RankLoss):
    """1 - hierarchical average precision, every rank softened by a sigmoid.

    ::

        H-AP_b = sum_i h_rank(i) / rank(i)  /  sum_i r_i
        h_rank(i) = r_i + sum over j ≠ i of step(s_j - s_i) · min(r_i, r_j)

    over the items i that share at least one label level with the query; ``r`` is their relevance
    (:func:`lookalike.losses.relevance.relevance`). Ramzi et al., *HAPPIER*, ECCV 2022 (arXiv
    2207.04873). With one label column it is :class:`SmoothAP`.

    Args:
        tau: temperature of the sigmoid.
        relevance: ``"pop"`` (share of a level's weight among its items) or ``"map"`` (H-AP becomes
            the weighted mean of the levels' APs when the ranking is by level).
        alpha: exponent of ``"pop"``; list of L weights for ``"map"``, coarsest level first.
        beta, gamma, leak: all three given, items of a higher level enter the H-rank by the lower
            bound ``min(beta·x + gamma, 1)`` (``leak·x`` below 0), so that it too has a gradient;
            HAPPIER sets 25, 0.5, 10.
        level: one label column, or None for the whole hierarchy.
        include_self: whether the query ranks itself among its positives.
        normalize: divide embeddings by their norm first.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        chunk_size: queries ranked at a time; None chooses.

    Raises:
        LookalikeError: arguments or shapes that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    >>> import torch
    >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
    >>> float(SmoothHAP()(torch.eye(4)[[0, 0, 1, 2]], labels)) < 0.5
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
        relevance: relevances.Relevance = "pop",
        alpha: float | Sequence[float] = 1.0,
        beta: float | None = None,
        gamma: float | None = None,
        leak: float | None = None,
        level: int | None = None,
        include_self: bool = True,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            level=level,
            include_self=include_self,
            normalize=normalize,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        name = type(self).__name__
        self.tau = positive(name, "tau", tau)
        self.relevance: relevances.Relevance
        self.relevance, self.alpha = relevances.check(name, relevance, alpha)
        given = [value is not None for value in (beta, gamma, leak)]
        if any(given) and not all(given):
            raise LookalikeError(
                f"{name}: beta={beta}, gamma={gamma}, leak={leak}: give all three for the lower "
                "bound of the H-rank (HAPPIER: 25, 0.5, 10), or none."
            )
        self.beta = beta
        self.gamma = gamma
        self.leak = leak

    def steps(self) -> Steps:
        """The sigmoid everywhere, but for the lower bound if asked."""
        smooth = Steps.smooth(self.tau)
        return Steps(smooth.lower, smooth.peer, self.lower_bound())

    def lower_bound(self) -> LowerBound | None:
        """The step of better items in the H-rank, if one is set."""
        if self.beta is None or self.gamma is None or self.leak is None:
            return None
        return LowerBound(self.beta, self.gamma, self.leak)

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function, once the number of levels is known to fit."""
        if isinstance(self.alpha, tuple) and len(self.alpha) != positives.levels:
            raise LookalikeError(
                f"{type(self).__name__}: alpha has {counted(len(self.alpha), 'weight')} and the"
                " labels "
                f"{positives.levels} level(s)."
            )
        return super().rows(positives, pairing)

    def score(self, ranked: Ranked) -> Tensor:
        """H-AP of each query."""
        if ranked.level is None:
            return average_precision(ranked)
        worth = relevances.relevance(
            ranked.level, self.relevance, self.alpha, ranked.pivots.dtype, ranked.levels
        )
        return average_precision(ranked, worth)


class SupHAP(SmoothHAP):
    """1 - hierarchical average precision, its ranks bounded from above.

    As :class:`SmoothHAP`, but an item of a lower level pushes by the three-piece step of
    :class:`SupAP`, one of the same or a higher level by the exact step, which has no gradient.
    The published runs set ``offset=1.44`` (iNaturalist ``offset=1.0, start=0.0``).

    Args:
        tau, rho, delta, start, offset: as in :class:`SupAP`.
        relevance, alpha, beta, gamma, leak: as in :class:`SmoothHAP`.
        level, include_self, normalize, reduction, chunk_size: as in :class:`SmoothHAP`.

    Relations:
        With a softmax over the finest level it is :class:`lookalike.losses.HAPPIER`.

    >>> import torch
    >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
    >>> float(SupHAP(offset=1.44)(torch.eye(4), labels)) > 0
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        relevance: relevances.Relevance = "pop",
        alpha: float | Sequence[float] = 1.0,
        beta: float | None = None,
        gamma: float | None = None,
        leak: float | None = None,
        level: int | None = None,
        include_self: bool = True,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            tau,
            relevance,
            alpha,
            beta,
            gamma,
            leak,
            level,
            include_self,
            normalize,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        check_upper_bound(type(self).__name__, delta, offset)
        self.rho = rho
        self.delta = delta
        self.start = start
        self.offset = offset

    def steps(self) -> Steps:
        """The upper bound for lower items, the exact step for the others."""
        return Steps.sup(
            self.tau, self.rho, self.delta, self.start, self.offset, self.lower_bound()
        )
