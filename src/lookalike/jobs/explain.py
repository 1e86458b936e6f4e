"""``lookalike explain``: what a number means, exactly."""

from __future__ import annotations

from lookalike.jobs.console import Console
from lookalike.metrics import explain


def run(metric: str) -> None:
    """Print a metric's contract; aliases are understood.

    Raises:
        LookalikeError: no such metric; the nearest is suggested.
    """
    Console().say(str(explain(metric)))
