"""Learning rates as plain functions of where a run is: no state to save, nothing to resume."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lookalike.config import GroupConfig, OptimizerConfig
from lookalike.errors import ConfigError, suggest

WORDS = {
    "cosine": "falls along half a cosine to min_lr_ratio of the rate",
    "multistep": "multiplied by gamma at each of the milestones, in epochs",
    "step": "multiplied by gamma every step_epochs epochs",
    "exponential": "multiplied by gamma every epoch",
    "one_cycle": "up and down once over the run, as OneCycleLR; schedule_options",
    "cyclic": "up and down again and again, as CyclicLR; schedule_options",
    "constant": "stays as it is",
}
SCHEDULES = tuple(WORDS)
EVERY = ("step", "epoch")


@dataclass(frozen=True)
class Span:
    """How long a run is.

    Attributes:
        batches: of an epoch.
        epochs: of the run.
        update_every: batches to an optimiser step.
    """

    batches: int
    epochs: int
    update_every: int = 1

    @property
    def updates(self) -> int:
        """Optimiser steps planned for an epoch; a last group of fewer batches counts as one."""
        return -(-self.batches // self.update_every)


def one_cycle(
    update: int,
    total: int,
    *,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> float:
    """One cycle: by cosine from 1/div_factor up to 1, then down to 1/(div_factor·final_div_factor).

    Smith and Topin (arXiv 1708.07120) with the arithmetic of torch's ``OneCycleLR``: of T planned
    updates the peak is number pct_start·T − 1 and the end number T − 1.

    >>> [round(one_cycle(i, 10, div_factor=10), 3) for i in (0, 2, 9)]
    [0.1, 1.0, 0.0]
    """
    start, end = 1 / div_factor, 1 / (div_factor * final_div_factor)
    return _there_and_back(update, total, pct_start, start, 1.0, end)


def one_cycle_momentum(
    update: int,
    total: int,
    *,
    pct_start: float = 0.3,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
) -> float:
    """Momentum (β1 of the Adams) while the rate cycles: lowest where the rate is highest."""
    return _there_and_back(update, total, pct_start, max_momentum, base_momentum, max_momentum)


def cyclic(
    update: int, half_cycle: int, *, base_ratio: float = 0.1, mode: str = "triangular2"
) -> float:
    """Triangles between base_ratio and 1, ``half_cycle`` updates up and as many down.

    Smith (arXiv 1506.01186); ``triangular2`` halves the height with every cycle, ``triangular``
    keeps it.

    >>> [cyclic(i, 2, base_ratio=0.0) for i in range(9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25, 0.0]
    """
    cycle = update // (2 * half_cycle)
    height = max(0.0, 1 - abs(update / half_cycle - 2 * cycle - 1))
    if mode == "triangular2":
        height /= 2**cycle
    return base_ratio + (1 - base_ratio) * height


def _there_and_back(
    i: int, total: int, share: float, start: float, peak: float, end: float
) -> float:
    top, last = share * total - 1, total - 1
    if i <= top:
        return _cosine(start, peak, i / top if top > 0 else 1.0)
    return _cosine(peak, end, min(1.0, (i - top) / (last - top)) if last > top else 1.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def schedule_factor(
    update: int, epoch: int, span: Span, c: OptimizerConfig, group: GroupConfig | None = None
) -> float:
    """The learning rate of an update, as a factor of the configured one.

    Linear warm-up over ``warmup_epochs``, then, t being the epochs done (a fraction, or with
    ``schedule_every=epoch`` a whole number) of E, w of them warm-up:

    ============  =================================================================
    cosine        m + (1 − m)·(1 + cos(π·(t − w)/(E − w)))/2,  m = min_lr_ratio
    multistep     gamma^(milestones ≤ t)
    step          gamma^⌊t/step_epochs⌋
    exponential   gamma^t
    one_cycle     :func:`one_cycle` over all planned updates
    cyclic        :func:`cyclic`; half a cycle is a sixth of the run's updates
    constant      1
    ============  =================================================================

    Published quirks: with ``freeze_schedule`` every schedule stands still during
    ``freeze_epochs``, so that a cosine never reaches its end (HAPPIER, SupRank). Planned updates
    round an epoch up; with ``drop_partial_update`` fewer are done, and a cycle never finishes
    (RAML).

    Args:
        update: optimiser steps done.
        epoch: epochs done.
        span: how long the run is.
        c: what is configured.
        group: what one group of parameters has of its own.

    >>> c, span = OptimizerConfig(warmup_epochs=1.0), Span(batches=4, epochs=3)
    >>> [round(schedule_factor(s, s // 4, span, c), 2) for s in (0, 3, 4, 8, 12)]
    [0.25, 1.0, 1.0, 0.5, 0.0]
    """
    name = (group and group.schedule) or c.schedule
    least = c.min_lr_ratio if group is None or group.min_lr_ratio is None else group.min_lr_ratio
    wait = c.freeze_epochs if c.freeze_schedule else 0
    update, epoch = max(0, update - wait * span.updates), max(0, epoch - wait)
    warmup = round(c.warmup_epochs * span.updates)
    if update < warmup:
        return (update + 1) / warmup
    if c.schedule_every == "epoch":
        update = epoch * span.updates
    if name in ("one_cycle", "cyclic"):
        return _cycling(name, update, span, c)
    t = update / span.updates
    if name == "cosine":
        done = (update - warmup) / max(1, span.epochs * span.updates - warmup)
        return _cosine(1.0, least, min(1.0, max(0.0, done)))
    if name == "multistep":
        return c.gamma ** sum(t >= milestone for milestone in c.milestones)
    if name == "step":
        return c.gamma ** (t // c.step_epochs)
    return c.gamma**t if name == "exponential" else 1.0


def _cycling(name: str, update: int, span: Span, c: OptimizerConfig) -> float:
    if name == "one_cycle":
        given = _given(one_cycle, c)
        return one_cycle(update, span.updates * span.epochs, **given)
    whole = int(span.epochs * span.batches / span.update_every / 6)
    half = c.schedule_options.get("half_cycle") or max(1, whole)
    return cyclic(update, half, **_given(cyclic, c))


def momentum_at(
    update: int, epoch: int, span: Span, c: OptimizerConfig, group: GroupConfig | None = None
) -> float | None:
    """The momentum that a cycle sets at an update; None where the schedule sets none."""
    name = (group and group.schedule) or c.schedule
    if name != "one_cycle" or not c.schedule_options.get("cycle_momentum", True):
        return None
    wait = c.freeze_epochs if c.freeze_schedule else 0
    if c.schedule_every == "epoch":
        update = epoch * span.updates
    update = max(0, update - wait * span.updates)
    return one_cycle_momentum(update, span.updates * span.epochs, **_given(one_cycle_momentum, c))


def shared_peak(c: OptimizerConfig, group: GroupConfig) -> bool:
    """Whether a group peaks at ``optimizer.lr`` whatever its own rate is (RAML's cycles do)."""
    cycles = (group.schedule or c.schedule) in ("one_cycle", "cyclic")
    return cycles and bool(c.schedule_options.get("shared_max_lr", False))


def _given(function: Any, c: OptimizerConfig) -> dict[str, Any]:
    keys = _keywords(function)
    return {key: value for key, value in c.schedule_options.items() if key in keys}


def _keywords(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


_OPTIONS = {
    "one_cycle": [
        *_keywords(one_cycle),
        *_keywords(one_cycle_momentum),
        "cycle_momentum",
        "shared_max_lr",
    ],
    "cyclic": [*_keywords(cyclic), "half_cycle", "shared_max_lr"],
}


def options_of(schedule: str) -> list[str]:
    """What a schedule takes as ``optimizer.schedule_options``.

    >>> "shared_max_lr" in options_of("cyclic"), options_of("cosine")
    (True, [])
    """
    return list(_OPTIONS.get(schedule, ()))


def check_schedule(c: OptimizerConfig, groups: Iterable[str]) -> None:
    """Refuse a schedule that cannot be, before anything heavy starts.

    Args:
        c: what is configured.
        groups: fields of ``c`` that are groups of their own.

    Raises:
        ConfigError: names the option.
    """
    if c.schedule_every not in EVERY:
        raise ConfigError(f"optimizer.schedule_every={c.schedule_every}: write step or epoch.")
    if c.step_epochs < 1:
        raise ConfigError(f"optimizer.step_epochs={c.step_epochs}: must be at least 1.")
    used = {"optimizer.schedule": c.schedule}
    own = {f"optimizer.{name}.schedule": getattr(c, name).schedule for name in groups}
    used |= {option: name for option, name in own.items() if name is not None}
    for option, name in used.items():
        if name not in SCHEDULES:
            raise ConfigError(f"{option}={name}: no such schedule. {suggest(name, SCHEDULES)}")
        if name == "multistep" and not c.milestones:
            raise ConfigError(f"{option}=multistep needs optimizer.milestones=[epoch, …].")
        if name in _OPTIONS and c.warmup_epochs:
            raise ConfigError(f"{option}={name} rises by itself: set optimizer.warmup_epochs=0.")
    _check_options(c, sorted(set(used.values())))


def _check_options(c: OptimizerConfig, names: list[str]) -> None:
    accepted = [key for name in names for key in _OPTIONS.get(name, ())]
    for key in c.schedule_options:
        if key not in accepted:
            raise ConfigError(
                f"optimizer.schedule_options.{key}: {' and '.join(names)} takes no such option. "
                f"{suggest(key, accepted)}"
            )
    mode = c.schedule_options.get("mode", "triangular2")
    if mode not in ("triangular", "triangular2"):
        raise ConfigError(
            f"optimizer.schedule_options.mode={mode}: write triangular or triangular2."
        )
