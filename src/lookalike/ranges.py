"""How large and how small the numbers of a configuration may be, wherever they come from.

The ends are far beyond what anybody needs: they tell a slip of the hand, or a stranger's file, from
a setting, before memory and processes are asked for.
"""

from __future__ import annotations

from typing import Any

from lookalike.config import Config
from lookalike.errors import ConfigError

WORKERS = 1_024
BATCH = 1_000_000
SIDE = 16_384  # pixels of an image that a network is given
WIDTH = 65_536  # numbers of an embedding

_ENDS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "epochs": (0, 1_000_000),
    "batch_size": (0, BATCH),
    "micro_batch": (0, BATCH),
    "update_every": (0, BATCH),
    "views": (0, 1_000),
    "workers": (0, WORKERS),
    "transform.size": (1, SIDE),
    "model.embedding_size": (0, WIDTH),
    "model.whitening": (1, WIDTH),
    "distillation.teacher_size": (1, SIDE),
    "distillation.views": (1, 1_000),
    "distillation.group": (1, BATCH),
    "evaluation.batch_size": (1, BATCH),
    "evaluation.every": (0, 1_000_000),
    "discover.rounds": (0, 10_000),
}


def check(config: Config) -> None:
    """Refuse numbers out of their range.

    Raises:
        ConfigError: names the option and the end that it lies beyond.

    >>> check(Config(workers=99_999_999_999))
    Traceback (most recent call last):
    lookalike.errors.ConfigError: workers=99999999999: must be at most 1,024.
    """
    for option, (low, high) in _ENDS.items():
        value: Any = config
        for part in option.split("."):
            value = getattr(value, part)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue  # null, or a word
        if value < low:
            raise ConfigError(f"{option}={value}: must be at least {low:,}.")
        if not value <= high:
            raise ConfigError(f"{option}={value}: must be at most {high:,}.")
