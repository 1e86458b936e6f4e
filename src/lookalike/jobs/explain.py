"""``lookalike explain``: what a number means, exactly."""

from __future__ import annotations

from lookalike.console import Console
from lookalike.metrics import explain
from lookalike.metrics.contract import EMPTY, TIES
from lookalike.metrics.definitions import kind


def run(metric: str) -> None:
    """Print a metric's contract; aliases are understood.

    Raises:
        LookalikeError: no such metric; the nearest is suggested.
    """
    console = Console()
    console.say(str(explain(metric)))
    if kind(metric) == "retrieval":
        console.say(
            f"  options    evaluation.ties={'|'.join(TIES)}, evaluation.empty={'|'.join(EMPTY)}"
        )
