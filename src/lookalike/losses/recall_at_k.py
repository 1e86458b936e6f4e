"""RecallAtK: the recall@k surrogate of Patel et al., with SiMix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lookalike.errors import LookalikeError, counted
from lookalike.losses.arguments import cut_offs, positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.rank_loss import RankLoss, Reduction
from lookalike.ops.labels import same_label
from lookalike.ops.positives import SelfRole
from lookalike.ops.ranks import Ranked, Steps


class RecallAtK(RankLoss):
    """1 - mean over k of recall at k, by two sigmoids.

    ::

        R@k_b = min( sum over i in P_b of sigmoid((k - rank(i)) / temp_k), k ) / min(k, |P_b|)

    with ranks of temperature ``temp_s``. Patel et al., *Recall@k surrogate loss*, CVPR 2022
    (arXiv 2108.11179). As published, the query takes a place in its own ranking (its best match has
    rank 2) but is not one of its positives; the loss can therefore not reach 0.

    Args:
        k: the cut-offs, averaged; each is cut at the batch size.
        temp_k: temperature of the sigmoid of ranks, in places; one number, or one for each k.
        temp_s: temperature of the sigmoid of scores.
        simmix: add to the batch the mixes ``a·x + (1-a)·y`` of all pairs of a class, ``a`` uniform
            in [0, 1), drawn at every call; they serve as queries, positives and negatives.
        level: label column that says who matches.
        normalize: divide embeddings by their norm first (mixes are not normalised again).
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (with ``simmix`` the mixes come last).
        chunk_size: queries ranked at a time; None chooses.

    Raises:
        LookalikeError: arguments or shapes that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    >>> import torch
    >>> loss = RecallAtK(k=(1, 2))
    >>> 0 < float(loss(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9]))) < 1
    True
    """

    def __init__(
        self,
        k: Sequence[int] = (1, 2, 4, 8, 16),
        temp_k: float | Sequence[float] = 1.0,
        temp_s: float = 0.01,
        simmix: bool = False,
        level: int = 0,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            level=level,
            include_self=False,
            normalize=normalize,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        name = type(self).__name__
        self.k = cut_offs(name, "k", k)
        temps = tuple(temp_k) if isinstance(temp_k, Sequence) else (temp_k,) * len(self.k)
        if len(temps) != len(self.k):
            raise LookalikeError(
                f"{name}: temp_k has {counted(len(temps), 'number')} for {len(self.k)} k."
            )
        self.temp_k = tuple(positive(name, "temp_k", temp) for temp in temps)
        self.temp_s = positive(name, "temp_s", temp_s)
        self.simmix = simmix
        self._real = 0

    def of_pairing(self, pairing: Pairing) -> Tensor:
        """The loss of inputs already checked."""
        self._real = len(pairing.query)
        return super().of_pairing(self.mixed(pairing) if self.simmix else pairing)

    def mixed(self, pairing: Pairing) -> Pairing:
        """The batch with the mixes of its pairs appended."""
        query, labels = pairing.query, pairing.query_labels
        codes, _ = pairing.level(self.level or 0)
        first, second = torch.triu(same_label(codes, codes), diagonal=1).nonzero().T
        share = self.shares(len(first), query)[:, None]
        query = torch.cat([query, share * query[first] + (1 - share) * query[second]])
        labels = torch.cat([labels, labels[first]])
        if pairing.is_self:
            return replace(
                pairing,
                query=query,
                reference=query,
                query_labels=labels,
                reference_labels=labels,
            )
        # No reference is a mix, and a mix may meet whatever one of its two images may.
        own, candidates = pairing.own, pairing.candidates
        if own is not None:
            own = torch.cat([own, own.new_full((len(first),), -1)])
        if candidates is not None:
            candidates = torch.cat([candidates, candidates[first] | candidates[second]])
        return replace(pairing, query=query, query_labels=labels, own=own, candidates=candidates)

    def shares(self, pairs: int, like: Tensor) -> Tensor:
        """``a`` of each pair, uniform in [0, 1)."""
        return torch.rand(pairs, device=like.device, dtype=like.dtype)

    def self_role(self, pairing: Pairing) -> SelfRole:
        """The query takes a place, but is no positive."""
        return "competitor" if pairing.knows_self else "positive"

    def steps(self) -> Steps:
        """The sigmoid everywhere."""
        return Steps.smooth(self.temp_s)

    def score(self, ranked: Ranked) -> Tensor:
        """Recall of each query, averaged over the cut-offs."""
        rank = ranked.rank()
        count = ranked.mask.sum(dim=1)
        found = []
        for k, temp in zip(self.k, self.temp_k, strict=True):
            k = min(k, self._real)
            inside = (torch.sigmoid((k - rank) / temp) * ranked.mask).sum(dim=1)
            found.append(inside.clamp(max=k) / count.clamp(max=k))
        return torch.stack(found).mean(dim=0)
