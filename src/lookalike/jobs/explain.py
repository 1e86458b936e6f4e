"""``lookalike explain``: what a number means, exactly."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="Name or alias of a metric.")],
) -> None:
    """Say exactly what a number means: `lookalike explain map_at_r`.

    Raises:
        LookalikeError: no such metric; the nearest is suggested.
    """
    from lookalike.console import Console
    from lookalike.metrics import explain
    from lookalike.metrics.contract import EMPTY, TIES
    from lookalike.metrics.definitions import kind

    console = Console()
    console.say(str(explain(metric)))
    if kind(metric) == "retrieval":
        console.say(
            f"  options    evaluation.ties={'|'.join(TIES)}, evaluation.empty={'|'.join(EMPTY)}"
        )
