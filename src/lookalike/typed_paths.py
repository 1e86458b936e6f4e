"""Home folders and variables in the paths that a person typed; in what is read they are letters."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from lookalike.config import Config
from lookalike.errors import ConfigError

_PLACES = ("data_root", "run", "dataset.root", "model.pretrained")


def expand_paths(config: Config, typed: Collection[str] = _PLACES) -> Config:
    """The configuration, those of its paths expanded that were typed."""
    if "data_root" in typed:
        config.data_root = expand("data_root", config.data_root)
    if config.run and "run" in typed:
        config.run = expand("run", config.run)
    if isinstance(config.dataset.get("root"), str) and "dataset.root" in typed:
        config.dataset["root"] = expand("dataset.root", config.dataset["root"])
    if isinstance(config.model.pretrained, str) and "model.pretrained" in typed:
        config.model.pretrained = expand("model.pretrained", config.model.pretrained)
    return config


def expand(option: str, path: str) -> str:
    """A path with its variables and ``~`` resolved.

    Raises:
        ConfigError: ``~`` and a name that no user has.
    """
    try:
        return str(Path(os.path.expandvars(path)).expanduser())
    except RuntimeError as error:
        raise ConfigError(f"{option}={path}: there is no user of that name here.") from error
