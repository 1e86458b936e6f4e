"""Proxy losses: each class is one learned vector, and the batch is compared with all of them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.losses.class_vectors import ProxyLoss, unit_rows
from lookalike.losses.log_sums import log_one_plus


class ProxyAnchor(ProxyLoss):
    r"""Proxy Anchor: every proxy pulls its hardest positives and pushes its hardest negatives.

    .. math:: \frac{1}{|C^+|} \sum_{c} \ln\Big(1 + \sum_{y_i = c} e^{-s(\hat x_i \hat w_c - m)}
        \Big) + \frac{1}{C} \sum_c \ln\Big(1 + \sum_{y_i \ne c} e^{s(\hat x_i \hat w_c + m)}\Big)

    (Kim et al. 2020, eq. 4) with :math:`C^+` the classes of the batch.

    Args:
        num_classes: C.
        embedding_size: width D.
        margin: m, in cosines.
        scale: s.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Example:
        >>> import torch
        >>> loss = ProxyAnchor(num_classes=10, embedding_size=8)
        >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
        torch.Size([])

    Relations: converges faster than ``NormSoftmax`` on small sets; give proxies 100 × the rate.
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
        self.margin = margin
        self.scale = scale
        unit_rows(self.proxies)

    def value(self, query: Tensor, classes: Tensor) -> Tensor:
        """See the class."""
        cosines = self.cosines(query)
        own = F.one_hot(classes, self.num_classes).bool()
        pull = log_one_plus(-self.scale * (cosines - self.margin), own, dim=0)
        push = log_one_plus(self.scale * (cosines + self.margin), ~own, dim=0)
        return pull.sum() / own.any(dim=0).sum().clamp_min(1) + push.sum() / self.num_classes


class PositiveProxy(ProxyLoss):
    r"""Positive proxy: the pulling half of Proxy Anchor, without margin.

    .. math:: \frac{1}{|C^+|} \sum_{c} \ln\Big(1 + \sum_{y_i = c} e^{-s\, \hat x_i \hat w_c}\Big)

    (leftthomas, 2020). Nothing pushes: all pictures on one point is its optimum, so pair it with
    a loss that does, or stop early.

    Args:
        num_classes: C.
        embedding_size: width D.
        scale: s.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Example:
        >>> import torch
        >>> loss = PositiveProxy(num_classes=10, embedding_size=8)
        >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
        torch.Size([])

    Relations: ``ProxyAnchor`` is this plus repulsion.
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
        self.scale = scale
        unit_rows(self.proxies)

    def value(self, query: Tensor, classes: Tensor) -> Tensor:
        """See the class."""
        own = F.one_hot(classes, self.num_classes).bool()
        pull = log_one_plus(-self.scale * self.cosines(query), own, dim=0)
        return pull.sum() / own.any(dim=0).sum().clamp_min(1)


class ProxyNCA(ProxyLoss):
    r"""ProxyNCA++: a softmax over squared distances to all proxies.

    .. math:: -\ln \frac{e^{-d_{iy}}}{\sum_c e^{-d_{ic}}}, \quad d_{ic} = \|s\,\hat x_i - s\,\hat
        w_c\|^2 = 2 s^2 (1 - \hat x_i \hat w_c)

    (Teh et al. 2020) with the own proxy in the denominator too.

    Args:
        num_classes: C.
        embedding_size: width D.
        scale: s, the radius of the sphere; a temperature of 1 / (2 s²) on cosines.
        level: the label column to classify.
        normalize: divide embeddings by their norm first. Proxies always are.

    Example:
        >>> import torch
        >>> loss = ProxyNCA(num_classes=10, embedding_size=8)
        >>> loss(torch.randn(4, 8), torch.tensor([0, 0, 9, 9])).shape
        torch.Size([])

    Relations: for unit vectors ``NormSoftmax`` with temperature 1 / (2 s²).
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
        self.scale = scale
        nn.init.normal_(self.proxies, std=1 / 8)

    def value(self, query: Tensor, classes: Tensor) -> Tensor:
        """See the class."""
        # An embedding's own norm adds the same to all its distances and leaves the softmax alone.
        return F.cross_entropy(2 * self.scale**2 * self.cosines(query), classes)
