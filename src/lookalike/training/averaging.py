"""Averaged weights: exponential (EMA) or the plain mean (SWA)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lookalike.config import AverageConfig
from lookalike.errors import ConfigError

AVERAGES = ("ema", "swa")


class Averaged:
    """A copy of the model whose weights are the average of those passed by in training.

    ::

        ema:  a <- decay·a + (1 − decay)·w      every ``every`` steps
        swa:  a <- (n·a + w)/(n + 1)            every ``every`` epochs

    Polyak and Juditsky (1992); Izmailov et al., *Averaging weights leads to wider optima* (UAI
    2018, arXiv 1803.05407). Both start as a copy of the weights, ``start_epoch`` epochs in. The
    running statistics of batch norm are averaged with the weights; for SWA, whose members lie far
    apart, :func:`refresh_batch_norm` computes them anew before an evaluation.

    Args:
        model: the network in training.
        c: how to average.

    >>> network = nn.Linear(1, 1)
    >>> average = Averaged(network, AverageConfig(name="swa"))
    >>> for value in (1.0, 3.0):
    ...     _ = nn.init.constant_(network.weight, value)
    ...     average.epoch_done(network, epochs=int(value))
    >>> average.model.weight.item()
    2.0
    """

    def __init__(self, model: nn.Module, c: AverageConfig) -> None:
        self.c = c
        average = get_ema_multi_avg_fn(c.decay) if c.name == "ema" else _swa
        self._averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self._averaged.eval()

    @property
    def begun(self) -> bool:
        """Whether there is an average yet."""
        return int(self._averaged.n_averaged) > 0

    @property
    def model(self) -> Any:
        """The network with the averaged weights."""
        return self._averaged.module

    def step_done(self, model: nn.Module, steps: int, epoch: int) -> None:
        """Take in the weights after a step, where that is due.

        Args:
            model: the network in training.
            steps: done so far.
            epoch: the epoch under way, from 0.
        """
        if self.c.name == "ema" and epoch >= self.c.start_epoch and steps % self.c.every == 0:
            self._averaged.update_parameters(model)

    def epoch_done(self, model: nn.Module, epochs: int) -> None:
        """Take in the weights after so many epochs, where that is due."""
        since = epochs - self.c.start_epoch
        if self.c.name == "swa" and since > 0 and since % self.c.every == 0:
            self._averaged.update_parameters(model)

    def state_dict(self) -> dict[str, Any]:
        """The average, and of how many."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` gave."""
        self._averaged.load_state_dict(state)


@torch.no_grad()
def _swa(averaged: Any, current: Any, count: Tensor | int) -> None:
    """Take members into a mean of ``count``; of whole numbers, such as batch norm's, the last.

    torch's own divides whole numbers, which it refuses to do on CUDA.
    """
    for average, value in zip(averaged, current, strict=True):
        if average.is_floating_point() or average.is_complex():
            average += (value.to(average.device) - average) / (count + 1)
        else:
            average.copy_(value)


def check_average(c: AverageConfig) -> None:
    """Refuse an average that cannot be.

    Raises:
        ConfigError: names the option.
    """
    if c.name is not None and c.name not in AVERAGES:
        raise ConfigError(f"average.name={c.name}: write one of {', '.join(AVERAGES)}, or null.")
    if not 0 <= c.decay < 1:
        raise ConfigError(f"average.decay={c.decay}: must be at least 0 and below 1.")
    if c.every < 1 or c.start_epoch < 0:
        raise ConfigError(
            f"average.every={c.every} must be at least 1, and average.start_epoch={c.start_epoch} "
            "at least 0."
        )


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Compute batch norm's running statistics anew, as the plain mean over some batches.

    Args:
        model: in evaluation mode but for its batch norms, which learn their statistics.
        batches: images, as the model takes them.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
        norm.train()
    for pictures in batches:
        model(pictures)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
