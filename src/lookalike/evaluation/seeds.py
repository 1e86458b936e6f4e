"""Runs that differ in their seed alone: found, and taken together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import documents
from lookalike.errors import ConfigError, counted
from lookalike.metrics.compare import Comparison
from lookalike.runs import Run

PREFIX = "seed-"  # of the run folders of `lookalike train seed=[0,1,2]`


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in their seed alone.

    Attributes:
        folder: that all lie in, or the first of them.
        runs: their folders.
    """

    folder: Path
    runs: Sequence[Path]


def runs_in(folder: Path) -> list[Path]:
    """The runs of a folder of `lookalike train seed=[…]`, by seed; none: it is no such folder."""
    if (folder / "config.yaml").is_file():
        return []
    found = [p.parent for p in folder.glob(f"{PREFIX}*/config.yaml")]
    numbered = [p for p in found if p.name.removeprefix(PREFIX).isdigit()]
    return sorted(numbered, key=lambda p: int(p.name.removeprefix(PREFIX)))


def group(folders: Sequence[Path]) -> list[SeedGroup]:
    """Folders of seeds opened, and single runs put together where only their seeds differ.

    Where all are of one group, they are what is to be compared, and stay apart.

    Args:
        folders: runs, or folders of `lookalike train seed=[…]`.
    """
    whole = [(folder, runs_in(folder)) for folder in folders]
    found = [SeedGroup(folder, runs) for folder, runs in whole if runs]
    loose = [folder for folder, runs in whole if not runs]
    alike: dict[str, dict[Any, list[Path]]] = {}
    for folder in loose:
        others, seed = _but_the_seed(folder)
        alike.setdefault(others, {}).setdefault(seed, []).append(folder)
    if found or len(alike) > 1:
        for seeds in alike.values():
            runs = [folder for same in seeds.values() for folder in same]
            told_apart = len(seeds) == len(runs)  # else something beside the options differs
            found += [SeedGroup(runs[0], runs)] if told_apart else [_alone(one) for one in runs]
    else:
        found = [_alone(folder) for folder in loose]
    places = {folder: place for place, folder in enumerate(folders)}
    return sorted(found, key=lambda one: places[one.folder])


def _alone(folder: Path) -> SeedGroup:
    return SeedGroup(folder, [folder])


def _but_the_seed(folder: Path) -> tuple[str, Any]:
    """A run's configuration as text, without what another seed changes, and the seed."""
    file = Run.open(folder).config
    text = documents.read_text(file, fault=ConfigError)
    config = documents.parse_yaml(text, str(file), fault=ConfigError)
    if not isinstance(config, dict):
        raise ConfigError(f"{file} is not a configuration of a run.")
    dataset = {k: v for k, v in (config.pop("dataset", None) or {}).items() if k != "hold_out_seed"}
    seed = config.pop("seed", 0)
    return json.dumps(config | {"run": None, "dataset": dataset}, sort_keys=True, default=str), seed


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and interval over seeds: mean ± t · s / √n, Student's t of n − 1 degrees of freedom.

    Args:
        values: a figure of each run, at least one. Where all are shares, 0 to 1, so are the ends.
        confidence: of the interval.

    Returns:
        mean, lower and upper end; the ends are NaN for a single run.

    >>> mean, low, high = interval([0.50, 0.52, 0.54])
    >>> f"{mean:.2f} ({low:.3f} to {high:.3f})"
    '0.52 (0.470 to 0.570)'
    >>> interval([0.8, 1.0])[1:]
    (0.0, 1.0)
    """
    from scipy import stats

    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return mean, math.nan, math.nan
    width = stats.t.ppf((1 + confidence) / 2, count - 1) * np.std(values, ddof=1) / count**0.5
    low, high = mean - float(width), mean + float(width)
    if min(values) >= 0 and max(values) <= 1:
        low, high = max(0.0, low), min(1.0, high)
    return mean, low, high


def with_seeds(
    one: Comparison, a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]
) -> Comparison:
    """A comparison of means over seeds, with what another seed would change.

    The difference is real where it is on other queries and on other seeds: the p-value is the
    larger of the two, of the permutations and of Welch's t-test of the seeds' figures. The two
    sources are independent, so the halves of their intervals add as squares.

    Args:
        one: the comparison of the queries' means over seeds.
        a: metric → figure of each run of the first.
        b: the same of the second; with fewer than two runs on a side nothing is known of seeds,
            and the comparison stays.
    """
    differences = {}
    for name, d in one.differences.items():
        if min(len(a[name]), len(b[name])) < 2:
            differences[name] = d
            continue
        p_value, width = _welch(a[name], b[name], one.confidence)
        differences[name] = replace(
            d,
            p_value=max(d.p_value, p_value),
            low=d.difference - math.hypot(d.difference - d.low, width),
            high=d.difference + math.hypot(d.high - d.difference, width),
        )
    return replace(one, differences=differences)


def _welch(a: Sequence[float], b: Sequence[float], confidence: float) -> tuple[float, float]:
    """p-value of Welch's t-test, and half the width of the interval of the difference."""
    from scipy import stats

    errors = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    total = sum(errors)
    if total == 0:  # all seeds agree to the bit
        return (1.0 if np.mean(a) == np.mean(b) else 0.0), 0.0
    freedom = total**2 / sum(e**2 / (len(x) - 1) for e, x in zip(errors, (a, b), strict=True))
    t = abs(float(np.mean(b)) - float(np.mean(a))) / total**0.5
    width = stats.t.ppf((1 + confidence) / 2, freedom) * total**0.5
    return float(2 * stats.t.sf(t, freedom)), float(width)


def words(groups: Mapping[str, Sequence[Any]]) -> list[str]:
    """What the comparison says of seeds.

    Args:
        groups: name → its runs.
    """
    lines = [
        f"{name}: {counted(len(runs), 'run')} that differ in their seed alone; every query counts "
        "with its mean over them."
        for name, runs in groups.items()
        if len(runs) > 1
    ]
    if all(len(runs) > 1 for runs in groups.values()):
        lines.append(
            "p and interval hold for other seeds as well: p is the larger of the permutations' and "
            "of Welch's t-test of the seeds' figures, the halves of both intervals add as squares."
        )
    else:
        lines.append(
            "A run alone does not tell what another seed would change: train several with "
            "seed=[0,1,2], and compare the folders."
        )
    return lines
