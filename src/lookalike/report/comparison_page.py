"""A comparison of runs as one HTML file that looks like the report of a run."""

from __future__ import annotations

import os
from pathlib import Path

from lookalike.files import write_text
from lookalike.report.comparison import ComparedRun, ComparisonReport
from lookalike.report.comparison_text import cells, columns
from lookalike.report.contents import EvaluationSection, RunReport
from lookalike.report.markup import Html, join, tag
from lookalike.report.page import document
from lookalike.report.sections import definition_list, sheet_section


def render_comparison(report: ComparisonReport) -> str:
    """The whole page as text; the same comparison gives the same bytes.

    >>> page = render_comparison(ComparisonReport(baseline="a", split="test", runs=[]))
    >>> page.startswith("<!doctype html>")
    True
    """
    parts = [
        (f"{run.name} against {report.baseline}", _numbers(report, run)) for run in report.runs
    ]
    for run in report.runs:
        shown = EvaluationSection(split=report.split, values={}, sheets=run.sheets)
        if sheets := sheet_section(shown):
            several = f": {run.name}" if len(report.runs) > 1 else ""
            parts.append((f"Queries that changed most{several}", sheets))
    words = EvaluationSection(
        split=report.split, values={}, definitions=report.definitions, levels=report.levels
    )
    if definitions := definition_list([words]):
        parts.append(("What the numbers mean", definitions))
    method = tag("ul", [tag("li", line) for line in report.method])
    command = tag("pre", tag("code", report.command), class_="wrap")
    parts.append(("How it was compared", join(method, tag("h3", "Command"), command)))
    counts = " · ".join(f"{count:,} {what}" for what, count in report.counts.items())
    frame = RunReport(
        title=report.title,
        subtitle=f"{report.split}: {counts}" if counts else report.split,
        command=report.command,
        created=report.created,
        notes=report.notes,
    )
    return document(frame, parts)


def write_comparison(path: str | os.PathLike[str], report: ComparisonReport) -> Path:
    """Write the page whole or not at all.

    Args:
        path: the file to write, such as ``comparison.html``.
        report: what to say.

    Raises:
        RunError: the folder is not writable or full.
    """
    target = Path(path)
    write_text(target, render_comparison(report))
    return target


def _numbers(report: ComparisonReport, run: ComparedRun) -> Html:
    """The words, then the table."""
    words = tag("ul", [tag("li", line) for line in report.in_words(run)])
    caption = f"{run.name} against {report.baseline} on {report.split}"
    rows = []
    for one in run.differences:
        metric, *numbers, verdict = cells(one, report.levels)
        real = "mine" if one.verdict in ("better", "worse") else None
        rows.append(
            tag(
                "tr",
                tag("th", metric, scope="row", title=one.metric),
                [
                    tag("td", number, class_=real if place == 2 else None)
                    for place, number in enumerate(numbers)
                ],
                tag("td", verdict, class_=real),
            )
        )
    head = tag("tr", [tag("th", column, scope="col") for column in columns(report, run)])
    table = tag(
        "table", tag("caption", caption), tag("thead", head), tag("tbody", rows), class_="numbers"
    )
    scroll = tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)
    return join(words, scroll)
