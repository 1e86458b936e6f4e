"""``lookalike compare``: which differences between runs are real, and which are noise."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.compose import from_yaml
from lookalike.config import EvaluationConfig
from lookalike.data.datasets.table_files import table_file
from lookalike.errors import ConfigError, DataError, RunError, suggest
from lookalike.files import write_text, write_with
from lookalike.jobs.changes import change_sheets, changed_queries
from lookalike.jobs.console import Console
from lookalike.jobs.measuring import Measured, check_metrics, measure_vectors
from lookalike.jobs.same_rows import in_order_of
from lookalike.metrics.compare import Comparison, compare_reports
from lookalike.report.comparison import ComparedRun, ComparisonReport, MetricDifference
from lookalike.report.comparison_page import write_comparison
from lookalike.report.comparison_text import comparison_table, render_markdown
from lookalike.report.sheets import contact_sheet
from lookalike.runs import Run, environment

_ALPHA = 0.05
_PERMUTATIONS = 10_000


def run(
    folders: Sequence[str | Path],
    *,
    split: str = "test",
    metrics: Sequence[str] = (),
    over: str = "classes",
    as_json: bool = False,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Compare runs with the first of them, query by query.

    Nothing is embedded again: the vectors that each run kept are measured with the settings of the
    first run.

    Args:
        folders: two run folders or more; the first is the baseline.
        split: what all were evaluated on.
        metrics: names or aliases; none for those of the first run's evaluation.
        over: "classes" draws and exchanges whole classes, "queries" single queries.
        as_json: print JSON instead of tables.
        out: folder for ``comparison.html``, ``comparison.md``, ``comparison.json`` and a contact
            sheet a run, ``changed-1.png``, ….

    Returns:
        What ``--json`` prints.

    Raises:
        ConfigError: fewer than two runs, one named twice, or no such metric.
        RunError: no run there, or one that was not evaluated on the split.
        DataError: the runs were measured on different rows.
    """
    console = Console(silent=as_json)
    names = _names([Path(folder) for folder in folders])
    c = _settings(Path(folders[0]), metrics)
    first, *others = (load(folder, split, c) for folder in folders)
    others = [in_order_of(first, one, names[0], name) for one, name in zip(others, names[1:], strict=True)]
    found = [
        compare_reports(
            first.report,
            one.report,
            metrics=_shown(first, c),
            over=over,
            permutations=_PERMUTATIONS,
        )
        for one in others
    ]
    report = _report(names, [first, *others], found, over)
    result = _result(report, found, first)
    console.out.print(comparison_table(report))
    if out is not None:
        _write(Path(out), report, result)
        console.say(f"written  {Path(out) / 'comparison.html'}")
    if as_json:
        print(json.dumps(result, indent=2))
    return result


