"""``lookalike evaluate RUN --rerank``: what each re-ranking gains, and what it costs a query."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.console import Console
from lookalike.errors import ConfigError, suggest
from lookalike.evaluation.evaluator import SplitResult
from lookalike.evaluation.ground_truth import ground_truth
from lookalike.files import write_text
from lookalike.metrics import formulas, revisited
from lookalike.metrics.bootstrap import bootstrap
from lookalike.metrics.definitions import EMPTY, parse
from lookalike.metrics.definitions import Request as Metric
from lookalike.metrics.labels import Members
from lookalike.report.figures import format_value, headlines, level_title, metric_title, split_level
from lookalike.report.tables import Column, ReportTable, TableRow
from lookalike.search.exact import MemoryGallery
from lookalike.search.hits import Hits
from lookalike.search.reranking import METHODS, SHORTLIST, Request, rerank

PLAIN = "none"
REPORT = "reranking.json"
_OF_R = ("r_precision", "mean_average_precision_at_r")  # these look at the first R alone
_BLOCK = 256  # queries at a time
_LONGEST = 20_000  # of a ranking that is judged by junk lists, which may be anywhere in it


@dataclass(frozen=True)
class Reranked:
    """One method's figures on one split.

    Attributes:
        method: a key of `METHODS`, or ``none`` for the search as it is.
        per_query: metric → ``(Nq,)``, NaN where a query does not count.
        seconds: a query, beside the search; of ``none``: of the search.
        depth: length of the rankings.
    """

    method: str
    per_query: Mapping[str, np.ndarray]
    seconds: float
    depth: int

    @property
    def values(self) -> dict[str, float]:
        """Metric → mean over the queries that count."""
        return {n: float(np.nanmean(v)) for n, v in self.per_query.items() if np.isfinite(v).any()}


def chosen(words: Sequence[str]) -> list[str]:
    """The methods that ``--rerank`` names; ``all`` stands for each.

    Raises:
        ConfigError: no such method.
    """
    found = list(METHODS) if "all" in words else list(dict.fromkeys(words))
    for word in found:
        if word not in METHODS:
            known = suggest(word, [*METHODS, "all"])
            raise ConfigError(f"--rerank {word}: no such method. {known}")
    return found


def measure(one: SplitResult, methods: Sequence[str]) -> list[Reranked]:
    """A split's search as it is, then by each method, on the very vectors that were measured.

    As in ``lookalike search``, the first 200 are re-ranked, or as many as the metrics look at.

    Args:
        one: the split, embedded and measured.
        methods: of `chosen`.

    Raises:
        ConfigError: rankings that leave out whole sequences, or no metric that the first of a
            ranking decide.
    """
    judge = _judge(one)
    queries = np.ascontiguousarray(one.embeddings[one.queries], np.float32)
    memory = MemoryGallery.of(one.embeddings[one.gallery])
    own = judge.own
    found: dict[str, list[Hits]] = {name: [] for name in (PLAIN, *methods)}
    seconds = dict.fromkeys(found, 0.0)
    for start in range(0, len(queries), _BLOCK):
        part = slice(start, start + _BLOCK)
        began = time.perf_counter()
        hits = memory.search(queries[part], judge.depth, own=own[part])
        seconds[PLAIN] += time.perf_counter() - began
        found[PLAIN].append(hits)
        request = Request(queries[part], hits, memory, own[part])
        for method in methods:
            began = time.perf_counter()
            found[method].append(rerank(request, method))
            seconds[method] += time.perf_counter() - began
    return [
        Reranked(
            method,
            judge(np.concatenate([hits.rows for hits in parts])),
            seconds[method] / len(queries),
            judge.depth,
        )
        for method, parts in found.items()
    ]


class _Labels:
    """Judges rankings by labels: the metrics of a report that a ranking's beginning decides."""

    def __init__(self, one: SplitResult) -> None:
        if "sequence" in one.table.frame:
            raise ConfigError(
                "--rerank: this data set leaves whole sequences out of a ranking, which "
                "re-ranking does not know; evaluate it without --rerank."
            )
        labels = one.table.labels
        self._query, self._gallery = labels[one.queries], labels[one.gallery]
        self._one = one
        place = np.full(len(labels), -1)
        place[one.gallery] = np.arange(len(one.gallery))
        self.own = place[one.queries]
        asked = [parse(name) for name in one.report.per_query]
        self.metrics = [m for m in asked if m.base in _OF_R or m.base in formulas.CUT]
        if not self.metrics:
            raise ConfigError(
                "--rerank judges the beginning of rankings: ask for recall_at_k, r_precision or "
                "mean_average_precision_at_r among evaluation.metrics."
            )
        cuts = [m.k for m in self.metrics if m.k is not None]
        most = [int(self._relevant(m).max(initial=0)) for m in self.metrics if m.base in _OF_R]
        self.depth = min(max([SHORTLIST, *cuts, *most]), len(one.gallery))

    def _column(self, metric: Metric) -> int:
        return self._one.level if metric.level is None else metric.level

    def _relevant(self, metric: Metric) -> np.ndarray:
        """R of each query."""
        column = self._column(metric)
        wanted = self._query[:, column]
        counts = Members(self._gallery[:, column]).counts(wanted)
        return counts - ((self.own >= 0) & (counts > 0))

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Metric → ``(Nq,)`` of rankings ``(Nq, depth)``."""
        return {metric.name: self._value(metric, rows) for metric in self.metrics}

    def _value(self, metric: Metric, rows: np.ndarray) -> np.ndarray:
        column = self._column(metric)
        wanted = self._query[:, column]
        right = (rows >= 0) & (self._gallery[rows.clip(0), column] == wanted[:, None])
        right &= (wanted >= 0)[:, None]
        relevant = self._relevant(metric)
        query, place = np.nonzero(right)
        # Those beyond the end rank behind everything: they count in R, and are found by no cut.
        missing = np.repeat(np.arange(len(rows)), relevant - right.sum(axis=1))
        query = np.concatenate([query, missing])
        rank = np.concatenate([place + 1, np.full(len(missing), len(self._gallery) + 1)])
        order = np.lexsort((rank, query))
        ranking = formulas.Ranking(
            len(rows), query[order], rank[order], np.ones(len(order), np.int64)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            if metric.k is not None:
                value = formulas.CUT[metric.base](ranking, metric.k)
            else:
                value = formulas.PLAIN[metric.base](ranking)
        counted_zero = self._one.report.definitions[metric.name].empty == EMPTY["zero"]
        return np.where(relevant > 0, value, 0.0 if counted_zero else np.nan)


class _Lists:
    """Judges rankings by lists of easy, hard and junk items."""

    def __init__(self, one: SplitResult, truth: list[dict[str, Any]]) -> None:
        self._truth, self._names = truth, list(one.report.per_query)
        self.depth = min(len(one.gallery), _LONGEST)
        self.own = np.full(len(one.queries), -1)  # the protocol's lists say what is ignored

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Metric → ``(Nq,)`` of rankings ``(Nq, depth)``."""
        asked = {name: parse(name) for name in self._names}
        cuts = sorted({m.k for m in asked.values() if m.k is not None}) or [1]
        found = revisited(rows.T, self._truth, k=cuts)
        values = {}
        for name, metric in asked.items():
            numbers = found[name.split("_", 1)[0]]
            values[name] = (
                numbers["ap"]
                if metric.k is None
                else numbers["precision_at_k"][:, cuts.index(metric.k)]
            )
        return values


