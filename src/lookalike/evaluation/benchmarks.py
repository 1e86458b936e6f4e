"""Which data sets an evaluation is asked for, and with which settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.compose import CONF, choices, compose, read_config
from lookalike.config import Config
from lookalike.errors import ConfigError, suggest
from lookalike.runs import Run


@dataclass(frozen=True)
class Benchmark:
    """One data set to measure on.

    Attributes:
        config: how.
        own: whether the numbers are those of the run itself, and belong into its folder.
        is_runs: whether the data set is the run's own, perhaps with other settings.
    """

    config: Config
    own: bool
    is_runs: bool = False


def benchmarks(folder: Path, overrides: Sequence[str]) -> list[Benchmark]:
    """The data sets named by the overrides, or the run's own.

    Args:
        folder: a run folder, or a model folder.
        overrides: as on the command line; ``dataset=[cub,sop]`` names several, an option such as
            ``dataset.levels=…`` without ``dataset=`` is of the run's own, and ``evaluation=sop``
            takes the cut-offs and figures that papers report on SOP.

    Raises:
        ConfigError: an unknown group, choice or option, or a data set named twice.
    """
    names = _several(overrides)
    if names:
        rest = [o for o in overrides if not o.startswith("dataset=")]
        return [Benchmark(compose([f"dataset={name}", *rest]), own=False) for name in names]
    switches = any(o.lstrip("+").partition("=")[0] == "dataset" for o in overrides)
    if (folder / "config.yaml").is_file() and not switches:
        # Where the data lies changes no number, so the results are still the run's own.
        changes = [o for o in overrides if not o.startswith("data_root=")]
        return [Benchmark(own_config(folder, overrides), own=not changes, is_runs=True)]
    return [Benchmark(compose(overrides), own=False)]


def own_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """A run's configuration with settings on top.

    Its folder of images may have grown since, in ways that a training refuses: what lies at
    another depth, as `index add` takes it, is left out.
    """
    words = [word for override in overrides for word in _spelled_out(override)]
    config = read_config(Run.open(folder).config, words)
    said = any(word.lstrip("+").startswith("dataset.strays=") for word in words)
    if config.dataset["name"] == "folder" and not said:
        config.dataset["strays"] = "leave_out"
    return config


def _several(overrides: Sequence[str]) -> list[str]:
    """The names in ``dataset=[a,b]``; none where a single one, or no data set, is named."""
    given = [o.removeprefix("dataset=") for o in overrides if o.startswith("dataset=")]
    if not given or not (given[-1].startswith("[") and given[-1].endswith("]")):
        return []
    names = [name.strip() for name in given[-1][1:-1].split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"dataset={given[-1]}: name each data set once, as in dataset=[cub,sop]")
    return names


def _spelled_out(override: str) -> list[str]:
    """``evaluation=sop`` as the options in its file; any other override as it is."""
    key, _, name = override.partition("=")
    if key != "evaluation":
        return [override]
    file = CONF / "evaluation" / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(
            f"evaluation={name}: there is no such evaluation. "
            f"{suggest(name, choices('evaluation'))}"
        )
    from omegaconf import OmegaConf

    options: Any = OmegaConf.to_container(OmegaConf.load(file))
    return [f"evaluation.{option}={json.dumps(value)}" for option, value in options.items()]
