"""Change an index without building it again: images added, embedded again, found for removal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lookalike import trust
from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.errors import DataError, RunError, counted
from lookalike.search.build import say_unreadable
from lookalike.search.encoders import embed_with, own_encoder
from lookalike.search.filters import matching
from lookalike.search.index import Index
from lookalike.search.source import STAMP, items_of, origin, read_source, stamps


def add_images(
    index: Index,
    console: Console,
    source: str,
    overrides: Sequence[str],
    *,
    split: str | None,
    batch_size: int,
    workers: int,
) -> Index:
    """Embed more images with the index's own model; see `lookalike.jobs.index_changes.add`."""
    table = read_source(source, overrides, split)
    known = _keys(index)
    new = [row for row, key in enumerate(_table_keys(table)) if key not in known]
    if len(new) < len(table):
        console.say(f"{counted(len(table) - len(new), 'image')} in the index already")
    if not new:
        return index
    about = dict(index.manifest.get("source", {}))
    about["roots"] = sorted(
        {*about.get("roots", []), *origin(source, overrides, split, table)["roots"]}
    )
    return _replace(index, console, table.where(np.array(new)), [], about, batch_size, workers)


def update_images(index: Index, console: Console, *, batch_size: int, workers: int) -> Index:
    """Read an index's source again; see `lookalike.jobs.index_changes.update`."""
    folder = index.folder
    source = index.manifest.get("source")
    if source is None:
        raise DataError(f"{folder} does not say what it was built from; use `index add`.")
    of = source["of"] if index.is_own else trust.literal(source["of"])
    if not index.is_own and (source["overrides"] or not Path(of).exists()):
        raise RunError(
            f"{folder} would be updated from {' '.join([of, *source['overrides']])}, as a file "
            "says that does not bear the mark of what you made on this machine. Say it yourself: "
            f"lookalike index add {folder} SOURCE; or, if that is right: lookalike index adopt "
            f"{folder}"
        )
    table = read_source(of, source["overrides"], source["split"])
    known, keys = _keys(index), _table_keys(table)
    now = stamps(index.items["path"].tolist())
    gone = now["file_bytes"].to_numpy() < 0
    had = index.items.reindex(columns=list(STAMP), fill_value=-1).to_numpy()
    changed = (now.to_numpy() != had).any(axis=1) & ~gone
    anew = {key for key, row in known.items() if changed[row]}
    rows = [row for row, key in enumerate(keys) if key not in known or key in anew]
    listed = {keys[row] for row in rows}
    replaced = [row for key, row in known.items() if key in anew and key in listed]
    removed = [*np.flatnonzero(gone).tolist(), *replaced]
    console.say(
        f"{len(rows) - len(replaced):,} new, {len(replaced):,} changed, {int(gone.sum()):,} gone, "
        f"{len(index) - len(removed):,} as they were"
    )
    if not rows and not removed:
        return index
    ids = index.ids[np.array(removed, int)].tolist()
    taken = table.where(np.array(rows, int))
    return _replace(index, console, taken, ids, source, batch_size, workers)


def ids_of(index: Index, images: Sequence[str], where: Sequence[str]) -> list[int]:
    """The ids of some items, ascending: of the images named, those for which all conditions hold.

    Args:
        index: the index.
        images: paths, or ids as ``search`` prints them (``#12``); none: all images.
        where: conditions on columns, such as ``label=fox``.

    Raises:
        DataError: an image that the index does not hold, or a column that it lacks.
    """
    holding = set(index.ids[matching(index.columns, where)].tolist())
    if not images:
        return sorted(holding)
    ids, known = set(), set(index.ids.tolist())
    paths = index.items["path"].to_numpy(object)
    for word in images:
        if word.startswith("#") and word[1:].isdecimal():
            found = {int(word[1:])} & known
        else:
            rows = np.flatnonzero(paths == os.path.abspath(word))  # noqa: PTH100 (links stay)
            found = set(index.ids[rows].tolist())
        if not found:
            raise DataError(f"{index.folder} holds no image {word}.")
        ids |= found
    return sorted(ids & holding)


def _replace(
    index: Index,
    console: Console,
    table: Table,
    ids: Sequence[int],
    source: dict,
    batch_size: int,
    workers: int,
) -> Index:
    """Embed a table, and put it in the place of some items."""
    encoder = own_encoder(index)
    with console.embedding(table.name, len(table)) as advance:
        vectors, rows, broken = embed_with(
            encoder, table, batch_size=batch_size, workers=workers, on_batch=advance
        )
    items = items_of(table, rows) if len(rows) else None
    new = None if items is None else (vectors, items)
    changed = index.change(add=new, remove=ids, about={"source": source})
    console.say(f"{index.folder}: {counted(len(changed), 'image')} ({len(rows):,} embedded now)")
    say_unreadable(console, table, broken)
    return changed


def _keys(index: Index) -> dict[tuple, int]:
    """Path and box → row."""
    return {key: row for row, key in enumerate(_frame_keys(index.items, index.items["path"]))}


def _table_keys(table: Table) -> list[tuple]:
    paths = [os.path.abspath(path) for path in table.paths]  # noqa: PTH100 (links stay)
    return _frame_keys(table.frame, paths)


def _frame_keys(frame: pd.DataFrame, paths: Iterable[str]) -> list[tuple]:
    boxes = frame.reindex(columns=["x_1", "x_2", "y_1", "y_2"]).fillna(-1).to_numpy()
    return [(path, *box) for path, box in zip(paths, boxes.tolist(), strict=True)]