def load(folder: str | Path, split: str, c: EvaluationConfig) -> Measured:
    """A split that a run has evaluated, measured again from the vectors it kept.

    Raises:
        RunError: no run there, it was not evaluated on the split, or its files do not fit.
    """
    kept = Run.open(folder).evaluation(split)
    files = kept / "rows.parquet", kept / "embeddings.npy"
    if not all(file.is_file() for file in files):
        there = sorted(p.name for p in kept.parent.iterdir() if p.is_dir()) if kept.parent.is_dir() else []
        raise RunError(
            f"{folder} was not evaluated on '{split}'. {suggest(split, there)} "
            f"Evaluate it: lookalike evaluate {folder} --split {split}"
        )
    rows = table_file(files[0])
    try:
        embeddings = np.load(files[1], allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RunError(f"{files[1]} cannot be read ({error}); evaluate the run again") from error
    if embeddings.ndim != 2 or len(embeddings) != len(rows):
        raise RunError(
            f"{kept}: {len(rows)} rows, but vectors of shape {embeddings.shape}; evaluate again: "
            f"lookalike evaluate {folder} --split {split}"
        )
    return measure_vectors(split, rows, embeddings, c)


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


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or their paths where two folders are called the same."""
    if len(folders) < 2:
        raise ConfigError(
            f"compare takes two runs or more, got {len(folders)}: lookalike compare runs/a runs/b"
        )
    places = [folder.resolve() for folder in folders]
    for place, folder in enumerate(folders):
        if places[place] in places[:place]:
            raise ConfigError(f"{folder} is named twice; a run does not differ from itself")
    names = [place.name for place in places]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _settings(folder: Path, metrics: Sequence[str]) -> EvaluationConfig:
    """How the first run was evaluated, or the metrics asked for."""
    config = from_yaml(Run.open(folder).config.read_text(encoding="utf-8")).evaluation
    if not metrics:
        return config
    chosen = replace(config, metrics=list(metrics), exclude=[])
    try:
        check_metrics(chosen)
    except ConfigError as error:
        raise ConfigError(str(error).replace("evaluation.metrics:", "--metric:", 1)) from error
    return chosen


def _shown(first: Measured, c: EvaluationConfig) -> list[str]:
    """The metrics that are not excluded and in which any query counts."""
    from lookalike.jobs.measuring import values

    kept = [name for name, value in values([first], c)[first.split].items() if not np.isnan(value)]
    if not kept:
        raise DataError(f"split '{first.split}': no query counts in any metric; none has a match")
    return kept


def _report(
    names: Sequence[str], measured: Sequence[Measured], found: Sequence[Comparison], over: str
) -> ComparisonReport:
    first = measured[0]
    tests = [(n, name) for n, one in enumerate(found) for name in one.differences]
    p_values = [found[n].differences[name].p_value for n, name in tests]
    corrected = dict(zip(tests, holm(p_values), strict=True))
    runs = [
        ComparedRun(
            name=names[n + 1],
            differences=[
                MetricDifference(
                    metric=name,
                    baseline=d.a,
                    value=d.b,
                    difference=d.difference,
                    interval=(d.low, d.high),
                    p_value=d.p_value,
                    corrected=corrected[n, name],
                    queries=d.queries,
                    better=d.better,
                    worse=d.worse,
                    alpha=_ALPHA,
                )
                for name, d in one.differences.items()
            ],
            sheets=change_sheets((names[0], first), (names[n + 1], measured[n + 1]), one),
        )
        for n, one in enumerate(found)
    ]
    classes = len(np.unique(first.report.classes()))
    units = classes if over == "classes" else first.report.queries
    made = environment()
    return ComparisonReport(
        baseline=names[0],
        split=first.split,
        runs=runs,
        counts={
            "queries": first.report.queries,
            "gallery pictures": first.report.gallery_size,
            "classes": classes,
        },
        method=_method(names[0], over, len(tests)),
        notes=_notes(over, units, len(tests)),
        definitions={n: d.words for n, d in first.report.definitions.items() if n in found[0].differences},
        levels=first.table.levels,
        command=made["command"],
        created=datetime.datetime.fromisoformat(made["started"]).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _method(baseline: str, over: str, tests: int) -> list[str]:
    what = "whole classes" if over == "classes" else "single queries"
    lines = [
        f"Difference: the run's figure minus that of {baseline}, on the same queries.",
        f"Interval: 95 % paired bootstrap over {what}; each interval stands for itself.",
        f"p: how often exchanging the two runs at random, {what} at a time, makes a difference at "
        f"least as large ({_PERMUTATIONS:,} exchanges, two-sided).",
    ]
    if tests > 1:
        lines.append(
            f"p, corrected: by Holm for the {tests} tests of this comparison (metrics × runs). A "
            f"difference is called real where it is at most {_ALPHA}. Naming the one metric that "
            "matters beforehand (--metric) makes fewer tests."
        )
    else:
        lines.append(f"One test, so p needs no correction; real means at most {_ALPHA}.")
    return lines


def _notes(over: str, units: int, tests: int) -> list[str]:
    """Said where so few classes or queries could show nothing even if all agreed."""
    least = min(1.0, 2.0 ** (1 - units))
    if least * tests <= _ALPHA:
        return []
    other = "; --over queries asks a narrower question, about these classes only"
    return [
        f"With {units} {over} no p-value can be below {least:.2g}, and corrected for {tests} tests "
        f"not below {min(1.0, least * tests):.2g}: nothing can be shown to be real. Name fewer metrics "
        f"(--metric) or use more {over}{other if over == 'classes' else ''}."
    ]


def _result(
    report: ComparisonReport, found: Sequence[Comparison], first: Measured
) -> dict[str, Any]:
    """Everything for JSON; NaN cannot occur, since metrics without a counting query are out."""
    runs = {}
    for compared, one in zip(report.runs, found, strict=True):
        differences = {
            d.metric: {k: v for k, v in asdict(d).items() if k != "metric"} | {"verdict": d.verdict}
            for d in compared.differences
        }
        runs[compared.name] = {
            "differences": differences,
            "words": report.in_words(compared),
            "changed": changed_queries(first, one),
        }
    return {
        "baseline": report.baseline,
        "split": report.split,
        "counts": dict(report.counts),
        "method": list(report.method),
        "notes": list(report.notes),
        "runs": runs,
    }


def _write(folder: Path, report: ComparisonReport, result: dict[str, Any]) -> None:
    sheets = {}
    for number, compared in enumerate(report.runs, 1):
        if rows := [row for sheet in compared.sheets for row in sheet.rows]:
            sheets[compared.name] = f"changed-{number}.png"
            drawn = contact_sheet(rows, columns=len(rows[0].neighbours))
            write_with(
                folder / sheets[compared.name], lambda p, drawn=drawn: drawn.save(p, "PNG")
            )
    write_text(folder / "comparison.md", render_markdown(report, sheets))
    write_text(folder / "comparison.json", json.dumps(result, indent=2) + "\n")
    write_comparison(folder / "comparison.html", report)
