"""The embeddings of a data set, with the table that says what each is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lookalike.config import Config
from lookalike.data.build import broken_policy
from lookalike.data.embedding_file import Embeddings
from lookalike.data.table import Table
from lookalike.models.build import pick_device, pick_precision
from lookalike.models.embedder import Embedder
from lookalike.models.embedding import embed_table


def embed_dataset(
    model: Embedder,
    table: Table,
    config: Config,
    on_batch: Callable[[int], None] | None = None,
) -> Embeddings:
    """The embeddings of a table's images; those that cannot be read are left out if allowed."""
    device = pick_device(config.device)
    found = embed_table(
        model.to(device),
        table,
        batch_size=config.evaluation.batch_size,
        workers=config.workers,
        broken=broken_policy(config),
        precision=pick_precision(config.precision, device),
        on_batch=on_batch,
    )
    paths = [str(Path(path).resolve()) for path in table.paths]
    rows = table.frame.assign(path=paths).iloc[found.rows].reset_index(drop=True)
    rows.attrs = {}
    return Embeddings(found.vectors, rows)
