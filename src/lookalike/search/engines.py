"""Approximate engines of faiss, each a spec and a file: HNSW graphs and IVF-PQ lists.

An engine finds candidates; their scores are then taken again from the stored vectors, so that what
an index answers is exact in its scores whatever found the rows. An engine's own row numbers are
translated by ``places``: the index row of each engine row, −1 for one that was removed. Removal
never touches the graph (HNSW has none): removed rows stay in it as ways, cannot be found, and when
more than ``STALE`` of an engine is removed it is built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.search.arrays import read_array
from lookalike.search.hits import Hits, best
from lookalike.search.remote.server import SERVERS, open_server, server_options
from lookalike.search.storage import Vectors, check_storage

ENGINES = ("exact", "hnsw", "ivfpq", *SERVERS)
ENGINE = "engine.faiss"
PLACES = "places.npy"
STALE = 0.2
_TRAIN = 100_000  # vectors that k-means and PQ learn from
FEWEST = 256  # PQ learns 256 centres a part


def engine_spec(name: str, count: int, width: int, **options: Any) -> dict[str, Any]:
    """A checked spec with its defaults.

    Args:
        name: ``exact``, ``hnsw``, ``ivfpq``, ``pgvector`` or ``qdrant``.
        count: vectors to come, which the number of lists follows (4 √N, at most N / 39).
        width: numbers a vector.
        options: ``hnsw``: ``links`` (M, 32), ``construction`` (80), ``search`` (64: the
            ``efSearch`` of Malkov & Yashunin, 2018); ``ivfpq``: ``lists``, ``parts`` (numbers of
            the code, one byte each), ``probes`` (lists visited), ``refine`` (candidates a result
            that are scored again); ``pgvector`` and ``qdrant``: see `servers.server_options`.

    Raises:
        ConfigError: an unknown engine or option, a number below 1, or fewer vectors than IVF-PQ
            can learn from.
    """
    if name not in ENGINES:
        raise ConfigError(f"--engine {name}: no such engine. {suggest(name, ENGINES)}")
    known: dict[str, Any] = {"name": name}
    if name == "hnsw":
        known |= {"links": 32, "construction": 80, "search": 64}
    if name == "ivfpq":
        if count < FEWEST:
            raise ConfigError(
                f"--engine ivfpq learns from at least {counted(FEWEST, 'vector')}; there are"
                f" {count}. Use "
                "--engine exact."
            )
        parts = next(p for p in (width // 2, width // 4, width) if p and width % p == 0)
        lists = max(1, min(round(4 * count**0.5), count // 39))
        known |= {"lists": lists, "parts": parts, "probes": min(16, lists), "refine": 10}
    if name in SERVERS:
        known = server_options(name, width, options)
    for option, value in options.items():
        if option not in known:
            raise ConfigError(f"engine {name} has no option '{option}'. {suggest(option, known)}")
        if isinstance(known[option], int):
            known[option] = _whole(value, f"engine {name}: {option}")
    return known


def checked(
    name: str, storage: str, count: int, width: int, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The spec of an index to be, once its storage and its server are known to take it.

    Raises:
        ConfigError: as `engine_spec`; an unknown storage, or one that the engine does not have.
        RunError: a server out of reach, or one that holds no vectors.
    """
    check_storage(storage)
    spec = engine_spec(name, count, width, **(options or {}))
    if name in SERVERS:
        if storage != "float32":
            raise ConfigError(f"--storage {storage}: engine {name} holds float32 alone.")
        open_server(spec, "").check()
    return spec


