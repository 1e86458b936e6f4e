"""Every model's queries in every model's gallery: figures, costs and how they are shown."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.config import Config
from lookalike.console import Console
from lookalike.data.build import broken_policy
from lookalike.data.decode import read_picture
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.evaluation.asymmetric import load_model
from lookalike.evaluation.benchmarks import benchmarks
from lookalike.evaluation.evaluator import SplitResult, embedded, measure_vectors, with_roles
from lookalike.evaluation.metric_selection import check_metrics
from lookalike.evaluation.own_split import evaluated_table
from lookalike.evaluation.widths import prefix
from lookalike.files import write_with
from lookalike.metrics.definitions import explain
from lookalike.models import weights
from lookalike.models.build import pick_device, pick_precision
from lookalike.models.embedder import Embedder
from lookalike.report.figures import format_interval
from lookalike.report.heat_map import HeatMap, draw_heat_map
from lookalike.report.tables import Cell, Column, ReportTable, TableRow
from lookalike.search.encoders import TorchEncoder

METRICS = ("mean_average_precision", "recall_at_1")
_TIMED = 15  # images embedded alone, for the median


@dataclass(frozen=True)
class Side:
    """A model that asks, or whose gallery is asked.

    Attributes:
        name: in the table.
        model: the network, its images at the size asked for.
        about: its ``model.json``.
        resized: whether its images are of another size than it was trained for.
    """

    name: str
    model: Embedder
    about: dict[str, Any]
    resized: bool

    def is_student_of(self, other: Side) -> bool:
        """Whether it was trained into the space of the other, as that embeds its gallery."""
        return self.model.teacher == other.about["sha256"] and not other.resized

    def belongs_to(self, gallery: Side) -> bool:
        """Whether it made the gallery's vectors, or was trained into their space."""
        return self.name == gallery.name or self.is_student_of(gallery)


def measure_matrix(
    words: Sequence[str],
    console: Console,
    *,
    split: str | None = None,
    metrics: Sequence[str] = (),
    width: int | None = None,
) -> dict[str, Any]:
    """Let every model search every model's gallery.

    Each model embeds the split once. Cells of models whose embeddings differ in width are empty;
    others hold numbers whether or not the two were made for each other, and say which were.

    Args:
        words: run or model folders, each perhaps with ``@SIZE`` in pixels, then options; the data
            is the first run's unless ``dataset=`` says otherwise.
        console: shows how far it is.
        split: which one; None: the first test split.
        metrics: names or aliases; none for mAP and recall@1, of the finest level.
        width: only the first numbers of every embedding, brought to unit length again; None: all.

    Returns:
        The models, and a cell for each query model and gallery model.

    Raises:
        ConfigError: fewer than two models, one named twice, no such metric, or a width that a
            model does not have.
        DataError: no such split.
        ModelError: no model there.
    """
    folders = [word for word in words if "=" not in word or Path(word).expanduser().exists()]
    overrides = [word for word in words if word not in folders]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise ConfigError(
            f"matrix {' '.join(folders)}: name two models or more, each once. For one model at two "
            "sizes write runs/x runs/x@112."
        )
    sides = _sides(folders)
    for side in sides:
        if width is not None and not 0 < width <= side.model.width:
            raise ConfigError(
                f"--width {width}: the embeddings of {side.name} are {side.model.width:,}-d"
            )
    first, _ = _folder_and_size(folders[0])
    asked = benchmarks(first, overrides)
    if len(asked) > 1:
        raise ConfigError("matrix: one data set at a time; dataset=[…] names several")
    config = asked[0].config
    config.evaluation.metrics = [explain(name).name for name in metrics or METRICS]
    check_metrics(config.evaluation)
    _, table = evaluated_table(first, asked[0])
    split = split or next(iter(table.evaluation_splits), "none")
    if split not in table.splits:
        raise DataError(f"--split {split}: no such split. {suggest(split, table.splits)}")
    rows, vectors = _embed(sides, table, split, config, console)
    if width is not None:
        vectors = {name: prefix(x, width) for name, x in vectors.items()}
    cells = [
        [_cell(q, g, rows, (vectors[q.name], vectors[g.name]), config) for g in sides]
        for q in sides
    ]
    return {
        "data": table.name,
        "fingerprint": rows.fingerprint,
        "split": split,
        "width": width,
        "metrics": config.evaluation.metrics,
        "models": _about(sides, rows),
        "cells": cells,
        "upgrades": _upgrades(sides, cells, config.evaluation.metrics[0]),
    }


