"""What a person sees of a run under way: its introduction, one progress bar, or plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lookalike.console import Console
from lookalike.errors import counted
from lookalike.models import preprocessing
from lookalike.report import EvaluationSection
from lookalike.report.metric_tables import metric_tables
from lookalike.runs import Run
from lookalike.training.checkpoints import Progress

if TYPE_CHECKING:
    from lookalike.training.trainer import Training


class Display:
    """Shows a run on a console.

    Args:
        console: where people read.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._update: Callable[..., None] | None = None
        self._loss = ""
        self._epoch_steps = 1
        self._epochs = 1

    @contextmanager
    def training(self, training: Training, progress: Progress) -> Iterator[None]:
        """Introduce a run and show a bar until it ends."""
        self._introduce(training, progress)
        self._epoch_steps = training.span.updates
        self._epochs = training.config.epochs
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with self.console.live(*columns) as shown:
            if shown is not None:
                bar: Any = shown
                total = self._epochs * self._epoch_steps
                task = bar.add_task("training", total=total, completed=progress.step)
                self._update = partial(bar.update, task)
            yield
        self._update = None

    def _introduce(self, training: Training, progress: Progress) -> None:
        table, rows = training.table, training.training
        self.console.say(f"run      {training.folder.folder}")
        self.console.say(f"data     {table!r}")
        for note in table.notes:
            self.console.say(f"         {note}")
        model = training.model
        size = sum(p.numel() for p in model.parameters())
        self.console.say(
            f"model    {model.spec.backbone}, {counted(size, 'parameter')}, "
            f"{model.width}-wide embeddings, {model.spec.size} px, on {training.device}"
        )
        if model.weights_file is not None:
            self.console.say(f"weights  {model.weights_file}")
        own = training.config.transform.as_backbone and model.pretrained
        says = " (the backbone's own, where not said otherwise)" if own else ""
        self.console.say(f"images   {preprocessing.words(model)}{says}")
        self.console.say(
            f"training {counted(len(rows), 'image')} of "
            f"{counted(rows.num_classes(0), 'class', 'classes')}, "
            f"{counted(training.config.epochs, 'epoch')}"
        )
        for note in (*training.tutor.notes, *training.lesson.notes) if training.tutor else ():
            self.console.say(note)
        for note in training.sampler.notes:
            self.console.say(f"         {note}")
        if progress.step:
            self.console.say(f"resumed  after step {progress.step}")

    def loss(self, value: float) -> None:
        """The latest loss."""
        self._loss = f"{value:.4f}"

    def watched(self, row: dict[str, Any]) -> None:
        """A line every so many steps, where there is no bar: how far, how fast, how long yet."""
        if not self.console.quiet:
            return
        done, clock = row["step"], row["clock"]
        left = (self._epochs * self._epoch_steps - done) * clock["seconds_per_step"]
        self.console.say(
            f"epoch {row['epoch']:3d}  step {done}  loss {row['values']['loss']:.4f}  "
            f"{clock['pictures_per_second']:.0f} images/s  {timedelta(seconds=round(left))} left"
        )

    def step(self, progress: Progress) -> None:
        """A batch is done."""
        if self._update is not None:
            self._update(
                completed=progress.step,
                description=f"epoch {progress.epoch + 1}/{self._epochs}  loss {self._loss}",
            )

    def evaluated(
        self, progress: Progress, table: dict[str, dict[str, float]], monitor: str
    ) -> None:
        """One line a split after an evaluation."""
        if progress.loss_count:
            self.loss(progress.loss_sum / progress.loss_count)
        for split, values in table.items():
            shown = {name: values[name] for name in _headline(values, monitor)}
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
            self.console.say(f"epoch {progress.epoch:3d}  loss {self._loss}  {split}: {numbers}")

    def finished(self, folder: Run, sections: Sequence[EvaluationSection]) -> None:
        """The numbers, and where to look next."""
        self.console.show(*metric_tables(sections))
        self.console.say(f"model    {folder.model}")
        self.console.say(f"report   {folder.report}")


def _headline(values: dict[str, float], monitor: str) -> list[str]:
    wanted = ("recall_at_1", "mean_average_precision_at_r", monitor)
    names = []
    for want in wanted:
        for name in (want, f"{want}_level0"):
            if name in values and name not in names:
                names.append(name)
    return names or list(values)[:2]
