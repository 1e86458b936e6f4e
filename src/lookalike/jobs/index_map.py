"""``lookalike index map``: the embeddings of an index on a plane, as a page to move about in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lookalike.console import Console
from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.files import write_text
from lookalike.report.map_page import map_page
from lookalike.report.maps import map_embeddings
from lookalike.search.index import Index

METHODS = ("pca", "tsne", "umap")


def run(
    folder: str | Path,
    *,
    out: str | Path,
    method: str = "pca",
    label: str | None = None,
    count: int = 3000,
    seed: int = 0,
) -> None:
    """Write a map of an index's pictures as one HTML file.

    Args:
        folder: the index.
        out: the page to write.
        method: ``pca``, ``tsne`` or ``umap``.
        label: the column that colours; default: the finest of the index.
        count: pictures shown at most; of more, whole classes are drawn by lot.
        seed: of the lot, of t-SNE and of UMAP.

    Raises:
        ConfigError: no such method, or UMAP is not installed.
        DataError: no index, or no such column.
    """
    if method not in METHODS:
        raise ConfigError(f"--method {method}: {suggest(method, METHODS)}")
    if Path(out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: that is a page; name a file.html.")
    console = Console()
    index = Index.open(folder)
    levels = index.levels
    column = label or next(iter(levels), None)
    if column is not None and column not in index.items:
        raise DataError(
            f"--label {column}: {folder} has no such column. It has: "
            f"{', '.join(map(str, index.items.columns))}."
        )
    words = np.full(len(index), "picture") if column is None else index.items[column].astype("str")
    names, codes = np.unique(np.asarray(words, str), return_inverse=True)
    paths = index.items["path"].astype("str").tolist()
    plane = map_embeddings(
        np.asarray(index.vectors),
        codes,
        names=names.tolist(),
        pictures=paths,
        method=method,  # pyright: ignore[reportArgumentType] (checked above)
        max_points=count,
        seed=seed,
    )
    title = f"Map of {Path(folder).name}"
    shown = [f"{Path(paths[row]).name} #{index.ids[row]}" for row in plane.rows.tolist()]
    write_text(Path(out), map_page(plane, title=title, names=shown))
    console.say(f"map      {len(plane.rows):,} of {counted(len(index), 'picture')}, {plane.method}")
    console.say(f"page     {out}")
