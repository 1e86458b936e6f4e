"""``lookalike config``: every option of a run, with its value, default and meaning."""

from __future__ import annotations

import typer

from lookalike.jobs.options import Overrides


def run(overrides: Overrides = None) -> None:
    """Print every option with value, default and meaning: `lookalike config recipe=demo`.

    What it prints is a recipe: `lookalike config … > my.yaml`, then `train recipe=my.yaml`.

    Raises:
        LookalikeError: what `lookalike train` would refuse before it reads data.
    """
    from lookalike.compose import compose
    from lookalike.config_text import explained
    from lookalike.training.checks import check

    config = compose(overrides or [])
    check(config)
    typer.echo(explained(config), nl=False)
