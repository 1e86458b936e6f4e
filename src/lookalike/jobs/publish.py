"""``lookalike publish``: a run as others can take it up, in the layout of the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.jobs.options import RunFolder


def run(
    run: RunFolder,
    *,
    to: Annotated[str, typer.Option(help="A folder, or hf://OWNER/NAME.")],
    licence: Annotated[
        str | None, typer.Option(help="License of the weights (SPDX), such as apache-2.0.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make it public on the hub; default: private.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a published folder.")
    ] = False,
) -> None:
    """Write a model with its card for others: `lookalike publish runs/x --to birds/`.

    Folders of this machine are left out of everything.

    Raises:
        RunError: no run, one that has not finished, or the folder is there.
        ModelError: no model in it; or the hub refuses.
    """
    from lookalike.export.publication import publish

    publish(run, to=to, licence=licence, public=public, overwrite=overwrite)
