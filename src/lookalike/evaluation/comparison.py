"""Runs beside a baseline: which differences are real, and which are noise."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.compose import read_config
from lookalike.config import EvaluationConfig
from lookalike.errors import ConfigError, DataError, counted
from lookalike.evaluation import seeds
from lookalike.evaluation.evaluator import SplitResult
from lookalike.evaluation.metric_selection import check_metrics
from lookalike.evaluation.saved import change_sheets, changed_queries, load, require_same_rows
from lookalike.files import write_text, write_with
from lookalike.metrics.compare import Comparison, compare_entries
from lookalike.report.comparison import ComparedRun, ComparisonReport, MetricDifference
from lookalike.report.comparison_page import render_comparison, render_markdown
from lookalike.report.figures import headlines
from lookalike.report.sheets import contact_sheet
from lookalike.runs import Run, environment

_ALPHA = 0.05
_LEADING = 5  # metrics tested where none are named
_ALL = "all"
_PERMUTATIONS = 10_000  # at least


def compare_runs(
    folders: Sequence[Path], *, split: str, metrics: Sequence[str], over: str
) -> tuple[ComparisonReport, dict[str, Any]]:
    """Compare runs with the first of them, query by query.

    Nothing is embedded again: the vectors that each run kept are measured with the settings of the
    first run.

    Args:
        folders: two run folders or more, or folders of several seeds; the first is the baseline.
            Runs that differ in their seed alone stand for one another.
        split: what all were evaluated on.
        metrics: names or aliases; none for the leading ones of the first run's evaluation, "all"
            for all of it.
        over: "classes" draws and exchanges whole classes, "queries" single queries.

    Returns:
        The report, and the same for JSON.

    Raises:
        ConfigError: fewer than two runs, one named twice, or no such metric.
        RunError: no run there, or one that was not evaluated on the split.
        DataError: the runs were measured on different rows.
    """
    groups = _named(folders)
    names = list(groups)
    c = _settings(groups[names[0]][0], metrics)
    measured = {name: [load(run, split, c) for run in runs] for name, runs in groups.items()}
    first = measured[names[0]][0]
    for name, group in measured.items():
        for one, folder in zip(group, groups[name], strict=True):
            if one is not first:
                called = name if len(group) == 1 else str(folder)
                require_same_rows(first.table, one.table, (names[0], called))
    shown = _shown(first, metrics)
    # No p-value is below 1 / exchanges: the more tests to correct for, the more exchanges.
    exchanges = max(_PERMUTATIONS, 100 * len(shown) * (len(names) - 1))
    found = [
        _compare(measured[names[0]], measured[name], shown, over, exchanges) for name in names[1:]
    ]
    tests, runs = _compared(names, list(measured.values()), found)
    method = [*_method(names[0], over, tests, exchanges), *seeds.words(groups)]
    report = _report(names[0], first, runs, method)
    report = replace(report, notes=_notes(report, over, tests))
    return report, _result(report, found, [group[0] for group in measured.values()], groups)


def _compare(
    a: Sequence[SplitResult], b: Sequence[SplitResult], shown: Sequence[str], over: str, draws: int
) -> Comparison:
    """Two groups of runs on the same queries; those of a group differ in their seeds."""
    groups = a[0].report.resampled(over, a[0].level)
    means = [{n: _over_seeds([x.report.per_query[n] for x in runs]) for n in shown}
             for runs in (a, b)]  # fmt: skip
    one = compare_entries(means[0], means[1], groups=groups, permutations=draws)
    figures = [{n: [x.report.values[n] for x in runs] for n in shown} for runs in (a, b)]
    return seeds.with_seeds(one, figures[0], figures[1])


def _over_seeds(entries: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean(entries, axis=0) if len(entries) > 1 else entries[0]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for testing all of them at once.

    The k-th smallest of m is multiplied by m − k + 1, and none may fall below one before it
    (Holm, "A simple sequentially rejective multiple test procedure", 1979). Whatever depends on
    whatever, the chance that any difference called real is none stays below the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(scaled, 1.0)
    return corrected.tolist()


def corrected_together(found: Sequence[Comparison]) -> tuple[int, list[dict[str, float]]]:
    """How many tests a family of comparisons makes, and for each its metrics' corrected p-values.

    Metrics that say the same of every query (precision@1 and recall@1) are one test, not two.
    """
    p_values: dict[bytes, float] = {}
    keys: list[dict[str, bytes]] = []
    for number, one in enumerate(found):
        keys.append({name: b"%d " % number + one.entries[name].tobytes() for name in one.entries})
        p_values |= {key: one.differences[name].p_value for name, key in keys[-1].items()}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return len(p_values), [{name: corrected[key] for name, key in own.items()} for own in keys]


def _named(folders: Sequence[Path]) -> dict[str, Sequence[Path]]:
    """Name → runs of each group: the folder's own name, or its path where two are called so."""
    places = [folder.resolve() for folder in folders]
    for place, folder in enumerate(folders):
        if places[place] in places[:place]:
            raise ConfigError(f"{folder} is named twice; a run does not differ from itself")
    groups = seeds.group(folders)
    if len(groups) < 2:
        raise ConfigError(
            f"compare takes two runs or more, got {len(groups)}: lookalike compare runs/a runs/b"
        )
    names = [group.folder.resolve().name for group in groups]
    if len(set(names)) < len(names):
        names = [str(group.folder) for group in groups]
    return {name: group.runs for name, group in zip(names, groups, strict=True)}


