"""`evaluate`: every retrieval metric, exact, in one streaming pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lookalike import distributed
from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, counted, suggest
from lookalike.metrics import formulas
from lookalike.metrics.clusters import HOW, partition_values
from lookalike.metrics.definitions import EMPTY, TIES, Request, by_kind, select
from lookalike.metrics.fused import Tables, can_fuse, fuse
from lookalike.metrics.inputs import Problem, chosen_levels, cutoffs, problem
from lookalike.metrics.labels import Members, union
from lookalike.metrics.outlook import Outlook
from lookalike.metrics.report import RetrievalReport, build_report
from lookalike.metrics.resuming import Finished, fingerprint
from lookalike.metrics.views import Style, Views
from lookalike.ops.distances import Distance
from lookalike.ops.exact_ranks import bytes_per_pair, bytes_per_score, exact_counts, tile_type
from lookalike.ops.scratch import Scratch
from lookalike.ops.tiles import Pairs, default_bytes, exact_tile, packed, score_tile, tile_rows

# What others call our arguments: pytorch-metric-learning, scikit-learn, torchmetrics.
_PEERS = {
    "reference": "gallery",
    "reference_labels": "gallery_labels",
    "ref_includes_query": "exclude_self",
    "include": "metrics",
    "embeddings": "query",
    "labels": "query_labels",
    "top_k": "k",
}
_OFTEN = 0.08  # share of scores taken again beyond which an exact tile costs less
_PROBE = 64
_LINE = 16  # numbers of four bytes
_WIDEST, _WIDEST_ON_DEVICE = 1024, 8192  # queries a tile: a product gains nothing from more


@named_arguments(_PEERS)
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
    distance: Distance | None = None,
    label_comparison_fn: Callable[[Any, Any], Any] | None = None,
    byte_budget: int | None = None,
    ties: str = "stable",
    empty: str = "skip",
    relevance: str = "pop",
    alpha: float | Sequence[float] = 1.0,
    progress: Callable[[int, int], None] | None = None,
    on_plan: Callable[[Outlook], None] | None = None,
    resume: str | Path | None = None,
) -> RetrievalReport:
    r"""Rank a gallery for every query and say how good the rankings are.

    The order is that of the float64 dot product of the vectors: the same ranks, and the
    same metrics to the last bit, for any byte budget, thread count and number of processes. Under
    ``torchrun`` each process ranks a share of the queries and all return the whole report.

    Args:
        query: ``(Nq, D)`` array or tensor.
        query_labels: ``(Nq,)`` or ``(Nq, L)`` integers or strings, column 0 the finest level.
            Label -1 (or an empty string) matches nothing: a distractor.
        gallery: ``(Ng, D)``; None for the queries themselves.
        gallery_labels: ``(Ng,)`` or ``(Ng, L)``.
        metrics: names or aliases (`lookalike.metrics.names`, `explain`); None for all but those
            measured only where they are named (`ndcg_at_k`, `mean_precision_at_k`, …). A name
            without cut-off or level stands for all of them. Those of `clustering` (``"nmi"``,
            ``"ami"``) judge a k-means partition of the queries into as many clusters as classes.
        k: the cut-offs.
        levels: label columns to evaluate; None for all. The graded metrics count these.
        exclude_self: whether gallery row i is query i and leaves its own ranking, or the gallery
            row of each query (-1 = none). None: true exactly when there is no gallery.
        sequences: ``(of queries, of gallery)``; equal ones are left out of the ranking.
        distance: "dot", "cosine" or "euclidean"; or a function of ``(b, D)`` and ``(Ng, D)``
            float64 tensors that gives ``(b, Ng)`` distances (similarities, if it has
            ``is_inverted = True``). None is "dot", with a warning where the gallery's vectors have
            different lengths. "cosine" divides each vector by its length first, "euclidean" orders
            by -‖q - g‖²/2.
        label_comparison_fn: which items are relevant, in place of equal labels: labels of one query
            ``(1, …)`` and of the gallery ``(Ng, …)``, of any kind, → ``(Ng,)`` bool.
        byte_budget: bytes the pass may hold beside the vectors; None for 68 MiB and half the
            gallery's size, or a quarter of a CUDA device's free memory. Native code holds one
            packed copy of the gallery besides. It changes the speed, never a number.
        ties: "stable" (by rising gallery index), "optimistic", "pessimistic" or "mean".
        empty: "skip" queries without a relevant item, or count them as "zero".
        relevance: "pop" or "map", the relevance that H-AP gives to each level.
        alpha: the exponent of "pop"; the L weights of "map", coarsest level first.
        progress: called with the queries done and their number after each tile.
        on_plan: called once, after the first few queries, with what the rest is going to take: an
            `Outlook`, which prints as a sentence.
        resume: a folder for finished queries. Killed and called again with the same vectors,
            labels and settings, the evaluation goes on where it was, with any number of processes,
            and gives the same bits.

    Returns:
        A `RetrievalReport`.

    Raises:
        DataError: shapes or labels that do not fit; a ``resume`` folder of another evaluation.
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
    of_query, of_gallery = (query, query_labels), (gallery, gallery_labels)
    how = exclude_self, sequences, distance, label_comparison_fn
    task = problem(*of_query, *of_gallery, *how)
    if resume is not None and not (isinstance(distance, str | None) and task.relation is None):
        raise ConfigError("resume needs a distance by name: a function cannot be told from another")
    columns = task.query_codes.shape[1]
    depth = chosen_levels(levels, columns)
    ranked, partitions = by_kind(metrics)
    asked = ["recall_at_1"] if partitions and not ranked else ranked  # a pass ranks something
    requests = select(asked, cutoffs(k), depth, columns)
    style = Style(ties, relevance, _weights(relevance, alpha, len(depth)))
    if byte_budget is None:
        byte_budget = default_bytes(task.gallery)
    plan = _plan(task, requests, depth, style)
    finished = None
    if resume is not None:
        noted = _columns(plan)
        settings = (noted, depth, ties, relevance, style.alpha)
        settings += () if distance in (None, "dot") else (distance,)
        finished = Finished(Path(resume), fingerprint(task, settings), noted)
    per_query, extra = _pass(plan, byte_budget, _Watch(progress, on_plan, finished))
    pooled = _pool(per_query, extra, requests, ties)
    report = build_report(task, requests, per_query | pooled, ties=ties, empty=empty)
    if not partitions:
        return report
    found = partition_values(partitions, task.query.exact[:, : task.width], task.query_codes, depth)
    return (report if ranked else report.only(())).with_values(found, HOW)


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
            f"relevance='map' takes one alpha a level, coarsest first: "
            f"{counted(levels, 'number')}; got {alpha!r}"
        )
    return weights


