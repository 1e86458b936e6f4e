"""Negatives for an epoch, drawn by the distances of the model as it is now."""

from __future__ import annotations

import numpy as np
import torch

from lookalike import distributed
from lookalike.config import Config
from lookalike.data.loader import eval_loader
from lookalike.data.samplers.grouped import GroupedSampler
from lookalike.data.table import Table
from lookalike.jobs.parts import building
from lookalike.models.embedder import Embedder
from lookalike.models.encode import embed_rows


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
    loader = eval_loader(
        training.where(rows),
        model.transform(),
        batch_size=config.evaluation.batch_size,
        workers=config.workers,
        broken=building.broken_policy(config),
        rank=distributed.rank(),
        world=distributed.world_size(),
    )
    share = embed_rows(model, loader, precision=precision)
    shares = distributed.gather_objects(share)
    # A row that cannot be read is at right angles to all, and so hardly ever drawn.
    embeddings = np.zeros((len(rows), model.width), np.float32)
    for found, places in shares:
        embeddings[places] = found
    sampler.set_negatives(epoch, rows, embeddings)
