"""Negatives for an epoch, drawn by the distances of the model as it is now."""

from __future__ import annotations

import numpy as np
import torch

from lookalike.config import Config
from lookalike.data.build import broken_policy
from lookalike.data.samplers.grouped import GroupedSampler
from lookalike.data.table import Table
from lookalike.models.embedder import Embedder
from lookalike.models.embedding import embed_table


def mine(
    sampler: object,
    epoch: int,
    model: Embedder,
    training: Table,
    config: Config,
    precision: torch.dtype | None = None,
) -> None:
    """Give a sampler that asks for it the negatives of an epoch.

    The rows it names are embedded as evaluation sees them, every process a share of them; all
    draw the same negatives. A sampler that has those of the epoch, from a checkpoint, keeps them.
    """
    if not isinstance(sampler, GroupedSampler) or not sampler.wants_negatives(epoch):
        return
    rows = sampler.rows_to_embed(epoch)
    found = embed_table(
        model,
        training.where(rows),
        batch_size=config.evaluation.batch_size,
        workers=config.workers,
        broken=broken_policy(config),
        precision=precision,
    )
    # A row that cannot be read is at right angles to all, and so hardly ever drawn.
    embeddings = np.zeros((len(rows), model.width), np.float32)
    embeddings[found.rows] = found.vectors
    sampler.set_negatives(epoch, rows, embeddings)
