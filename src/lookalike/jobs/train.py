"""``lookalike train``: data, model and loss in; a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

    Returns:
        The run folder.

    Raises:
        LookalikeError: see `lookalike.training.run.run_training`.
    """
    from lookalike.training.run import run_training

    return run_training(
        overrides or [],
        resume="auto" if auto_resume else resume,
        overwrite=overwrite,
        quiet=quiet,
        trace=trace,
    )
