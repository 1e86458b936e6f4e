"""Smooth-AP and SupAP: average precision over soft ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.losses.arguments import positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.rank_loss import RankLoss, Reduction, check_upper_bound
from lookalike.ops.positives import Positives
from lookalike.ops.ranked_rows import RankedRows
from lookalike.ops.ranks import Ranked, Steps
from lookalike.ops.row_losses import RowFunction


class SmoothAP(RankLoss):
    """1 - average precision, every rank softened by a sigmoid.

    ::

        AP_b = 1/|P_b| · sum over i in P_b of rank⁺(i) / rank(i)
        rank(i)  = 1 + sum over j ≠ i     of sigmoid((s_j - s_i) / tau)
        rank⁺(i) = 1 + sum over j ≠ i in P_b of the same

    Brown et al., *Smooth-AP*, ECCV 2020 (arXiv 2007.12163). With ``include_self=True``, as
    published, the query is its own first positive, so that a query alone in its class scores 1.

    Args:
        tau: temperature of the sigmoid, in units of cosine; at 0.01 pairs more than 0.2 apart in
            the wrong order give no gradient.
        level: label column that says who matches, 0 the finest.
        include_self: whether the query ranks itself among its positives.
        normalize: divide embeddings by their norm first.
        pos_mixup: add to each query the virtual positives ``a·s_i + (1-a)·s_j`` of all pairs of
            its positives, ``a`` uniform in [0, 1), drawn at every call (SupRank). Queries of
            fewer positives get fewer pairs.
        reduction: ``"mean"`` over the queries that have a positive, ``"sum"`` or ``"none"``.
        chunk_size: queries ranked at a time; None chooses.

    Time is that of two products of the embeddings and ``B·P·B`` sigmoids; memory one ``B × B``
    matrix, or ``chunk × B`` when that would exceed 256 MB (on a GPU a sixteenth of its memory, at
    most 4 GiB).

    Raises:
        LookalikeError: shapes or arguments that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    Relations:
        :class:`SupAP` keeps a gradient for pairs that are far in the wrong order.

    >>> import torch
    >>> loss = SmoothAP(tau=0.01)
    >>> float(loss(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9])))
    0.0
    """

    def __init__(
        self,
        tau: float = 0.01,
        level: int = 0,
        include_self: bool = True,
        normalize: bool = True,
        *,
        pos_mixup: bool = False,
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
        self.tau = positive(type(self).__name__, "tau", tau)
        self.pos_mixup = pos_mixup

    def steps(self) -> Steps:
        """The sigmoid everywhere."""
        return Steps.smooth(self.tau)

    def score(self, ranked: Ranked) -> Tensor:
        """Average precision of each query."""
        return average_precision(ranked)

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function, with fresh shares for the virtual positives if asked."""
        mixup = self.mixup(positives, pairing.query) if self.pos_mixup else None
        return RankedRows(positives, self.steps(), self.score, mixup)

    def mixup(self, positives: Positives, like: Tensor) -> Tensor:
        """``(B, n(n-1)/2)`` shares of the pairs of positives, uniform in [0, 1)."""
        n = positives.largest
        shape = len(like), n * (n - 1) // 2
        return torch.rand(shape, device=like.device, dtype=like.dtype)


class SupAP(SmoothAP):
    """1 - average precision, bounded from above by ranks that never stop pulling.

    As :class:`SmoothAP`, but an item that does not match pushes a positive down by

    ::

        x <= 0          sigmoid(x / tau)
        0 < x <= delta  start + sigmoid(x / tau)
        x > delta       rho · (x - delta) + offset        x = s_j - s_i

    and one that matches by the exact step (1 where ``x >= 0``, no gradient). Ramzi et al., *Robust
    and decomposable AP*, NeurIPS 2021 (arXiv 2110.01445). The published runs set
    ``offset=1.44`` (on iNaturalist ``offset=1.0, start=0.0``).

    Args:
        tau: temperature of the sigmoid.
        rho: slope of the line, in ranks per unit of cosine; -1 keeps the sigmoid everywhere.
        delta: where the line begins; None begins it at 0, and then needs an ``offset``.
        start: jump just right of 0.
        offset: height of the line at ``delta``; None joins it to the sigmoid.
        level, include_self, normalize, pos_mixup, reduction, chunk_size: as in :class:`SmoothAP`.

    Relations:
        Together with :class:`lookalike.losses.Calibration` it is
        :class:`lookalike.losses.ROADMAP`.

    >>> import torch
    >>> loss = SupAP(offset=1.44)
    >>> float(loss(torch.eye(4)[[0, 1, 0, 1]], torch.tensor([5, 5, 9, 9]))) > 0.3
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        level: int = 0,
        include_self: bool = True,
        normalize: bool = True,
        *,
        pos_mixup: bool = False,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            tau,
            level,
            include_self,
            normalize,
            pos_mixup=pos_mixup,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        check_upper_bound(type(self).__name__, delta, offset)
        self.rho = rho
        self.delta = delta
        self.start = start
        self.offset = offset

    def steps(self) -> Steps:
        """The upper bound for what does not match, the exact step for what does."""
        return Steps.sup(self.tau, self.rho, self.delta, self.start, self.offset)


def average_precision(ranked: Ranked, relevance: Tensor | None = None) -> Tensor:
    """``sum_i h_rank(i) / rank(i)`` over ``sum_i r_i``: AP, or H-AP with graded relevances."""
    if relevance is not None:
        ratio = ranked.h_rank(relevance) / ranked.rank()
        return ratio.sum(dim=1) / relevance.sum(dim=1)
    real = ranked.mask.to(ranked.pivots.dtype)
    among = ranked.h_rank(real)
    # Where all positives are peers, their rank among themselves is a part of the rank.
    rank = ranked.below + among + (1 - real) if ranked.level is None else ranked.rank()
    return (among / rank).sum(dim=1) / real.sum(dim=1)
