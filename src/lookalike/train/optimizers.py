"""Parameter groups, the optimiser and its schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from lookalike.config import OptimizerConfig
from lookalike.errors import ConfigError, suggest

SCHEDULES = ("cosine", "step", "constant")


def parameter_groups(
    backbone: Iterable[nn.Module], head: Iterable[nn.Module], loss: nn.Module, c: OptimizerConfig
) -> list[dict]:
    """Backbone, head and loss, each with its own rate; biases and norms without weight decay.

    A loss's proxies are class centres on the sphere: weight decay would only shrink their norm, so
    they get none.
    """
    groups = []
    for name, modules, lr in (("backbone", backbone, c.lr), ("head", head, c.head_lr or c.lr)):
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        for suffix, decay, chosen in (
            ("", c.weight_decay, [p for p in parameters if p.ndim > 1]),
            ("_no_decay", 0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if chosen:
                groups.append(
                    {"name": name + suffix, "params": chosen, "lr": lr, "weight_decay": decay}
                )
    proxies = [p for p in loss.parameters() if p.requires_grad]
    if proxies:
        groups.append(
            {"name": "loss", "params": proxies, "lr": c.loss_lr or c.lr, "weight_decay": 0.0}
        )
    return groups


def create_optimizer(groups: list[dict], c: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser named in the config: of ``torch.optim`` in any case, else of timm.

    Raises:
        ConfigError: no such optimiser, or an option it does not take.
    """
    own = {
        name.lower(): cls
        for name, cls in vars(torch.optim).items()
        if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer) and name != "Optimizer"
    }
    cls = own.get(c.name.lower()) or _timm_class(c.name, own)
    accepted = set(inspect.signature(cls).parameters) - {"params", "lr", "weight_decay"}
    for key in c.options:
        if key not in accepted:
            raise ConfigError(
                f"optimizer.options.{key}: {cls.__name__} takes no such argument. "
                f"{suggest(key, accepted)}"
            )
    try:
        return cls(groups, lr=c.lr, **c.options)  # pyright: ignore[reportCallIssue]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer: {cls.__name__} refused its arguments: {error}") from error


def _timm_class(name: str, own: dict[str, type]) -> type[torch.optim.Optimizer]:
    from timm import optim

    listed = optim.list_optimizers()  # pyright: ignore[reportPrivateImportUsage]
    if name.lower() not in listed:
        known = [*own, *listed]
        raise ConfigError(f"optimizer.name={name}: no such optimiser. {suggest(name, known)}")
    get_class: Any = optim.get_optimizer_class  # pyright: ignore[reportPrivateImportUsage]
    return get_class(name.lower(), bind_defaults=False)


def check_schedule(c: OptimizerConfig) -> None:
    """Refuse a schedule that cannot be, before anything heavy starts."""
    if c.schedule not in SCHEDULES:
        raise ConfigError(
            f"optimizer.schedule={c.schedule}: no such schedule. {suggest(c.schedule, SCHEDULES)}"
        )
    if c.schedule == "step" and not c.milestones:
        raise ConfigError("optimizer.schedule=step needs optimizer.milestones=[epoch, …].")
    for option in ("lr", "head_lr", "loss_lr"):
        value = getattr(c, option)
        if value is not None and value <= 0:
            raise ConfigError(f"optimizer.{option}={value}: a learning rate is above zero.")


def schedule_factor(step: int, *, steps_per_epoch: int, epochs: int, c: OptimizerConfig) -> float:
    """The learning rate at a step, as a factor of the configured one.

    Linear warm-up over ``warmup_epochs``, then ``cosine`` down to ``min_lr_ratio``, ``step`` by
    ``gamma`` at each milestone, or ``constant``.

    >>> c = OptimizerConfig(warmup_epochs=1.0)
    >>> [round(schedule_factor(s, steps_per_epoch=4, epochs=3, c=c), 2) for s in (0, 3, 4, 8, 12)]
    [0.25, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = round(c.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    if c.schedule == "cosine":
        total = max(1, epochs * steps_per_epoch - warmup)
        progress = min(1.0, (step - warmup) / total)
        return c.min_lr_ratio + (1 - c.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
    if c.schedule == "step":
        return c.gamma ** sum(step >= m * steps_per_epoch for m in c.milestones)
    return 1.0


def create_schedule(
    optimizer: torch.optim.Optimizer, *, steps_per_epoch: int, epochs: int, c: OptimizerConfig
) -> LambdaLR:
    """torch's scheduler around :func:`schedule_factor`, stepped once a batch."""
    return LambdaLR(
        optimizer,
        lambda step: schedule_factor(step, steps_per_epoch=steps_per_epoch, epochs=epochs, c=c),
    )
