"""``lookalike index add | update | remove | adopt``: change an index without building it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.errors import ConfigError
from lookalike.jobs.options import (
    BatchSize,
    DataOptions,
    GallerySplit,
    Images,
    IndexFolder,
    Where,
    Workers,
)

if TYPE_CHECKING:
    from lookalike.search.index import Index


def add(
    folder: IndexFolder,
    source: Images,
    overrides: DataOptions = None,
    *,
    split: GallerySplit = None,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
) -> Index:
    """Embed more images into an index: `lookalike index add INDEX more/`.

    The index's own model embeds them. Images that it holds already are left alone.
    """
    from lookalike.console import Console
    from lookalike.search.changes import add_images
    from lookalike.search.index import Index

    return add_images(
        Index.open(folder), Console(), source, overrides or [], split=split, batch_size=batch_size,
        workers=workers,
    )  # fmt: skip


def adopt(folder: IndexFolder) -> None:
    """Take an index from elsewhere, and its table in a server, for your own.

    What its files name is obeyed from now on, and its table in a server may be changed and dropped.
    The model in it keeps its own description: an import path in that still needs `--trust`.
    """
    from lookalike.console import Console
    from lookalike.search.index import Index
    from lookalike.search.remote import writing

    index = Index.open(folder)
    writing.adopt(index.folder)
    console = Console()
    if (source := index.manifest.get("source")) is not None:
        console.say(f"source   {' '.join([source['of'], *source['overrides']])}")
    if (server := index.manifest.get("server")) is not None:
        console.say(f"server   {index.engine['server']}, table {server['table']}")
    console.say(f"{folder} is yours now")


def update(folder: IndexFolder, *, batch_size: BatchSize = 64, workers: Workers = 2) -> Index:
    """Embed new and changed files of the source, remove those that are gone.

    A file is changed when its size or its time of change is another. Images that came by `index
    add` stay while their files do.
    """
    from lookalike.console import Console
    from lookalike.search.changes import update_images
    from lookalike.search.index import Index

    return update_images(Index.open(folder), Console(), batch_size=batch_size, workers=workers)


def remove(
    folder: IndexFolder,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE|#ID]...", help="Images to remove, by path or id (#12)."),
    ] = None,
    *,
    where: Where = None,
) -> Index:
    """Remove images from an index; their files stay.

    With images and conditions, those of the images for which all conditions hold.

    Raises:
        DataError: an image that the index does not hold, or a column that it lacks.
    """
    from lookalike.console import Console
    from lookalike.errors import counted
    from lookalike.search.changes import ids_of
    from lookalike.search.index import Index

    if not pictures and not where:
        raise ConfigError("index remove: name images, ids (#12), or --where COLUMN=VALUE.")
    index = Index.open(folder)
    ids = ids_of(index, pictures or [], where or [])
    changed = index.remove(ids) if ids else index
    Console().say(f"{counted(len(index) - len(changed), 'image')} removed, {len(changed):,} left")
    return changed