@dataclass(frozen=True)
class _Plan:
    """What to evaluate, and what every tile needs again."""

    task: Problem
    requests: list[Request]
    levels: list[int]
    style: Style
    members: dict[int, Members]
    fused: Tables | None
    scratch: Scratch = field(default_factory=Scratch)

    @property
    def pooled(self) -> bool:
        """Whether a metric of all queries together is asked for."""
        return any(r.base == "micro_average_precision" for r in self.requests)

    @property
    def cuts(self) -> list[int]:
        """The cut-offs of all metrics."""
        return sorted({r.k for r in self.requests if r.k is not None})


def _plan(task: Problem, requests: list[Request], levels: list[int], style: Style) -> _Plan:
    needed = set(levels)
    asked = {r.base for r in requests}
    if "exclusive_average_precision" in asked:
        needed |= set(range(max(levels)))
    if task.nested:  # the coarsest level holds the others
        needed = {max(needed)}
    members = {level: Members(task.gallery_codes[:, level]) for level in sorted(needed)}
    tables = None
    if task.relation is None and can_fuse(style.ties, task.query_codes.shape[1]):
        items = len(task.gallery)
        tables = Tables(items, levels, style.relevance, style.alpha, asked)
    return _Plan(task, requests, levels, style, members, tables)


@dataclass(frozen=True)
class _Watch:
    """Who hears of a pass under way."""

    progress: Callable[[int, int], None] | None
    on_plan: Callable[[Outlook], None] | None
    finished: Finished | None


