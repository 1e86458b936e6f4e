"""``lookalike select``: a table of clusters in; the pseudo-labels worth training on out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.jobs.options import Out, PicklePath, TrueLabel, there

if TYPE_CHECKING:
    import pandas as pd


def run(
    clusters: Annotated[
        Path,
        typer.Argument(
            metavar="CLUSTERS",
            help="Table of `lookalike cluster`, or a cluster pickle of PSS.",
            callback=there(),
        ),
    ],
    out: Out,
    *,
    density: Annotated[float, typer.Option(help="Minimum predicted density (exclusive).")] = 0.5,
    labelled: Annotated[
        Path | None, typer.Option(help="Embeddings of labeled images, which join the table.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="The embeddings that were clustered.")
    ] = None,
    far: Annotated[
        float | None,
        typer.Option(help="Minimum distance, (1 - cosine) / 2, from every labeled class."),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Give images that look like a labeled class that class."),
    ] = False,
    number: Annotated[
        int, typer.Option("--round", min=1, help="Round number used in the names of new classes.")
    ] = 1,
    label: TrueLabel = "label",
    pickle: PicklePath = None,
) -> pd.DataFrame:
    """Keep what is sure enough: `lookalike select heap.clusters.parquet --out pseudo.parquet`.

    A cluster pickle of PSS is selected already: it becomes the table that it stands for, its
    labeled rows under the numbers of their true labels.

    A cluster of which one row is kept is not a class, and left out of the table, though not of the
    pickle: PSS keeps it.

    Returns:
        The table that was written, a data set to train on.

    Raises:
        ConfigError: an option that needs another.
        DataError: files that do not fit.
    """
    from lookalike.discover.select_rows import select_rows

    return select_rows(
        clusters, out, density=density, labelled=labelled, embeddings=embeddings, far=far,
        gate=gate, number=number, label=label, pickle=pickle,
    )  # fmt: skip