def _judge(one: SplitResult) -> _Labels | _Lists:
    truth = ground_truth(one.table)
    return _Labels(one) if truth is None else _Lists(one, truth)


def figures(one: SplitResult, found: Sequence[Reranked], over: str) -> dict[str, Any]:
    """For JSON: method → ``values``, ``intervals``, ``gains``, ``milliseconds``, ``depth``.

    A gain is the mean of the differences to the search as it is, query by query, with its own
    interval: narrower than those of the two values, since both see the same queries.
    """
    plain = found[0].per_query
    groups = one.report.resampled(over, one.level)

    def intervals(per_query: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
        bounds = bootstrap(per_query, groups, confidence=0.95, resamples=1000, seed=0)
        return {name: [*pair] for name, pair in bounds.items() if np.isfinite(pair).all()}

    results = {}
    for reranked in found:
        entry = {
            "values": reranked.values,
            "intervals": intervals(reranked.per_query),
            "milliseconds": 1e3 * reranked.seconds,
            "depth": reranked.depth,
        }
        if reranked.method != PLAIN:
            gains = {n: v - plain[n] for n, v in reranked.per_query.items()}
            means = {n: float(np.nanmean(v)) for n, v in gains.items() if n in reranked.values}
            entry["gains"] = means
            entry["gain_intervals"] = intervals(gains)
        results[reranked.method] = entry
    return results


def show(console: Console, title: str, found: Mapping[str, Any], levels: Sequence[str]) -> None:
    """A line a method: recall and MAP@R, what the last of them gains, and milliseconds."""
    names = headlines(found[PLAIN]["values"], limit=2)
    main, level = names[-1], split_level(names[-1])[1]
    of = "" if level is None else f", {level_title(level, levels)}"
    rows = []
    for method, entry in found.items():
        gain = ""
        if method != PLAIN:
            low, high = entry["gain_intervals"].get(main, (np.nan, np.nan))
            gain = f"{entry['gains'][main]:+.3f} ({low:+.3f} to {high:+.3f})"
        sign = "" if method == PLAIN else "+"
        cells = [format_value(entry["values"].get(name, np.nan)) for name in names]
        rows.append(TableRow([method, *cells, gain, f"{sign}{entry['milliseconds']:.2f}"]))
    table = ReportTable(
        columns=[
            Column("method", numeric=False, whole=True),
            *(Column(metric_title(split_level(name)[0])) for name in names),
            Column(f"gain in {metric_title(split_level(main)[0])}", numeric=False, whole=True),
            Column("ms a query"),
        ],
        rows=rows,
        caption=f"{title}, re-ranked{of}",
    )
    console.show(table)
    console.say(
        f"The first {found[PLAIN]['depth']:,} of each ranking, searched exactly. Time: none is the "
        "search itself, the others come on top. In brackets: 95 % of resamples."
    )


def save(found: Mapping[str, Any], folder: Path) -> None:
    """Write ``reranking.json`` beside the split's report."""
    write_text(folder / REPORT, json.dumps(found, indent=2) + "\n")
