"""Bootstrap intervals: how far a number would move with other queries, or other classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lookalike.errors import ConfigError

_CELLS = 2**22  # resampling weights held at a time


def bootstrap(
    per_query: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean of each array, NaN entries left out.

    Args:
        per_query: name → ``(N,)`` float64.
        groups: ``(N,)`` codes resampled whole, or None to resample single queries.
        confidence: between 0 and 1.
        resamples: at least 1.
        seed: of the resampling; every array sees the same resamples.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence={confidence} must lie between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ConfigError(f"resamples={resamples} must be at least 1")
    means = resampled_means(per_query, groups, resamples=resamples, seed=seed)
    tail = (1 - confidence) / 2
    found = {}
    for name, draws in means.items():
        draws = draws[~np.isnan(draws)]
        low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found


def resampled_means(
    per_query: Mapping[str, np.ndarray], groups: np.ndarray | None, *, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """The mean of each array in each resample, ``(resamples,)``; NaN where nothing was drawn."""
    names = list(per_query)
    if not names or len(per_query[names[0]]) == 0:
        return {name: np.full(resamples, np.nan) for name in names}
    table = np.stack([per_query[name] for name in names], axis=1)
    counted = ~np.isnan(table)
    sums, sizes = np.where(counted, table, 0.0), counted.astype(np.float64)
    if groups is not None:
        sums, sizes = by_group(sums, groups), by_group(sizes, groups)
    units = len(sums)
    generator = np.random.default_rng(seed)
    parts = []
    step = max(1, _CELLS // units)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        draws = generator.integers(0, units, (rows, units))
        cells = draws + np.arange(rows)[:, None] * units
        weights = np.bincount(cells.ravel(), minlength=rows * units).reshape(rows, units)
        with np.errstate(invalid="ignore"):
            parts.append((weights @ sums) / (weights @ sizes))
    means = np.concatenate(parts)
    return {name: means[:, c] for c, name in enumerate(names)}


def by_group(table: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of the rows of each group, groups in sorted order."""
    kinds, codes = np.unique(groups, return_inverse=True)
    result = np.zeros((len(kinds), table.shape[1]))
    np.add.at(result, codes.reshape(-1), table)
    return result
