"""A comparison of runs as Markdown and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lookalike.report.comparison import (
    VERDICTS,
    ComparedRun,
    ComparisonReport,
    MetricDifference,
    format_difference,
    format_p,
    format_range,
)
from lookalike.report.figures import format_value, metric_title
from lookalike.report.meanings import meanings

_WIDTHS = (None, 5, 5, 6, 16, 6, 7)  # of the columns in the terminal
_COLOURS = {"better": "bold cyan", "worse": "bold yellow", "noise": "dim", "same": "dim"}


def columns(report: ComparisonReport, run: ComparedRun) -> list[str]:
    """Heads of the table of one run."""
    return [
        "Metric",
        report.baseline,
        run.name,
        "Change",
        "Interval",
        "p",
        "p (Holm)",
        "Queries better / worse",
        "Verdict",
    ]


def cells(one: MetricDifference, levels: Sequence[str]) -> list[str]:
    """One row of that table."""
    return [
        metric_title(one.metric, levels),
        format_value(one.baseline),
        format_value(one.value),
        format_difference(one.difference),
        format_range(one.interval),
        format_p(one.p_value),
        format_p(one.corrected),
        f"{one.better:,} / {one.worse:,}",
        VERDICTS[one.verdict],
    ]


def comparison_table(report: ComparisonReport) -> Group:
    """The tables and the words for a terminal; print it with rich.

    >>> from rich.console import Console
    >>> report = ComparisonReport(baseline="a", split="test", runs=[], method=["p: by chance"])
    >>> Console().print(comparison_table(report))
    p: by chance
    """
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
    parts: list[Table | Text] = []
    for run in report.runs:
        title = f"{run.name} against {report.baseline}, {report.split}: {counts}"
        table = Table(
            title=Text(title),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
        )
        for width, head in zip(_WIDTHS, _terminal(columns(report, run)), strict=True):
            # Figures stay whole; the names of metrics and of runs are what goes on below.
            table.add_column(Text(head), justify="right", width=width, overflow="fold")
        table.columns[0].justify = table.columns[-1].justify = "left"
        for one in run.differences:
            row = _terminal(cells(one, report.levels))
            table.add_row(*map(Text, row[:-1]), Text(one.verdict, style=_COLOURS[one.verdict]))
        parts += [table, *(Text(line) for line in report.in_words(run)), Text()]
    parts += [Text(line, style="yellow") for line in report.notes]
    parts += [Text(line, style="dim") for line in report.method]
    return Group(*parts)


def _terminal(row: Sequence[str]) -> list[str]:
    """Without the two columns for which 80 characters have no room."""
    return [cell for place, cell in enumerate(row) if place not in (5, 7)]


def render_markdown(report: ComparisonReport, sheets: Mapping[str, str] | None = None) -> str:
    """The comparison as Markdown that GitHub shows as tables.

    Args:
        report: what to say.
        sheets: run → file of its contact sheet, as a link from where the text will lie.

    >>> report = ComparisonReport(baseline="a", split="test", runs=[])
    >>> print(render_markdown(report).splitlines()[0])
    # Against a
    """
    title = report.title if report.runs else f"Against {report.baseline}"
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
    blocks = [f"# {_escape(title)}", _escape(f"Split {report.split}: {counts}")]
    if report.notes:
        blocks.append("\n".join(f"> {_escape(note)}  " for note in report.notes))
    for run in report.runs:
        heads = columns(report, run)
        rule = ["---", *["---:"] * 7, "---"]
        rows = [heads, *(cells(one, report.levels) for one in run.differences)]
        lines = [_row(map(_escape, row)) for row in rows]
        lines.insert(1, _row(rule))
        blocks += [f"## {_escape(run.name)}", "\n".join(lines)]
        blocks.append("\n".join(f"* {_escape(line)}" for line in report.in_words(run)))
        if sheets and run.name in sheets:
            blocks += ["Queries that changed most:", f"![before and after]({sheets[run.name]})"]
    if report.method:
        blocks += ["## How it was compared", "\n".join(f"* {_escape(m)}" for m in report.method)]
    if report.definitions:
        defined = [
            f"* **{_escape(m.title)}**: {_escape(m.words)}" for m in meanings(report.definitions)
        ]
        blocks += ["## What the numbers mean", "\n".join(defined)]
    return "\n\n".join(blocks) + "\n"


def _row(row: Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(row)} |"


def _escape(text: str) -> str:
    """Names of runs and classes are text: nothing in them may end a cell or start a tag."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