def _settings(folder: Path, metrics: Sequence[str]) -> EvaluationConfig:
    """How the first run was evaluated, or the metrics asked for."""
    config = read_config(Run.open(folder).config).evaluation
    if not metrics or list(metrics) == [_ALL]:
        return config
    chosen = replace(config, metrics=list(metrics), exclude=[])
    try:
        check_metrics(chosen)
    except ConfigError as error:
        raise ConfigError(str(error).replace("evaluation.metrics:", "--metric:", 1)) from error
    return chosen


def _shown(first: SplitResult, asked: Sequence[str]) -> list[str]:
    """The metrics to test, in which any query counts; those of no query cannot be paired.

    Unless others are asked for, a report's leading few: the more tests, the less each can show.
    """
    entries, values = first.report.per_query, first.report.values
    kept = [name for name in entries if not np.isnan(values[name])]
    if not kept:
        raise DataError(f"split '{first.split}': no query counts in any metric; none has a match")
    return kept if asked else headlines(kept, _LEADING)


def _compared(
    names: Sequence[str], measured: Sequence[Sequence[SplitResult]], found: Sequence[Comparison]
) -> tuple[int, list[ComparedRun]]:
    """How many tests there were, and each run beside the first."""
    tests, corrected = corrected_together(found)
    runs = []
    for name, other, one, p_values in zip(names[1:], measured[1:], found, corrected, strict=True):
        differences = [
            MetricDifference(
                metric=metric,
                baseline=d.a,
                value=d.b,
                difference=d.difference,
                interval=(d.low, d.high),
                p_value=d.p_value,
                corrected=p_values[metric],
                queries=d.queries,
                better=d.better,
                worse=d.worse,
                alpha=_ALPHA,
            )
            for metric, d in one.differences.items()
        ]
        before, after = measured[0][0], other[0]  # of several seeds, the first is shown
        sheets = change_sheets(before, after, (names[0], name), _of(before, after, one))
        runs.append(ComparedRun(name=name, differences=differences, sheets=sheets))
    return tests, runs


def _of(before: SplitResult, after: SplitResult, one: Comparison) -> Comparison:
    """The comparison with the changes of two runs, in place of those of their groups."""
    changes = {n: after.report.per_query[n] - before.report.per_query[n] for n in one.entries}
    return replace(one, entries=changes)


