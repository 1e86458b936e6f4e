"""``lookalike sweep``: train again and again with other options, and say which were best."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lookalike.errors import ConfigError


def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE [OPTION=VALUE]...",
            help="A search space (a YAML file or the name of a preset), and options of all trials.",
            show_default=False,
        ),
    ],
    *,
    trials: Annotated[
        int, typer.Option(min=1, help="Total number of trials, over all workers.")
    ] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep; default: runs/sweep-SPACE.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Database that several machines share: postgresql://user@host/database; "
            "default: a journal file in the folder."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Name of the study in the storage; default: the folder's name."),
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="A sampler of Optuna by name: tpe, random, gp, qmc, ….")
    ] = "tpe",
    pruner: Annotated[
        str,
        typer.Option(
            help="A pruner of Optuna by name: median, hyperband, successivehalving, …; or none."
        ),
    ] = "median",
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the sampler.")] = 0,
) -> Path:
    """Search good options: `lookalike sweep recipe=demo search.yaml --trials 20`.

    Every trial is a run folder below the sweep's. The first has the options as they are without
    the sweep, where they lie in their ranges. The same command goes on with a sweep that was
    stopped, and with trials that were killed; several at once, on one machine or with --storage on
    many, share the work. Workers that begin at the same moment on several machines may run a trial
    or two more than asked.

    Returns:
        The page, ``sweep.html``.

    Raises:
        ConfigError: a search space or an option that is not valid; nothing to judge trials by.
        RunError: a storage out of reach, a study of another sweep, or no trial that ended well.
        Interrupted: stopped on request; the same command goes on.
    """
    if find_spec("optuna") is None:
        raise ConfigError("sweep needs Optuna: pip install 'lookalike[tune]'")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "sweep: a trial trains in one process. Start it without torchrun, a worker a GPU "
            "(device=cuda:1 --out FOLDER), all with the same --storage and --study."
        )
    from lookalike.sweep.trials import run_sweep

    return run_sweep(
        words, trials, out=out, storage=storage, study=study, sampler=sampler, pruner=pruner,
        seed=seed,
    )  # fmt: skip
