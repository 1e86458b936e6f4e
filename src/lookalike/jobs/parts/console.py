"""What a person sees while a run is under way: one progress bar, or plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.console import (
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from lookalike.errors import counted, printable

if TYPE_CHECKING:
    from lookalike.jobs.parts.training import Training
    from lookalike.report import EvaluationSection
    from lookalike.runs import Run
    from lookalike.train.checkpoints import Progress as RunProgress


class _Shown:
    """A renderable without control characters of its own."""

    def __init__(self, inner: RenderableType) -> None:
        self.inner = inner

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            text = segment.text if segment.control else printable(segment.text)
            yield Segment(text, segment.style, segment.control)


class _Printable(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(one) for one in renderables]


class Console:
    """Prints to the terminal.

    Args:
        quiet: no bar and no colour codes that would litter a log; lines only.
        silent: nothing at all, for the processes beside the main one.
    """

    def __init__(self, *, quiet: bool = False, silent: bool = False) -> None:
        self.out = RichConsole(
            file=sys.stdout, highlight=False, soft_wrap=True, quiet=silent, markup=False
        )
        self.out.push_render_hook(_Printable())
        self.quiet = quiet or silent or not self.out.is_terminal
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._loss = ""
        self._epoch_steps = 1
        self._epochs = 1

    def say(self, text: str) -> None:
        """One line."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False)
        else:
            self.out.print(text, markup=False)

    @contextmanager
    def training(self, training: Training, progress: RunProgress) -> Iterator[None]:
        """Introduce a run and show a bar until it ends."""
        self._introduce(training, progress)
        self._epoch_steps = training.span.updates
        self._epochs = training.config.epochs
        if self.quiet:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.out, transient=False) as self._bar:
            self._task = self._bar.add_task(
                "training", total=self._epochs * self._epoch_steps, completed=progress.step
            )
            yield
        self._bar = None

    def _introduce(self, training: Training, progress: RunProgress) -> None:
        table, rows = training.table, training.training
        self.say(f"run      {training.folder.folder}")
        self.say(f"data     {table!r}")
        for note in table.notes:
            self.say(f"         {note}")
        model = training.model
        size = sum(p.numel() for p in model.parameters())
        self.say(
            f"model    {model.spec.backbone}, {counted(size, 'parameter')}, "
            f"{model.width}-wide embeddings, {model.spec.size} px, on {training.device}"
        )
        self.say(
            f"training {counted(len(rows), 'picture')} of "
            f"{counted(rows.num_classes(0), 'class', 'classes')}, "
            f"{counted(training.config.epochs, 'epoch')}"
        )
        for note in (*training.tutor.notes, *training.lesson.notes) if training.tutor else ():
            self.say(note)
        for note in training.sampler.notes:
            self.say(f"         {note}")
        if progress.step:
            self.say(f"resumed  after step {progress.step}")

    def loss(self, value: float) -> None:
        """The latest loss."""
        self._loss = f"{value:.4f}"

    def watched(self, row: dict[str, Any]) -> None:
        """A line every so many steps, where there is no bar: how far, how fast, how long yet."""
        if not self.quiet:
            return
        done, clock = row["step"], row["clock"]
        left = (self._epochs * self._epoch_steps - done) * clock["seconds_per_step"]
        self.say(
            f"epoch {row['epoch']:3d}  step {done}  loss {row['values']['loss']:.4f}  "
            f"{clock['pictures_per_second']:.0f} pictures/s  {timedelta(seconds=round(left))} left"
        )

    def step(self, progress: RunProgress) -> None:
        """A batch is done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=progress.step,
                description=f"epoch {progress.epoch + 1}/{self._epochs}  loss {self._loss}",
            )

    def evaluated(
        self, progress: RunProgress, table: dict[str, dict[str, float]], monitor: str
    ) -> None:
        """One line a split after an evaluation."""
        if progress.loss_count:
            self.loss(progress.loss_sum / progress.loss_count)
        for split, values in table.items():
            shown = {name: values[name] for name in _headline(values, monitor)}
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
            self.say(f"epoch {progress.epoch:3d}  loss {self._loss}  {split}: {numbers}")

    @contextmanager
    def embedding(self, split: str, total: int) -> Iterator[Callable[[int], None] | None]:
        """A bar while pictures are embedded."""
        bar = self._bar
        if self.quiet:
            yield None
            return
        own = None
        if bar is None:
            own = bar = Progress(console=self.out, transient=True)
            own.start()
        task = bar.add_task(escape(f"embedding {printable(split)}"), total=total)
        try:
            yield lambda n: bar.advance(task, n)
        finally:
            bar.remove_task(task)
            if own is not None:
                own.stop()

    @contextmanager
    def counting(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Something that may take a while: a bar from the first word of progress on."""
        told = False
        with self.bar(what) as bar:

            def advance(done: int, total: int) -> None:
                nonlocal told
                if not told:
                    self.say(f"{what}: {total:,}")
                    told = True
                if bar is not None:
                    bar(done, total)

            yield advance

    @contextmanager
    def bar(self, what: str) -> Iterator[Callable[[int, int], None] | None]:
        """A bar from the first word of progress on; None where there is no terminal."""
        if self.quiet:
            yield None
            return
        bar = Progress(console=self.out, transient=True)
        task: TaskID | None = None

        def advance(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(what, total=total)
                bar.start()
            bar.update(task, completed=done)

        try:
            yield advance
        finally:
            if bar.live.is_started:  # else it would print an empty line
                bar.stop()

    def metrics(self, sections: Sequence[EvaluationSection]) -> None:
        """A table of metrics with their definitions: of several evaluations side by side.

        With baselines beside it each evaluation has a table of its own.
        """
        from lookalike.report import metric_table
        from lookalike.report.side_by_side import side_by_side

        if len(sections) > 1 and not any(section.baselines for section in sections):
            self.out.print(side_by_side(sections))
            return
        for section in sections:
            self.out.print(metric_table(section))

    def finished(self, folder: Run, sections: Sequence[EvaluationSection]) -> None:
        """The numbers, and where to look next."""
        self.metrics(sections)
        self.say(f"model    {folder.model}")
        self.say(f"report   {folder.report}")


def _headline(values: dict[str, float], monitor: str) -> list[str]:
    wanted = ("recall_at_1", "mean_average_precision_at_r", monitor)
    names = []
    for want in wanted:
        for name in (want, f"{want}_level0"):
            if name in values and name not in names:
                names.append(name)
    return names or list(values)[:2]
