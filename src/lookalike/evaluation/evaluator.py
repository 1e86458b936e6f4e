"""Embed a split and measure it: the one way every verb evaluates a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lookalike.config import EvaluationConfig
from lookalike.data.dataset import Broken
from lookalike.data.datasets.table_files import write_table
from lookalike.data.table import Table
from lookalike.errors import DataError, counted
from lookalike.evaluation.ground_truth import ground_truth, without_others
from lookalike.evaluation.metric_selection import landmark_names, metric_names
from lookalike.evaluation.progress import EvaluationProgress
from lookalike.evaluation.resume import ResumeStore
from lookalike.files import write_text, write_with
from lookalike.metrics import RetrievalReport, evaluate_landmarks
from lookalike.metrics import evaluate as evaluate_vectors
from lookalike.metrics.inputs import chosen_levels
from lookalike.metrics.labels import DISTRACTOR
from lookalike.metrics.landmark_report import CUTS
from lookalike.models.embedder import Embedder
from lookalike.models.embedding import embed_table


@dataclass(frozen=True)
class SplitResult:
    """One split, embedded and measured.

    Attributes:
        split: its name.
        table: its rows, in the order of the embeddings.
        embeddings: float32 ``(N, D)``.
        report: the numbers, and the ranking behind them.
    """

    split: str
    table: Table
    embeddings: np.ndarray
    report: RetrievalReport

    @property
    def queries(self) -> np.ndarray:
        """Rows that are queries, in the order of the report's."""
        return np.flatnonzero(self.table.frame["is_query"].to_numpy(bool))

    @property
    def gallery(self) -> np.ndarray:
        """Rows that are the gallery, in the order of the report's."""
        return np.flatnonzero(self.table.frame["is_gallery"].to_numpy(bool))

    @property
    def level(self) -> int:
        """The finest level at which a query has a label."""
        known = (self.table.labels[self.queries] != DISTRACTOR).any(axis=0)
        return int(known.argmax())

    def save(self, folder: Path) -> None:
        """Write ``report.json``, ``embeddings.npy`` and ``rows.parquet``."""
        write_with(folder / "embeddings.npy", lambda p: _save_array(p, self.embeddings))
        write_table(self.table.with_absolute_paths(), folder / "rows.parquet")
        write_text(folder / "report.json", json.dumps(self.report.to_dict(), indent=2) + "\n")


def measure(
    model: Embedder,
    table: Table,
    split: str,
    c: EvaluationConfig,
    *,
    workers: int,
    broken: Broken,
    precision: torch.dtype | None,
    on_batch: Callable[[int], None] | None = None,
    progress: EvaluationProgress | None = None,
) -> SplitResult:
    """Embed one split of a table and measure retrieval on it.

    Queries and gallery are the rows that the table marks so. Where every row is both, each query is
    excluded from its own ranking by index. Where several processes work together, all must call
    this: each embeds its share, and all get the whole.
    """
    rows = with_roles(table.split(split))
    with (
        nullcontext(on_batch)
        if progress is None
        else progress.embedding(f"{table.name} {split}", len(rows)) as advance
    ):
        embeddings, rows = embedded(
            model,
            rows,
            c,
            workers=workers,
            broken=broken,
            precision=precision,
            on_batch=advance,
            store=None if progress is None else progress.store,
        )
    return measure_vectors(split, rows, embeddings, c, progress=progress)


def embedded(
    model: Embedder,
    rows: Table,
    c: EvaluationConfig,
    *,
    workers: int,
    broken: Broken,
    precision: torch.dtype | None,
    on_batch: Callable[[int], None] | None = None,
    store: ResumeStore | None = None,
) -> tuple[np.ndarray, Table]:
    """The vectors of some rows, and those of the rows that could be read."""
    kept = None if store is None else store.vectors(model, rows, c, precision)
    found = embed_table(
        model,
        rows,
        batch_size=c.batch_size,
        workers=workers,
        broken=broken,
        precision=precision,
        scales=c.scales,
        on_batch=on_batch,
        store=kept,
    )
    return found.vectors, readable(rows, found.rows)


def readable(rows: Table, kept: np.ndarray) -> Table:
    """The rows that could be read, with a note on how many could not."""
    if len(kept) == len(rows):
        return rows
    left_out = f"{counted(len(rows) - len(kept), 'unreadable image')} skipped"
    return without_others(rows, kept).with_notes(left_out)


def measure_vectors(
    split: str,
    rows: Table,
    embeddings: np.ndarray,
    c: EvaluationConfig,
    gallery: np.ndarray | None = None,
    *,
    progress: EvaluationProgress | None = None,
) -> SplitResult:
    """Measure embeddings of a split's rows.

    Args:
        split: its name.
        rows: its rows.
        embeddings: ``(N, D)``, one a row.
        c: what to measure.
        gallery: ``(N, D)`` of another model, for the gallery; None: the same.
        progress: who hears of a long ranking, and where its queries are kept.
    """
    is_query = rows.frame["is_query"].to_numpy(bool)
    is_gallery = rows.frame["is_gallery"].to_numpy(bool)
    if not is_query.any() or not is_gallery.any():
        raise DataError(f"{rows.name}, split '{split}': there are no queries, or no gallery.")
    queries, labels = embeddings[is_query], rows.labels[is_query]
    items = (embeddings if gallery is None else gallery)[is_gallery]
    if (truth := ground_truth(rows)) is not None:
        cuts = sorted({*CUTS, *c.k})
        report = evaluate_landmarks(queries, labels, items, rows.labels[is_gallery], truth, k=cuts)
        return SplitResult(split, rows, embeddings, report.only(landmark_names(report.values, c)))
    levels = [level for level in _levels(c, rows) if (labels[:, level] != DISTRACTOR).any()]
    if not levels:
        raise DataError(f"{rows.name}, split '{split}': no query has a label to be found by.")
    wanted = metric_names(c, len(rows.levels), levels)
    place = np.cumsum(is_gallery) - 1
    sequence = rows.frame["sequence"].to_numpy() if "sequence" in rows.frame else None
    alone = gallery is None and bool(is_query.all() and is_gallery.all())
    rank = partial(
        evaluate_vectors,
        queries,
        labels,
        None if alone else items,
        None if alone else rows.labels[is_gallery],
        metrics=wanted,
        k=tuple(c.k),
        levels=levels,
        exclude_self=None if alone else np.where(is_gallery, place, -1)[is_query],
        sequences=None if sequence is None else (sequence[is_query], sequence[is_gallery]),
        distance="dot",
        ties=c.ties,
        empty=c.empty,
        relevance=c.relevance,
        alpha=c.alpha,
    )
    if progress is None:
        report = rank()
    else:
        resume = progress.keeps(split, c, [embeddings] if gallery is None else [queries, items])
        with progress.ranking(split) as (on_plan, advance):
            report = rank(on_plan=on_plan, progress=advance, resume=resume)
    return SplitResult(split, rows, embeddings, report)


def _levels(c: EvaluationConfig, rows: Table) -> list[int]:
    return chosen_levels(c.levels, len(rows.levels))


def with_roles(rows: Table) -> Table:
    """Training rows have no roles; asked for, each is a query and an item of the gallery."""
    if rows.frame[["is_query", "is_gallery"]].to_numpy(bool).any():
        return rows
    return replace(rows, frame=rows.frame.assign(is_query=True, is_gallery=True))


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
