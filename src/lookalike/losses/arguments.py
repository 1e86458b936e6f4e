"""Ranges and choices of a loss's settings, refused where the loss is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from lookalike.errors import ConfigError, suggest


def positive(loss: str, name: str, value: float) -> float:
    """A finite number above 0, such as a temperature or a scale.

    >>> positive("NormSoftmax", "temperature", 0)
    Traceback (most recent call last):
    lookalike.errors.ConfigError: NormSoftmax: temperature=0, must be > 0.
    """
    if not 0 < number(loss, name, value) < math.inf:
        raise ConfigError(f"{loss}: {name}={value}, must be > 0.")
    return value


def between(
    loss: str, name: str, value: float, low: float, high: float = math.inf, why: str = ""
) -> float:
    """A number in ``[low, high]``; infinity is in no range.

    Args:
        loss: its name, for messages.
        name: of the setting.
        value: of the setting.
        low: the least it may be.
        high: the most.
        why: a sentence that follows the error.
    """
    if not (low <= number(loss, name, value) <= high and math.isfinite(value)):
        limits = f"at least {low:g}" if high == math.inf else f"in {low:g} to {high:g}"
        raise ConfigError(f"{loss}: {name}={value}, must be {limits}.{' ' if why else ''}{why}")
    return value


def cosine(loss: str, name: str, value: float) -> float:
    """A threshold on cosines, which differ by at most 2: a little beyond 1 switches a side off."""
    return between(loss, name, value, -2, 2, "It is compared with cosines.")


def angle(loss: str, name: str, value: float) -> float:
    """A margin in radians, 0 to π; beyond, degrees were meant."""
    if number(loss, name, value) > math.pi:
        radians = round(math.radians(value), 4)
        raise ConfigError(
            f"{loss}: {name}={value}, but no angle is wider than π: it is in radians. "
            f"Degrees, as pytorch-metric-learning counts, are converted so: {name}={radians}."
        )
    return between(loss, name, value, 0)


def number(loss: str, name: str, value: Any) -> float:
    """A setting that is a number at all."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        try:
            return float(getattr(value, "item")())  # noqa: B009 (numpy's and torch's have one)
        except (AttributeError, TypeError, ValueError, RuntimeError):
            raise ConfigError(f"{loss}: {name}={value!r} is not a number.") from None
    return value


def one_of(loss: str, name: str, value: Any, known: Iterable[str]) -> None:
    """A word of a few."""
    words = tuple(known)
    if value not in words:
        raise ConfigError(f"{loss}: {name}={value!r}. {suggest(str(value), words)}")


def cut_offs(loss: str, name: str, values: Sequence[int]) -> tuple[int, ...]:
    """Cut-offs of a ranking: at least one, each 1 or more."""
    if not values or min(values) < 1:
        raise ConfigError(f"{loss}: {name}={tuple(values)}, needs numbers from 1 up.")
    return tuple(values)
