"""The one way from a table of images to their embeddings: in order, in shares, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from lookalike import distributed
from lookalike.data.dataset import Broken
from lookalike.data.loader import Loader, eval_loader
from lookalike.data.table import Table
from lookalike.models.embedder import Embedder
from lookalike.models.embedding_store import Embedded, EmbeddingStore, collect
from lookalike.models.encode import embed_batches


def embed_table(
    model: Embedder,
    table: Table,
    *,
    batch_size: int = 64,
    workers: int = 0,
    broken: Broken = "refuse",
    precision: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
    on_batch: Callable[[int], None] | None = None,
    store: EmbeddingStore | None = None,
) -> Embedded:
    """Embed the images of a table.

    Where several processes work together, all must call this: each embeds a share, and all get the
    whole. A batch holds the same images whatever the number of processes and wherever an earlier
    pass was killed, so the vectors have the same bits.

    Args:
        model: the embedder; it stays on its device, and its mode is put back.
        table: the images.
        batch_size: images of a batch.
        workers: processes that decode; 0: this one.
        broken: ``"refuse"`` an unreadable image, or ``"skip"`` it.
        precision: autocast's type; None: float32.
        scales: sizes of the images whose vectors are averaged.
        on_batch: told how many images were done, those of earlier passes first.
        store: where parts are kept for a pass that goes on after a kill.

    Raises:
        DataError: an image cannot be read and ``broken="refuse"``.
        NumericsError: the model produces NaN.
    """
    world = distributed.world_size()
    loader = eval_loader(
        table,
        model.transform(),
        batch_size=batch_size,
        workers=workers,
        broken=broken,
        rank=distributed.rank(),
        world=world,
        done=None if store is None else store.done,
    )
    parts = embedded_batches(model, loader, precision=precision, scales=scales)
    return collect(parts, model.width, store=store, on_batch=on_batch)


def embedded_batches(
    model: Embedder,
    loader: Loader,
    *,
    precision: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
) -> Iterator[Embedded]:
    """The embeddings of a loader's batches, and what could not be read since the one before."""
    told: set[int] = set()
    rows: list[np.ndarray] = []

    def unreadable() -> dict[int, str]:
        new = {row: why for row, why in loader.broken.items() if row not in told}
        told.update(new)
        return new

    def batches() -> Iterator[dict[str, Any]]:
        for batch in loader:
            rows.append(batch["index"].numpy())
            yield batch

    for vectors in embed_batches(model, batches(), precision=precision, scales=scales):
        yield Embedded(vectors, rows.pop(0), unreadable())
    if left := unreadable():
        yield Embedded(np.empty((0, model.width), np.float32), np.empty(0, np.int64), left)
