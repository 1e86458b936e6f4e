"""The distillation step: a student learns to place images where its teacher does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lookalike import distributed
from lookalike.errors import ConfigError
from lookalike.losses.calling import call
from lookalike.models.precision import at_least_float32, autocast
from lookalike.training.step import SupervisedStep


@dataclass
class Teacher:
    """A network that is asked and never taught: no gradient, no activations, no batch statistics.

    Attributes:
        model: the embedder.
        precision: autocast's type while it is asked, its own affair; None for float32, float64
            for a network turned into float64.
    """

    model: nn.Module
    precision: torch.dtype | None = None

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)
        if self.precision == torch.float64:
            self.model.double()

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` → unit vectors ``(B, D)`` in float32 or float64."""
        with autocast(pictures.device, self.precision):
            return at_least_float32(self.model(pictures))


@dataclass
class Stored:
    """A teacher's embeddings of all training rows; on the device where they are ranked.

    Attributes:
        embeddings: float32 ``(N, D)``.
        labels: int64 ``(N, L)``.
        known: ``(N,)`` bool: rows whose image could be read; the others' embeddings are zeros.
    """

    embeddings: Tensor
    labels: Tensor
    known: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """The embeddings of some rows."""
        return self.embeddings[rows.to(self.embeddings.device)]

    @cached_property
    def gallery(self) -> tuple[Tensor, Tensor]:
        """Embeddings and labels of the rows that could be read."""
        if self.known.all():
            return self.embeddings, self.labels
        return self.embeddings[self.known], self.labels[self.known]


@dataclass
class Ranking:
    """A loss of labels by which images rank a teacher's gallery.

    Attributes:
        loss: of PML's calling convention; it is handed the gallery as its reference.
        weight: of each image's loss.
    """

    loss: nn.Module
    weight: float = 1.0

    def __call__(
        self, queries: Tensor, labels: Tensor, gallery: Tensor, gallery_labels: Tensor
    ) -> Tensor:
        """The weighted loss of ``(B, D)`` queries against ``(M, D)``."""
        value = call(self.loss, queries, labels, ref_emb=gallery, ref_labels=gallery_labels)
        return self.weight * value


@dataclass
class DistillStep(SupervisedStep):
    """Embed a student's views, compare them with the teacher's of the same views.

    The loss is called ``loss(student, teacher)`` on ``(B, P, D)``; it reads no labels. With
    several processes it sees the views of all of them.

    Attributes:
        teacher: embeds the batch's ``teacher_pictures``, ``(B, P, 3, d, d)``.
        stored: or the teacher's embeddings of all training rows, found by ``index``; each image
            then has one view.
        ranking: also rank the teacher's gallery, which is all that is stored, or else the
            teacher's views of the batch. Counted once an image, as the loss is summed over them.
        widths: prefixes of the embedding, each compared with the same prefix of the teacher's.
    """

    teacher: Teacher | None = None
    stored: Stored | None = None
    ranking: Ranking | None = None
    widths: Sequence[int] = ()

    def __post_init__(self) -> None:
        if (self.teacher is None) == (self.stored is None):
            raise ConfigError("DistillStep: give either a teacher or its stored embeddings.")

    def backward(self, batch: dict[str, Any]) -> float:
        """Add the gradients of one batch to what is there, and return its loss.

        Raises:
            NumericsError: the loss is NaN or infinite.
        """
        pictures, own = self.uploads(batch[key] for key in ("pictures", "labels"))
        if pictures.dim() == 4:
            pictures = pictures[:, None]
        shape = pictures.shape[:2]
        wanted = distributed.gather(self._wanted(batch, shape))
        labels = distributed.gather(own)

        def loss_of(embeddings: Tensor) -> Tensor:
            student = distributed.gather(embeddings.unflatten(0, shape))
            parts = [
                self._compared(student[..., :width], wanted[..., :width], labels)
                for width in (*self.widths, wanted.shape[2])
            ]
            return torch.stack(parts).sum()

        return self.descend(pictures.flatten(0, 1), loss_of)

    def _compared(self, student: Tensor, wanted: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``(B, P, width)``, and that of the ranking."""
        value = self.loss(student, wanted)
        if self.ranking is None:
            return value
        labels = labels.repeat_interleave(student.shape[1], dim=0)
        gallery, theirs = wanted.flatten(0, 1), labels
        if self.stored is not None:
            gallery, theirs = self.stored.gallery
            gallery = gallery[:, : student.shape[2]]
        return value + len(student) * self.ranking(student.flatten(0, 1), labels, gallery, theirs)

    def _wanted(self, batch: dict[str, Any], shape: torch.Size) -> Tensor:
        """The teacher's embeddings of the batch, ``(B, P, D)``."""
        if self.teacher is None:
            assert self.stored is not None
            return self.stored.of(batch["index"]).to(self.device)[:, None]
        views = self.uploads([batch["teacher_pictures"]])[0].flatten(0, 1)
        parts = views.split(self.micro_batch or len(views))
        return torch.cat([self.teacher(part) for part in parts]).unflatten(0, shape)
