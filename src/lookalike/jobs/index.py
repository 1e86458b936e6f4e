"""``lookalike index``: make pictures searchable, and say what an index holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lookalike.compose import compose
from lookalike.data.datasets.folders import loose_folder
from lookalike.data.loader import eval_loader
from lookalike.data.table import Table
from lookalike.errors import DataError
from lookalike.jobs import building
from lookalike.jobs.console import Console
from lookalike.models import weights
from lookalike.models.encode import embed_rows
from lookalike.search.index import MODEL, Index


def build(
    model: str | Path,
    source: str,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    batch_size: int = 64,
    workers: int = 2,
    overwrite: bool = False,
) -> Index:
    """Embed every picture of a source and write an index folder.

    Pictures that cannot be read are left out, counted and named.

    Args:
        model: a run folder or a model folder.
        source: a folder of pictures, a table file, or a data set's name.
        out: the index folder to write.
        overrides: settings of the data set.
        split: index the gallery rows of this split alone.
        batch_size: pictures at a time.
        workers: processes that read pictures.
        overwrite: replace an index that is there.

    Raises:
        LookalikeError: no model, no pictures, or a folder that cannot be written.
    """
    console = Console()
    embedder = weights.load(model)
    table = read_source(source, overrides)
    if split is not None:
        rows = table.split(split)
        table = rows.where(rows.frame["is_gallery"].to_numpy(bool))
    loader = eval_loader(
        table, embedder.transform(), batch_size=batch_size, workers=workers, broken="skip"
    )
    with console.embedding(str(source), len(table)) as advance:
        vectors, order = embed_rows(embedder, loader, on_batch=advance)
    if not len(order):
        raise DataError(f"{source}: none of its {len(table)} pictures can be read.")
    items = table.where(order).frame.assign(path=[table.paths[i] for i in order])
    about = weights.read_about(weights.model_folder(model))
    index = Index.build(
        out,
        vectors,
        items.drop(columns=["is_query", "is_gallery"]),
        model=weights.model_folder(model),
        about={
            "source": table.name,
            "levels": list(table.levels),
            "model": {"sha256": about["sha256"], "backbone": embedder.spec.backbone},
            "size": embedder.spec.size,
        },
        overwrite=overwrite,
    )
    skipped = len(table) - len(order)
    console.say(f"{index.folder}: {len(index)} pictures, {vectors.shape[1]} numbers each")
    if skipped:
        missing = sorted(set(range(len(table))) - set(order.tolist()))
        named = ", ".join(table.paths[i] for i in missing[:5])
        console.say(f"{skipped} pictures could not be read and were left out: {named}")
    return index


def info(folder: str | Path) -> None:
    """Print an index's manifest."""
    index = Index.open(folder)
    console = Console()
    about = index.manifest
    console.say(f"pictures  {len(index)}, {about['width']} numbers each")
    console.say(f"made      {about['created']} by lookalike {about['lookalike']}")
    if "model" in about:
        console.say(
            f"model     {about['model']['backbone']}, sha256 {about['model']['sha256'][:16]}…"
        )
        console.say(f"pictures prepared at {about['size']} px")
    if "source" in about:
        console.say(f"source    {about['source']}; labels: {', '.join(about['levels']) or 'none'}")
    has_model = (index.folder / MODEL).is_dir()
    console.say(f"queries   {'pictures and vectors' if has_model else 'vectors only (no model)'}")


def read_source(source: str, overrides: Sequence[str] = ()) -> Table:
    """A folder, a table file or a data set's name, as a table.

    A folder may hold its pictures in any way; those in no sub-folder have no label.
    """
    path = Path(source).expanduser()
    if path.is_dir() and not overrides:
        return loose_folder(path)
    return building.build_table(compose([f"dataset={source}", *overrides]))
