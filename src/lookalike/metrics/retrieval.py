"""`evaluate`: every retrieval metric, exact, in one streaming pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lookalike import distributed
from lookalike.errors import ConfigError, suggest
from lookalike.metrics import formulas
from lookalike.metrics.definitions import EMPTY, TIES, Request, select
from lookalike.metrics.inputs import Problem, chosen_levels, cutoffs, problem
from lookalike.metrics.labels import DISTRACTOR, Members, union
from lookalike.metrics.report import RetrievalReport, build_report
from lookalike.ops.exact_ranks import Counts, bytes_per_score, exact_counts, tile_type
from lookalike.ops.tiles import Pairs, default_bytes, score_tile, tile_rows

_WIDEST, _WIDEST_ON_DEVICE = 1024, 8192  # queries a tile: a product gains nothing from more


def evaluate(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    metrics: Sequence[str] | str | None = None,
    k: int | Sequence[int] = (1, 2, 4, 8),
    levels: int | Sequence[int] | None = None,
    exclude_self: Any = None,
    sequences: Any = None,
    byte_budget: int | None = None,
    ties: str = "stable",
    empty: str = "skip",
    relevance: str = "pop",
    alpha: float | Sequence[float] = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalReport:
    r"""Rank a gallery for every query and say how good the rankings are.

    The order is that of the float64 dot product of the vectors as stored: the same ranks, and the
    same metrics to the last bit, for any byte budget, thread count and number of processes. Under
    ``torchrun`` each process ranks a share of the queries and all return the whole report.

    Args:
        query: ``(Nq, D)`` array or tensor. Vectors are compared by dot product and never
            normalised here.
        query_labels: ``(Nq,)`` or ``(Nq, L)`` integers or strings, column 0 the finest level.
            Label -1 (or an empty string) matches nothing: a distractor.
        gallery: ``(Ng, D)``; None for the queries themselves.
        gallery_labels: ``(Ng,)`` or ``(Ng, L)``.
        metrics: names or aliases (`lookalike.metrics.names`, `explain`); None for all. A name
            without cut-off or level stands for all of them.
        k: the cut-offs.
        levels: label columns to evaluate; None for all. The graded metrics count these.
        exclude_self: whether gallery row i is query i and leaves its own ranking, or the gallery
            row of each query (-1 = none). None: true exactly when there is no gallery.
        sequences: ``(of queries, of gallery)``; equal ones are left out of the ranking.
        byte_budget: bytes the pass may hold beside the vectors; None for 48 MiB and half the
            gallery's size, or a quarter of a CUDA device's free memory. It changes the speed,
            never a number.
        ties: "stable" (by rising gallery index), "optimistic", "pessimistic" or "mean".
        empty: "skip" queries without a relevant item, or count them as "zero".
        relevance: "pop" or "map", the relevance that H-AP gives to each level.
        alpha: the exponent of "pop"; the L weights of "map", coarsest level first.
        progress: called with the queries done and their number after each tile.

    Returns:
        A `RetrievalReport`.

    Raises:
        DataError: shapes or labels that do not fit.
        NumericsError: NaN or infinity in a vector; the rows are named.
        ConfigError: an unknown metric, level, tie rule or cut-off.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]], dtype="float32")
    >>> evaluate(x, ["cat", "cat", "dog", "dog"]).values["recall_at_1"]
    1.0

    Relations: `revisited` for the landmark protocol with junk images; `clustering` for partitions;
    ``report.intervals()`` for how sure a number is; `compare_reports` for two models.
    """
    _known("ties", ties, TIES)
    _known("empty", empty, EMPTY)
    _known("relevance", relevance, ("pop", "map"))
    task = problem(query, query_labels, gallery, gallery_labels, exclude_self, sequences)
    columns = task.query_codes.shape[1]
    depth = chosen_levels(levels, columns)
    requests = select(metrics, cutoffs(k), depth, columns)
    style = _Style(ties, relevance, _weights(relevance, alpha, len(depth)))
    if byte_budget is None:
        byte_budget = default_bytes(task.gallery)
    per_query, extra = _pass(task, requests, depth, style, byte_budget, progress)
    pooled = _pool(per_query, extra, requests, ties)
    return build_report(task, requests, per_query | pooled, ties=ties, empty=empty)


@dataclass(frozen=True)
class _Style:
    ties: str
    relevance: str
    alpha: float | list[float]


def _known(option: str, value: str, known: Any) -> None:
    if value not in known:
        raise ConfigError(f"{option}={value!r} is not an option. {suggest(str(value), known)}")


def _weights(relevance: str, alpha: float | Sequence[float], levels: int) -> float | list[float]:
    single = isinstance(alpha, int | float | np.number)
    if relevance == "pop":
        if not single:
            raise ConfigError(f"relevance='pop' takes one alpha, an exponent; got {alpha!r}")
        return float(alpha)  # pyright: ignore[reportArgumentType]
    weights = [] if single else [float(a) for a in alpha]  # pyright: ignore[reportGeneralTypeIssues]
    if len(weights) != levels:
        raise ConfigError(
            f"relevance='map' takes one alpha a level, coarsest first: {levels} numbers; "
            f"got {alpha!r}"
        )
    return weights


def _pass(
    task: Problem,
    requests: list[Request],
    levels: list[int],
    style: _Style,
    byte_budget: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tile after tile of this process's queries; then everybody's."""
    total = len(task.query.exact)
    share = -(-total // distributed.world_size())
    first = min(total, share * distributed.rank())
    last = min(total, first + share)
    members = {level: Members(task.gallery_codes[:, level]) for level in levels}
    columns = _columns(requests, levels)
    mine = np.full((share, len(columns)), np.nan)
    out = _room(task, members, slice(first, last), byte_budget)
    height = len(out)
    for start in range(first, last, height):
        block = slice(start, min(last, start + height))
        found = _block(task, requests, levels, members, style, block, out)
        for c, name in enumerate(columns):
            mine[block.start - first : block.stop - first, c] = found[name]
        if progress is not None:
            progress(block.stop - first, last - first)
    whole = distributed.gather(torch.from_numpy(mine)).numpy()[:total]
    arrays = {name: np.ascontiguousarray(whole[:, c]) for c, name in enumerate(columns)}
    names = {request.name for request in requests}
    return (
        {name: a for name, a in arrays.items() if name in names},
        {name: a for name, a in arrays.items() if name not in names},
    )


def _room(
    task: Problem, members: dict[int, Members], mine: slice, byte_budget: int
) -> torch.Tensor:
    """The buffer of one tile: as many rows as the budget allows, in the type that serves best."""
    sizes = [m.counts(task.query_codes[mine, level]) for level, m in members.items()]
    most = max((int(size.max(initial=0)) for size in sizes), default=0)
    usual = max((float(size.mean()) for size in sizes if len(size)), default=0.0)
    kind = tile_type(task.gallery.fast.dtype, usual)
    items = len(task.gallery.exact)
    device = task.gallery.fast.device
    rows = tile_rows(items, most, byte_budget, bytes_per_score(kind, device))
    widest = _WIDEST if device.type == "cpu" else _WIDEST_ON_DEVICE
    height = max(1, min(rows, widest, mine.stop - mine.start))
    return torch.empty((height, items), dtype=kind, device=device)


def _columns(requests: list[Request], levels: list[int]) -> list[str]:
    """What a pass notes for each query."""
    names = [r.name for r in requests if r.base != "micro_average_precision"]
    if any(r.base == "micro_average_precision" for r in requests):
        names += ["best score", *(f"first right {c}" for c in levels)]
        names += [f"relevant {c}" for c in levels]
    return names


def _block(
    task: Problem,
    requests: list[Request],
    levels: list[int],
    members: dict[int, Members],
    style: _Style,
    block: slice,
    out: torch.Tensor,
) -> dict[str, np.ndarray]:
    """Every metric of one tile of queries."""
    queries = task.query.part(block)
    excluded = task.excluded(block)
    relevant = _relevant(task, requests, levels, members, block, excluded)
    tile = score_tile(queries, task.gallery, out)
    tile.exclude(excluded)
    pooled = any(r.base == "micro_average_precision" for r in requests)
    best = np.empty(len(queries.exact)) if pooled else None
    counts = exact_counts(tile, relevant, queries, task.gallery, best=best)
    views = _Views(task, relevant, counts, levels, block, style.ties)
    found: dict[str, np.ndarray] = {}
    for request in requests:
        if request.base != "micro_average_precision":
            found[request.name] = _value(views, request, style)
    if best is not None:
        found["best score"] = best
        for level in levels:
            view = views.of(level)
            found[f"first right {level}"] = formulas.recall_at(view, 1)
            found[f"relevant {level}"] = view.relevant.astype(np.float64)
    return found


def _relevant(
    task: Problem,
    requests: list[Request],
    levels: list[int],
    members: dict[int, Members],
    block: slice,
    excluded: Pairs,
) -> Pairs:
    """Every item that shares a label with its query in any of the levels, less the excluded."""
    needed = set(levels)
    if any(r.base == "exclusive_average_precision" for r in requests):
        needed |= set(range(max(levels)))
    if task.nested:  # the coarsest level holds the others
        needed = {max(needed)}
    for level in needed - members.keys():
        members[level] = Members(task.gallery_codes[:, level])
    found = [members[level].of(task.query_codes[block, level]) for level in sorted(needed)]
    pairs = union(found)
    width = len(task.gallery.exact) + 1
    keys = pairs.rows * width + pairs.items
    out = excluded.rows * width + excluded.items
    if len(out):
        at = np.minimum(np.searchsorted(out, keys), len(out) - 1)
        pairs = pairs.keep(out[at] != keys)
    return pairs


class _Views:
    """The rankings of one tile, one for each set of items a metric looks at."""

    def __init__(
        self,
        task: Problem,
        relevant: Pairs,
        counts: Counts,
        levels: list[int],
        block: slice,
        ties: str,
    ) -> None:
        self.levels = levels
        self.ties = ties
        self.standing, order = formulas.stand(len(relevant.starts) - 1, relevant.rows, counts)
        items = relevant.items[order]
        depth = max(levels) + 1
        self.shares: list[np.ndarray] = []
        for level in range(depth):
            code = task.query_codes[block, level][self.standing.rows]
            self.shares.append((code == task.gallery_codes[items, level]) & (code != DISTRACTOR))
        self._made: dict[str, formulas.Ranking] = {}

    def of(self, level: int) -> formulas.Ranking:
        """Relevant: the same label in one column."""
        key = f"level {level}"
        if key not in self._made:
            self._made[key] = self._binary(self.standing.keep(self.shares[level]))
        return self._made[key]

    def exclusive(self, level: int) -> formulas.Ranking:
        """Relevant: the same label in this column and in none finer; finer ones taken out."""
        finer = np.zeros(len(self.standing.rows), bool)
        for share in self.shares[:level]:
            finer |= share
        if not finer.any():
            return self.of(level)
        left = self.standing.without(finer)
        return self._binary(left.keep(self.shares[level][~finer]))

    def graded(self) -> formulas.Ranking:
        """Relevant: by the number of shared columns."""
        if "graded" not in self._made:
            grade = np.zeros(len(self.standing.rows), np.int64)
            for level in self.levels:
                grade += self.shares[level]
            kept = grade > 0
            ranking = self.standing.keep(kept).rank(grade[kept], len(self.levels), self.ties)
            self._made["graded"] = ranking
        return self._made["graded"]

    def _binary(self, standing: formulas.Standing) -> formulas.Ranking:
        return standing.rank(np.ones(len(standing.rows), np.int64), 1, self.ties)


def _value(views: _Views, request: Request, style: _Style) -> np.ndarray:
    """One metric of one tile; NaN where a query has nothing relevant."""
    if request.base == "exclusive_average_precision":
        ranking = views.exclusive(views.levels[0] if request.level is None else request.level)
    elif request.level is not None:
        ranking = views.of(request.level)
    elif request.base in ("ndcg", "asi", "h_ap"):
        ranking = views.graded()
    else:
        ranking = views.of(views.levels[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        if request.base == "h_ap":
            table = formulas.relevance_table(ranking.of_grade, style.relevance, style.alpha)
            value = formulas.hierarchical_ap(ranking, table)
        elif request.k is not None:
            value = formulas.CUT[request.base](ranking, request.k)
        else:
            value = formulas.PLAIN[request.base](ranking)
    return np.where(ranking.relevant > 0, value, np.nan)


def _pool(
    per_query: dict[str, np.ndarray],
    extra: dict[str, np.ndarray],
    requests: list[Request],
    ties: str,
) -> dict[str, np.ndarray]:
    """The metrics that need all queries at once."""
    found: dict[str, np.ndarray] = {}
    for request in requests:
        if request.base == "micro_average_precision":
            levels = [int(n.split()[-1]) for n in extra if n.startswith("relevant")]
            level = levels[0] if request.level is None else request.level
            found[request.name] = formulas.pooled_precision(
                extra["best score"],
                extra[f"first right {level}"] > 0,
                extra[f"relevant {level}"] > 0,
                ties,
            )
    return found
