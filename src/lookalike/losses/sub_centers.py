"""Proxy losses with several proxies a class, and the names that faces are trained under."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.losses.arguments import between, positive
from lookalike.losses.class_vectors import ProxyLoss, uniform_rows
from lookalike.losses.softmax import AdditiveMarginSoftmax, ArcFace


class CosFace(AdditiveMarginSoftmax):
    """CosFace: :class:`AdditiveMarginSoftmax` with the settings of its paper.

    ::

        L_i = -ln softmax(scale · (cos(x_i, w_c) - margin · [c = y_i]))_y

    Wang et al., *CosFace*, CVPR 2018, eq. 4 (arXiv 1801.09414).

    Args:
        num_classes: training classes.
        embedding_size: width D.
        margin: in cosines, 0 to 2.
        scale: factor of all logits.
        level: the label column to classify.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`ArcFace` puts the margin on the angle.

    >>> loss = CosFace(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        margin: float = 0.35,
        scale: float = 64.0,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(
            num_classes,
            embedding_size,
            scale=scale,
            margin=margin,
            level=level,
            normalize=normalize,
        )


class SubCenterArcFace(ArcFace):
    """Sub-center ArcFace: a class has several proxies, of which the nearest counts.

    ::

        as ArcFace, with cos θ_ic = max over the sub-centres k of class c of cos(x_i, w_ck)

    Deng et al., *Sub-center ArcFace: boosting face recognition by large-scale noisy web faces*,
    ECCV 2020, eq. 3. Wrong labels gather at sub-centres of their own: `get_outliers` names them.

    Args:
        num_classes: training classes.
        embedding_size: width D.
        centers: sub-centres a class; 3 as published.
        scale: factor of all logits.
        margin: in radians, 0 to π.
        level: the label column to classify.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`SoftTriple` weighs the centres of a class softly.

    >>> loss = SubCenterArcFace(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        centers: int = 3,
        scale: float = 64.0,
        margin: float = 0.5,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(
            num_classes,
            embedding_size,
            scale=scale,
            margin=margin,
            centers=centers,
            level=level,
            normalize=normalize,
        )


class SoftTriple(ProxyLoss):
    """SoftTriple: several centres a class, weighted softly, with a margin.

    ::

        L_i = -ln softmax(lambda_ · (S_i - delta · [c = y_i]))_y  +  tau · R
        S_ic = sum over k of softmax_k(cos(x_i, w_ck) / gamma) · cos(x_i, w_ck)
        R = sum over classes and pairs of centres t < s of √(2 - 2 w_t · w_s) / (C · K · (K - 1))

    Qian et al., *SoftTriple loss*, ICCV 2019, eqs. 7 to 10 (arXiv 1909.05235). R lets centres that
    a class does not need fall together.

    Args:
        num_classes: training classes, C.
        embedding_size: width D.
        centers: K; 10 as published.
        lambda_: scale of the logits; 20.
        gamma: how sharply the nearest centre of a class prevails; 0.1.
        delta: margin, in cosines; 0.01.
        tau: weight of R; 0.2.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Relations:
        :class:`NormSoftmax` with ``centers`` above 1 is this without margin and R.

    >>> loss = SoftTriple(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        centers: int = 10,
        lambda_: float = 20.0,
        gamma: float = 0.1,
        delta: float = 0.01,
        tau: float = 0.2,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(
            num_classes, embedding_size, centers=centers, level=level, normalize=normalize
        )
        self.lambda_ = positive("SoftTriple", "lambda_", lambda_)
        self.gamma = positive("SoftTriple", "gamma", gamma)
        self.delta = between("SoftTriple", "delta", delta, 0, 2, "It is in cosines.")
        self.tau = between("SoftTriple", "tau", tau, 0)
        uniform_rows(self.proxies)

    def merged(self, cosines: Tensor) -> Tensor:
        """The mean of a class's cosines, weighted by their softmax."""
        return (torch.softmax(cosines / self.gamma, dim=2) * cosines).sum(dim=2)

    def logits(self, query: Tensor) -> Tensor:
        """``lambda_`` times the similarity to each class."""
        return self.lambda_ * self.class_cosines(query)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        own = F.one_hot(targets, self.num_classes).to(query.dtype)
        loss = F.cross_entropy(self.logits(query) - self.lambda_ * self.delta * own, targets)
        if self.centers == 1 or not self.tau:
            return loss
        return loss + self.tau * self._spread(query.dtype)

    def _spread(self, dtype: torch.dtype) -> Tensor:
        unit = F.normalize(self.proxies.to(dtype), dim=1)
        unit = unit.view(self.num_classes, self.centers, -1)
        first, second = torch.triu_indices(self.centers, self.centers, 1, device=unit.device)
        apart = (unit[:, first] - unit[:, second]).square().sum(dim=2)
        # Where two centres are one, the root has no slope, and they need no pull.
        lengths = apart.clamp_min(torch.finfo(dtype).eps ** 2).sqrt()
        return lengths.sum() / (self.num_classes * self.centers * (self.centers - 1))
