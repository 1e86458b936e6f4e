"""Hi-LANDER's rivals behind one call, from well-kept libraries."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np

from lookalike import components
from lookalike.discover.hierarchy import Clustering
from lookalike.discover.hierarchy import hilander as run_hilander
from lookalike.discover.lander_files import load_lander
from lookalike.discover.neighbours import nearest_neighbours, unit
from lookalike.errors import ConfigError, DataError, counted, suggest

_MOST_PAIRS = 20_000  # vectors whose full distance matrix fits: 3.2 GB of float64 pairs


def cluster(x: Any, method: str = "hilander", **options: Any) -> Clustering:
    """Divide vectors into clusters.

    Args:
        x: ``(N, D)``; rows are normalised.
        method: ``hilander``, ``hdbscan``, ``agglomerative``, ``kmeans`` or ``components``.
        options: of the method; see `METHODS` for their functions.

    Raises:
        ConfigError: an unknown method or option, or one that cannot be.
        DataError: vectors of another shape.

    Example:
        >>> x = np.eye(4).repeat(5, axis=0) + 0.01 * np.arange(80).reshape(20, 4) / 80
        >>> cluster(x, "agglomerative", distance=0.5).clusters
        4
    """
    check_options(method, options)
    return METHODS[method](unit(x), **options)


def check_options(method: str, options: Collection[str]) -> None:
    """Refuse a method that is not there, and an option that it does not take.

    Raises:
        ConfigError: the nearest is named.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method}: no such clusterer. {suggest(method, METHODS)}")
    takes = run_hilander if method == "hilander" else METHODS[method]
    components.check_arguments(takes, options, method)


def hilander(x: np.ndarray, network: Any = None, **options: Any) -> Clustering:
    """See `lookalike.discover.hilander`; ``network`` may be a file."""
    if network is None:
        raise ConfigError("hilander needs a trained network: a file of `save_lander`, or a .pth")
    if isinstance(network, str) or hasattr(network, "__fspath__"):
        network = load_lander(network)
    return run_hilander(network, x, **options)


def hdbscan(x: np.ndarray, min_size: int = 5, min_samples: int | None = None) -> Clustering:
    """HDBSCAN (Campello et al. 2013; scikit-learn) on unit vectors; −1 is noise.

    Args:
        x: unit rows.
        min_size: smallest cluster.
        min_samples: neighbours that make a core; None: ``min_size``.
    """
    from sklearn.cluster import HDBSCAN

    if not 2 <= min_size <= len(x):
        raise ConfigError(f"min_size={min_size}: must be 2 … {len(x)}")
    # On unit vectors Euclidean distance and cosine rank alike.
    machine = HDBSCAN(min_cluster_size=min_size, min_samples=min_samples, copy=True)  # pyright: ignore[reportArgumentType]
    return _described(x, machine.fit_predict(x))


def agglomerative(
    x: np.ndarray, distance: float = 0.4, classes: int | None = None, linkage: str = "average"
) -> Clustering:
    """Agglomerative clustering by cosine distance (scikit-learn).

    Args:
        x: unit rows, at most 20,000: it needs all pairs.
        distance: merge up to this distance, 0 … 2; of no effect with ``classes``.
        classes: merge until so many are left.
        linkage: ``average``, ``complete`` or ``single``.
    """
    from sklearn.cluster import AgglomerativeClustering

    if len(x) > _MOST_PAIRS:
        raise ConfigError(
            f"agglomerative needs all pairs of {counted(len(x), 'vector')}; above {_MOST_PAIRS:,}"
            " use "
            "hilander, kmeans or components"
        )
    if linkage not in ("average", "complete", "single"):
        raise ConfigError(f"linkage={linkage}: write average, complete or single")
    machine = AgglomerativeClustering(
        n_clusters=classes,  # pyright: ignore[reportArgumentType] (None is documented)
        distance_threshold=None if classes else distance,
        metric="cosine",
        linkage=linkage,
    )
    return _described(x, machine.fit_predict(x))


def kmeans(
    x: np.ndarray, classes: int | None = None, batch_size: int = 4096, seed: int = 0
) -> Clustering:
    """Mini-batch k-means (Sculley 2010; scikit-learn).

    Args:
        x: unit rows.
        classes: how many clusters; see `estimate_classes` where nobody knows.
        batch_size: vectors to a step.
        seed: of the starting points.
    """
    from sklearn.cluster import MiniBatchKMeans

    if classes is None or not 1 <= classes <= len(x):
        raise ConfigError(f"kmeans: classes={classes} must be 1 … {len(x)}; estimate it or say it")
    machine = MiniBatchKMeans(
        classes,
        batch_size=batch_size,
        n_init=3,  # pyright: ignore[reportArgumentType]
        random_state=seed,
    )
    return _described(x, machine.fit_predict(x))


def components_of_graph(
    x: np.ndarray, k: int = 10, cosine: float = 0.8, mutual: bool = True, knn: str = "auto"
) -> Clustering:
    """Connected components of the kNN graph.

    Args:
        x: unit rows.
        k: neighbours including oneself.
        cosine: edges of less are cut.
        mutual: both must be among the other's neighbours.
        knn: see `nearest_neighbours`.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    near = nearest_neighbours(x, k, method=knn)
    kept = (near.ids >= 0) & (near.cosine >= cosine)
    rows, columns = np.nonzero(kept)[0], near.ids[kept]
    edges = csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(x), len(x)))
    if mutual:
        edges = edges.multiply(edges.T)
    _, labels = connected_components(edges, directed=False)
    return _described(x, labels)


METHODS: dict[str, Callable[..., Clustering]] = {
    "hilander": hilander,
    "hdbscan": hdbscan,
    "agglomerative": agglomerative,
    "kmeans": kmeans,
    "components": components_of_graph,
}


def _described(x: np.ndarray, labels: np.ndarray, k: int = 10) -> Clustering:
    """A partition with densities: how much of the near neighbourhood is of one's cluster."""
    labels = np.asarray(labels, np.int64)
    found = Clustering(labels, np.zeros(len(x), np.float32))
    if len(x) < 3:
        return found
    near = nearest_neighbours(x, min(k, len(x) - 1))
    alike = (labels[near.ids] == labels[:, None]) & (labels >= 0)[:, None] & (near.ids >= 0)
    density = (np.maximum(near.cosine, 0) * np.where(alike, 1, -1)).mean(axis=1)
    return replace(found, density=density.astype(np.float32))


def as_partition(labels: np.ndarray) -> np.ndarray:
    """Labels in which every vector of noise is a cluster of its own, for metrics.

    >>> as_partition(np.array([0, -1, 0, -1])).tolist()
    [0, 1, 0, 2]
    """
    labels = np.asarray(labels, np.int64)
    if labels.ndim != 1:
        raise DataError(f"labels must have shape (N,), got {labels.shape}")
    out = labels.copy()
    noise = np.flatnonzero(labels < 0)
    out[noise] = labels.max(initial=-1) + 1 + np.arange(len(noise))
    return out
