"""``lookalike index map``: the embeddings of an index on a plane, as a page to move about in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lookalike.jobs.options import IndexFolder, LabelColumn, page_file


def run(
    folder: IndexFolder,
    *,
    out: Annotated[Path, typer.Option(help="Page to write (HTML).")],
    method: Annotated[
        Literal["pca", "tsne", "umap"], typer.Option(help="Projection to the plane.")
    ] = "pca",
    label: LabelColumn = None,
    count: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of images; of more, whole classes are drawn."),
    ] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed (subsampling, t-SNE, UMAP).")] = 0,
) -> None:
    """Write a map of the embeddings to move about in: `index map INDEX --out map.html`.

    Raises:
        ConfigError: UMAP is not installed, or the page is not an HTML file.
        DataError: no index, or no such column.
    """
    import numpy as np

    from lookalike.console import Console
    from lookalike.errors import counted
    from lookalike.files import write_text
    from lookalike.report.map_page import map_page
    from lookalike.report.maps import map_embeddings
    from lookalike.search.audit_page import judged_column
    from lookalike.search.index import Index

    page = page_file(out)
    console = Console()
    index = Index.open(folder)
    column = judged_column(index, label)
    words = np.full(len(index), "picture") if column is None else index.items[column].astype("str")
    names, codes = np.unique(np.asarray(words, str), return_inverse=True)
    paths = index.items["path"].astype("str").tolist()
    plane = map_embeddings(
        np.asarray(index.vectors),
        codes,
        names=names.tolist(),
        images=paths,
        method=method,
        max_points=count,
        seed=seed,
    )
    title = f"Map of {Path(folder).name}"
    shown = [f"{Path(paths[row]).name} #{index.ids[row]}" for row in plane.rows.tolist()]
    write_text(page, map_page(plane, title=title, names=shown))
    console.say(f"map      {len(plane.rows):,} of {counted(len(index), 'image')}, {plane.method}")
    console.say(f"page     {out}")
