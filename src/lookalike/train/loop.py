"""The training loop: epochs of batches, with logging, evaluation and checkpoints between them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lookalike.errors import Interrupted
from lookalike.train.checkpoints import Progress

Values = dict[str, float]


class Listener(Protocol):
    """What the loop tells the world; :mod:`lookalike.jobs.training` writes it down and shows it."""

    def train_row(self, progress: Progress, row: dict[str, Any]) -> None:
        """A few steps are done."""

    def batch_done(self, progress: Progress) -> None:
        """One step is done."""

    def epoch_done(self, progress: Progress) -> None:
        """An epoch is done, its evaluation included; time for a checkpoint."""

    def interrupted(self, progress: Progress) -> None:
        """The run stops here; time for a checkpoint."""


@dataclass
class Loop:
    """Epoch after epoch until done, from wherever ``progress`` says.

    Attributes:
        epochs: how many in all.
        batches: ``batches(epoch, skip)`` yields an epoch's batches, the first ``skip`` left out.
        step: does one optimiser step and returns the loss.
        evaluate: called after the epochs that are due; updates ``progress.best``.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated; 0: only it.
        log_every: steps between logged rows.
        listener: hears what happened.
        rates: the current learning rates by group, for the log.
    """

    epochs: int
    batches: Callable[[int, int], Iterable[dict[str, Any]]]
    step: Callable[[dict[str, Any]], float]
    evaluate: Callable[[Progress], None]
    listener: Listener
    rates: Callable[[], dict[str, float]]
    evaluate_every: int = 1
    log_every: int = 10

    def run(self, progress: Progress) -> Progress:
        """Train until the last epoch is done.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the listener has saved the state.
            NumericsError: the loss is no number any more.
        """
        with _stop_signals() as stop:
            while progress.epoch < self.epochs:
                self._epoch(progress, stop)
                progress.epoch += 1
                progress.batch = 0
                if self._due(progress.epoch):
                    self.evaluate(progress)
                self.listener.epoch_done(progress)
                self._halt_if(stop, progress, saved=True)
        return progress

    def _epoch(self, progress: Progress, stop: threading.Event) -> None:
        started, first = time.perf_counter(), progress.step
        for batch in self.batches(progress.epoch, progress.batch):
            loss = self.step(batch)
            progress.batch += 1
            progress.step += 1
            progress.loss_sum += loss
            progress.loss_count += 1
            if progress.step % self.log_every == 0:
                seconds = (time.perf_counter() - started) / (progress.step - first)
                self._log(progress, seconds)
            self.listener.batch_done(progress)
            self._halt_if(stop, progress, saved=False)

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

    def _halt_if(self, stop: threading.Event, progress: Progress, *, saved: bool) -> None:
        if not stop.is_set() or progress.epoch >= self.epochs:
            return
        if not saved:
            self.listener.interrupted(progress)
        raise Interrupted("Stopped on request; everything is saved.")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal acts as it always does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)

    for name in before:
        signal.signal(name, ask)
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler or signal.SIG_DFL)
