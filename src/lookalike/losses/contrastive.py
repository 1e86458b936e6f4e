"""Contrastive losses: on distances (cirtorch) and on cosines (the pair loss of ROADMAP and XBM)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from lookalike.losses.arguments import between, cosine, one_of
from lookalike.losses.inputs import Pairing
from lookalike.losses.pair_loss import RowPairLoss, is_above, mean_active, sum_and_active
from lookalike.losses.pairs import Shares
from lookalike.ops.distances import Distance
from lookalike.ops.row_terms import Sides

Reduction = Literal["sum", "mean", "active", "anchor_mean"]


class Contrastive(RowPairLoss):
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
            :class:`~lookalike.losses.pair_loss.PairLoss`.
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

    def sides(self, batch: Pairing) -> Sides:
        """Squared lengths, so that they and the products make ‖q - r + eps‖²."""
        found = super().sides(batch)
        if self.distance != "euclidean" or not found:
            return found
        of_query, of_reference = found
        moved = 2 * self.eps * batch.query.sum(dim=1) + batch.query.shape[1] * self.eps**2
        return of_query + moved, of_reference - 2 * self.eps * batch.reference.sum(dim=1)

    def of_products(self, batch: Pairing, products: Tensor, *sides: Tensor) -> Tensor:
        """Similarities; for the Euclidean distance its square, less than zero."""
        if self.distance != "euclidean":
            return super().of_products(batch, products, *sides)
        squared = 2 * products - (sides[0][:, None] + sides[1][None, :])
        # Equal vectors are eps apart in every component, whatever rounding makes of this sum.
        return squared.clamp_max(-batch.query.shape[1] * self.eps**2)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query: positives' sum and active ones, negatives', and how many pairs it has."""
        square, distance = self._distances(matrix)
        near = sum_and_active(square / 2, pairs.positive)
        far = sum_and_active((self.margin - distance).relu().square() / 2, pairs.negative)
        count = (pairs.positive + pairs.negative).sum(dim=1)
        return torch.stack([*near, *far, count], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        near, near_active, far, far_active, count = terms.T
        if self.reduction == "active":
            return mean_active(near, near_active) + mean_active(far, far_active)
        sums = near + far
        if self.reduction == "anchor_mean":  # a query without any pair counts 0
            return (sums / count.clamp_min(1)).sum() / max(1, len(count))
        return sums.sum() if self.reduction == "sum" else sums.sum() / count.sum().clamp_min(1)

    def _distances(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distances and distances."""
        if self.distance == "euclidean":
            return -matrix, (-matrix).sqrt()
        distances = (1 - matrix if self.distance == "cosine" else -matrix).clamp_min(self.eps)
        return distances.square(), distances


class PairContrastive(RowPairLoss):
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

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, its positives' sum and its negatives'."""
        near = (1 - matrix) * (pairs.positive * is_above(-matrix, self.eps - 1))
        far = matrix * (pairs.negative * is_above(matrix, self.margin))
        return torch.stack([near.sum(dim=1), far.sum(dim=1)], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms.sum() / max(1, len(terms))
