"""A page on which a person judges clusters, and takes the decisions home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike.data.frames import read_frame
from lookalike.discover.decisions import ACTIONS
from lookalike.errors import DataError
from lookalike.files import write_text
from lookalike.report.render import render


def write_review(
    clusters: Path, out: Path | None = None, *, most: int = 200, members: int = 16
) -> tuple[Path, int, int]:
    """Write the page; where it is, how many clusters it shows, and how many there are.

    Args:
        clusters: of `lookalike cluster`, or of a round of `lookalike discover`.
        out: the page; default: beside the table, ``….review.html``.
        most: clusters shown, the largest ones.
        members: images of each, the densest and the least dense.

    Raises:
        DataError: a table that is none of clusters, or without a cluster of two.
    """
    table = read_frame(clusters)
    for column in ("path", "cluster", "density"):
        if column not in table:
            raise DataError(f"{clusters}: no column '{column}'; give a table of lookalike cluster")
    if "clustered" in table:
        table = table[table["clustered"]]
    table = table[table["cluster"] >= 0]
    size = table["cluster"].map(table["cluster"].value_counts())
    table = table[size > 1]
    if not len(table):
        raise DataError(f"{clusters}: every image stands alone; there is nothing to review")
    chosen = table["cluster"].value_counts().index[:most]
    density = table.groupby("cluster")["density"].mean()[chosen].sort_values()
    page = out or clusters.with_name(f"{clusters.stem}.review.html")
    boxes = [_box(table[table["cluster"] == number], members) for number in density.index]
    text = render("review.html.j2", name=clusters.name, clusters=boxes, actions=ACTIONS)
    write_text(page, text)
    return page, len(boxes), table["cluster"].nunique()


def _box(part: pd.DataFrame, members: int) -> dict[str, Any]:
    """One cluster: its surest images, and four of the least sure."""
    order = part.sort_values("density", ascending=False)["path"].tolist()
    return {
        "number": int(part["cluster"].iloc[0]),
        "size": len(order),
        "density": np.mean(part["density"]),
        "paths": order if len(order) <= members else [*order[: members - 4], *order[-4:]],
    }
