"""``lookalike embed``: a model and a data set in; an embedding file out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.jobs.options import DataSource, ModelFolder, Overrides, PicklePath


def run(
    model: ModelFolder,
    source: DataSource,
    out: Annotated[
        Path,
        typer.Option(help="File to write (.npy or .safetensors); its table goes beside it."),
    ],
    overrides: Overrides = None,
    *,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Embed only this split; repeatable.")
    ] = None,
    pickle: PicklePath = None,
) -> None:
    """Write a data set's embeddings: `lookalike embed runs/x photos/ --out heap.npy`.

    Raises:
        ModelError: no model there.
        DataError: data that cannot be used.
    """
    from lookalike.compose import compose
    from lookalike.console import Console
    from lookalike.data.build import build_table
    from lookalike.discover.pss_pickles import features_of
    from lookalike.errors import counted
    from lookalike.evaluation.embeddings import embed_dataset
    from lookalike.models import ready
    from lookalike.models.names import split_words

    console = Console()
    words, others = split_words(overrides or [])
    embedder = ready.open_model(model, words)
    ready.introduce(model, embedder, console.say)
    config = compose([f"dataset={source}", *others])
    table = build_table(config)
    for name in splits or ():
        table.split(name)  # refuses one that is not there
    if splits:
        table = table.where(table.frame["split"].isin(splits).to_numpy())
    with console.embedding(table.name, len(table)) as advance:
        found = embed_dataset(embedder, table, config, advance)
    found.save(out)
    if pickle is not None:
        features_of(found, table.levels[0]).save(pickle)
        console.say(f"pickle   {pickle}")
    console.say(f"embedded {counted(len(found.rows), 'image')}, {found.vectors.shape[1]:,}-d")
    console.say(f"written  {out} and {out.with_suffix('.parquet')}")
