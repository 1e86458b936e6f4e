"""A training written down step by step, so that it can be held against another one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from lookalike import distributed
from lookalike.errors import RunError
from lookalike.files import write_text
from lookalike.training import health
from lookalike.training.step import SupervisedStep

FORMAT = 1
KIND = "lookalike trace"


class Inner(Protocol):
    """What is traced: a step, or what looks at one already, such as a watch."""

    step: SupervisedStep

    def backward(self, batch: dict[str, Any]) -> float:
        """Add a batch's gradients; its loss."""
        ...

    def update(self, done: int, epoch: int, batches: int = 1) -> None:
        """Move."""

    def forget(self) -> None:
        """Drop the gradients."""


class Trace:
    """The same step to the loop, and a line of JSON for each update.

    After a first line of ``about``, one object a step: ``step`` and ``epoch`` (from 1), ``losses``
    and ``batches`` (the rows of the training table, as the network saw them) of its batches,
    ``rates``, ``gradient_norms`` (of the gradient that the step takes, before clipping) and
    ``weight_norms`` (after the step) of each group of parameters. Numbers are written with all
    their digits. Writing changes no number of the training.

    Args:
        inner: the step.
        file: where to write; of several processes the main one writes.
        about: what the first line says of the run.
    """

    def __init__(self, inner: Inner, file: Path, about: Mapping[str, Any]) -> None:
        self.inner, self.file, self.about = inner, file, dict(about)
        self._losses: list[float] = []
        self._batches: list[list[int]] = []
        self._stream: TextIO | None = None

    def begin(self, step: int) -> None:
        """Open the file for what follows a step; what it holds of later steps is dropped.

        Raises:
            RunError: a file that cannot be written, or is no trace.
        """
        if not distributed.is_main():
            return
        kept = [{"kind": KIND, "format": FORMAT} | self.about]
        if step > 0 and self.file.is_file():
            kept = [row for row in _rows(self.file) if row.get("step", 0) <= step]
        try:
            write_text(self.file, "".join(f"{json.dumps(row)}\n" for row in kept))
            self._stream = self.file.open("a", encoding="utf-8")
        except OSError as error:
            raise RunError(f"--trace: cannot write {self.file}: {error.strerror}.") from error

    def backward(self, batch: dict[str, Any]) -> float:
        """As the step's."""
        loss = self.inner.backward(batch)
        shares = distributed.gather_objects(batch["index"].tolist())
        self._batches.append([row for share in shares for row in share])
        self._losses.append(loss)
        return loss

    def update(self, done: int, epoch: int, batches: int = 1) -> None:
        """As the step's, and a line."""
        step = self.inner.step
        groups = step.optimizers.param_groups
        scale = 1.0 if step.scaler is None else step.scaler.get_scale()
        scale *= batches if step.accumulate == "mean" else 1
        gradients = {name: norm / scale for name, norm in health.gradient_norms(groups).items()}
        self.inner.update(done, epoch, batches)
        row = {
            "step": done + 1,
            "epoch": epoch + 1,
            "losses": self._losses,
            "rates": step.schedule.rates(),
            "gradient_norms": gradients,
            "weight_norms": health.weight_norms(groups),
            "batches": self._batches,
        }
        self._losses, self._batches = [], []
        if self._stream is not None:
            self._stream.write(json.dumps(row) + "\n")
            self._stream.flush()

    def forget(self) -> None:
        """As the step's; batches without an update leave no line."""
        self._losses, self._batches = [], []
        self.inner.forget()

    def close(self) -> None:
        """No more is written."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _rows(file: Path) -> list[dict[str, Any]]:
    """The lines of a trace; a last one that a crash cut short is left out."""
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise RunError(
                f"--trace: {file}, line {number} is not valid JSON; name a new file."
            ) from None
    if not rows or rows[0].get("kind") != KIND:
        raise RunError(f"--trace: {file} is no trace of a training; name a new file.")
    return rows
