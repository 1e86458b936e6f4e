"""The embeddings of a split on a plane, the same plane every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.errors import ConfigError, LookalikeError, NumericsError, counted, suggest
from lookalike.report.images import ImageSource

Method = Literal["tsne", "pca", "umap"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingMap:
    """Points on a plane, ready to draw.

    Attributes:
        points: ``(n, 2)``, in the unit square, y downwards.
        rows: ``(n,)``, which embedding each point is.
        labels: ``(n,)`` class codes.
        names: code → name of every class on the map.
        largest: codes of the classes to name on the map, the largest first.
        method: how the plane was found, in words.
        total: embeddings there were, of which ``n`` are shown.
        images: ``n`` images or paths, or None.
    """

    points: NDArray[np.float64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: dict[int, str]
    largest: list[int]
    method: str
    total: int
    images: Sequence[ImageSource] | None = None


def map_embeddings(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    names: Callable[[int], str] | Sequence[str] | None = None,
    images: Sequence[ImageSource] | None = None,
    method: Method = "tsne",
    max_points: int = 2000,
    named: int = 8,
    seed: int = 0,
) -> EmbeddingMap:
    """Lay embeddings on a plane by t-SNE (van der Maaten and Hinton 2008), UMAP or PCA.

    t-SNE keeps neighbours together and is what to look at; distances between far groups mean
    nothing in it. PCA keeps large distances, costs milliseconds and usually shows one blob.
    Above ``max_points`` whole classes are drawn by lot, so that those shown keep their neighbours.
    One thread and a fixed seed: the same input gives the same map. t-SNE takes about 4 ms a point.

    Args:
        embeddings: ``(N, D)`` floats.
        labels: ``(N,)`` class codes.
        names: class code → name, as a function or a list; None writes the code.
        images: ``N`` images or paths, for thumbnails.
        method: ``"tsne"``, ``"pca"``, or ``"umap"`` (McInnes et al. 2018), which needs the extra
            ``map``. Below 10 points it is PCA.
        max_points: points shown at most, at least 1.
        named: how many of the largest classes get a colour and a name.
        seed: of the lot and of t-SNE.

    Raises:
        LookalikeError: no embeddings, arguments of different length, or another method.
        ConfigError: UMAP is not installed.
        NumericsError: NaN or infinity among the embeddings, naming the rows.

    >>> rng = np.random.default_rng(0)
    >>> plane = map_embeddings(rng.normal(size=(20, 8)), [0, 1] * 10, method="pca")
    >>> plane.points.shape, plane.largest
    ((20, 2), [0, 1])
    """
    x, codes = np.asarray(embeddings, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    _check(x, codes, images, method)
    rows = _whole_classes(codes, max_points, seed)
    x, codes = x[rows], codes[rows]
    if method == "tsne" and len(x) >= 10:
        plane, words = _tsne(x, seed)
    elif method == "umap" and len(x) >= 10:
        plane, words = _umap(x, seed)
    else:
        plane, words = _principal(x, 2), "PCA, the two directions of largest variance"
    classes, counts = np.unique(codes, return_counts=True)

    def name(code: int) -> str:
        if names is None:
            return str(code)
        return names(code) if callable(names) else names[code]

    return EmbeddingMap(
        points=_unit_square(plane),
        rows=rows,
        labels=codes,
        names={code: name(code) for code in classes.tolist()},
        largest=classes[np.lexsort([classes, -counts])][:named].tolist(),
        method=words,
        total=len(np.asarray(labels)),
        images=None if images is None else [images[row] for row in rows.tolist()],
    )


def _check(
    x: NDArray[np.float64],
    codes: NDArray[np.int64],
    images: Sequence[ImageSource] | None,
    method: str,
) -> None:
    if method not in ("tsne", "pca", "umap"):
        raise ConfigError(
            f"map_embeddings: method='{method}'. {suggest(method, ('tsne', 'pca', 'umap'))}"
        )
    if x.ndim != 2 or len(x) == 0 or codes.shape != (len(x),):
        raise LookalikeError(
            f"map_embeddings: embeddings of shape {x.shape} and labels of shape {codes.shape}; "
            "they must be (N, D) and (N,), with N at least 1."
        )
    if images is not None and len(images) != len(x):
        given, wanted = counted(len(images), "image"), counted(len(x), "embedding")
        raise LookalikeError(f"map_embeddings: {given} for {wanted}.")
    broken = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(broken):
        raise NumericsError(
            f"map_embeddings: {counted(len(broken), 'embedding holds', 'embeddings hold')} NaN or"
            " infinity, first row"
            f" {broken[0]}."
        )


def _whole_classes(codes: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """Rows of classes drawn by lot while they fit into ``limit``, in ascending order."""
    if len(codes) <= limit:
        return np.arange(len(codes))
    classes, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    lot = np.random.default_rng(seed).permutation(len(classes))
    fitting = lot[np.cumsum(counts[lot]) <= limit]
    if len(fitting) == 0:
        return np.flatnonzero(inverse == lot[0])[:limit]
    return np.flatnonzero(np.isin(inverse, fitting))


def _principal(x: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Coordinates along the directions of largest variance; the largest loading is positive."""
    centred = x - x.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, ::-1][:, :dimensions]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    projected = centred @ (directions * np.where(largest < 0, -1.0, 1.0))
    return np.pad(projected, ((0, 0), (0, dimensions - projected.shape[1])))


def _tsne(x: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], str]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(x) - 1) / 3)
    if x.shape[1] > 50:
        x = _principal(x, 50)
    start = _principal(x, 2)
    init: Any = start / (start[:, 0].std() or 1.0) * 1e-4  # its type stub knows strings only
    # More threads add the same numbers in another order, and t-SNE blows the difference up.
    with threadpool_limits(1):
        plane = TSNE(
            perplexity=perplexity,
            max_iter=500,  # half of scikit-learn's, at the same quality for maps of this size
            init=init,
            random_state=seed,
            n_jobs=1,
        ).fit_transform(x)
    return _principal(plane.astype(np.float64), 2), f"t-SNE, perplexity {perplexity:.0f}"


def _umap(x: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], str]:
    try:
        from umap import UMAP  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(f"UMAP needs {error.name}: pip install 'lookalike[map]'") from error
    near = min(15, len(x) - 1)
    mapper: Any = UMAP(n_neighbors=near, random_state=seed, n_jobs=1)
    plane = np.asarray(mapper.fit_transform(x), np.float64)
    return _principal(plane, 2), f"UMAP, {counted(near, 'neighbour')}"


def _unit_square(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moved and scaled, alike in both directions, to just fit the unit square."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    size = (high - low).max()
    if size == 0:
        return np.full_like(plane, 0.5)
    return (plane - (low + high) / 2) / size + 0.5
