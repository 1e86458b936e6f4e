"""Contrastive losses: on distances (cirtorch) and on cosines (the pair loss of ROADMAP and XBM)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from lookalike.losses.arguments import between, cosine, one_of
from lookalike.losses.inputs import Pairing
from lookalike.losses.pairs import Mined, PairLoss, Pairs, apply, mean_nonzero
from lookalike.ops.distances import Distance

Reduction = Literal["sum", "mean", "active", "anchor_mean"]


class Contrastive(PairLoss):
    """Contrastive loss on Euclidean distances.

    ::

        L = 1/2 · sum over positive pairs of d_ij²
          + 1/2 · sum over negative pairs of max(0, margin - d_ij)²
        d_ij = ‖x_i - x_j + eps‖

    Hadsell et al., *Dimensionality reduction by learning an invariant mapping*, CVPR 2006, as
    Radenović et al. train retrieval with it (TPAMI 2018, arXiv 1711.02512).

    Args:
        margin: the distance negatives should keep, 0 to 2 for unit vectors (0.85 with GeM).
        level: the label column that says who is a positive.
        reduction: ``"sum"`` over the pairs, as published, so that the loss grows with the number
            of pairs; ``"mean"`` divides by that number; ``"active"`` adds the mean over the
            positive pairs above 0 and that over the negative ones, as pytorch-metric-learning does;
            ``"anchor_mean"`` is the mean over queries of the mean over their pairs.
        distance: of d; of a similarity, d is 1 less the cosine, or the product less than zero. See
            :class:`~lookalike.losses.pairs.PairLoss`.
        eps: added to every component of the difference; keeps the gradient finite at distance 0.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`Calibration` works on cosines and averages; :class:`Triplet` needs no absolute
        margin.

    >>> import torch
    >>> x, y = torch.eye(2), torch.tensor([0, 0])
    >>> round(float(Contrastive()(x, y)), 4)  # two ordered pairs, half of a squared distance of 2
    2.0
    """

    def __init__(
        self,
        margin: float = 0.7,
        level: int = 0,
        reduction: Reduction = "sum",
        *,
        distance: Distance = "euclidean",
        eps: float = 1e-6,
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        one_of("Contrastive", "reduction", reduction, get_args(Reduction))
        self.margin = between("Contrastive", "margin", margin, 0)
        self.reduction = reduction
        self.eps = eps

    def value(self, batch: Pairing, pairs: Pairs | Mined) -> Tensor:
        """See the class."""
        positive, negative = apply(
            self._squared(batch),
            pairs,
            lambda square: square / 2,
            lambda square: (self.margin - square.sqrt()).relu().square() / 2,
        )
        if self.reduction == "active":
            return mean_nonzero(positive) + mean_nonzero(negative)
        if self.reduction == "anchor_mean":
            return anchor_mean(positive, negative, pairs, len(batch.query))
        total = positive.sum() + negative.sum()
        return total if self.reduction == "sum" else total / max(1, _count(pairs))

    def _squared(self, batch: Pairing) -> Tensor:
        """``(B, M)`` squared distances."""
        if self.distance != "euclidean":
            distances = -self.similarities(batch)
            if self.distance == "cosine":
                distances = 1 + distances
            return distances.clamp_min(self.eps).square()
        query = batch.query + self.eps
        reference = batch.reference
        squared = (
            query.square().sum(dim=1)[:, None]
            + reference.square().sum(dim=1)[None, :]
            - 2 * query @ reference.T
        )
        # Equal vectors are eps apart in every component, whatever rounding makes of the sum above.
        return squared.clamp_min(query.shape[1] * self.eps**2)


class PairContrastive(PairLoss):
    """Contrastive loss on cosines, with a margin for negatives only.

    ::

        L = 1/B · sum over positive pairs with s_ij < 1 - eps of (1 - s_ij)
          + 1/B · sum over negative pairs with s_ij > margin of s_ij

    The loss of XBM (Wang et al., CVPR 2020, arXiv 1912.06798) and the pair loss of ROADMAP. Sums
    over pairs, divided by the batch: its scale grows with the number of references.

    Args:
        margin: negatives below this cosine are left alone; above it they jump to their full cosine.
        level: the label column that says who is a positive.
        eps: positives nearer to 1 than this are copies and count nothing.
        distance: ``"cosine"``, ``"dot"`` or a function that gives similarities.
        normalize: divide embeddings by their norm first.

    Relations:
        Made for :class:`CrossBatchMemory`; without one :class:`Calibration` is better scaled.

    >>> import torch
    >>> PairContrastive()(torch.eye(4), torch.tensor([0, 0, 1, 1]))
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 0.5,
        level: int = 0,
        *,
        eps: float = 1e-5,
        distance: Distance = "cosine",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.margin = cosine("PairContrastive", "margin", margin)
        self.eps = eps

    def value(self, batch: Pairing, pairs: Pairs | Mined) -> Tensor:
        """See the class."""
        positive, negative = apply(
            self.similarities(batch),
            pairs,
            lambda s: (1 - s).masked_fill(s >= 1 - self.eps, 0.0),
            lambda s: s.masked_fill(s <= self.margin, 0.0),
        )
        return (positive.sum() + negative.sum()) / max(1, batch.query.shape[0])


def anchor_mean(positive: Tensor, negative: Tensor, pairs: Pairs | Mined, rows: int) -> Tensor:
    """The mean over queries of the mean over all their pairs; a query without any counts 0."""
    if isinstance(pairs, Mined):
        anchors = torch.cat([pairs.indices[0], pairs.indices[2]])
        terms = torch.cat([positive, negative])
        total = terms.new_zeros(rows).index_add(0, anchors, terms)
        count = terms.new_zeros(rows).index_add(0, anchors, torch.ones_like(terms))
    else:
        total = (positive + negative).sum(dim=1)
        count = (pairs.positive | pairs.negative).sum(dim=1)
    return (total / count.clamp_min(1)).sum() / max(1, rows)


def _count(pairs: Pairs | Mined) -> int:
    """How many pairs there are."""
    if isinstance(pairs, Mined):
        return pairs.indices[0].numel() + pairs.indices[2].numel()
    return int(pairs.positive.sum() + pairs.negative.sum())
