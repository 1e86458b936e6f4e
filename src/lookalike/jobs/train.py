"""``lookalike train``: data, model and loss in; a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.errors import ConfigError
from lookalike.jobs.options import AutoResume, Overrides, Quiet, Resume


def run(
    overrides: Overrides = None,
    *,
    resume: Resume = False,
    auto_resume: AutoResume = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in run=FOLDER.")
    ] = False,
    quiet: Quiet = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write losses, learning rates, norms and batches of every step to this file."
        ),
    ] = None,
) -> Path:
    """Train a model: `lookalike train dataset=cub loss=smooth_ap model=resnet18`.

    `seed=[0,1,2]` trains once a seed, and reports mean and interval.

    Returns:
        The run folder, or that of the runs of all seeds.

    Raises:
        LookalikeError: see `lookalike.training.run.run_training`, and
            `lookalike.training.seeds.run_seeds`.
    """
    from lookalike.training.run import run_training
    from lookalike.training.seeds import run_seeds, seeds_in

    if seeds_in(overrides or []):
        if trace is not None:
            raise ConfigError("--trace follows one run: train one seed a command.")
        return run_seeds(
            overrides or [],
            resume="auto" if auto_resume else resume,
            overwrite=overwrite,
            quiet=quiet,
        )

    return run_training(
        overrides or [],
        resume="auto" if auto_resume else resume,
        overwrite=overwrite,
        quiet=quiet,
        trace=trace,
    )
