"""One training step: batches of images to a loss, gradients, and a move of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lookalike import distributed
from lookalike.errors import NumericsError
from lookalike.losses.calling import call
from lookalike.losses.memory import CrossBatchMemory
from lookalike.losses.self_supervised import SelfSupervised
from lookalike.models.precision import at_least_float32, autocast
from lookalike.models.transfers import Arriving, Uploads
from lookalike.training.big_batch import Buffers, two_pass
from lookalike.training.mined import mined_triplets
from lookalike.training.optimizers import Optimizers, Schedule


@dataclass
class SupervisedStep:
    """Embed batches, compare them with their labels, move model and loss.

    The model runs under autocast; the loss sees float32, or float64 from a network in it. With
    several processes the embeddings of all of them are gathered first, so the loss is that of the
    whole batch.

    Attributes:
        model: the embedder, perhaps wrapped for several processes.
        loss: ``loss(embeddings, labels)``.
        optimizers: step model and loss.
        schedule: sets their rates.
        device: where the batch goes.
        precision: autocast's type; None for float32 throughout, float64 for a model and a loss
            that are in float64.
        scaler: scales the loss, for float16; None elsewhere.
        clip_norm: largest gradient norm of the network, or None. Proxies are left out, as in
            HAPPIER and SupRank: their gradients are of another scale.
        micro_batch: images that pass the network at a time; None: all. See
            :func:`~lookalike.training.big_batch.two_pass`.
        recomputes: the model computes its activations a second time on the way back.
        negatives: rows that the sampler mined for each anchor of a batch; the loss is then given
            the triplets they make. See :func:`~lookalike.training.mined.mined_triplets`.
        accumulate: what a step takes of several batches' gradients: their mean, or their sum.
    """

    model: nn.Module
    loss: nn.Module
    optimizers: Optimizers
    schedule: Schedule
    device: torch.device
    precision: torch.dtype | None = None
    scaler: torch.amp.GradScaler | None = None
    clip_norm: float | None = None
    micro_batch: int | None = None
    recomputes: bool = False
    negatives: int = 0
    accumulate: str = "mean"
    value: float = math.nan  # of the latest batch's loss

    @cached_property
    def uploads(self) -> Uploads:
        """What brings batches to the device."""
        return Uploads(self.device)

    def backward(self, batch: dict[str, Any]) -> float:
        """Add the gradients of one batch to what is there, and return its loss.

        Raises:
            NumericsError: the loss is NaN or infinite.
        """
        pictures, labels, index = self.uploads(batch[k] for k in ("pictures", "labels", "index"))
        return self.descend(pictures, lambda embeddings: self._loss(embeddings, labels, index))

    def descend(self, pictures: Tensor, loss_of: Callable[[Tensor], Tensor]) -> float:
        """Add the gradients of a loss of images' embeddings, and return its value.

        Args:
            pictures: ``(B, 3, H, W)``, where the model is; in parts if ``micro_batch`` says so.
            loss_of: ``(B, D)`` embeddings → loss.

        Raises:
            NumericsError: the loss is NaN or infinite.
        """
        found: list[Arriving] = []

        def noted(embeddings: Tensor) -> Tensor:
            loss = loss_of(embeddings)
            found.append(Arriving(loss))
            return loss

        if self.micro_batch is not None and len(pictures) > self.micro_batch:
            parts = pictures.split(self.micro_batch)
            two_pass(self.embed, noted, self._back, parts, self.model, self._sync)
        else:
            loss = noted(self.embed(pictures))
            with self._statistics_kept():
                self._back(loss)
        # Read after the way back was asked for: a GPU has work while the host looks at the value.
        self.value = float(found[0].read())
        _refuse_non_finite(self.value)
        return self.value

    def update(self, done: int, epoch: int, batches: int = 1) -> None:
        """Move by the mean (or sum) of the gradients of the batches since the last update.

        In this order: the rates of this step, the mean over processes, that over batches,
        unscaling, clipping, the step of each optimiser, the new scale.

        Args:
            done: updates before this one.
            epoch: epochs before this one.
            batches: how many :meth:`backward` there were.
        """
        self.schedule.apply(done, epoch)
        self._average_loss_gradients()
        moving = self.optimizers.with_gradients()
        if batches > 1 and self.accumulate == "mean":
            for group in self.optimizers.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad /= batches
        if self.scaler is not None:
            for optimizer in moving:
                self.scaler.unscale_(optimizer)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        for optimizer in moving:
            self.scaler.step(optimizer) if self.scaler is not None else optimizer.step()
        if self.scaler is not None and moving:
            self.scaler.update()
        self.forget()

    def forget(self) -> None:
        """Drop the gradients that are there."""
        self.optimizers.zero_grad()

    def embed(self, pictures: Tensor) -> Tensor:
        """The model under autocast; what comes out is float32, or float64 as its weights are."""
        with autocast(self.device, self.precision):
            return at_least_float32(self.model(pictures))

    def _loss(self, embeddings: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss of the whole batch, on every process."""
        embeddings = distributed.gather(embeddings)
        labels = distributed.gather(labels)
        if isinstance(self.loss, CrossBatchMemory):
            return self.loss(embeddings, labels, indices=distributed.gather(index))
        if isinstance(self.loss, SelfSupervised):
            return self.loss.of_images(embeddings, distributed.gather(index))
        if self.negatives:
            column = labels[:, getattr(self.loss, "level", 0)] if labels.dim() == 2 else labels
            triplets = mined_triplets(column, self.negatives, distributed.world_size())
            return call(self.loss, embeddings, labels, triplets)
        return call(self.loss, embeddings, labels)

    def _back(self, value: Tensor, gradient: Tensor | None = None) -> None:
        """Back-propagate a loss, or embeddings with their (already scaled) gradient."""
        if not value.requires_grad:  # everything before it stands still
            return
        if gradient is None and self.scaler is not None:
            value = self.scaler.scale(value)
        value.backward(gradient)

    @contextmanager
    def _sync(self, together: bool) -> Iterator[None]:
        """Processes average their gradients on the way back only where ``together``."""
        if isinstance(self.model, DistributedDataParallel) and not together:
            with self.model.no_sync():
                yield
        else:
            yield

    @contextmanager
    def _statistics_kept(self) -> Iterator[None]:
        """A forward pass made anew on the way back must not move batch norm a second time."""
        buffers = Buffers(self.model) if self.recomputes else None
        yield
        if buffers is not None:
            buffers.put_back()

    def _average_loss_gradients(self) -> None:
        """Every rank holds the same loss; averaging keeps its parameters equal to the last bit."""
        if not distributed.is_active():
            return
        for parameter in self.loss.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.world_size()


def _refuse_non_finite(value: float) -> None:
    if not math.isfinite(value):
        raise NumericsError(
            f"The loss became {value}. Lower optimizer.lr, set optimizer.clip_norm=1, or train "
            "with precision=fp32."
        )
