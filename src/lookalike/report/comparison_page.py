"""A comparison of runs: a page, Markdown, and tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.report.comparison import (
    VERDICTS,
    ComparedRun,
    ComparisonReport,
    MetricDifference,
    format_difference,
    format_p,
    format_range,
)
from lookalike.report.contents import EvaluationSection, RunReport, in_words
from lookalike.report.figures import format_value, metric_title
from lookalike.report.meanings import meanings
from lookalike.report.render import Part, render, render_page
from lookalike.report.sections import definitions_part
from lookalike.report.tables import Cell, Column, ReportTable, TableRow

if TYPE_CHECKING:
    from rich.console import Group

_NAME = 8  # characters of a run's name that a terminal's column holds


def difference_table(report: ComparisonReport, run: ComparedRun) -> ReportTable:
    """A row a metric. A terminal has no room for two of the columns, nor for long verdicts."""
    # Figures stay whole; the names of metrics are what goes on below.
    return ReportTable(
        columns=[
            Column("Metric", numeric=False),
            Column(report.baseline, only="page"),
            Column(run.name, only="page"),
            *(
                Column(name, width=max(5, len(name)), only="terminal")
                for name in _short_names(report, run)
            ),
            Column("Change", width=6),
            Column("Interval", width=16),
            Column("p", only="page"),
            Column("p (Holm)", width=6),
            Column("Queries better / worse", only="page"),
            Column("Verdict", numeric=False, only="page"),
            Column("Verdict", numeric=False, only="terminal", width=7),
        ],
        rows=[_row(one, report.levels) for one in run.differences],
        caption=f"{run.name} against {report.baseline} on {report.split}",
        style="numbers",
    )


def _short_names(report: ComparisonReport, run: ComparedRun) -> tuple[str, str]:
    """Heads that a terminal need not break; the caption has the names."""
    names = report.baseline, run.name
    return names if max(map(len, names)) <= _NAME else ("baseline", "run")


def _row(one: MetricDifference, levels: Sequence[str]) -> TableRow:
    real = one.verdict in ("better", "worse")
    return TableRow(
        [
            Cell(metric_title(one.metric, levels), tip=one.metric),
            *(2 * [format_value(one.baseline), format_value(one.value)]),
            Cell(format_difference(one.difference), strong=real),
            format_range(one.interval),
            format_p(one.p_value),
            format_p(one.corrected),
            f"{one.better:,} / {one.worse:,}",
            Cell(VERDICTS[one.verdict], strong=real),
            Cell(one.verdict, strong=real),
        ]
    )


def render_comparison(report: ComparisonReport) -> str:
    """The whole page as text; the same comparison gives the same bytes.

    >>> page = render_comparison(ComparisonReport(baseline="a", split="test", runs=[]))
    >>> page.startswith("<!doctype html>")
    True
    """
    parts = [
        Part(
            f"{run.name} against {report.baseline}",
            "compared",
            {"lines": report.in_words(run), "table": difference_table(report, run)},
        )
        for run in report.runs
    ]
    for run in report.runs:
        if run.sheets:
            several = f": {run.name}" if len(report.runs) > 1 else ""
            parts.append(Part(f"Queries that changed most{several}", "sheets", run.sheets))
    words = EvaluationSection(
        split=report.split, values={}, definitions=report.definitions, levels=report.levels
    )
    parts += definitions_part([words])
    parts.append(
        Part("How it was compared", "compared", {"lines": report.method, "command": report.command})
    )
    counts = in_words(report.counts).replace(", ", " · ")
    frame = RunReport(
        title=report.title,
        subtitle=f"{report.split}: {counts}" if counts else report.split,
        command=report.command,
        created=report.created,
        notes=report.notes,
    )
    return render_page(frame, parts)


def comparison_table(report: ComparisonReport) -> Group:
    """The tables and the words for a terminal; print it with rich.

    >>> from rich.console import Console
    >>> report = ComparisonReport(baseline="a", split="test", runs=[], method=["p: by chance"])
    >>> Console().print(comparison_table(report))
    p: by chance
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[ReportTable | Text] = []
    counts = in_words(report.counts)
    for run in report.runs:
        title = f"{run.name} against {report.baseline}, {report.split}: {counts}"
        table = replace(difference_table(report, run), caption=title)
        parts += [table, *map(Text, report.in_words(run)), Text()]
    parts += [Text(line, style="yellow") for line in report.notes]
    parts += [Text(line, style="dim") for line in report.method]
    return Group(*parts)


def render_markdown(report: ComparisonReport, sheets: Mapping[str, str] | None = None) -> str:
    """The comparison as Markdown that GitHub shows as tables.

    Args:
        report: what to say.
        sheets: run → file of its contact sheet, as a link from where the text will lie.

    >>> report = ComparisonReport(baseline="a", split="test", runs=[])
    >>> print(render_markdown(report).splitlines()[0])
    # Against a
    """
    text = render(
        "comparison.md.j2",
        report=report,
        counts=in_words(report.counts),
        tables={run.name: difference_table(report, run).to_markdown() for run in report.runs},
        sheets=sheets or {},
        meanings=meanings(report.definitions),
    )
    return f"{text.strip()}\n"
