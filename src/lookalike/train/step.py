"""One training step: from a batch of pictures to a loss, gradients and a move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lookalike import distributed
from lookalike.errors import NumericsError
from lookalike.losses.calling import call
from lookalike.losses.memory import CrossBatchMemory


@dataclass
class SupervisedStep:
    """Embed a batch, compare it with its labels, step the optimiser.

    The model runs under autocast; the loss always sees float32. With several processes the
    embeddings of all of them are gathered first, so the loss is that of the whole batch.

    Attributes:
        model: the embedder, perhaps wrapped for several processes.
        loss: ``loss(embeddings, labels)``.
        optimizer: steps model and loss together.
        schedule: stepped once a batch.
        device: where the batch goes.
        precision: autocast's type, or None for float32 throughout.
        clip_norm: largest gradient norm, or None.
    """

    model: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    device: torch.device
    precision: torch.dtype | None = None
    clip_norm: float | None = None

    def __call__(self, batch: dict[str, Any]) -> float:
        """Do one step and return the loss.

        Raises:
            NumericsError: the loss is NaN or infinite; nothing is stepped.
        """
        pictures = batch["pictures"].to(self.device, non_blocking=True)
        labels = batch["labels"].to(self.device, non_blocking=True)
        with torch.autocast(
            self.device.type, dtype=self.precision, enabled=self.precision is not None
        ):
            embeddings = self.model(pictures)
        loss = self._loss(embeddings, labels, batch["index"].to(self.device))
        value = float(loss.detach())
        if value != value or value in (float("inf"), float("-inf")):
            raise NumericsError(
                f"The loss became {value}. Lower optimizer.lr, set optimizer.clip_norm=1, or train "
                "with precision=fp32."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._average_loss_gradients()
        if self.clip_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return value

    def _loss(self, embeddings: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss of the whole batch, on every process."""
        embeddings = distributed.gather(embeddings.float())
        labels = distributed.gather(labels)
        if isinstance(self.loss, CrossBatchMemory):
            return self.loss(embeddings, labels, indices=distributed.gather(index))
        return call(self.loss, embeddings, labels)

    def _average_loss_gradients(self) -> None:
        """Every rank holds the same loss; averaging keeps its parameters equal to the last bit."""
        if not distributed.is_active():
            return
        for parameter in self.loss.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.world_size()