def _report(
    baseline: str, first: SplitResult, runs: Sequence[ComparedRun], method: Sequence[str]
) -> ComparisonReport:
    made = environment()
    shown = {d.metric for run in runs for d in run.differences}
    words = {name: d.told for name, d in first.report.definitions.items() if name in shown}
    return ComparisonReport(
        baseline=baseline,
        split=first.split,
        runs=runs,
        counts={
            "queries": first.report.queries,
            "gallery images": first.report.gallery_size,
            "classes": len(np.unique(first.report.classes(first.level))),
        },
        method=method,
        definitions=words,
        levels=first.table.levels,
        command=made["command"],
        created=datetime.datetime.fromisoformat(made["started"]).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _method(baseline: str, over: str, tests: int, exchanges: int) -> list[str]:
    what = "whole classes" if over == "classes" else "single queries"
    lines = [
        f"Change: the run's figure minus that of {baseline}, on the same queries.",
        f"Interval: 95 % paired bootstrap over {what}; each interval stands for itself.",
        f"p: how often exchanging the two runs at random, {what} at a time, makes a difference at "
        f"least as large ({counted(exchanges, 'exchange')}, two-sided).",
    ]
    if tests > 1:
        lines.append(
            f"p (Holm): corrected for the {counted(tests, 'test')} of this comparison, every"
            " metric of every "
            "run; metrics that agree on every query are one test. A difference is called real "
            f"where it is at most {_ALPHA}. --metric NAME tests others, --metric all every one."
        )
    else:
        lines.append(f"One test, so p needs no correction; real means at most {_ALPHA}.")
    return lines


def _notes(report: ComparisonReport, over: str, tests: int) -> list[str]:
    """Said where so few classes or queries could show nothing even if all agreed."""
    units = report.counts[over]
    least = min(1.0, 2.0 ** (1 - units))
    if least * tests <= _ALPHA:
        return []
    narrower = " --over queries asks less: whether they differ on these classes, not on others."
    return [
        f"{units} {over} are too few to show anything: no p-value can be below {least:.2g}, nor, "
        f"corrected for {counted(tests, 'test')}, below {min(1.0, least * tests):.2g}. Name fewer"
        " metrics "
        f"with --metric, or evaluate on more {over}." + (narrower if over == "classes" else "")
    ]


def _result(
    report: ComparisonReport,
    found: Sequence[Comparison],
    measured: Sequence[SplitResult],
    groups: Mapping[str, Sequence[Path]],
) -> dict[str, Any]:
    """Everything for JSON; NaN cannot occur, since metrics without a counting query are out."""
    runs = {}
    for compared, one, other in zip(report.runs, found, measured[1:], strict=True):
        differences = {
            d.metric: {k: v for k, v in asdict(d).items() if k != "metric"} | {"verdict": d.verdict}
            for d in compared.differences
        }
        runs[compared.name] = {
            "differences": differences,
            "words": report.in_words(compared),
            "changed": changed_queries(measured[0], other, _of(measured[0], other, one)),
        }
    return {
        "baseline": report.baseline,
        "seeds": {name: len(runs) for name, runs in groups.items()},
        "split": report.split,
        "counts": dict(report.counts),
        "method": list(report.method),
        "notes": list(report.notes),
        "runs": runs,
    }


def write_comparison_files(folder: Path, report: ComparisonReport, result: dict[str, Any]) -> None:
    """Write ``comparison.html``, ``.md`` and ``.json``, and a contact sheet for each run."""
    sheets = {}
    for number, compared in enumerate(report.runs, 1):
        if rows := [row for sheet in compared.sheets for row in sheet.rows]:
            sheets[compared.name] = f"changed-{number}.png"
            drawn = contact_sheet(rows, columns=len(rows[0].neighbours))
            write_with(folder / sheets[compared.name], lambda p, drawn=drawn: drawn.save(p, "PNG"))
    write_text(folder / "comparison.md", render_markdown(report, sheets))
    write_text(folder / "comparison.json", json.dumps(result, indent=2) + "\n")
    write_text(folder / "comparison.html", render_comparison(report))
