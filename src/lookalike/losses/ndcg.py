"""SmoothNDCG and SupNDCG: discounted cumulative gain over soft ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.losses.arguments import positive
from lookalike.losses.rank_loss import RankLoss, Reduction, check_upper_bound
from lookalike.ops.ranks import Ranked, Steps


class SmoothNDCG(RankLoss):
    """1 - normalised discounted cumulative gain, every rank softened by a sigmoid.

    ::

        DCG_b = sum_i (2^t_i - 1) / log2(1 + rank(i))        NDCG_b = DCG_b / ideal DCG_b

    where ``t_i`` counts the label levels that i shares with the query. SupRank (Ramzi et al., arXiv
    2309.08250).

    Args:
        tau: temperature of the sigmoid.
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
    >>> 0 < float(SmoothNDCG()(torch.eye(4), labels)) < 1
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
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
        self.tau = positive(type(self).__name__, "tau", tau)

    def steps(self) -> Steps:
        """The sigmoid everywhere."""
        return Steps.smooth(self.tau)

    def score(self, ranked: Ranked) -> Tensor:
        """NDCG of each query."""
        level = ranked.mask.long() if ranked.level is None else ranked.level
        gain = torch.exp2(level.to(ranked.pivots.dtype)) - 1
        place = torch.arange(2, gain.shape[1] + 2, device=gain.device, dtype=gain.dtype)
        ideal = (gain.sort(dim=1, descending=True).values / place.log2()).sum(dim=1)
        return (gain / torch.log2(1 + ranked.rank())).sum(dim=1) / ideal


class SupNDCG(SmoothNDCG):
    """1 - NDCG, its ranks bounded from above, so that DCG is bounded from below.

    Args:
        tau, rho, delta, start, offset: as in :class:`lookalike.losses.SupAP`.
        level, include_self, normalize, reduction, chunk_size: as in :class:`SmoothNDCG`.

    >>> import torch
    >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
    >>> 0 < float(SupNDCG(offset=1.44)(torch.eye(4), labels)) < 1
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        level: int | None = None,
        include_self: bool = True,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            tau, level, include_self, normalize, reduction=reduction, chunk_size=chunk_size
        )
        check_upper_bound(type(self).__name__, delta, offset)
        self.rho = rho
        self.delta = delta
        self.start = start
        self.offset = offset

    def steps(self) -> Steps:
        """The upper bound for lower items, the exact step for the others."""
        return Steps.sup(self.tau, self.rho, self.delta, self.start, self.offset)
