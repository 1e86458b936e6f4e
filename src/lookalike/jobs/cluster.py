"""``lookalike cluster``: embeddings in, anyone's; a table of clusters out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookalike.jobs.options import TrueLabel, there

if TYPE_CHECKING:
    import pandas as pd


def run(
    embeddings: Annotated[
        Path,
        typer.Argument(
            metavar="EMBEDDINGS",
            help="Embeddings: .npy, .safetensors, or a pickle of PSS.",
            callback=there(),
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OPTION=VALUE]...",
            help="Options of the method, such as k=10 and tau=0.7 of hilander, min_size=5 of "
            "hdbscan, distance=0.4 of agglomerative, classes=20 of kmeans, cosine=0.8 of "
            "components; with --learn-from also those of LANDER's training: lander.epochs=100.",
        ),
    ] = None,
    *,
    method: Annotated[
        Literal["hilander", "hdbscan", "agglomerative", "kmeans", "components"],
        typer.Option(help="Clustering method."),
    ] = "hilander",
    out: Annotated[
        Path | None,
        typer.Option(help="Table to write; default: EMBEDDINGS.clusters.parquet."),
    ] = None,
    lander: Annotated[
        Path | None,
        typer.Option(help="Trained network of hilander: ours, or a published .pth."),
    ] = None,
    learn_from: Annotated[
        Path | None,
        typer.Option(help="Labeled embeddings to train the network of hilander on."),
    ] = None,
    label: TrueLabel = "label",
) -> pd.DataFrame:
    """Cluster anyone's embeddings: `lookalike cluster heap.npy --method hdbscan`.

    True labels, where there are some, judge the clusters, and give k-means its number of classes
    where `classes` is not said.

    Returns:
        The table that was written.

    Raises:
        ConfigError: an unknown method or option.
        DataError: a file that cannot be used.
    """
    from lookalike.discover.cluster_file import cluster_file

    return cluster_file(
        embeddings, words or [], method=method, out=out, lander=lander, learn_from=learn_from,
        label=label,
    )  # fmt: skip
