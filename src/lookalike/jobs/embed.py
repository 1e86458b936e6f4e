"""``lookalike embed``: a model and a data set in; an embedding file out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.data.build import build_table
from lookalike.data.embedding_file import Embeddings
from lookalike.discover.pss_pickles import TRAINING, UNUSED, PSSFile
from lookalike.errors import counted
from lookalike.evaluation.embeddings import embed_dataset
from lookalike.models import weights


def run(
    model: str | Path,
    source: str,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    splits: Sequence[str] = (),
    pickle: Path | None = None,
) -> Embeddings:
    """Embed every picture of a data set, in its order.

    Args:
        model: a run or model folder.
        source: a data set's name, a folder or a table file.
        out: ``.npy`` or ``.safetensors``; the table goes beside it as ``.parquet``.
        overrides: options of the data set, ``device``, ``evaluation.batch_size``, ….
        splits: only their rows, in the data set's order.
        pickle: also write a feature pickle as PSS's code reads it.

    Raises:
        ModelError: no model there.
        DataError: data that cannot be used.
    """
    console = Console()
    embedder = weights.load(model)
    config = compose([f"dataset={source}", *overrides])
    table = build_table(config)
    for name in splits:
        table.split(name)  # refuses one that is not there
    if splits:
        table = table.where(table.frame["split"].isin(splits).to_numpy())
    with console.embedding(table.name, len(table)) as advance:
        found = embed_dataset(embedder, table, config, advance)
    found.save(out)
    if pickle is not None:
        pss_features(found, table.levels[0]).save(pickle)
        console.say(f"pickle   {pickle}")
    console.say(
        f"embedded {counted(len(found.rows), 'picture')},"
        f" {counted(found.vectors.shape[1], 'number')} each"
    )
    console.say(f"written  {out} and {out.with_suffix('.parquet')}")
    return found


def pss_features(found: Embeddings, level: str) -> PSSFile:
    """A feature file of PSS: classes numbered by name, the ``train`` split masked as training."""
    label = pd.factorize(found.rows[level].astype(str), sort=True)[0]
    masks = np.where(found.rows["split"] == "train", TRAINING, UNUSED)
    return PSSFile(found.rows["path"].tolist(), found.vectors, label, label, masks)
