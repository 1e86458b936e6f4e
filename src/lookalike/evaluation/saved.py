"""Two runs on the same rows: read what they kept, line it up, and show what changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.config import EvaluationConfig
from lookalike.data.columns import BOX
from lookalike.data.datasets.table_files import table_file
from lookalike.data.table import Table
from lookalike.errors import DataError, RunError, counted, suggest
from lookalike.evaluation.evaluator import SplitResult, measure_vectors
from lookalike.evaluation.shown import image_sources
from lookalike.metrics.compare import Comparison
from lookalike.report.contents import Sheet
from lookalike.report.figures import metric_title, split_level
from lookalike.report.images import Neighbour, SheetRow
from lookalike.runs import Run

_SHOWN = 4  # queries a sheet
_LISTED = 20  # queries that JSON names
_NEIGHBOURS = 8
_TELLING = ("mean_average_precision", "mean_average_precision_at_r")


def load(folder: str | Path, split: str, c: EvaluationConfig) -> SplitResult:
    """A split that a run has evaluated, measured again from the vectors it kept.

    Args:
        folder: the run.
        split: which.
        c: what to measure.

    Raises:
        RunError: no run there, it was not evaluated on the split, or its files do not fit.
    """
    kept = Run.open(folder).evaluation(split)
    files = kept / "rows.parquet", kept / "embeddings.npy"
    if not all(file.is_file() for file in files):
        there = [
            place.name for place in kept.parent.glob("*/") if (place / files[1].name).is_file()
        ]
        raise RunError(
            f"{folder} has no evaluation of '{split}'. {suggest(split, there)} To make it: "
            f"lookalike evaluate {folder} --split {split}"
        )
    rows = table_file(files[0])
    try:
        embeddings = np.load(files[1], allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RunError(f"{files[1]} cannot be read ({error}); evaluate the run again") from error
    if embeddings.ndim != 2 or len(embeddings) != len(rows):
        raise RunError(
            f"{kept}: {counted(len(rows), 'row')}, but vectors of shape {embeddings.shape};"
            " evaluate again: "
            f"lookalike evaluate {folder} --split {split}"
        )
    return measure_vectors(split, rows, embeddings, c)


def require_same_rows(first: Table, other: Table, names: tuple[str, str]) -> None:
    """Refuse to compare what was not measured on the same images, labels and roles.

    Folders may differ as long as everything inside is the same, so that runs of two machines can
    be compared.

    Args:
        first: rows of the baseline.
        other: rows of another run.
        names: what the message calls them.

    Raises:
        DataError: naming both runs and the first row or column that differs.
    """
    a, b = names
    remedy = f"Evaluate both on the same data: lookalike evaluate {b} dataset=…"
    if first.levels != other.levels:
        raise DataError(
            f"{a} and {b} were measured on different label columns: {', '.join(first.levels)} and "
            f"{', '.join(other.levels)}. {remedy}"
        )
    columns = ("path", *first.levels, "is_query", "is_gallery", *BOX, "sequence")
    kept = [_column(rows, column) for rows in (first, other) for column in columns]
    for column, mine, theirs in zip(columns, kept, kept[len(columns) :], strict=False):
        if len(mine) != len(theirs):
            raise DataError(
                f"{a} was measured on {counted(len(first), 'row')}, {b} on {len(other)}; paired"
                " differences "
                f"need the same. {remedy}"
            )
        if len(differ := np.flatnonzero(mine != theirs)):
            row = int(differ[0])
            raise DataError(
                f"{a} and {b} were measured on different rows: '{column}' differs in {len(differ)} "
                f"of {len(first)}, first in row {row}: {mine[row]} and {theirs[row]}. {remedy}"
            )


def _column(rows: Table, column: str) -> np.ndarray:
    """A column as text, paths from the folder that all share; blanks where there is none."""
    if column == "path":
        top = os.path.commonpath([os.path.dirname(path) for path in rows.paths])  # noqa: PTH120
        return np.array([path[len(top) :] for path in rows.paths], object)
    if column not in rows.frame:
        return np.full(len(rows), "", object)
    return rows.frame[column].astype(str).to_numpy(object)


def telling(one: Comparison) -> str:
    """The metric that says which queries changed: an average precision, else the first."""
    for base in _TELLING:
        for name in one.differences:
            if split_level(name)[0] == base:
                return name
    return next(iter(one.differences))


def changed_queries(
    first: SplitResult, other: SplitResult, one: Comparison
) -> list[dict[str, Any]]:
    """The queries that changed most, for JSON."""
    name = telling(one)
    before, after = (m.report.per_query[name] for m in (first, other))
    return [
        {
            "picture": first.table.paths[first.queries[query]],
            "metric": name,
            "before": float(before[query]),
            "after": float(after[query]),
        }
        for query in one.changed(name, _LISTED)
    ]


def change_sheets(
    first: SplitResult, other: SplitResult, names: tuple[str, str], one: Comparison
) -> list[Sheet]:
    """The queries that gained and lost most, each with its neighbours before and after."""
    name = telling(one)
    figure = metric_title(name, first.table.levels)
    order = one.changed(name, len(first.queries))
    change = one.entries[name][order]
    sheets = []
    for title, chosen in (("Gained most", order[change > 0]), ("Lost most", order[change < 0])):
        queries = chosen[:_SHOWN]
        both = [
            _rows(measured, queries, name, f"{when}, {run}")
            for measured, run, when in zip((first, other), names, ("before", "after"), strict=True)
        ]
        if len(queries):
            sheets.append(
                Sheet(
                    title=title,
                    rows=[row for pair in zip(*both, strict=True) for row in pair],
                    note=f"by the query's own {figure}; each first under {names[0]}, then under "
                    f"{names[1]}",
                )
            )
    return sheets


def _rows(one: SplitResult, queries: np.ndarray, metric: str, note: str) -> list[SheetRow]:
    level = split_level(metric)[1] or 0
    labels, names, images = (
        one.table.labels[:, level],
        one.table.names(level),
        image_sources(one.table),
    )
    found, scores = one.report.neighbours(queries, _NEIGHBOURS)

    def neighbour(place: int, item: int, score: float) -> Neighbour:
        code = int(labels[item])
        return Neighbour(
            image=images[item],
            label=names[code] if code >= 0 else "distractor",
            score=score,
            right=bool(code == labels[place]),
        )

    rows = []
    for query, items, values in zip(queries, found, scores, strict=True):
        place = int(one.queries[query])
        rows.append(
            SheetRow(
                query=images[place],
                neighbours=[
                    neighbour(place, int(one.gallery[item]), float(score))
                    for item, score in zip(items, values, strict=True)
                    if item >= 0
                ],
                title=f"{names[labels[place]]} · {note}",
                value=f"{metric_title(metric, one.table.levels)} "
                f"{one.report.per_query[metric][query]:.2f}",
            )
        )
    return rows
