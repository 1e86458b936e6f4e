"""Clusters of vectors, for the metrics that judge a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, NumericsError, counted
from lookalike.metrics.partitions import clustering
from lookalike.ops.arrays import as_float32
from lookalike.ops.labels import DISTRACTOR

HOW = "clusters by k-means, as many as there are classes"  # those of `partition_values`
_MOST_POINTS = 2**30  # faiss draws a sample above so many points a cluster; never do


@named_arguments({"n_clusters": "clusters", "max_iter": "iterations", "n_init": "restarts"})
def kmeans(
    x: Any, clusters: int, *, iterations: int = 20, restarts: int = 1, seed: int = 1234
) -> np.ndarray:
    """Lloyd's k-means from random points, Euclidean, as published retrieval code clusters (faiss).

    The partition depends on the seed, on faiss's build and on the number of threads: figures made
    from it agree to about 0.02.

    Args:
        x: ``(N, D)``.
        clusters: how many centroids, at most N; usually the number of classes.
        iterations: of Lloyd's algorithm; there is no other rule to stop.
        restarts: best of so many, by the sum of squared distances.
        seed: of the starting points; the default is that of faiss, and of the published figures.

    Returns:
        ``(N,)`` int64, the nearest centroid of each vector.

    Raises:
        ConfigError: more clusters than vectors, or a number that is not positive.
        DataError: another shape.
        NumericsError: NaN or infinity.

    >>> found = kmeans([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0]], 2)
    >>> found[0] == found[1] != found[2] == found[3]
    np.True_

    Relations: `clustering` compares the result with the classes.
    """
    vectors = as_float32(x, "x")
    if not np.isfinite(vectors).all():
        raise NumericsError("x holds NaN or infinity")
    for name, value in (("clusters", clusters), ("iterations", iterations), ("restarts", restarts)):
        if value < 1:
            raise ConfigError(f"{name}={value} must be at least 1")
    if clusters > len(vectors):
        are = "is" if len(vectors) == 1 else "are"
        raise ConfigError(f"clusters={clusters}, but there {are} {counted(len(vectors), 'vector')}")
    import faiss

    machine = faiss.Kmeans(
        vectors.shape[1],
        clusters,
        niter=iterations,
        nredo=restarts,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=_MOST_POINTS,
    )
    machine.train(vectors)
    _, nearest = machine.index.search(vectors, 1)
    return nearest[:, 0].astype(np.int64)


def partition_values(
    names: Sequence[str], x: np.ndarray, labels: np.ndarray, levels: Sequence[int]
) -> dict[str, float]:
    """Metrics of k-means partitions into as many clusters as there are classes.

    Args:
        names: of `clustering`.
        x: ``(N, D)``.
        labels: ``(N, L)`` codes; those without a class at a level are left out there.
        levels: the columns to judge by.

    Returns:
        name → value, with the level where there are several columns.
    """
    found: dict[str, float] = {}
    for level in levels:
        known = labels[:, level] != DISTRACTOR
        true = labels[known, level]
        numbers = clustering(kmeans(x[known], len(np.unique(true))), true)
        suffix = f"_level{level}" if labels.shape[1] > 1 else ""
        found |= {f"{name}{suffix}": numbers[name] for name in names}
    return found
