"""A progress bar drawn with a notebook's own means: no widget has to be installed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from typing import Any

EVERY = 0.2  # seconds between two drawings


@dataclass
class _Task:
    description: str
    total: float
    completed: float = 0


class NotebookBar:
    """The methods of rich's ``Progress`` that `lookalike.console` uses.

    Args:
        transient: leave nothing behind.
    """

    def __init__(self, *, transient: bool = False) -> None:
        self._tasks: dict[int, _Task] = {}
        self._transient = transient
        self._handle: Any = None
        self._drawn = 0.0

    def start(self) -> None:
        """Show the bar."""
        from IPython.display import HTML, display

        self._handle = display(HTML(self._html()), display_id=True)

    def stop(self) -> None:
        """Draw the last state, or remove what was drawn."""
        if self._transient:
            self._tasks.clear()
        self._draw(now=True)

    def __enter__(self) -> NotebookBar:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def add_task(self, description: str, total: float, completed: float = 0) -> int:
        """A line; its number."""
        number = max(self._tasks, default=-1) + 1
        self._tasks[number] = _Task(description, total, completed)
        return number

    def update(
        self, task: int, *, completed: float | None = None, description: str | None = None
    ) -> None:
        """Change a line."""
        one = self._tasks[task]
        one.completed = one.completed if completed is None else completed
        one.description = one.description if description is None else description
        self._draw()

    def advance(self, task: int, count: float = 1) -> None:
        """Move a line on."""
        self.update(task, completed=self._tasks[task].completed + count)

    def remove_task(self, task: int) -> None:
        """Take a line away."""
        del self._tasks[task]
        self._draw(now=True)

    def _draw(self, *, now: bool = False) -> None:
        from IPython.display import HTML

        if self._handle is not None and (now or time.monotonic() - self._drawn >= EVERY):
            self._drawn = time.monotonic()
            self._handle.update(HTML(self._html()))

    def _html(self) -> str:
        return "".join(
            f'<div><progress value="{task.completed}" max="{task.total}"></progress> '
            f"{escape(task.description)} {task.completed:,.0f} of {task.total:,.0f}</div>"
            for task in self._tasks.values()
        )
