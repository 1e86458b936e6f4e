"""``lookalike discover``: from some labeled classes and unlabeled images, round after round."""

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
        bool, typer.Option("--overwrite", help="Replace the loop in run=FOLDER.")
    ] = False,
    quiet: Quiet = False,
    decisions: Annotated[
        Path | None,
        typer.Option(help="Decisions of a review (CSV) for the next round; needs --resume."),
    ] = None,
) -> Path:
    """Find classes nobody labeled: `lookalike discover dataset=omniglot discover.rounds=3`.

    Takes the options of train, and discover.rounds, discover.…. Round 0 trains on the labeled
    images. Every round embeds labeled and unlabeled images, clusters the unlabeled ones, measures,
    and selects pseudo-labels, on which the next round trains too. Each step leaves a file; what is
    there is not made again, so that a loop killed anywhere goes on, and a file may be changed or
    replaced by hand (delete those after it).

    Returns:
        The loop's folder.

    Raises:
        ConfigError: an option that is not valid.
        DataError: data that cannot be used.
        RunError: a folder that is in the way, or cannot be resumed.
    """
    from lookalike.discover.loop import run_loop

    return run_loop(
        overrides or [], resume="auto" if auto_resume else resume, overwrite=overwrite,
        quiet=quiet, decisions=decisions,
    )  # fmt: skip
