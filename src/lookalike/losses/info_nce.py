"""Softmaxes over the pairs of a query: NT-Xent, supervised contrastive, and NCA."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.losses.arguments import positive as above_zero
from lookalike.losses.log_sums import log_sum
from lookalike.losses.pair_loss import RowPairLoss, is_above
from lookalike.losses.pairs import Shares
from lookalike.ops.distances import Distance


class NTXent(RowPairLoss):
    """NT-Xent (InfoNCE): each positive alone against all negatives of its query.

    ::

        L = mean over positive pairs (i, p) of
                -ln( exp(s_ip / t) / (exp(s_ip / t) + sum over negatives n of i of exp(s_in / t)) )

    Sohn, *Improved deep metric learning with multi-class N-pair loss*, NeurIPS 2016; van den Oord
    et al., *CPC*, 2018 (arXiv 1807.03748); named in Chen et al., *SimCLR*, ICML 2020
    (arXiv 2002.05709), eq. 1.

    Args:
        temperature: t, in the unit of the similarity.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`SupCon` has the other positives in the denominator too. With two views of each
        image and no labels: :class:`SelfSupervised`.

    >>> import torch
    >>> round(float(NTXent(temperature=1.0)(torch.eye(4), torch.tensor([0, 0, 1, 1]))), 4)  # ln 3
    1.0986
    """

    def __init__(
        self,
        temperature: float = 0.07,
        level: int = 0,
        *,
        distance: Distance = "cosine",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.temperature = above_zero("NTXent", "temperature", temperature)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, the sum over its positives and how many they are."""
        logits = matrix / self.temperature
        away = log_sum(logits, is_above(pairs.negative), 1)[:, None]
        surprise = (F.softplus(away - logits) * pairs.positive).sum(dim=1)
        return torch.stack([surprise, pairs.positive.sum(dim=1)], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms[:, 0].sum() / terms[:, 1].sum().clamp_min(1)


class SupCon(RowPairLoss):
    """Supervised contrastive loss: the positives of a query share one softmax over all pairs.

    ::

        L = mean over queries i with a positive of
                -1/|P_i| · sum over p in P_i of ln( exp(s_ip / t) / sum over a ≠ i of exp(s_ia / t))

    Khosla et al., *Supervised contrastive learning*, NeurIPS 2020, eq. 2 (arXiv 2004.11362).

    Args:
        temperature: t; 0.1 as published.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`NTXent` judges each positive alone; :class:`SmoothAP` counts ranks.

    >>> import torch
    >>> round(float(SupCon(temperature=1.0)(torch.eye(4), torch.tensor([0, 0, 1, 1]))), 4)  # ln 3
    1.0986
    """

    def __init__(
        self,
        temperature: float = 0.1,
        level: int = 0,
        *,
        distance: Distance = "cosine",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.temperature = above_zero("SupCon", "temperature", temperature)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, the mean over its positives and whether it has one."""
        logits = matrix / self.temperature
        positive, negative = is_above(pairs.positive), is_above(pairs.negative)
        every = log_sum(logits, is_above(positive + negative), 1)
        count = positive.sum(dim=1)
        mean = every - (logits * positive).sum(dim=1) / count.clamp_min(1)
        exists = is_above(count)
        return torch.stack([mean * exists, exists], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms[:, 0].sum() / terms[:, 1].sum().clamp_min(1)


class NCA(RowPairLoss):
    """Neighbourhood components analysis: the chance to draw a neighbour of one's own class.

    ::

        L = mean over queries i with a positive of
                -ln sum over p in P_i of softmax(-scale · d_i²)_p,   all others in the softmax

    Goldberger et al., *Neighbourhood components analysis*, NeurIPS 2004, in its logarithmic form
    (eq. 6); d is the Euclidean distance.

    Args:
        scale: sharpness; 1 as published.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`ProxyNCA` has one learned neighbour a class.

    >>> import torch
    >>> round(float(NCA()(torch.eye(4), torch.tensor([0, 0, 1, 1]))), 4)  # one of three: ln 3
    1.0986
    """

    def __init__(
        self,
        scale: float = 1.0,
        level: int = 0,
        *,
        distance: Distance = "squared",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.scale = above_zero("NCA", "scale", scale)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, its surprise and whether it has a positive."""
        logits = self.scale * matrix
        positive = is_above(pairs.positive)
        every = is_above(pairs.positive + pairs.negative)
        exists = is_above(positive.sum(dim=1))
        surprise = log_sum(logits, every, 1) - log_sum(logits, positive, 1)
        return torch.stack([surprise * exists, exists], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms[:, 0].sum() / terms[:, 1].sum().clamp_min(1)
