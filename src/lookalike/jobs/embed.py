"""``lookalike embed``: a model and a data set in; an embedding file out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lookalike.compose import compose
from lookalike.config import Config
from lookalike.data.loader import eval_loader
from lookalike.data.table import Table
from lookalike.discover.embedding_file import Embeddings
from lookalike.discover.pss_pickles import TRAINING, UNUSED, PSSFile
from lookalike.errors import counted
from lookalike.jobs.parts import building
from lookalike.jobs.parts.console import Console
from lookalike.models import weights
from lookalike.models.embedder import Embedder
from lookalike.models.encode import embed_rows


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
    table = building.build_table(config)
    for name in splits:
        table.split(name)  # refuses one that is not there
    if splits:
        table = table.where(table.frame["split"].isin(splits).to_numpy())
    with console.embedding(table.name, len(table)) as advance:
        found = embed_table(embedder, table, config, advance)
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


def embed_table(
    model: Embedder,
    table: Table,
    config: Config,
    on_batch: Callable[[int], None] | None = None,
) -> Embeddings:
    """The embeddings of a table's pictures; those that cannot be read are left out if allowed."""
    device = building.pick_device(config.device)
    model.to(device)
    loader = eval_loader(
        table,
        model.transform(),
        batch_size=config.evaluation.batch_size,
        workers=config.workers,
        broken=building.broken_policy(config),
    )
    precision: torch.dtype | None = building.pick_precision(config.precision, device)
    vectors, order = embed_rows(model, loader, precision=precision, on_batch=on_batch)
    paths = [str(Path(path).resolve()) for path in table.paths]
    rows = table.frame.assign(path=paths).iloc[order].reset_index(drop=True)
    rows.attrs = {}
    return Embeddings(vectors, rows)


def pss_features(found: Embeddings, level: str) -> PSSFile:
    """A feature file of PSS: classes numbered by name, the ``train`` split masked as training."""
    label = pd.factorize(found.rows[level].astype(str), sort=True)[0]
    masks = np.where(found.rows["split"] == "train", TRAINING, UNUSED)
    return PSSFile(found.rows["path"].tolist(), found.vectors, label, label, masks)
