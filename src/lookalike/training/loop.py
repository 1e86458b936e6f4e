"""The training loop: epochs of batches, with logging, evaluation and checkpoints between them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lookalike import distributed
from lookalike.errors import Interrupted
from lookalike.training.checkpoints import Progress

Values = dict[str, float]


class Listener(Protocol):
    """What the loop tells the world; ``training/trainer.py`` writes it down and shows it."""

    def train_row(self, progress: Progress, row: dict[str, Any]) -> None:
        """A few steps are done."""

    def step_done(self, progress: Progress) -> None:
        """One step is done."""

    def epoch_trained(self, progress: Progress) -> None:
        """All steps of an epoch are done; its evaluation comes next, if it is due."""

    def epoch_done(self, progress: Progress) -> None:
        """An epoch is done, its evaluation included; time for a checkpoint."""

    def interrupted(self, progress: Progress) -> None:
        """The run stops here; time for a checkpoint."""


class Step(Protocol):
    """What the loop asks of a step, such as :class:`lookalike.training.step.SupervisedStep`."""

    def backward(self, batch: dict[str, Any]) -> float:
        """Add a batch's gradients to what is there; its loss."""
        ...

    def update(self, done: int, epoch: int, batches: int = 1) -> None:
        """Move by the mean gradient of so many batches."""

    def forget(self) -> None:
        """Drop the gradients that no update has used."""


@dataclass
class Loop:
    """Epoch after epoch until done, from wherever ``progress`` says.

    Attributes:
        epochs: how many in all.
        batches: ``batches(epoch, skip)`` yields an epoch's batches, the first ``skip`` left out.
        step: computes gradients, and moves.
        evaluate: called after the epochs that are due; updates ``progress.best``.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated; 0: only it.
        log_every: steps between logged rows.
        listener: hears what happened.
        rates: the learning rates of the latest step by group, for the log.
        update_every: batches to a step.
        drop_partial: an epoch's last batches, too few for a step, are not used.
    """

    epochs: int
    batches: Callable[[int, int], Iterable[dict[str, Any]]]
    step: Step
    evaluate: Callable[[Progress], None]
    listener: Listener
    rates: Callable[[], dict[str, float]]
    evaluate_every: int = 1
    log_every: int = 10
    update_every: int = 1
    drop_partial: bool = False

    def run(self, progress: Progress) -> Progress:
        """Train until the last epoch is done.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the listener has saved the state.
            NumericsError: the loss is not a number any more.
        """
        with _stop_signals() as stop:
            while not progress.ended(self.epochs):
                self._epoch(progress, stop)
                progress.epoch += 1
                progress.batch = 0
                self.listener.epoch_trained(progress)
                if self._due(progress.epoch):
                    self.evaluate(progress)
                self.listener.epoch_done(progress)
                self._halt_if(stop, progress)
        return progress

    def _epoch(self, progress: Progress, stop: threading.Event) -> None:
        timer = _Timer(progress.step)
        group = 0
        for batch in self.batches(progress.epoch, progress.batch):
            progress.loss_sum += self.step.backward(batch)
            progress.loss_count += 1
            progress.batch += 1
            group += 1
            if group == self.update_every:
                self._update(progress, group, timer)
                group = 0
                self._halt_if(stop, progress)
        if group and not self.drop_partial:
            self._update(progress, group, timer)
        elif group:
            self.step.forget()

    def _update(self, progress: Progress, group: int, timer: _Timer) -> None:
        self.step.update(progress.step, progress.epoch, group)
        progress.step += 1
        if progress.step % self.log_every == 0:
            self._log(progress, timer.seconds_per_step(progress.step))
        self.listener.step_done(progress)

    def _log(self, progress: Progress, seconds: float) -> None:
        row = {
            "kind": "train",
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "loss": progress.loss_sum / progress.loss_count,
            "lr": self.rates(),
            "seconds_per_step": round(seconds, 4),
        }
        progress.loss_sum, progress.loss_count = 0.0, 0
        self.listener.train_row(progress, row)

    def _due(self, epochs_done: int) -> bool:
        last = epochs_done == self.epochs
        return last or (self.evaluate_every > 0 and epochs_done % self.evaluate_every == 0)

    def _halt_if(self, stop: threading.Event, progress: Progress) -> None:
        # All processes stop after the same step, whichever of them got the signal.
        if not distributed.any_rank(stop.is_set()) or progress.ended(self.epochs):
            return
        self.listener.interrupted(progress)
        raise Interrupted("Stopped on request; everything is saved.")


class _Timer:
    """Seconds a step since an epoch began, or went on after a resume."""

    def __init__(self, step: int) -> None:
        self.started, self.first = time.perf_counter(), step

    def seconds_per_step(self, step: int) -> float:
        return (time.perf_counter() - self.started) / (step - self.first)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second SIGINT acts as it always does.

    A second SIGTERM asks for nothing new: where a scheduler signals every process of a job,
    torchrun hands its own on as well.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT] or signal.SIG_DFL)

    for name in before:
        signal.signal(name, ask)
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler or signal.SIG_DFL)
