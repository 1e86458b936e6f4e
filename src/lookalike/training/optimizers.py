"""Parameter groups, their optimisers, and the rates that a schedule gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from lookalike.components import OBJECT, object_missing
from lookalike.config import GroupConfig, OptimizerConfig
from lookalike.errors import ConfigError, suggest
from lookalike.training.schedules import (
    Span,
    check_schedule,
    momentum_at,
    schedule_factor,
    shared_peak,
)

GROUPS = ("backbone", "pool", "head", "loss")
OWN = GROUPS[1:]  # the backbone's settings are the optimizer's own
Parts = Mapping[str, nn.Module]


class Optimizers:
    """The optimisers of a run, used as one.

    Args:
        members: by name. ``network`` steps whatever has none of its own; a loss's proxies are
            always apart.
    """

    def __init__(self, members: dict[str, torch.optim.Optimizer]) -> None:
        self.members = members

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for one in self.members.values() for group in one.param_groups]

    def with_gradients(self) -> list[torch.optim.Optimizer]:
        """Those that have something to step: frozen groups have no gradients."""
        return [
            one
            for one in self.members.values()
            if any(p.grad is not None for group in one.param_groups for p in group["params"])
        ]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for one in self.members.values():
            one.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The state of each, by name."""
        return {name: one.state_dict() for name, one in self.members.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` gave."""
        for name, one in self.members.items():
            one.load_state_dict(state[name])


class Schedule:
    """Sets rate and momentum of every group, as a function of where the run is.

    Args:
        optimizers: whose groups.
        span: how long the run is.
        c: the schedules.
    """

    def __init__(self, optimizers: Optimizers, span: Span, c: OptimizerConfig) -> None:
        self.optimizers, self.span, self.c = optimizers, span, c

    def apply(self, update: int, epoch: int) -> None:
        """Make the groups ready for the update that follows so many."""
        for group in self.optimizers.param_groups:
            own = _own(self.c, group["name"].removesuffix("_no_decay"))
            factor = schedule_factor(update, epoch, self.span, self.c, own)
            group["lr"] = group["peak_lr"] * factor
            momentum = momentum_at(update, epoch, self.span, self.c, own)
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif momentum is not None and "momentum" in group:
                group["momentum"] = momentum

    def rates(self) -> dict[str, float]:
        """The present rate of each group."""
        groups = self.optimizers.param_groups
        return {group["name"].removesuffix("_no_decay"): group["lr"] for group in groups}


def create_optimizers(parts: Parts, c: OptimizerConfig) -> Optimizers:
    """The optimisers of a run, by name of ``torch.optim`` in any case, else of timm.

    Backbone, pool, head and loss are a group each, with rate and weight decay of its own where
    ``c`` says so. Biases, norms and the pool's exponents have no weight decay unless
    ``decay_all``. A loss's proxies are class centres on the sphere, whose norm is all that decay
    would change: they have none unless ``loss.weight_decay`` says so.

    Args:
        parts: the module of each group of :data:`GROUPS`; parameters that stand still are left
            out.
        c: what is configured.

    Raises:
        ConfigError: no such optimiser, or an option it does not take.
    """
    wanted: dict[str, tuple[str, dict[str, Any], str, list[dict[str, Any]]]] = {}
    for name in GROUPS:
        own = _own(c, name)
        groups = _groups(name, parts[name], c, own)
        if not groups:
            continue
        apart = own is not None and own.name is not None
        member = name if apart or name == "loss" else "network"
        kind, options, where = c.name, c.options, "optimizer"
        if own is not None and own.name is not None:
            kind, options, where = own.name, own.options, f"optimizer.{name}"
        wanted.setdefault(member, (kind, options, where, []))[3].extend(groups)
    made = {member: _create(*found) for member, found in wanted.items()}
    return Optimizers(made)


def own_optimizer(
    parts: Parts, c: OptimizerConfig, make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
) -> Optimizers:
    """An optimiser of the caller's for all groups; its rates are the peaks that a schedule scales.

    Args:
        parts: as in `create_optimizers`.
        c: its rates and decay do not count; biases, norms and proxies still have none.
        make: parameter groups → optimiser, such as ``partial(torch.optim.SGD, lr=0.1)``.
    """
    groups = []
    for name in GROUPS:
        for group in _groups(name, parts[name], c, _own(c, name)):
            without = {} if group["weight_decay"] else {"weight_decay": 0.0}
            groups.append({"name": group["name"], "params": group["params"], **without})
    made = make(groups)
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError("optimizer: the function must return a torch.optim.Optimizer.")
    for group in made.param_groups:
        group["peak_lr"] = group["lr"]
    return Optimizers({"network": made})


def check_optimizer(c: OptimizerConfig) -> None:
    """Refuse what cannot be by its words and numbers alone, before anything heavy starts.

    Raises:
        ConfigError: names the option.
    """
    check_schedule(c, OWN)
    if c.name != OBJECT:
        _class(c.name, c.options, "optimizer")
    if c.lr <= 0:
        raise ConfigError(f"optimizer.lr={c.lr}: a learning rate is above zero.")
    for name in OWN:
        own = _own(c, name)
        assert own is not None
        for option in ("lr", "lr_factor"):
            value = getattr(own, option)
            if value is not None and value <= 0:
                raise ConfigError(
                    f"optimizer.{name}.{option}={value}: a learning rate is above zero."
                )
        if own.lr is not None and own.lr_factor is not None:
            raise ConfigError(f"optimizer.{name}: give lr or lr_factor, not both.")
        if own.name is not None:
            _class(own.name, own.options, f"optimizer.{name}")
        if own.options and own.name is None:
            raise ConfigError(
                f"optimizer.{name}.options: they go to an optimiser of its own; name it with "
                f"optimizer.{name}.name."
            )
    _check_freeze(c)


def _check_freeze(c: OptimizerConfig) -> None:
    """Refuse groups that cannot stand still, or that leave nothing to train."""
    for name in c.freeze:
        if name not in GROUPS:
            raise ConfigError(f"optimizer.freeze=[{name}]: no such group. {suggest(name, GROUPS)}")
    if c.freeze_epochs > 0 and not c.freeze:
        raise ConfigError(
            f"optimizer.freeze_epochs={c.freeze_epochs}: say what stands still meanwhile, such as "
            "optimizer.freeze=[backbone]."
        )
    if not c.freeze_epochs and set(c.freeze) == set(GROUPS):
        raise ConfigError(f"optimizer.freeze={c.freeze}: nothing is left to train. Drop a group.")


def set_frozen(parts: Parts, frozen: Iterable[str], still: frozenset[nn.Parameter]) -> None:
    """Let some groups stand still and all others move.

    Args:
        parts: the module of each group.
        frozen: the groups that stand still.
        still: parameters that never move, whatever their group does.
    """
    frozen = set(frozen)
    for name, module in parts.items():
        for parameter in module.parameters():
            parameter.requires_grad_(name not in frozen and parameter not in still)


def _own(c: OptimizerConfig, name: str) -> GroupConfig | None:
    return getattr(c, name) if name in OWN else None


def _groups(
    name: str, module: nn.Module, c: OptimizerConfig, own: GroupConfig | None
) -> list[dict[str, Any]]:
    lr, decay, decays_all = c.lr, c.weight_decay, c.decay_all
    if name == "loss":
        decay, decays_all = 0.0, True
    if own is not None:
        if own.weight_decay is not None:
            decay = own.weight_decay
        if not shared_peak(c, own):
            lr = own.lr or c.lr * (own.lr_factor or 1.0)
    parameters = [p for p in module.parameters() if p.requires_grad]
    without = [] if decays_all else [p for p in parameters if p.ndim <= 1]
    decayed = parameters if decays_all else [p for p in parameters if p.ndim > 1]
    return [
        {"name": full, "params": chosen, "lr": lr, "peak_lr": lr, "weight_decay": value}
        for full, chosen, value in ((name, decayed, decay), (f"{name}_no_decay", without, 0.0))
        if chosen
    ]


def _create(
    name: str, options: dict[str, Any], where: str, groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    cls = _class(name, options, where)
    try:
        return cls(groups, lr=groups[0]["lr"], **options)  # pyright: ignore[reportCallIssue]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {cls.__name__} refused its arguments: {error}") from error


def _class(name: str, options: dict[str, Any], where: str) -> type[torch.optim.Optimizer]:
    """The optimiser of that name, which takes these options."""
    if name == OBJECT:
        raise object_missing("optimizer", f"{where}.name")
    own = {kind.lower(): cls for kind, cls in torch_optimizers().items()}
    cls = own.get(name.lower()) or _timm_class(name, own, where)
    accepted = set(inspect.signature(cls).parameters) - {"params", "lr", "weight_decay"}
    for key in options:
        if key not in accepted:
            raise ConfigError(
                f"{where}.options.{key}: {cls.__name__} takes no such argument. "
                f"{suggest(key, accepted)}"
            )
    return cls


def torch_optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """The optimisers of ``torch.optim`` by name."""
    return {
        name: cls
        for name, cls in sorted(vars(torch.optim).items())
        if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer) and name != "Optimizer"
    }


def _timm_class(name: str, own: dict[str, type], where: str) -> type[torch.optim.Optimizer]:
    from timm import optim

    listed = optim.list_optimizers()  # pyright: ignore[reportPrivateImportUsage]
    if name.lower() not in listed:
        known = [*own, *listed]
        raise ConfigError(f"{where}.name={name}: no such optimiser. {suggest(name, known)}")
    get_class: Any = optim.get_optimizer_class  # pyright: ignore[reportPrivateImportUsage]
    return get_class(name.lower(), bind_defaults=False)
