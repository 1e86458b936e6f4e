"""SmoothRecall and SupRecall: recall at k over soft ranks, for classes of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lookalike.losses.arguments import cut_offs, positive
from lookalike.losses.average_precision import SmoothAP, SupAP
from lookalike.losses.rank_loss import Reduction
from lookalike.ops.ranks import Ranked


class SmoothRecall(SmoothAP):
    """1 - mean over k of recall at k, every rank softened by a sigmoid.

    ::

        R@k_b = sum over i in P_b of sigmoid((k - rank(i)) / temp)  /  min(|P_b|, k)

    SupRank (Ramzi et al., arXiv 2309.08250). Classes may be of any size.

    Args:
        tau: temperature of the sigmoid of scores.
        at_k: the cut-offs, averaged.
        temp: temperature of the sigmoid of ranks, in places.
        level, include_self, normalize, pos_mixup, reduction, chunk_size: as in
            :class:`lookalike.losses.SmoothAP`.

    Relations:
        :class:`lookalike.losses.RecallAtK` is the surrogate of Patel et al., where the query takes
        a place but is not one of its positives.

    >>> import torch
    >>> loss = SmoothRecall(at_k=(1, 2))
    >>> 0 < float(loss(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9]))) < 0.5
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
        at_k: Sequence[int] = (1, 2, 4, 8, 16),
        temp: float = 1.0,
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
        self.at_k = cut_offs(type(self).__name__, "at_k", at_k)
        self.temp = positive(type(self).__name__, "temp", temp)

    def score(self, ranked: Ranked) -> Tensor:
        """Recall of each query, averaged over the cut-offs."""
        return recall(ranked, self.at_k, self.temp)


class SupRecall(SupAP):
    """1 - mean over k of recall at k, its ranks bounded from above.

    Args:
        tau, rho, delta, start, offset: as in :class:`lookalike.losses.SupAP`.
        at_k, temp: as in :class:`SmoothRecall`.
        level, include_self, normalize, pos_mixup, reduction, chunk_size: as in
            :class:`lookalike.losses.SmoothAP`.

    >>> import torch
    >>> loss = SupRecall(at_k=(1, 2))
    >>> 0 < float(loss(torch.eye(4), torch.tensor([5, 5, 9, 9]))) < 1
    True
    """

    def __init__(
        self,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        at_k: Sequence[int] = (1, 2, 4, 8, 16),
        temp: float = 1.0,
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
            rho,
            delta,
            start,
            offset,
            level,
            include_self,
            normalize,
            pos_mixup=pos_mixup,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        self.at_k = cut_offs(type(self).__name__, "at_k", at_k)
        self.temp = positive(type(self).__name__, "temp", temp)

    def score(self, ranked: Ranked) -> Tensor:
        """Recall of each query, averaged over the cut-offs."""
        return recall(ranked, self.at_k, self.temp)


def recall(ranked: Ranked, at_k: Sequence[int], temp: float) -> Tensor:
    """Mean over k of the share of the ``min(|P|, k)`` first places that positives take."""
    rank = ranked.rank()
    count = ranked.mask.sum(dim=1)
    found = [
        (torch.sigmoid((k - rank) / temp) * ranked.mask).sum(dim=1) / count.clamp(max=k)
        for k in at_k
    ]
    return torch.stack(found).mean(dim=0)
