"""Embed a split and measure it: the one way every verb evaluates a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lookalike import distributed
from lookalike.config import EvaluationConfig
from lookalike.data.dataset import Broken
from lookalike.data.datasets.table_files import write_table
from lookalike.data.loader import eval_loader
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError
from lookalike.files import write_text, write_with
from lookalike.metrics import RetrievalReport
from lookalike.metrics import evaluate as evaluate_vectors
from lookalike.metrics.definitions import parse
from lookalike.models.embedder import Embedder
from lookalike.models.encode import embed_rows

_USUAL = (
    "precision_at_1",
    "recall_at_k",
    "r_precision",
    "mean_average_precision_at_r",
    "mean_average_precision",
    "mean_reciprocal_rank",
)
_USUAL_GRADED = ("h_ap", "ndcg", "asi")


@dataclass(frozen=True)
class Measured:
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

    def save(self, folder: Path) -> None:
        """Write ``report.json``, ``embeddings.npy`` and ``rows.parquet``."""
        write_with(folder / "embeddings.npy", lambda p: _save_array(p, self.embeddings))
        # Absolute paths: the file shall still find its pictures from inside the run folder.
        paths = [str(Path(path).resolve()) for path in self.table.paths]
        rows = replace(self.table, frame=self.table.frame.assign(path=paths))
        write_table(rows, folder / "rows.parquet")
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
) -> Measured:
    """Embed one split of a table and measure retrieval on it.

    Queries and gallery are the rows that the table marks so. Where every row is both, each query is
    excluded from its own ranking by index. Where several processes work together, all must call
    this: each embeds its share, and all get the whole.
    """
    rows = _with_roles(table.split(split))
    loader = eval_loader(
        rows,
        model.transform(),
        batch_size=c.batch_size,
        workers=workers,
        broken=broken,
        rank=distributed.rank(),
        world=distributed.world_size(),
    )
    share = embed_rows(model, loader, precision=precision, on_batch=on_batch)
    shares = distributed.gather_objects(share)
    embeddings, order = (np.concatenate(part) for part in zip(*shares, strict=True))
    if len(order) < len(rows):
        rows = rows.where(order).with_notes(f"{len(rows) - len(order)} unreadable pictures skipped")
    return measure_vectors(split, rows, embeddings, c)


def measure_vectors(
    split: str, rows: Table, embeddings: np.ndarray, c: EvaluationConfig
) -> Measured:
    """Measure embeddings of a split's rows."""
    is_query = rows.frame["is_query"].to_numpy(bool)
    is_gallery = rows.frame["is_gallery"].to_numpy(bool)
    if not is_query.any() or not is_gallery.any():
        raise DataError(f"{rows.name}, split '{split}': there are no queries, or no gallery.")
    metrics = _metrics(c, len(rows.levels))
    sequence = rows.frame["sequence"].to_numpy() if "sequence" in rows.frame else None
    if is_query.all() and is_gallery.all():
        sequences = None if sequence is None else (sequence, sequence)
        report = evaluate_vectors(
            embeddings,
            rows.labels,
            metrics=metrics,
            k=tuple(c.k),
            levels=c.levels,
            sequences=sequences,
        )
    else:
        place = np.cumsum(is_gallery) - 1
        own = np.where(is_gallery, place, -1)[is_query]
        report = evaluate_vectors(
            embeddings[is_query],
            rows.labels[is_query],
            embeddings[is_gallery],
            rows.labels[is_gallery],
            metrics=metrics,
            k=tuple(c.k),
            levels=c.levels,
            exclude_self=own,
            sequences=None if sequence is None else (sequence[is_query], sequence[is_gallery]),
        )
    return Measured(split, rows, embeddings, report)


def values(measured: list[Measured], c: EvaluationConfig) -> dict[str, dict[str, float]]:
    """Split → metric → value, without the excluded; several test splits also have a mean."""
    table = {
        m.split: {name: v for name, v in m.report.values.items() if not _excluded(name, c.exclude)}
        for m in measured
    }
    tests = [name for name in table if name.startswith("test")]
    if c.average_splits and len(tests) > 1:
        shared = set.intersection(*(set(table[name]) for name in tests))
        table["test (mean)"] = {
            name: float(np.mean([table[test][name] for test in tests]))
            for name in table[tests[0]]
            if name in shared
        }
    return table


def _with_roles(rows: Table) -> Table:
    """Training rows have no roles; asked for, each is a query and an item of the gallery."""
    if rows.frame[["is_query", "is_gallery"]].to_numpy(bool).any():
        return rows
    return replace(rows, frame=rows.frame.assign(is_query=True, is_gallery=True))


def check_metrics(c: EvaluationConfig) -> None:
    """Refuse names of metrics that do not exist, before anything is embedded.

    Raises:
        ConfigError: names the option and the nearest metric.
    """
    options = {
        "metrics": [m for m in c.metrics or [] if m != "all"],
        "exclude": c.exclude,
        "monitor": [c.monitor],
    }
    for option, names in options.items():
        for name in names:
            try:
                parse(name)
            except ConfigError as error:
                raise ConfigError(f"evaluation.{option}: {error}") from error


def _metrics(c: EvaluationConfig, levels: int) -> list[str] | None:
    if c.metrics is None:
        return [*_USUAL, *(_USUAL_GRADED if levels > 1 else ())]
    return None if "all" in c.metrics else list(c.metrics)


def _excluded(name: str, exclude: list[str]) -> bool:
    return any(name == word or name.startswith(f"{word}_level") for word in exclude)


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
