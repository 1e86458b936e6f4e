"""Choose an engine and its settings by what they reach on an index's own vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, counted
from lookalike.search import engines
from lookalike.search.hits import Hits
from lookalike.search.index import Index
from lookalike.search.remote.server import exact_spec
from lookalike.search.remote.vectors import Remote

_SEARCHES = (16, 32, 64, 128, 256, 512)
_PROBES = (1, 4, 16, 64)
_REFINES = (4, 16, 64)
_BATCH = 32
_NOISE = 0.2  # of the length of the difference between a query row and its neighbour


@dataclass(frozen=True)
class Point:
    """One setting, measured.

    Attributes:
        spec: the engine with its settings.
        recall: share of the true ``top`` nearest that were found.
        seconds: a query, in batches of 32, on this machine.
        bytes: of the vectors and the engine; of the vectors alone where a server holds them.
    """

    spec: dict[str, Any]
    recall: float
    seconds: float
    bytes: int

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.spec["name"]


def tune(
    index: Index,
    *,
    recall: float = 0.99,
    top: int = 10,
    queries: int = 500,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Point], Point]:
    """Measure the engines over their settings; the fastest that reaches a recall.

    Queries lie between two near items of the index, nearer to one of them, as a new image of a
    known thing does: rows themselves would be found too easily, being in the graph.

    Args:
        index: the index; its own engine is used as it is built where it has one.
        recall: the least share of the true nearest.
        top: how many nearest.
        queries: how many rows make queries.
        progress: told what is being built.

    Returns:
        The curve, every setting measured, and the chosen point.

    Raises:
        ConfigError: a recall outside 0 … 1.
    """
    if not 0 < recall <= 1:
        raise ConfigError(f"--recall {recall} must be above 0 and at most 1.")
    drawn = _queries(index, queries)
    top = min(top, len(index))
    true = index.search(drawn, top, exact=True)
    seconds = _time(lambda q: index.search(q, top, exact=True), drawn)
    remote = index.vectors if isinstance(index.vectors, Remote) else None
    exact = {"name": "exact"} if remote is None else exact_spec(index.engine)
    curve = [Point(exact, 1.0, seconds, index.vectors.nbytes)]
    for name in ("hnsw", "ivfpq") if remote is None else ():
        if name == "ivfpq" and len(index) < engines.FEWEST:
            continue
        if progress is not None:
            progress(f"{name}: {counted(len(index), 'vector')}")
        curve += _measure(index, name, drawn, true.rows, top)
    if remote is not None:
        if index.engine["index"] == "hnsw":
            curve += _measure_remote(index, remote, drawn, true.rows, top)
        elif progress is not None:
            progress("the server has no graph to measure: build with --engine-option index=hnsw")
    reached = [point for point in curve if point.recall >= recall]
    return curve, min(reached, key=lambda point: point.seconds)


def _measure(index: Index, name: str, drawn: np.ndarray, true: np.ndarray, top: int) -> list[Point]:
    spec = engines.engine_spec(name, len(index), index.vectors.width)
    if index.engine["name"] == name:
        spec = dict(index.engine)
        engine, places = index.open_engine()
        size = (index.generation / engines.ENGINE).stat().st_size
    else:
        engine, places = engines.build(index.vectors, spec), np.arange(len(index))
        with TemporaryDirectory() as folder:
            engines.write(engine, Path(folder) / "engine")
            size = (Path(folder) / "engine").stat().st_size
    points = []
    for setting in _settings(spec):

        def search(q: np.ndarray, setting: dict[str, Any] = setting) -> Hits:
            return engines.search(engine, setting, q, top, stored=index.vectors, places=places)

        points.append(_point(setting, search, drawn, true, index.vectors.nbytes + size))
    return points


def _measure_remote(
    index: Index, remote: Remote, drawn: np.ndarray, true: np.ndarray, top: int
) -> list[Point]:
    """The graph that a server has; how large it is there is the server's affair."""
    points = []
    for setting in _settings(index.engine):
        asked = remote.using(setting)

        def search(q: np.ndarray, asked: Remote = asked) -> Hits:
            return asked.search(q, top, index.columns)

        points.append(_point(setting, search, drawn, true, remote.nbytes))
    return points


def _point(
    spec: dict[str, Any],
    search: Callable[[np.ndarray], Hits],
    drawn: np.ndarray,
    true: np.ndarray,
    size: int,
) -> Point:
    found = search(drawn).rows
    hit = np.mean([np.isin(t, f).mean() for t, f in zip(true, found, strict=True)])
    return Point(spec, float(hit), _time(search, drawn), size)


def _settings(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if spec.get("index", spec["name"]) == "hnsw":
        yield from (spec | {"search": search} for search in _SEARCHES)
        return
    for probes in _PROBES:
        if probes <= spec["lists"]:
            yield from (spec | {"probes": probes, "refine": refine} for refine in _REFINES)


def _queries(index: Index, count: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    rows = np.sort(draw.choice(len(index), min(count, len(index)), replace=False))
    start = np.ascontiguousarray(index.vectors[rows])
    if len(index) == 1:
        return start
    near = index.search(start, 1, own=rows, exact=True).rows[:, 0]
    end = index.vectors[near]
    between = start + _NOISE * (end - start)
    norms = np.linalg.norm(between, axis=1, keepdims=True)
    return np.ascontiguousarray(between / np.where(norms > 0, norms, 1), np.float32)


def _time(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> float:
    """Seconds a query: the median batch, after one that warms up."""
    parts = [queries[start : start + _BATCH] for start in range(0, len(queries), _BATCH)][:16]
    search(parts[0])
    times = []
    for part in parts:
        begun = time.perf_counter()
        search(part)
        times.append((time.perf_counter() - begun) / len(part))
    return float(np.median(times))