def _whole(value: Any, of: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ConfigError(f"{of}={value}: give a whole number above 0.")
    return number


def same_build(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two specs differ at most in settings of search, so that one file serves both."""
    return all(
        one.get(key) == other.get(key) for key in {*one, *other} - {"search", "probes", "refine"}
    )


def build(stored: Vectors, spec: Mapping[str, Any]) -> Any:
    """The faiss index of a spec over the stored vectors, row for row."""
    import faiss

    metric = faiss.METRIC_INNER_PRODUCT
    if spec["name"] == "hnsw":
        engine = faiss.IndexHNSWFlat(stored.width, spec["links"], metric)
        engine.hnsw.efConstruction = spec["construction"]
    else:
        coarse = faiss.IndexFlatIP(stored.width)
        engine = faiss.IndexIVFPQ(coarse, stored.width, spec["lists"], spec["parts"], 8, metric)
        # Few vectors a centroid is a matter of `index tune`, not of a warning for each part.
        engine.cp.min_points_per_centroid = engine.pq.cp.min_points_per_centroid = 1
        rows = np.random.default_rng(0).permutation(len(stored))[:_TRAIN]
        engine.train(np.ascontiguousarray(stored[np.sort(rows)]))
    append(engine, stored, 0)
    return engine


def append(engine: Any, stored: Vectors, start: int) -> None:
    """Add the stored rows from ``start`` on."""
    for first, vectors in stored.chunks():
        if first + len(vectors) > start:
            engine.add(np.ascontiguousarray(vectors[max(0, start - first) :]))


def write(engine: Any, path: Path) -> None:
    """Write the engine's file."""
    import faiss

    faiss.write_index(engine, str(path))


def read(path: Path, *, to_change: bool = False) -> Any:
    """Read an engine's file: mapped into memory, or a copy of its own to change.

    Raises:
        DataError: damaged.
    """
    import faiss

    try:
        return faiss.read_index(str(path), 0 if to_change else faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        raise DataError(
            f"{path} cannot be read. Run `lookalike index verify`, or build the index again."
        ) from error


def open_engine(place: Path, stored: Vectors) -> tuple[Any, np.ndarray]:
    """The engine of a generation's folder, mapped, and the index row of each of its rows.

    Raises:
        DataError: missing, damaged, or of other vectors.
    """
    engine = read(place / ENGINE)
    places = read_array(place / PLACES, "<i8", (engine.ntotal,))
    if engine.d != stored.width or places.max(initial=-1) >= len(stored):
        raise DataError(
            f"{place / ENGINE} is of other vectors ({engine.d} wide; {place / PLACES} names row "
            f"{places.max(initial=-1)} of {len(stored)}). Build the index again."
        )
    return engine, places


def search(
    engine: Any,
    spec: Mapping[str, Any],
    queries: np.ndarray,
    top: int,
    *,
    stored: Vectors,
    places: np.ndarray,
    allowed: np.ndarray | None = None,
) -> Hits:
    """The ``top`` rows that the engine finds, scored by the stored vectors.

    Args:
        engine: of `build` or `read`.
        spec: its spec, with the settings of search.
        queries: float32 ``(Q, D)``.
        top: how many.
        stored: the vectors, by index row.
        places: index row of each engine row, −1 for removed ones.
        allowed: bool ``(N,)`` over index rows; None for all.
    """
    import faiss as untyped  # its stubs know neither selectors nor parameters

    faiss: Any = untyped
    alive = places >= 0
    if allowed is not None:
        alive[alive] = allowed[places[alive]]
    selector = None
    if not alive.all():
        selector = faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))
    if spec["name"] == "hnsw":
        wanted = top
        params = faiss.SearchParametersHNSW(efSearch=max(spec["search"], top), sel=selector)
    else:
        wanted = top * spec["refine"]
        params = faiss.SearchParametersIVF(nprobe=spec["probes"], sel=selector)
    # faiss.contrib.torch_utils, which pytorch-metric-learning imports, puts a search in its place
    # that takes no params, and keeps the first under this name.
    search = getattr(engine, "search_numpy", engine.search)
    scores, found = search(queries, min(wanted, engine.ntotal), params=params)
    rows = np.where(found >= 0, places[found], -1)
    if spec["name"] == "hnsw" and stored.storage == "float32":
        return best(rows, scores, top)  # the graph holds the very same vectors
    return rescore(queries, rows, stored, top)


def rescore(queries: np.ndarray, rows: np.ndarray, stored: Vectors, top: int) -> Hits:
    """Candidates ``(Q, n)`` by their dot product with the stored vectors."""
    scores = np.full(rows.shape, np.nan, np.float32)
    for i, (query, row) in enumerate(zip(queries, rows, strict=True)):
        there = np.flatnonzero(row >= 0)
        scores[i, there] = np.asarray(stored[row[there]]) @ query
    return best(rows, scores, top)
