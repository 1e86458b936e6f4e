"""Embed the images of a source and write an index of them; killed, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.errors import DataError, counted
from lookalike.models.embedding_store import EmbeddingStore
from lookalike.models.names import is_backbone, split_words
from lookalike.search.encoders import describe, embed_with, open_encoder, weights_folder
from lookalike.search.engines import checked
from lookalike.search.generations import writing
from lookalike.search.index import Index
from lookalike.search.source import items_of, origin, read_source, stamps
from lookalike.search.writing import BUILDING, refuse_in_the_way

if TYPE_CHECKING:
    from lookalike.models.embedder import Embedder


@dataclass(frozen=True, eq=False)
class Built:
    """An index that was built.

    Attributes:
        index: the index.
        table: what it was built of.
        unreadable: row of the table → why its image was left out.
    """

    index: Index
    table: Table
    unreadable: dict[int, str]


def build_index(
    model: Embedder | str | Path,
    source: str | Path | Table,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    batch_size: int = 64,
    workers: int = 2,
    overwrite: bool = False,
    engine: str = "exact",
    engine_options: Mapping[str, Any] | None = None,
    storage: str = "float32",
    precision: str = "float32",
    console: Console | None = None,
) -> Built:
    """Embed every image of a source and write an index folder.

    Args:
        model: an embedder; a run folder, a model folder, an export or ``hf://OWNER/NAME``; or a
            backbone's name, whose pooled features are indexed.
        source: a folder of images, a table file, a data set's name, or a table.
        out: the index folder to write.
        overrides: settings of the data set, and of a backbone (``model.pretrained=FILE``).
        split: index the gallery rows of this split alone.
        batch_size: images at a time.
        workers: processes that read images.
        overwrite: replace an index that is there.
        engine: ``exact``, ``hnsw``, ``ivfpq``, ``pgvector`` or ``qdrant``.
        engine_options: see `engines.engine_spec`; ``server`` is the address of the server that is
            to hold the vectors, by default that of ``$LOOKALIKE_PGVECTOR`` or
            ``$LOOKALIKE_QDRANT``.
        storage: ``float32``, ``float16``, ``int8`` or ``binary``.
        precision: ``float32``, or ``bf16``, several times faster where the processor knows it.
        console: where progress is shown; None: nowhere.

    Raises:
        LookalikeError: no model, no images, or a folder that cannot be written.
    """
    console = console or Console(silent=True)
    out = Path(out)
    refuse_in_the_way(out, overwrite=overwrite)
    with ExitStack() as stack:
        model, overrides = _ready(model, overrides, console)
        if not isinstance(model, str | Path):
            from lookalike.models import weights

            folder = stack.enter_context(TemporaryDirectory())
            weights.save(model, folder)
            model = folder
        encoder = open_encoder(model, precision)
        table = source if isinstance(source, Table) else read_source(str(source), overrides, split)
        name = table.name if isinstance(source, Table) else str(source)
        options = dict(engine_options or {})
        # An engine that cannot be is refused before hours of embedding, not after.
        checked(engine, storage, len(table), encoder.width, options)
        about = describe(encoder)
        plan = {"model": about, "precision": precision, "pictures": table.fingerprint}
        plan["stamps"] = int(
            pd.util.hash_pandas_object(stamps(table.paths), index=False).sum() >> 1
        )
        with writing(out):
            store = EmbeddingStore.of_plan(out / BUILDING, plan, len(table))
            if before := int(store.done.sum()):
                console.say(
                    f"resumed  {before:,} of {counted(len(table), 'image')} were embedded before"
                )
            with console.embedding(name, len(table)) as advance:
                vectors, rows, unreadable = embed_with(
                    encoder,
                    table,
                    batch_size=batch_size,
                    workers=workers,
                    store=store,
                    on_batch=advance,
                )
            if not len(rows):
                store.remove()
                raise DataError(f"{name}: none of its {counted(len(table), 'image')} can be read.")
        index = Index.build(
            out,
            vectors,
            items_of(table, rows),
            model=weights_folder(model),
            about={
                "source": origin(name, overrides, split, table),
                "levels": list(table.levels),
                "model": about,
                "precision": precision,
                "size": encoder.size,
            },
            overwrite=overwrite,
            engine=engine,
            engine_options=options,
            storage=storage,
        )
        store.remove()
    return Built(index, table, unreadable)


def _ready(
    model: Embedder | str | Path, overrides: Sequence[str], console: Console
) -> tuple[Embedder | str | Path, Sequence[str]]:
    """The model, a backbone built from its name; and what of the options is the data set's."""
    words, others = split_words(overrides)
    if not isinstance(model, str | Path) or (not words and not is_backbone(model)):
        return model, overrides  # what is exported needs no torch
    from lookalike.models import ready

    found = ready.open_model(model, words)
    ready.introduce(model, found, console.say)
    return found, others


def say_unreadable(console: Console, table: Table, broken: dict[int, str]) -> None:
    """Say which images were left out, and why the first was."""
    if broken:
        rows = sorted(broken)
        named = ", ".join(table.paths[i] for i in rows[:5])
        console.say(f"{counted(len(rows), 'image')} left out, unreadable: {named}")
        console.say(f"         the first: {broken[rows[0]]}")
