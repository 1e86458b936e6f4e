"""Learned class vectors: what proxy and classification losses share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.calls import NamedArguments
from lookalike.errors import LookalikeError
from lookalike.losses.arguments import between
from lookalike.losses.inputs import Pairing, pair, real, soft_labels


class ProxyLoss(NamedArguments, nn.Module, ABC):
    """A loss that compares a batch with one learned vector (or several) a class.

    The proxies are parameters of the loss: give ``loss.parameters()`` to an optimiser. They stay
    float32 under autocast. A reference set is checked and plays no part: proxies are the reference.

    Attributes:
        proxies: ``(num_classes · centers, embedding_size)``, rows of one class side by side.
    """

    takes_pairs = False
    proxies: nn.Parameter

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        centers: int = 1,
        level: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes, "embedding_size": embedding_size, "centers": centers}
        for name, value in sizes.items():
            between(type(self).__name__, name, value, 1)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.centers = centers
        self.level = level
        self.normalize = normalize
        self.proxies = nn.Parameter(torch.empty(num_classes * centers, embedding_size))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            embeddings: ``(B, embedding_size)``.
            labels: ``(B,)`` or ``(B, L)`` int64; those of ``level`` are codes below num_classes.
            indices_tuple: refused: a proxy loss has no pairs. With ``ref_emb`` it speaks of pairs
                with the reference, and is without effect as that is.
            ref_emb: checked, otherwise without effect.
            ref_labels: as ``ref_emb``.
        """
        batch = self.checked(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        with torch.autocast(batch.query.device.type, enabled=False):
            return self.value(batch.query, self.targets(batch))

    @abstractmethod
    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """The loss of ready embeddings and targets; every proxy loss writes its own."""

    def targets(self, batch: Pairing) -> Tensor:
        """What the embeddings are to be, from their labels: class codes ``(B,)``."""
        return class_codes(type(self).__name__, batch.level(self.level)[0], self.num_classes)

    def checked(self, embeddings: Tensor, labels: Tensor, *rest: Any) -> Pairing:
        """The arguments of a call, normalised and known to fit the proxies."""
        name = type(self).__name__
        batch = pair(name, embeddings, labels, *rest, normalize=self.normalize, numbered=True)
        self.check_width(batch.query)
        return batch

    def cosines(self, query: Tensor) -> Tensor:
        """``(B, num_classes · centers)``: embeddings times normalised proxies."""
        return query @ F.normalize(self.proxies.to(query.dtype), dim=1).T

    def class_cosines(self, query: Tensor) -> Tensor:
        """``(B, num_classes)``: of several proxies a class, what :meth:`merged` makes of them."""
        cosines = self.cosines(query)
        if self.centers == 1:
            return cosines
        return self.merged(cosines.view(-1, self.num_classes, self.centers))

    def merged(self, cosines: Tensor) -> Tensor:
        """``(B, num_classes, centers)`` → ``(B, num_classes)``: the nearest of each class."""
        return cosines.amax(dim=2)

    def logits(self, query: Tensor) -> Tensor:
        """``(B, num_classes)`` of ready embeddings, without any margin."""
        return float(getattr(self, "scale", 1.0)) * self.class_cosines(query)

    def get_logits(self, embeddings: Any) -> Tensor:
        """How much each class is favoured, ``(B, num_classes)``, without any margin.

        Args:
            embeddings: ``(B, embedding_size)``.
        """
        query = real(type(self).__name__, embeddings, "embeddings", self.normalize)
        self.check_width(query)
        with torch.autocast(query.device.type, enabled=False):
            return self.logits(query)

    @torch.no_grad()
    def get_outliers(
        self, embeddings: Any, labels: Any, threshold: float = 75.0
    ) -> tuple[Tensor, Tensor]:
        """Images far from their own class: wrong labels, most likely (Deng et al., ECCV 2020).

        Args:
            embeddings: ``(N, embedding_size)`` of the training images.
            labels: ``(N,)`` or ``(N, L)``.
            threshold: degrees between an image and its class's dominant proxy, that which is
                nearest for most of the class's images; 75 as published.

        Returns:
            the rows beyond, rising; and the dominant proxies ``(num_classes, embedding_size)``,
            zeros for a class without images.
        """
        batch = self.checked(embeddings, labels)
        own = class_codes(type(self).__name__, batch.level(self.level)[0], self.num_classes)
        rows = torch.arange(len(own), device=own.device)
        cosines = self.cosines(batch.query).view(len(own), self.num_classes, self.centers)
        cosines = cosines[rows, own]
        votes = own.new_zeros(self.num_classes * self.centers)
        nearest = own * self.centers + cosines.argmax(dim=1)
        votes = votes.index_add(0, nearest, torch.ones_like(nearest)).view(-1, self.centers)
        dominant = votes.argmax(dim=1)
        far = cosines[rows, dominant[own]] < math.cos(math.radians(threshold))
        table = self.proxies.view(self.num_classes, self.centers, -1)
        centers = table[torch.arange(self.num_classes, device=own.device), dominant]
        return rows[far], centers * (votes.sum(dim=1) > 0)[:, None]

    def check_width(self, query: Tensor) -> None:
        """Refuse embeddings of another width than the proxies."""
        if query.shape[1] != self.embedding_size:
            raise LookalikeError(
                f"{type(self).__name__}: embeddings are {query.shape[1]} wide, but "
                f"embedding_size={self.embedding_size}."
            )

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return f"num_classes={self.num_classes}, embedding_size={self.embedding_size}"


class SoftLabelLoss(ProxyLoss):
    """A proxy loss whose labels may also be shares of classes, ``(B, num_classes)`` of floats."""

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; labels as codes, or soft as ``(B, num_classes)`` of floats."""
        labels = soft_labels(labels)
        if not (isinstance(labels, Tensor) and labels.dtype.is_floating_point):
            return super().forward(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        name = type(self).__name__
        if indices_tuple is not None or ref_emb is not None:
            raise LookalikeError(f"{name}: soft labels go with neither indices_tuple nor ref_emb.")
        query = real(name, embeddings, "embeddings", self.normalize)
        if labels.shape != (len(query), self.num_classes):
            raise LookalikeError(
                f"{name}: soft labels must be ({len(query)}, {self.num_classes}), not "
                f"{tuple(labels.shape)}."
            )
        self.check_width(query)
        with torch.autocast(query.device.type, enabled=False):
            return self.value(query, labels.to(query))


def class_codes(loss: str, labels: Tensor, num_classes: int) -> Tensor:
    """Labels ``(B,)``, all of them within ``0 … num_classes - 1``."""
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise LookalikeError(
            f"{loss}: label {int(labels[row])} in row {row}, but num_classes={num_classes}: labels "
            f"must be codes 0 to {num_classes - 1}. Set num_classes to the number of training "
            "classes, or number the labels from 0 without gaps."
        )
    return labels


def uniform_rows(proxies: Tensor) -> None:
    """Fill with U(-1/√D, 1/√D), as Normalised Softmax and ``nn.Linear`` begin."""
    bound = proxies.shape[-1] ** -0.5
    nn.init.uniform_(proxies, -bound, bound)


def unit_rows(proxies: Tensor) -> None:
    """Fill with Gaussian rows of norm 1, as Proxy Anchor begins."""
    with torch.no_grad():
        proxies.copy_(F.normalize(torch.randn_like(proxies), dim=1))
