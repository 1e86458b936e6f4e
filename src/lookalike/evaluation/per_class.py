"""The figures of each class, and their mean in which every class counts the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lookalike.console import Console
from lookalike.errors import counted
from lookalike.evaluation.evaluator import SplitResult
from lookalike.report.figures import format_value, headlines, metric_title, split_level
from lookalike.report.tables import Column, ReportTable, TableRow

_SHOWN = 20


def figures(one: SplitResult) -> dict[str, Any]:
    """``class_means`` (metric → value) and ``by_class`` (class → queries and metrics), for JSON.

    A class is one of the finest level at which the queries have labels; a metric in which no query
    of a class counts is left out of it.
    """
    report, level = one.report, one.level
    names = one.table.names(level)
    # The report numbers the classes by rising label code; these are the codes.
    codes = one.table.labels[one.queries, level]
    queries = np.bincount(codes[codes >= 0], minlength=len(names))
    found: dict[str, Any] = {
        names[code]: {"queries": int(queries[code])} for code in np.flatnonzero(queries)
    }
    own = report.classes(level)
    code_of = dict(zip(own.tolist(), codes.tolist(), strict=True))
    for metric in report.per_query:
        for number, value in report.by_class(metric, level).items():
            if code_of[number] >= 0:
                found[names[code_of[number]]][metric] = value
    means = {n: None if np.isnan(v) else v for n, v in report.class_means(level).items()}
    return {"class_means": means, "by_class": found}


def show(console: Console, results: Mapping[str, Mapping[str, Any]]) -> None:
    """The classes that do worst, by the first headline metric, and the mean over classes."""
    for title, found in results.items():
        if "by_class" not in found:
            continue
        means, by_class = found["class_means"], found["by_class"]
        shown = headlines(means) or list(means)[:1]
        first = shown[0]
        judged = [name for name in by_class if first in by_class[name]]
        worst = sorted(judged, key=lambda name: by_class[name][first])[:_SHOWN]
        rows = [
            TableRow(
                [
                    name,
                    str(by_class[name]["queries"]),
                    *(
                        format_value(by_class[name][n]) if n in by_class[name] else ""
                        for n in shown
                    ),
                ]
            )
            for name in worst
        ]
        mean = ["–" if means[n] is None else format_value(means[n]) for n in shown]
        table = ReportTable(
            columns=[
                Column("class", numeric=False),
                Column("queries"),
                *(Column(metric_title(split_level(name)[0])) for name in shown),
            ],
            rows=[*rows, TableRow(["mean over classes", "", *mean], "total")],
            caption=f"{title}, by class",
        )
        console.show(table)
        if len(judged) > len(worst):
            hidden = counted(len(judged) - len(worst), "better class", "better classes")
            console.say(f"{hidden} not shown; --json has all.")
