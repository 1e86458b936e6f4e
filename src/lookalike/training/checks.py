"""What can be refused of a configuration before data is read or a network is built."""

from __future__ import annotations

from lookalike import components, distributed
from lookalike.config import Config
from lookalike.errors import ConfigError, counted


def check(config: Config) -> None:
    """Refuse what can be refused before data is read or a network is built.

    Raises:
        ConfigError: names the option.
    """
    from lookalike.data import transforms
    from lookalike.data.build import broken_policy
    from lookalike.evaluation.metric_selection import check_metrics
    from lookalike.models.build import pick_device, pick_precision
    from lookalike.training import acceleration, frozen, objectives, start
    from lookalike.training.averaging import check_average
    from lookalike.training.optimizers import check_optimizer
    from lookalike.training.trackers import check_tracker

    check_optimizer(config.optimizer)
    check_average(config.average)
    acceleration.refuse_together(config)
    check_metrics(config.evaluation)
    check_tracker(config)
    if config.watch.every < 0:
        raise ConfigError(f"watch.every={config.watch.every}: steps between two looks; 0: never.")
    for name in ("train", "evaluation"):
        options = getattr(config.transform, name)
        components.check_arguments(getattr(transforms, name), options, f"transform.{name}")
    if config.distillation.rank:
        components.check("loss", config.distillation.rank, path="distillation.rank", complete=True)
    objectives.check(config)
    frozen.check(config)
    start.check(config)
    pick_precision(config.precision, pick_device(config.device))
    broken_policy(config)
    if config.accumulate not in ("mean", "sum"):
        raise ConfigError(f"accumulate={config.accumulate}: write mean or sum.")
    _check_counts(config)
    if config.model.embedding_size is not None and config.model.embedding_size < 1:
        raise ConfigError(
            f"model.embedding_size={config.model.embedding_size}: a width of at least 1; write "
            "null for the pooled features themselves."
        )
    if (config.batch_size or 0) % distributed.world_size():
        raise ConfigError(
            f"batch_size={config.batch_size} does not divide over "
            f"{counted(distributed.world_size(), 'process', 'processes')}."
        )


def _check_counts(config: Config) -> None:
    """Numbers that are at least 1, where they are given."""
    given = {name: getattr(config, name) for name in ("epochs", "batch_size", "update_every")}
    for name in ("every", "steps", "keep_every"):
        given[f"checkpoint.{name}"] = getattr(config.checkpoint, name)
    given["early_stop.patience"] = config.early_stop.patience
    if config.micro_batch != "auto":
        if isinstance(config.micro_batch, str):
            raise ConfigError(f"micro_batch={config.micro_batch}: write a number, auto or null.")
        given["micro_batch"] = config.micro_batch
    for name, value in given.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value}: must be at least 1.")
