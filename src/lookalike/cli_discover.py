"""The verbs of the open world, as `cli` adds them to its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="The file to write.")]
Label = Annotated[str, typer.Option("--label", help="Column of true labels, where there is one.")]
# Also spelt --resume=auto, which `cli.main` understands: a flag of typer takes no value.
AUTO = "--auto-resume"
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with run=FOLDER. --resume=auto: begin, go on, or be done."
    ),
]
AutoResume = Annotated[bool, typer.Option(AUTO, hidden=True)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Plain lines, no progress bar.")]


def embed(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run or model folder.")],
    source: Annotated[
        str, typer.Argument(metavar="DATASET", help="A data set's name, a folder or a table file.")
    ],
    out: Out,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OPTION=VALUE]...", help="Settings of the data set, device=, …"),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Only its rows; may be said twice.")
    ] = None,
    pickle: Annotated[
        Path | None, typer.Option("--pickle", help="Also a feature pickle as PSS's code reads it.")
    ] = None,
) -> None:
    """Write a data set's embeddings: `lookalike embed runs/x photos/ --out heap.npy`."""
    from lookalike.compose import check_words

    check_words(overrides or [])
    from lookalike.jobs import embed as job

    job.run(model, source, out, overrides or [], splits=split or [], pickle=pickle)


def cluster(
    embeddings: Annotated[
        Path, typer.Argument(metavar="EMBEDDINGS", help=".npy, .safetensors, or a PSS pickle.")
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OPTION=VALUE]...", help="Of the method: k=10 tau=0.7 …"),
    ] = None,
    method: Annotated[
        str,
        typer.Option("--method", help="hilander, hdbscan, agglomerative, kmeans or components."),
    ] = "hilander",
    out: Annotated[Path | None, typer.Option("--out", help="The table to write.")] = None,
    lander: Annotated[
        Path | None, typer.Option("--lander", help="A trained network, or a published .pth.")
    ] = None,
    learn_from: Annotated[
        Path | None, typer.Option("--learn-from", help="Labelled embeddings to train LANDER on.")
    ] = None,
    label: Label = "label",
) -> None:
    """Cluster anyone's embeddings: `lookalike cluster heap.npy --method hdbscan`."""
    from lookalike.jobs import cluster as job

    job.run(
        embeddings,
        words or [],
        method=method,
        out=out,
        lander=lander,
        learn_from=learn_from,
        label=label,
    )


def select(
    clusters: Annotated[
        Path, typer.Argument(metavar="CLUSTERS", help="Of lookalike cluster, or a PSS pickle.")
    ],
    out: Out,
    density: Annotated[float, typer.Option("--density", help="Must be above it.")] = 0.5,
    labelled: Annotated[
        Path | None, typer.Option("--labelled", help="Labelled embeddings that join the table.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option("--embeddings", help="Those that were clustered.")
    ] = None,
    far: Annotated[
        float | None, typer.Option("--far", help="Least distance from every labelled class.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Give what looks like a labelled class that class.")
    ] = False,
    number: Annotated[int, typer.Option("--round", min=1, help="Names the new classes.")] = 1,
    label: Label = "label",
    pickle: Annotated[
        Path | None, typer.Option("--pickle", help="Also a cluster pickle as PSS's code reads it.")
    ] = None,
) -> None:
    """Keep what is sure enough: `lookalike select heap.clusters.parquet --out pseudo.parquet`."""
    from lookalike.jobs import select as job

    job.run(
        clusters,
        out,
        density=density,
        labelled=labelled,
        embeddings=embeddings,
        far=far,
        gate=gate,
        number=number,
        label=label,
        pickle=pickle,
    )


def discover(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OPTION=VALUE]...", help="As for train, and discover.rounds, discover.…"
        ),
    ] = None,
    resume: Resume = False,
    auto_resume: AutoResume = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the loop that is in run=FOLDER.")
    ] = False,
    quiet: Quiet = False,
    decisions: Annotated[
        Path | None, typer.Option("--decisions", help="A review's CSV, for the next round.")
    ] = None,
) -> None:
    """Find classes nobody labelled: `lookalike discover dataset=omniglot discover.rounds=3`."""
    from lookalike.compose import check_words

    check_words(overrides or [])
    from lookalike.jobs import discover as job

    job.run(
        overrides or [], resume="auto" if auto_resume else resume, overwrite=overwrite, quiet=quiet,
        decisions=decisions,
    )  # fmt: skip


def review(
    clusters: Annotated[
        Path, typer.Argument(metavar="CLUSTERS", help="A table of clusters, such as a round's.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The page to write.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Clusters to show.")] = 200,
) -> None:
    """Judge clusters on a page: `lookalike review runs/x/round-1/clusters.parquet`."""
    from lookalike.jobs import review as job

    job.run(clusters, out, most=most)