def _folder_and_size(word: str) -> tuple[Path, int | None]:
    """``runs/x@112`` as a folder and a size; a folder may have an @ in its name.

    >>> _folder_and_size("runs/x@112"), _folder_and_size("runs/x")
    ((PosixPath('runs/x'), 112), (PosixPath('runs/x'), None))
    """
    folder, at, size = word.rpartition("@")
    if at and size.isdecimal() and not Path(word).expanduser().exists():
        return Path(folder).expanduser(), int(size)
    return Path(word).expanduser(), None


def _sides(words: Sequence[str]) -> list[Side]:
    found = []
    for word in words:
        folder, size = _folder_and_size(word)
        model = load_model(folder, size, word)
        about = weights.read_about(weights.model_folder(folder))
        name = folder.resolve().name + ("" if size is None else f"@{size}")
        resized = model.spec.size != about["spec"].get("size", model.spec.size)
        found.append(Side(name, model, about, resized))
    names = [side.name for side in found]
    if len(set(names)) < len(names):  # runs/a/model and runs/b/model
        found = [replace(s, name=word) for s, word in zip(found, words, strict=True)]
    return found


def _embed(
    sides: Sequence[Side], table: Table, split: str, config: Config, console: Console
) -> tuple[Table, dict[str, np.ndarray]]:
    """The rows that could be read, and each model's vectors of them."""
    rows = kept = with_roles(table.split(split))
    vectors = {}
    device = pick_device(config.device)
    for side in sides:
        with console.embedding(f"{split} by {side.name}", len(rows)) as advance:
            vectors[side.name], kept = embedded(
                side.model.to(device),
                rows,
                config.evaluation,
                workers=config.workers,
                broken=broken_policy(config),
                precision=pick_precision(config.precision, device),
                on_batch=advance,
            )
    return kept, vectors


def _cell(
    query: Side,
    gallery: Side,
    rows: Table,
    vectors: tuple[np.ndarray, np.ndarray],
    config: Config,
) -> dict[str, Any] | None:
    """One pair's figures; None where the widths differ."""
    if vectors[0].shape[1] != vectors[1].shape[1]:
        return None
    own = query.name == gallery.name
    found = measure_vectors(
        rows.name, rows, vectors[0], config.evaluation, None if own else vectors[1]
    )
    bounds = found.report.intervals(over="classes", level=found.level)
    names = [_name(found, metric) for metric in config.evaluation.metrics or ()]
    return {
        "query": query.name,
        "gallery": gallery.name,
        "made_for_each_other": query.belongs_to(gallery),
        "values": {name: found.report.values[name] for name in names},
        "intervals": {name: _interval(bounds[name]) for name in names},
    }


def _name(found: SplitResult, metric: str) -> str:
    """The metric's name at the finest level, as the report has it."""
    leveled = f"{metric}_level{found.level}"
    return metric if metric in found.report.values else leveled


def _interval(bounds: tuple[float, float]) -> list[float] | None:
    return None if math.isnan(bounds[0]) else [*bounds]


def _about(sides: Sequence[Side], rows: Table) -> list[dict[str, Any]]:
    costs = _milliseconds(sides, rows)
    return [
        {
            "name": side.name,
            "backbone": side.model.spec.backbone,
            "size": side.model.spec.size,
            "width": side.model.width,
            "parameters": sum(p.numel() for p in side.model.parameters()),
            "milliseconds_a_query": cost,
            "teacher": side.model.teacher,
            "sha256": side.about["sha256"],
        }
        for side, cost in zip(sides, costs, strict=True)
    ]


def _milliseconds(sides: Sequence[Side], rows: Table) -> list[float]:
    """To decode, prepare and embed one image alone: the median of some, after two to warm up.

    The models take turns, so that what else the machine does falls on all of them alike.
    """
    encoders = [TorchEncoder(side.model, side.about) for side in sides]
    paths = rows.paths
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(_TIMED + 2):
        for encoder, found in zip(encoders, seconds, strict=True):
            start = time.perf_counter()
            encoder.pictures([read_picture(paths[number % len(paths)])])
            found.append(time.perf_counter() - start)
    return [1e3 * statistics.median(found[2:]) for found in seconds]


