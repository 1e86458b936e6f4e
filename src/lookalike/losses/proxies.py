"""Proxy losses: each class is one learned vector, and the batch is compared with all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.losses.arguments import between, positive
from lookalike.losses.class_vectors import ProxyLoss, unit_rows
from lookalike.losses.log_sums import FLOOR, log_one_plus, one_plus


class ProxyAnchor(ProxyLoss):
    """Proxy Anchor: every proxy pulls its hardest positives and pushes its hardest negatives.

    ::

        L = mean over classes c of the batch of
                ln(1 + sum over y_i = c of exp(-scale · (cos(x_i, w_c) - margin)))
          + mean over all classes c of
                ln(1 + sum over y_i ≠ c of exp( scale · (cos(x_i, w_c) + margin)))

    Kim et al., *Proxy anchor loss for deep metric learning*, CVPR 2020, eq. 4 (arXiv 2003.13911).

    Args:
        num_classes: training classes; labels are codes below it.
        embedding_size: width D.
        margin: in cosines.
        scale: sharpness of the soft maxima.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Relations:
        Converges faster than :class:`NormSoftmax` on small sets. Published with 100 times the
        learning rate for the proxies.

    >>> import torch
    >>> loss = ProxyAnchor(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        margin: float = 0.1,
        scale: float = 32.0,
        *,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_classes, embedding_size, level=level, normalize=normalize)
        self.margin = between("ProxyAnchor", "margin", margin, 0, 2, "It is in cosines.")
        self.scale = positive(type(self).__name__, "scale", scale)
        unit_rows(self.proxies)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        cosines = self.cosines(query)
        others = (self.scale * (cosines + self.margin)).scatter(1, targets[:, None], FLOOR)
        push = one_plus(others.logsumexp(dim=0))
        return _pull(cosines, targets, self.scale, self.margin) + push.mean()


class PositiveProxy(ProxyLoss):
    """Positive proxy: the pulling half of Proxy Anchor, without margin.

    ::

        L = mean over classes c of the batch of
                ln(1 + sum over y_i = c of exp(-scale · cos(x_i, w_c)))

    The PP loss of leftthomas/ProxyAnchor, 2020. Nothing pushes: all images on one point is its
    optimum, so add a loss that does, or stop early.

    Args:
        num_classes: training classes; labels are codes below it.
        embedding_size: width D.
        scale: sharpness of the soft maximum.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Relations:
        :class:`ProxyAnchor` is this plus repulsion.

    >>> import torch
    >>> loss = PositiveProxy(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        scale: float = 32.0,
        *,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_classes, embedding_size, level=level, normalize=normalize)
        self.scale = positive(type(self).__name__, "scale", scale)
        unit_rows(self.proxies)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return _pull(self.cosines(query), targets, self.scale, 0.0)


class ProxyNCA(ProxyLoss):
    """ProxyNCA++: a softmax over squared distances to all proxies.

    ::

        L_i = -ln softmax(-d_i)_y        d_ic = ‖scale · x_i - scale · w_c‖²

    with x and w on the unit sphere and the own proxy in the denominator too. Teh et al.,
    *ProxyNCA++*, ECCV 2020 (arXiv 2004.01113).

    Args:
        num_classes: training classes; labels are codes below it.
        embedding_size: width D.
        scale: radius of the sphere: a temperature of 1 / (2 scale²) on cosines.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Relations:
        For unit vectors :class:`NormSoftmax` with temperature 1 / (2 scale²).

    >>> import torch
    >>> loss = ProxyNCA(num_classes=10, embedding_size=8)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        scale: float = 3.0,
        *,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_classes, embedding_size, level=level, normalize=normalize)
        self.scale = positive(type(self).__name__, "scale", scale)
        nn.init.normal_(self.proxies, std=1 / 8)

    def logits(self, query: Tensor) -> Tensor:
        """Squared distances less than zero, but for what all of a row have in common."""
        # An embedding's own norm adds the same to all its distances and leaves the softmax alone.
        return 2 * self.scale**2 * self.cosines(query)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return F.cross_entropy(self.logits(query), targets)


def _pull(cosines: Tensor, classes: Tensor, scale: float, margin: float) -> Tensor:
    """The mean over the batch's classes of the soft maximum of their images' distances."""
    present, number = classes.unique(return_inverse=True)
    own = cosines.gather(1, classes[:, None]).expand(-1, len(present))
    mask = number[:, None] == torch.arange(len(present), device=number.device)
    return log_one_plus(-scale * (own - margin), mask, dim=0).sum() / max(1, len(present))
