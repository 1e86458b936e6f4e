"""Classification losses over classes: normalised softmax, margins, and plain cross-entropy."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.losses.arguments import angle, between, one_of, positive
from lookalike.losses.class_vectors import ProxyLoss, SoftLabelLoss, uniform_rows, unit_rows


class NormSoftmax(ProxyLoss):
    """Normalised softmax: cross-entropy over cosines to one or several proxies a class.

    ::

        L_i = -ln softmax(z_i)_y        z_ic = cos(x_i, w_c) / temperature

    Zhai and Wu, *Classification is a strong baseline for deep metric learning*, BMVC 2019
    (arXiv 1811.12649); the cluster loss of HAPPIER. With several centres a class, its logit is
    the mean of its cosines weighted by their softmax at ``temperature_centers`` (SoftTriple, Qian
    et al., ICCV 2019, arXiv 1909.05235).

    Args:
        num_classes: training classes; labels are codes below it.
        embedding_size: width D of the embeddings.
        temperature: 0.05 as published; 1/32 in PP.
        centers: proxies a class.
        temperature_centers: how sharply the nearest centre of a class prevails.
        unit_proxies: proxies start as Gaussian rows of norm 1, as in Positive Proxy's code; False,
            as published: entries of U(-1/√D, 1/√D), rows of norm about 0.58. Only directions
            enter the loss, but a step turns a longer row less.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Raises:
        LookalikeError: a label outside the classes, an embedding of another width.

    Relations:
        The strongest simple baseline; :class:`ArcFace` adds a margin, :class:`ProxyAnchor` compares
        each proxy with the whole batch.

    >>> loss = NormSoftmax(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        temperature: float = 0.05,
        centers: int = 1,
        *,
        temperature_centers: float = 0.1,
        unit_proxies: bool = False,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(
            num_classes, embedding_size, centers=centers, level=level, normalize=normalize
        )
        self.temperature = positive("NormSoftmax", "temperature", temperature)
        self.temperature_centers = positive(
            "NormSoftmax", "temperature_centers", temperature_centers
        )
        (unit_rows if unit_proxies else uniform_rows)(self.proxies)

    def merged(self, cosines: Tensor) -> Tensor:
        """The mean of a class's cosines, weighted by their softmax."""
        share = torch.softmax(cosines / self.temperature_centers, dim=2)
        return (share * cosines).sum(dim=2)

    def logits(self, query: Tensor) -> Tensor:
        """Cosines over the temperature."""
        return self.class_cosines(query) / self.temperature

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return F.cross_entropy(self.logits(query), targets)


class ArcFace(ProxyLoss):
    """ArcFace: the angle to the own proxy must win by a margin.

    ::

        L_i = -ln softmax(z_i)_y        z_iy = scale · cos(θ_iy + margin),  z_ic = scale · cos θ_ic

    Deng et al., *ArcFace*, CVPR 2019, eq. 3 (arXiv 1801.07698). Where ``θ + margin`` passes π the
    own logit goes on straight as ``cos θ - margin · sin(margin)``; with ``easy_margin`` it is
    plain ``cos θ`` wherever θ is above π/2.

    Args:
        num_classes: training classes.
        embedding_size: width D.
        scale: factor of all logits.
        margin: in radians, 0 to π; 28.6 degrees, the default of pytorch-metric-learning, is 0.5.
        easy_margin: put the margin only on embeddings on their proxy's side.
        label_smoothing: ε in 0 to 1.
        smoothing: where ε acts. ``"logits"`` (as published with SupRank) mixes margin and plain
            logits of every class by the smoothed one-hot; ``"targets"`` is cross-entropy's own.
        centers: proxies a class, of which the nearest counts: :class:`SubCenterArcFace`.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Relations:
        :class:`AdditiveMarginSoftmax` puts the margin on the cosine; :class:`NormSoftmax` has none.

    >>> loss = ArcFace(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 30.0,
        margin: float = 0.5,
        easy_margin: bool = False,
        label_smoothing: float = 0.0,
        smoothing: Literal["logits", "targets"] = "logits",
        centers: int = 1,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(
            num_classes, embedding_size, centers=centers, level=level, normalize=normalize
        )
        name = type(self).__name__
        one_of(name, "smoothing", smoothing, ("logits", "targets"))
        self.scale = positive(name, "scale", scale)
        self.margin = angle(name, "margin", margin)
        self.easy_margin = easy_margin
        self.label_smoothing = between(name, "label_smoothing", label_smoothing, 0, 1)
        self.smoothing = smoothing
        uniform_rows(self.proxies)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        cosines = self.class_cosines(query)
        if self.smoothing == "logits" and self.label_smoothing > 0:
            hot = F.one_hot(targets, self.num_classes).to(cosines.dtype)
            share = (1 - self.label_smoothing) * hot + self.label_smoothing / self.num_classes
            logits = share * self._with_margin(cosines) + (1 - share) * cosines
            return F.cross_entropy(self.scale * logits, targets)
        own = targets[:, None]
        logits = cosines.scatter(1, own, self._with_margin(cosines.gather(1, own)))
        return F.cross_entropy(self.scale * logits, targets, label_smoothing=self.label_smoothing)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        # The sine's slope is infinite at 0; the clamp makes it 0 there and changes no value.
        sine = (1 - cosine.square()).clamp_min(torch.finfo(cosine.dtype).tiny).sqrt()
        moved = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        if self.easy_margin:
            return torch.where(cosine > 0, moved, cosine)
        past_pi = cosine - self.margin * math.sin(math.pi - self.margin)
        return torch.where(cosine > math.cos(math.pi - self.margin), moved, past_pi)


class AdditiveMarginSoftmax(SoftLabelLoss):
    """Additive-margin softmax: the cosine to the own proxy must win by a margin.

    ::

        L_i = -sum over c of t_ic · ln softmax(scale · (z_i - margin · t_i))_c
        z_ic = cos(x_i, w_c),   t_i the one-hot label, or a soft one

    Wang et al., *Additive margin softmax for face verification*, 2018 (arXiv 1801.05599).

    Args:
        num_classes: training classes.
        embedding_size: width D.
        scale: factor of all logits.
        margin: in cosines, 0 to 2.
        normalize_proxies: False, with ``bias=True``, gives the linear classifier that PSS trains.
        bias: add a learned bias to every class.
        level: the label column to classify.
        normalize: divide embeddings by their norm first.

    Labels may also be a floating matrix ``(B, num_classes)`` of soft labels.

    Relations:
        :class:`ArcFace` puts the margin on the angle.

    >>> loss = AdditiveMarginSoftmax(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 30.0,
        margin: float = 0.3,
        normalize_proxies: bool = True,
        bias: bool = False,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_classes, embedding_size, level=level, normalize=normalize)
        name = type(self).__name__
        self.scale = positive(name, "scale", scale)
        self.margin = between(name, "margin", margin, 0, 2, "It is in cosines, not degrees.")
        self.normalize_proxies = normalize_proxies
        uniform_rows(self.proxies)
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None

    def logits(self, query: Tensor) -> Tensor:
        """Scaled cosines, or products with the proxies as they are, and the bias."""
        return self.scale * self._unscaled(query)

    def _unscaled(self, query: Tensor) -> Tensor:
        if self.normalize_proxies:
            logits = self.cosines(query)
        else:
            logits = query @ self.proxies.to(query.dtype).T
        return logits if self.bias is None else logits + self.bias.to(query.dtype)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        logits = self._unscaled(query)
        if targets.is_floating_point():
            logits = logits - self.margin * targets
        else:
            own = targets[:, None]
            logits = logits.scatter_add(1, own, torch.full_like(logits[:, :1], -self.margin))
        return F.cross_entropy(self.scale * logits, targets)


class CrossEntropy(SoftLabelLoss):
    """Cross-entropy of a linear classifier on the embedding.

    ::

        L_i = -sum over c of t_ic · ln softmax(x_i · w_c + b_c)_c

    with t the one-hot label, or a soft one. The class vectors are free in norm.

    Args:
        num_classes: training classes.
        embedding_size: width D.
        level: the label column to classify.
        normalize: divide embeddings by their norm first.

    Labels may also be a floating matrix ``(B, num_classes)`` of soft labels.

    Relations:
        :class:`NormSoftmax` also normalises the class vectors, and retrieves better.

    >>> loss = CrossEntropy(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self, num_classes: int, embedding_size: int, *, level: int = 0, normalize: bool = True
    ) -> None:
        super().__init__(num_classes, embedding_size, level=level, normalize=normalize)
        uniform_rows(self.proxies)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def logits(self, query: Tensor) -> Tensor:
        """The linear classifier's."""
        return F.linear(query, self.proxies.to(query.dtype), self.bias.to(query.dtype))

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return F.cross_entropy(self.logits(query), targets)