def _upgrades(
    sides: Sequence[Side], cells: Sequence[Sequence[dict[str, Any] | None]], metric: str
) -> list[dict[str, Any]]:
    """What a model brings to the gallery of its teacher, without embedding that again.

    ``share`` is the update gain of Shen et al. (CVPR 2020): (new queries in the old gallery − all
    old) / (all new − all old), of what embedding the gallery again would gain; None where that
    gains nothing.
    """
    found = []
    for q, query in enumerate(sides):
        for g, gallery in enumerate(sides):
            cell, own, old = cells[q][g], cells[q][q], cells[g][g]
            if not query.is_student_of(gallery) or not (cell and own and old):
                continue
            name = next(name for name in cell["values"] if name.startswith(metric))
            new, all_new, all_old = (c["values"][name] for c in (cell, own, old))
            gain = all_new - all_old
            found.append(
                {
                    "query": query.name,
                    "gallery": gallery.name,
                    "metric": name,
                    "before": all_old,
                    "now": new,
                    "embedded_again": all_new,
                    "share": (new - all_old) / gain if gain > 0 else None,
                }
            )
    return found


def show(console: Console, result: dict[str, Any]) -> None:
    """A table a metric, then the upgrades."""
    models = result["models"]
    cut = "" if result["width"] is None else f" at {counted(result['width'], 'number')}"
    names = list(result["cells"][0][0]["values"])
    for metric in names:
        rows = [
            TableRow(
                [
                    str(number),
                    model["name"],
                    str(model["size"]),
                    f"{model['milliseconds_a_query']:.1f}",
                    *(_text(cell, metric) for cell in row),
                ]
            )
            for number, (model, row) in enumerate(zip(models, result["cells"], strict=True), 1)
        ]
        numbers = [Column(str(number), whole=True) for number, _ in enumerate(models, 1)]
        queries = Column("queries by", numeric=False, whole=True)
        console.show_whole(
            ReportTable(
                columns=[Column(""), queries, Column("px"), Column("ms"), *numbers],
                rows=rows,
                caption=f"{result['data']} {result['split']}: {metric}{cut}, queries of a row in "
                "the gallery of a column",
                stacked=True,
            )
        )
    console.say(
        "In brackets: 95 % bootstrap over classes. *: made for each other (the same model, or its "
        "student). –: embeddings of different widths. ms: decode, prepare and embed one image."
    )
    for one in result["upgrades"]:
        title = f"{one['query']} in the gallery of {one['gallery']}: {one['metric']}"
        if one["share"] is None:
            console.say(
                f"student  {title} {one['now']:.3f}, {one['now'] / one['before']:.0%} of the "
                f"teacher's own {one['before']:.3f}; in its own gallery {one['embedded_again']:.3f}"
            )
            continue
        console.say(
            f"upgrade  {title} {one['before']:.3f} before, {one['now']:.3f} now, "
            f"{one['embedded_again']:.3f} with the gallery embedded again: {one['share']:.0%} of "
            "that gain"
        )


def _text(cell: dict[str, Any] | None, metric: str) -> Cell:
    if cell is None:
        return Cell("–")
    star = "*" if cell["made_for_each_other"] else ""
    bounds = cell["intervals"][metric]
    brackets = "" if bounds is None else format_interval((bounds[0], bounds[1]))
    return Cell(f"{cell['values'][metric]:.3f}{star}", brackets)


def write_heat_map(file: Path, result: dict[str, Any]) -> None:
    """Draw the first metric as a heat map (PNG)."""
    image = draw_heat_map(_heat_map(result))
    write_with(file, lambda part: image.save(part, format="PNG"))


def _heat_map(result: dict[str, Any]) -> HeatMap:
    metric = next(iter(result["cells"][0][0]["values"]))
    cells = result["cells"]
    return HeatMap(
        title=f"{result['data']} {result['split']}: {metric}",
        rows=[
            f"{m['name']}, {m['size']} px, {m['milliseconds_a_query']:.1f} ms"
            for m in result["models"]
        ],
        columns=[m["name"] for m in result["models"]],
        values=[[None if c is None else c["values"][metric] for c in row] for row in cells],
        notes=[
            [
                ""
                if c is None or not c["intervals"][metric]
                else "{:.2f}–{:.2f}".format(*c["intervals"][metric])
                for c in row
            ]
            for row in cells
        ],
        marked=[[c is not None and c["made_for_each_other"] for c in row] for row in cells],
        row_title="queries by",
        column_title="gallery by",
        legend="Framed: made for each other.",
    )
