"""``lookalike review``: a page on which a person judges clusters, and takes the decisions home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.jobs.options import there


def run(
    clusters: Annotated[
        Path,
        typer.Argument(
            metavar="CLUSTERS", help="A table of clusters, such as a round's.", callback=there()
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default: CLUSTERS.review.html.")
    ] = None,
    *,
    most: Annotated[int, typer.Option(min=1, help="Maximum number of clusters to show.")] = 200,
) -> Path:
    """Judge clusters on a page: `lookalike review runs/x/round-1/clusters.parquet`.

    Every cluster of two or more is shown, the least sure first, since that is where a person's
    decision changes most. What is chosen is downloaded as decisions.csv, which
    `lookalike discover --resume --decisions` obeys.

    Returns:
        The page.

    Raises:
        DataError: a table that is not one of clusters, or without a cluster of two.
    """
    from lookalike.console import Console
    from lookalike.discover.review_page import write_review
    from lookalike.errors import counted

    page, shown, all_clusters = write_review(clusters, out, most=most)
    console = Console()
    console.say(f"page     {page}: {shown} of {counted(all_clusters, 'cluster')}")
    console.say("next     judge, download decisions.csv, then lookalike discover --resume")
    return page
