"""Options that change how a model computes, not what: each is a line here."""

from __future__ import annotations

import torch

from lookalike import distributed
from lookalike.config import Config
from lookalike.errors import ConfigError
from lookalike.models.embedder import Embedder
from lookalike.models.preprocessing import side
from lookalike.training.batch_norm import synchronize
from lookalike.training.micro_batch import agree, find_micro_batch, free_memory
from lookalike.training.sharding import Sharded
from lookalike.training.step import SupervisedStep


def prepare(model: Embedder, config: Config, device: torch.device) -> None:
    """Synchronise batch norm, recompute activations, compile, as a run asks.

    Raises:
        ConfigError: a backbone that cannot.
    """
    if config.sync_batch_norm:
        synchronize(model, device)
    if config.gradient_checkpointing:
        _recompute(model)
    if config.compile:
        model.backbone.compile()


def _recompute(model: Embedder) -> None:
    switch = getattr(model.backbone, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError("it has no such switch")
        switch(True)
    except AssertionError as error:  # how timm says that a network has none
        raise ConfigError(
            f"gradient_checkpointing: {model.spec.backbone} cannot ({error}). Most of timm's "
            "networks can; micro_batch=auto saves memory with any."
        ) from error


def shard(model: Embedder, config: Config, device: torch.device) -> Sharded | None:
    """Divide a model over the processes, where a run asks for it."""
    return Sharded(model, device) if config.fsdp else None


def _refuse_with_shards(config: Config) -> None:
    if not distributed.is_active():
        raise ConfigError(
            "fsdp: there is one process, and nothing to divide. Start several: torchrun "
            "--nproc-per-node 2 -m lookalike train …"
        )
    others = {
        "optimizer.freeze": config.optimizer.freeze,
        "average.name": config.average.name,
        "sync_batch_norm": config.sync_batch_norm,
        "gradient_checkpointing": config.gradient_checkpointing,
        "compile": config.compile,
        "precision=fp16": config.precision == "fp16",
    }
    for option, set_ in others.items():
        if set_:
            raise ConfigError(f"fsdp does not go with {option}. Leave out one of them.")


def micro_batch(config: Config, step: SupervisedStep, pictures: int) -> int | None:
    """How many images pass the network at a time on this process; None: all.

    Args:
        config: which may leave it to free memory.
        step: the model, as it trains.
        pictures: of a batch, on this process.
    """
    if config.micro_batch is None or isinstance(config.micro_batch, int):
        return config.micro_batch
    pixels = side(config)
    picture = torch.zeros(3, pixels, pixels, dtype=torch.uint8, device=step.device)
    free = free_memory(step.device)
    found = agree(find_micro_batch(step.embed, step.model, picture, free), step.device)
    return min(found, pictures)


def refuse_together(config: Config) -> None:
    """Options that exclude each other.

    Raises:
        ConfigError: names them.
    """
    if config.fsdp:
        _refuse_with_shards(config)
    if config.sync_batch_norm and config.model.freeze_batch_norm:
        raise ConfigError(
            "sync_batch_norm: model.freeze_batch_norm leaves no statistics to synchronise. Give "
            "one of them."
        )
