"""``lookalike config``: every option of a run, with the value that it has."""

from __future__ import annotations

import typer

from lookalike.jobs.options import Overrides


def run(overrides: Overrides = None) -> None:
    """Print the resolved configuration: `lookalike config recipe=demo`."""
    from lookalike.compose import compose, to_yaml

    typer.echo(to_yaml(compose(overrides or [])), nl=False)
