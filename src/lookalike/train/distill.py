"""The distillation step: a student learns to place pictures where its teacher does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lookalike import distributed
from lookalike.errors import ConfigError
from lookalike.train.step import SupervisedStep


@dataclass
class Teacher:
    """A network that is asked and never taught: no gradient, no activations, no batch statistics.

    Attributes:
        model: the embedder.
        precision: autocast's type while it is asked, its own affair; None for float32.
    """

    model: nn.Module
    precision: torch.dtype | None = None

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures ``(B, 3, H, W)`` → unit vectors ``(B, D)`` in float32."""
        with torch.autocast(
            pictures.device.type, dtype=self.precision, enabled=self.precision is not None
        ):
            return self.model(pictures).float()


@dataclass
class DistillStep(SupervisedStep):
    """Embed a student's views, compare them with the teacher's of the same views.

    The loss is called ``loss(student, teacher)`` on ``(B, P, D)``; labels are not read. With
    several processes it sees the views of all of them.

    Attributes:
        teacher: embeds the batch's ``teacher_pictures``, ``(B, P, 3, d, d)``.
        targets: or the teacher's embeddings of all training rows, ``(N, D)``, found by ``index``;
            each picture then has one view.
    """

    teacher: Teacher | None = None
    targets: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.teacher is None) == (self.targets is None):
            raise ConfigError("DistillStep: give either a teacher or its stored embeddings.")

    def backward(self, batch: dict[str, Any]) -> float:
        """Add the gradients of one batch to what is there, and return its loss.

        Raises:
            NumericsError: the loss is NaN or infinite.
        """
        pictures = batch["pictures"].to(self.device, non_blocking=True)
        if pictures.dim() == 4:
            pictures = pictures[:, None]
        shape = pictures.shape[:2]
        wanted = distributed.gather(self._wanted(batch, shape))

        def loss_of(embeddings: Tensor) -> Tensor:
            return self.loss(distributed.gather(embeddings.unflatten(0, shape)), wanted)

        return self.descend(pictures.flatten(0, 1), loss_of)

    def _wanted(self, batch: dict[str, Any], shape: torch.Size) -> Tensor:
        """The teacher's embeddings of the batch, ``(B, P, D)``."""
        if self.teacher is None:
            assert self.targets is not None
            return self.targets[batch["index"]].to(self.device)[:, None]
        views = batch["teacher_pictures"].to(self.device, non_blocking=True).flatten(0, 1)
        parts = views.split(self.micro_batch or len(views))
        return torch.cat([self.teacher(part) for part in parts]).unflatten(0, shape)
