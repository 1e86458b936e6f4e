"""Where people read: lines, tables and progress bars of a terminal, or a logger."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.console import (
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    Progress,
    ProgressColumn,
)
from rich.segment import Segment

from lookalike.errors import printable
from lookalike.notebook import NotebookBar

Bar = Progress | NotebookBar


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
        library: for Python callers: lines go to the logger ``lookalike`` at the level INFO, tables
            nowhere; in a notebook there are bars.
    """

    def __init__(self, *, quiet: bool = False, silent: bool = False, library: bool = False) -> None:
        self.out = RichConsole(
            file=sys.stdout, highlight=False, soft_wrap=True, quiet=silent, markup=False
        )
        self.out.push_render_hook(_Printable())
        shows = self.out.is_jupyter if library else self.out.is_terminal
        self.quiet = quiet or silent or not shows
        self._log = logging.getLogger("lookalike") if library else None
        self._silent = silent
        self._bar: Bar | None = None

    def _new_bar(self, *columns: ProgressColumn, transient: bool = True) -> Bar:
        if self._log is not None:
            return NotebookBar(transient=transient)
        return Progress(*columns, console=self.out, transient=transient)

    def say(self, text: str) -> None:
        """One line; above the bar while there is one."""
        if self._log is not None:
            if not self._silent:
                self._log.info(printable(text))
            return
        self.out.print(text, markup=False)  # rich puts it above a bar of the same console

    def show(self, *tables: RenderableType) -> None:
        """Tables, or whatever else rich can print."""
        for table in tables if self._log is None else ():
            self.out.print(table)

    def show_whole(self, table: RenderableType) -> None:
        """A table at its own width: cut to a narrow terminal, its numbers would be lost."""
        out = self.out
        before = out.width
        out.width = max(before, Measurement.get(out, out.options.update(width=1000), table).maximum)
        self.show(table)
        out.width = before

    @contextmanager
    def live(self, *columns: ProgressColumn) -> Iterator[Bar | None]:
        """A bar of one's own columns that stays; None where there is no terminal."""
        if self.quiet:
            yield None
            return
        try:
            with self._new_bar(*columns, transient=False) as self._bar:
                yield self._bar
        finally:
            self._bar = None

    @contextmanager
    def embedding(self, split: str, total: int) -> Iterator[Callable[[int], None] | None]:
        """A bar while images are embedded."""
        bar = self._bar
        if self.quiet:
            yield None
            return
        own = None
        if bar is None:
            own = bar = self._new_bar()
            own.start()
        shown: Any = bar  # their numbers of tasks are of two types
        task = shown.add_task(escape(f"embedding {printable(split)}"), total=total)
        try:
            yield lambda n: shown.advance(task, n)
        finally:
            shown.remove_task(task)
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
        bar: Any = self._new_bar()
        task = None

        def advance(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(what, total=total)
                bar.start()
            bar.update(task, completed=done)

        try:
            yield advance
        finally:
            if task is not None:  # else it would print an empty line
                bar.stop()