def _pass(
    plan: _Plan, byte_budget: int, watch: _Watch
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tile after tile of this process's queries; then everybody's."""
    total = len(plan.task.query)
    share = -(-total // distributed.world_size())
    first = min(total, share * distributed.rank())
    last = min(total, first + share)
    columns = _columns(plan)
    mine = np.full((share, len(columns)), np.nan)
    done = np.zeros(last - first, bool)
    if watch.finished is not None:
        done = watch.finished.read_into(mine[: last - first], first)
    before = int(done.sum())
    out, exactly = _room(plan, slice(first, last), byte_budget), False
    if out.dtype == torch.int32:
        packed(plan.task.gallery)  # once, before the clock by which the plan foretells the time
    # The first tile is a small one: it tells whether the tile's type decides enough.
    height, began, is_first = min(len(out), _PROBE), time.perf_counter(), True
    while (block := _unfinished(done, height)) is not None:
        queries = slice(first + block.start, first + block.stop)
        found, rescored = _block(plan, queries, out, exactly)
        mine[block] = np.stack([found[name] for name in columns], axis=1)
        done[block] = True
        if watch.finished is not None:
            watch.finished.add(queries.start, mine[block])
        if rescored > _OFTEN * (block.stop - block.start) * out.shape[1] and not exactly:
            # Collapsed or coarse vectors: nearly everything ties, so score all of it exactly.
            exactly = out.device.type == "cpu"
            if exactly:
                out = _room(plan, slice(first, last), byte_budget, torch.float64)
        height = len(out)
        if is_first and watch.on_plan is not None:
            each = (time.perf_counter() - began) / (block.stop - block.start)
            left = int((~done).sum())
            gallery = plan.task.gallery
            held = out.nbytes + gallery.held + mine.nbytes * (1 + distributed.world_size())
            items = len(gallery)
            watch.on_plan(Outlook(left, items, len(out), held, each * left, before))
        is_first = False
        if watch.progress is not None:
            watch.progress(int(done.sum()), len(done))
    if watch.finished is not None:
        watch.finished.write()
    whole = _gather(mine)[:total]
    arrays = {name: np.ascontiguousarray(whole[:, c]) for c, name in enumerate(columns)}
    names = {request.name for request in plan.requests}
    return (
        {name: a for name, a in arrays.items() if name in names},
        {name: a for name, a in arrays.items() if name not in names},
    )


def _unfinished(done: np.ndarray, height: int) -> slice | None:
    """The first queries that are not done, side by side, at most ``height`` of them."""
    start = int(np.argmin(done)) if len(done) else 0
    if start == len(done) or done[start]:
        return None
    window = done[start : start + height]
    return slice(start, start + (int(np.argmax(window)) if window.any() else len(window)))


def _gather(mine: np.ndarray) -> np.ndarray:
    """Every process's rows, in order."""
    rows = torch.from_numpy(mine)
    if distributed.is_active() and torch.distributed.get_backend() == "nccl":
        rows = rows.cuda()
    return distributed.gather(rows).numpy(force=True)


def _room(
    plan: _Plan, mine: slice, byte_budget: int, kind: torch.dtype | None = None
) -> torch.Tensor:
    """The buffer of one tile: as many rows as the budget allows, in the type that serves best."""
    codes, gallery = plan.task.query_codes[mine], plan.task.gallery
    sizes = np.zeros(len(codes))
    for level, members in plan.members.items():
        sizes += members.counts(codes[:, level])
    device = gallery.fast.device
    if kind is None:
        kind = tile_type(gallery.fast.dtype, device, float(sizes.mean()) if len(sizes) else 0.0)
    per_score = bytes_per_score(kind, device)
    most = int(sizes.max(initial=0))
    rows = tile_rows(len(gallery), most, byte_budget, per_score, bytes_per_pair())
    widest = _WIDEST if device.type == "cpu" else _WIDEST_ON_DEVICE
    height = max(1, min(rows, widest, mine.stop - mine.start))
    # Rows begin with a cache line, which native code writes faster.
    padded = -(-len(gallery) // _LINE) * _LINE
    if device.type == "cpu":  # numpy asks for huge pages, of which there are few to clear
        name = str(kind).removeprefix("torch.")
        out = torch.from_numpy(np.empty((height, padded), np.dtype(name)))
    else:
        out = torch.empty((height, padded), dtype=kind, device=device)
    return out[:, : len(gallery)]


def _columns(plan: _Plan) -> list[str]:
    """What a pass notes for each query."""
    names = [r.name for r in plan.requests if r.base != "micro_average_precision"]
    if plan.pooled:
        names += ["best score", *(f"first right {level}" for level in plan.levels)]
        names += [f"relevant {level}" for level in plan.levels]
    return names


def _block(
    plan: _Plan, block: slice, out: torch.Tensor, exactly: bool
) -> tuple[dict[str, np.ndarray], int]:
    """Every metric of one tile of queries, and how many of its scores had to be taken again."""
    task = plan.task
    queries = task.query.part(block)
    excluded = task.excluded(block)
    relevant = _relevant(plan, block, excluded)
    if (own := task.own_scores(queries)) is None:
        tile = score_tile(queries, task.gallery, out, exactly=exactly)
    else:
        tile = exact_tile(own)
    tile.exclude(excluded)
    best = np.empty(len(queries)) if plan.pooled else None
    counts = exact_counts(tile, relevant, queries, task.gallery, best=best, scratch=plan.scratch)
    if plan.fused is not None:
        codes = task.query_codes[block], task.gallery_codes
        view = fuse(relevant, counts, codes, plan.levels, plan.cuts, plan.fused)
    else:
        view = Views(task, relevant, counts, plan.levels, block, plan.style)
    single = [r for r in plan.requests if r.base != "micro_average_precision"]
    found = {r.name: view.value(r) for r in single if r.base not in formulas.PLAIN_ONLY}
    if slow := [r for r in single if r.base in formulas.PLAIN_ONLY]:
        plain = Views(task, relevant, counts, plan.levels, block, plan.style)
        found |= {request.name: plain.value(request) for request in slow}
    if best is not None:
        found["best score"] = best
        for level in plan.levels:
            found[f"first right {level}"] = view.first_right(level)
            found[f"relevant {level}"] = view.relevant(level)
    return found, counts.rescored


def _relevant(plan: _Plan, block: slice, excluded: Pairs) -> Pairs:
    """Every item that shares a label with its query in any of the levels, less the excluded."""
    if plan.task.relation is not None:
        return plan.task.relation.pairs(block).without(excluded, plan.scratch)
    codes = plan.task.query_codes[block]
    single = plan.scratch if len(plan.members) == 1 else None  # several need an array each
    pairs = union([members.of(codes[:, level], single) for level, members in plan.members.items()])
    return pairs.without(excluded, plan.scratch)


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
