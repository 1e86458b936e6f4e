"""What an evaluation returns: the numbers, what they mean, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.metrics.bootstrap import bootstrap
from lookalike.metrics.definitions import EMPTY, TIES, Definition, Request, explain, fill, parse
from lookalike.metrics.inputs import Problem
from lookalike.ops.labels import label_columns
from lookalike.ops.tiles import Pairs
from lookalike.ops.topk import exact_topk

if TYPE_CHECKING:
    import pandas as pd

_QUERIES = 64  # neighbours are searched for this many queries at a time


class Named(dict[str, Any]):
    """A plain dict by metric name that also finds an alias, such as ``map_at_r``."""

    def __missing__(self, name: str) -> Any:
        try:
            canonical = parse(name).name
        except ConfigError:
            canonical = name
        if canonical in self.keys():
            return self[canonical]
        raise KeyError(f"{name!r} was not evaluated. {suggest(canonical, self)}")


@dataclass(frozen=True)
class RetrievalReport:
    """The metrics of one evaluation.

    Attributes:
        values: name → mean over the queries that count.
        per_query: name → ``(Nq,)`` float64, one entry a query, NaN where it was skipped; numbers
            that are of no query are absent.
        definitions: name → what the number means (`Definition`).
        skipped: name → how many queries had nothing relevant.
        queries: how many queries there were.
        gallery_size: how many items were ranked, before exclusions.

    ``report["map_at_r"]`` reads a value by name or alias, ``dict(report)`` copies them all.
    """

    values: Mapping[str, float]
    per_query: Mapping[str, np.ndarray]
    definitions: Mapping[str, Definition]
    skipped: Mapping[str, int]
    queries: int
    gallery_size: int
    _task: Problem = field(repr=False, compare=False)

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def keys(self) -> KeysView[str]:
        """The names of the metrics."""
        return self.values.keys()

    def __str__(self) -> str:
        width = max(map(len, self.values), default=0)
        lines = [f"{name:<{width}}  {value:.4f}" for name, value in self.values.items()]
        queries = counted(self.queries, "query", "queries")
        lines.append(f"{queries}, {counted(self.gallery_size, 'gallery item')}")
        return "\n".join(lines)

    def intervals(
        self,
        confidence: float = 0.95,
        *,
        over: str = "queries",
        level: int = 0,
        resamples: int = 1000,
        seed: int = 0,
    ) -> dict[str, tuple[float, float]]:
        """Bootstrap percentile intervals of every value.

        Args:
            confidence: the share of resampled values inside an interval.
            over: "queries" resamples queries: how much would other images of these classes
                change the number? "classes" resamples whole classes: how much would other
                classes? The second is wider, and the honest one for class-disjoint test sets.
            level: the label column that says what a class is.
            resamples: how many times; the same resamples serve every metric.
            seed: of the resampling.

        Returns:
            name → (low, high); NaN where no query counted; numbers that are of no query (such as
            NMI) have none. The micro average precision is
            resampled by the share each query has in it, its one ranking of all queries kept.
        """
        groups = self.resampled(over, level)
        return bootstrap(
            self.per_query, groups, confidence=confidence, resamples=resamples, seed=seed
        )

    def neighbours(
        self, query_ids: int | Sequence[int] | np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest gallery items of some queries, in the exact order.

        Args:
            query_ids: rows of the queries.
            k: how many.

        Returns:
            ``(len(query_ids), k)`` int64 gallery rows, -1 past the end, and float64 scores: dot
            products, cosines, or Euclidean distances with a minus.
        """
        ids = np.atleast_1d(np.asarray(query_ids, dtype=np.int64))
        if len(ids) and (ids.min() < 0 or ids.max() >= self.queries):
            raise DataError(f"query_ids must lie in 0 to {self.queries - 1}, got {ids.tolist()}")
        task = self._task
        parts = []
        for start in range(0, len(ids), _QUERIES):
            some = ids[start : start + _QUERIES]
            rows = [task.excluded(slice(i, i + 1)).items for i in some]
            starts = np.concatenate(([0], np.cumsum([len(r) for r in rows])))
            out = Pairs(starts, np.concatenate(rows).astype(np.int64))
            mine = task.query.rows(some)
            own = task.own_scores(mine)
            rows_, scores = exact_topk(mine.exact, task.gallery.exact, k, out, scores=own)
            parts.append((rows_, task.shown(scores)))
        if not parts:
            width = min(k, self.gallery_size)
            return np.zeros((0, width), np.int64), np.zeros((0, width))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def classes(self, level: int = 0) -> np.ndarray:
        """The class code of each query, ``(Nq,)``; codes number the sorted labels from 0."""
        return self._task.query_codes[:, level]

    def resampled(self, over: str, level: int = 0) -> np.ndarray | None:
        """What a bootstrap draws: None for single queries, or the class of each query."""
        if over not in ("queries", "classes"):
            raise ConfigError(
                f"over={over!r} is not an option. {suggest(over, ['queries', 'classes'])}"
            )
        return None if over == "queries" else self.classes(level)

    def same_queries(self, other: RetrievalReport) -> bool:
        """Whether another report has the same queries, as far as their labels tell."""
        mine, theirs = self._task.query_codes, other._task.query_codes
        if mine.shape != theirs.shape:
            return False
        # The galleries may differ and with them the codes; equal partitions are enough.
        return all(
            len(np.unique(np.stack([a, b], 1), axis=0)) == len(np.unique(a)) == len(np.unique(b))
            for a, b in zip(mine.T, theirs.T, strict=True)
        )

    def by_class(self, name: str, level: int = 0, *, names: Any = None) -> dict[Any, float]:
        """The mean of one metric over the queries of each class; classes skipped are absent.

        Args:
            name: of the metric.
            level: the label column that says what a class is.
            names: the queries' labels as they were given, ``(Nq,)`` or ``(Nq, L)``, by which the
                classes are called; None for their codes.
        """
        values, codes = self.per_query[name], self.classes(level)
        counted = ~np.isnan(values)
        kinds, place = np.unique(codes[counted], return_inverse=True)
        sums = np.bincount(place, values[counted], len(kinds))
        means = sums / np.bincount(place, minlength=len(kinds))
        called: dict[int, Any] = {int(code): int(code) for code in kinds}
        if names is not None:
            column = label_columns(names, "names")[level]
            called = dict(zip(codes.tolist(), column.tolist(), strict=True))
        return {called[int(code)]: float(mean) for code, mean in zip(kinds, means, strict=True)}

    def class_means(self, level: int = 0) -> dict[str, float]:
        """Each metric as the mean over classes of each class's mean: every class counts the same.

        Args:
            level: the label column that says what a class is.

        Returns:
            name → value; NaN where no query counted.
        """
        means = {name: list(self.by_class(name, level).values()) for name in self.per_query}
        return {n: float(np.mean(v)) if v else float("nan") for n, v in means.items()}

    def only(self, names: Sequence[str]) -> RetrievalReport:
        """The report with some of its numbers."""
        return replace(
            self,
            values=Named({n: self.values[n] for n in names}),
            per_query=Named({n: self.per_query[n] for n in names if n in self.per_query}),
            definitions=Named({n: self.definitions[n] for n in names}),
            skipped=Named({n: self.skipped[n] for n in names}),
        )

    def with_values(self, values: Mapping[str, float], how: str = "") -> RetrievalReport:
        """The report with more numbers in it, which are of all items together and of no query.

        Args:
            values: name or alias → value; each must be a metric that `explain` knows, such as
                ``"nmi"``.
            how: words for their definitions: what was measured.
        """
        definitions = {name: explain(name) for name in values}
        if how:
            definitions = {n: replace(d, words=f"{d.words}; {how}") for n, d in definitions.items()}
        return replace(
            self,
            values=Named({**self.values, **values}),
            definitions=Named({**self.definitions, **definitions}),
            skipped=Named({**self.skipped, **dict.fromkeys(values, 0)}),
        )

    def to_frame(self, *, per_query: bool = False) -> pd.DataFrame:
        """One row a metric (value, queries counted and skipped, meaning), or one row a query."""
        import pandas as pd

        if per_query:
            return pd.DataFrame(dict(self.per_query)).rename_axis("query")
        rows = [
            {
                "metric": name,
                "value": value,
                "counted": self.queries - self.skipped[name],
                "skipped": self.skipped[name],
                "meaning": self.definitions[name].words,
            }
            for name, value in self.values.items()
        ]
        columns = ["metric", "value", "counted", "skipped", "meaning"]
        return pd.DataFrame(rows, columns=columns).set_index("metric")

    def to_dict(self) -> dict[str, Any]:
        """Everything but the vectors and the per-query entries, ready for JSON (NaN as None)."""
        return {
            "values": {n: None if np.isnan(v) else v for n, v in self.values.items()},
            "skipped": dict(self.skipped),
            "queries": self.queries,
            "gallery_size": self.gallery_size,
            "definitions": {n: d.to_dict() for n, d in self.definitions.items()},
        }


def build_report(
    task: Problem,
    requests: Sequence[Request],
    per_query: Mapping[str, np.ndarray],
    *,
    ties: str,
    empty: str,
) -> RetrievalReport:
    """Average each metric over its queries and attach its contract."""
    report: dict[str, dict[str, Any]] = {}
    for request in requests:
        entries = per_query[request.name]
        without = np.isnan(entries)
        if empty == "zero":
            entries = np.where(without, 0.0, entries)
        counted = entries[~np.isnan(entries)]
        report[request.name] = {
            "value": float(counted.mean()) if len(counted) else float("nan"),
            "entries": entries,
            "definition": replace(
                fill(explain(request.base.replace("{k}", "k")), request),
                ties=TIES[ties],
                empty=EMPTY[empty],
            ),
            "skipped": int(without.sum()),
        }
    return RetrievalReport(
        values=Named({name: r["value"] for name, r in report.items()}),
        per_query=Named({name: r["entries"] for name, r in report.items()}),
        definitions=Named({name: r["definition"] for name, r in report.items()}),
        skipped=Named({name: r["skipped"] for name, r in report.items()}),
        queries=len(task.query),
        gallery_size=len(task.gallery),
        _task=task,
    )
