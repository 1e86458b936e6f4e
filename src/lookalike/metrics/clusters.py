"""Clusters of vectors, for the metrics that judge a partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, NumericsError, counted
from lookalike.ops.arrays import as_float32

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
