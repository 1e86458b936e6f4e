"""An evaluation under way: what it says of itself, and what it keeps should it be killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from lookalike.config import EvaluationConfig
from lookalike.console import Console
from lookalike.evaluation.resume import ResumeStore
from lookalike.metrics import Outlook

LONG = 10.0  # seconds from which a ranking says beforehand what it is going to take
EVERY = 30.0  # seconds between two lines, where there is no bar


@dataclass(frozen=True)
class EvaluationProgress:
    """Who hears of an evaluation, and where its finished parts lie.

    Attributes:
        console: where people read.
        store: the parts; None: they are not kept.
    """

    console: Console
    store: ResumeStore | None

    @classmethod
    def at(cls, folder: Path, console: Console) -> EvaluationProgress:
        """Beside a model; where nothing can be written, that is said."""
        if not folder.is_dir():  # a backbone's name, or an address
            return cls(console, None)
        try:
            return cls(console, ResumeStore(folder, console.say))
        except OSError as error:
            console.say(
                f"note     {folder} cannot be written to ({error.strerror}): if this evaluation is "
                "killed, it begins anew"
            )
            return cls(console, None)

    def keeps(self, title: str, c: EvaluationConfig, vectors: Sequence[np.ndarray]) -> Path | None:
        """Where its ranked queries lie."""
        return None if self.store is None else self.store.queries(title, c, vectors)

    def end(self) -> None:
        """It is complete: nothing need be kept."""
        if self.store is not None:
            self.store.remove()

    @contextmanager
    def embedding(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """While images are embedded: a bar, or a line now and then."""
        with self.console.embedding(what, total) as advance:
            lines, done = Lines(self.console, f"embedding {what}"), 0

            def on_batch(n: int) -> None:
                nonlocal done
                done += n
                if advance is not None:
                    advance(n)
                else:
                    lines(done, total)

            yield on_batch

    @contextmanager
    def ranking(
        self, what: str
    ) -> Iterator[tuple[Callable[[Outlook], None], Callable[[int, int], None]]]:
        """While queries are ranked: what it is going to take, if that is long; then how far it is.

        Yields:
            ``on_plan`` and ``progress`` of `lookalike.metrics.evaluate`.
        """
        with self.console.bar(f"ranking {what}") as bar:
            lines: Lines | None = None

            def on_plan(outlook: Outlook) -> None:
                nonlocal lines
                if outlook.seconds >= LONG:
                    self.console.say(f"ranking {what}: {outlook}")
                    lines = Lines(self.console, f"ranking {what}")

            def progress(done: int, total: int) -> None:
                if lines is None:
                    return
                if bar is not None:
                    bar(done, total)
                else:
                    lines(done, total)

            yield on_plan, progress


class Lines:
    """A line now and then: how much is done, and how long the rest is going to take."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, what
        self._first: tuple[float, int] | None = None
        self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """So many are done, of so many."""
        now = time.monotonic()
        if self._first is None:  # what was done before this process began tells nothing of its pace
            self._first = now, done
        if now - self._told < EVERY or done >= total:
            return
        began, before = self._first
        self._told = now
        left = ""
        if done > before:
            seconds = (now - began) * (total - done) / (done - before)
            left = f", {timedelta(seconds=round(seconds))} left"
        self._console.say(f"{self._what}: {done:,} of {total:,}{left}")
