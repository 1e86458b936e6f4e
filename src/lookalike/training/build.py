"""From a config to the loss and the batches of a run."""

from __future__ import annotations

import torch

from lookalike import components, distributed
from lookalike.config import BATCH_SIZE, Config
from lookalike.data.samplers.base import BatchSampler
from lookalike.data.table import Table
from lookalike.errors import ConfigError
from lookalike.losses import CrossBatchMemory, MinedLoss
from lookalike.losses.matryoshka import matryoshka


def build_sampler(
    config: Config, training: Table, given: BatchSampler | None = None
) -> BatchSampler:
    """The batches of a run's epochs, unless the caller gave them.

    Where the configuration says no batch size, it is given the largest that can be filled.
    """
    if given is not None:
        return given
    adapted = config.batch_size is None and _settle_batch(config, training)
    sampler = components.build(
        "sampler",
        config.sampler,
        labels=training.labels,
        batch_size=config.batch_size,
        seed=config.seed,
        rank=distributed.rank(),
        world=distributed.world_size(),
    )
    if adapted:
        sampler.notes = (
            *sampler.notes,
            f"batch_size={config.batch_size}, not the usual {BATCH_SIZE}: what this data can fill",
        )
    return sampler


def _settle_batch(config: Config, training: Table) -> bool:
    """Say the batch size that nobody said; whether it is another than usual."""
    component = components.check("sampler", config.sampler)
    fitting = getattr(component, "fitting", None)  # a sampler of others' own may lack it
    config.batch_size = BATCH_SIZE
    if fitting is not None:
        arguments = {key: value for key, value in config.sampler.items() if key != "name"}
        config.batch_size = fitting(
            training.labels, BATCH_SIZE, world=distributed.world_size(), **arguments
        )
    return config.batch_size != BATCH_SIZE


def build_loss(config: Config, training: Table, width: int) -> torch.nn.Module:
    """The loss of a run; what it must know of the data is filled in."""
    taught = config.teacher is not None and config.distillation.mode != "compatible"
    if config.model.widths and not taught:  # a distilling step compares each width itself
        widths = sorted({*config.model.widths, width})
        return matryoshka({w: _loss(config, training, w) for w in widths})
    return _loss(config, training, width)


def _loss(config: Config, training: Table, width: int) -> torch.nn.Module:
    loss = components.build(
        "loss",
        config.loss,
        num_classes=training.num_classes(0),
        embedding_size=width,
        hierarchy=_hierarchy(training),
    )
    if not isinstance(loss, torch.nn.Module):
        raise ConfigError(f"loss={config.loss['name']} is no torch.nn.Module.")
    return with_miner(config, loss)


def with_miner(config: Config, loss: torch.nn.Module) -> torch.nn.Module:
    """The loss with the miner of a run before it, or in its memory; as it is where there is none.

    Raises:
        ConfigError: a loss that reads no pairs, or a memory that has a miner.
    """
    if not config.miner:
        return loss
    miner = components.build("miner", config.miner)
    if not isinstance(loss, CrossBatchMemory):
        return MinedLoss(loss, miner)
    if loss.miner is not None:
        raise ConfigError("miner: the memory has a miner of its own, loss.miner. Drop one of them.")
    loss.miner = miner
    return loss


def _hierarchy(training: Table) -> torch.Tensor:
    """The label row of each fine class, ``(C, L)``."""
    rows = torch.zeros(training.num_classes(0), len(training.levels), dtype=torch.long)
    labels = torch.from_numpy(training.labels)
    labels = labels[labels[:, 0] >= 0]  # distractors are of no class
    rows[labels[:, 0]] = labels
    return rows
