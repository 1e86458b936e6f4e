"""Code of one's own at every step, epoch and evaluation of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike.models.embedder import Embedder


@dataclass(frozen=True)
class Moment:
    """Where a training is.

    Attributes:
        epoch: epochs done.
        step: optimiser steps done.
        loss: of the latest batch.
        rates: learning rate of each group.
        model: the network in training.
    """

    epoch: int
    step: int
    loss: float
    rates: Mapping[str, float]
    model: Embedder


class Callback:
    """Called by the training; override what you need. What a method raises ends the run.

    >>> class Losses(Callback):
    ...     def __init__(self):
    ...         self.seen = []
    ...
    ...     def on_step(self, moment):
    ...         self.seen.append(moment.loss)
    """

    def on_step(self, moment: Moment) -> None:
        """An optimiser step is done."""

    def on_epoch(self, moment: Moment) -> None:
        """An epoch is done, evaluated where that was due, and saved."""

    def on_evaluation(
        self, moment: Moment, metrics: Mapping[str, Mapping[str, float]], monitored: float | None
    ) -> None:
        """An evaluation is done.

        Args:
            moment: where the training is.
            metrics: split → metric → value.
            monitored: the value that chooses the model; None where no split chooses.
        """
