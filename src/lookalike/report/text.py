"""The numbers of an evaluation for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lookalike.errors import counted
from lookalike.report.contents import EvaluationSection
from lookalike.report.figures import (
    by_level,
    format_estimate,
    format_interval,
    format_value,
    level_title,
    metric_title,
)
from lookalike.report.meanings import level_legend, meanings


def metric_table(section: EvaluationSection, *, definitions: bool = True) -> Group:
    """A table of every metric, and below it what each of them means; print it with rich.

    One column a level where the metrics have levels, else one a baseline; four levels fit a
    terminal 80 columns wide.

    Args:
        section: the evaluation.
        definitions: whether the words follow the table.

    >>> from rich.console import Console
    >>> section = EvaluationSection(split="test", values={"recall_at_1": 0.5})
    >>> with (console := Console(width=60)).capture() as out:
    ...     console.print(metric_table(section))
    >>> "Recall@1" in out.get() and "0.500" in out.get()
    True
    """
    rows = by_level(section.values)
    counts = ", ".join(f"{count:,} {name}" for name, count in section.counts.items())
    table = Table(
        title=Text(f"{section.split}: {counts}" if counts else section.split),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("metric", no_wrap=True)
    levels = list(dict.fromkeys(level for names in rows.values() for level in names))
    leveled = any(level is not None for level in levels)
    for level in levels if leveled else ["value"]:
        title = level if isinstance(level, str) else _level(level, section)
        table.add_column(Text(title), justify="right", no_wrap=True)
    if not leveled:
        for name, _ in section.baselines:
            table.add_column(Text(name), justify="right")
    for base, names in rows.items():
        cells = [
            _cell(names[level], section, two_lines=leveled) if level in names else ""
            for level in levels
        ]
        if not leveled:
            cells += [
                format_value(values[base]) if base in values else ""
                for _, values in section.baselines
            ]
        table.add_row(Text(metric_title(base)), *cells)
    parts: list[Table | Text] = [table]
    parts += [Text(line, style="dim") for line in _remarks(section)]
    if definitions and section.definitions:
        parts.append(_definitions(section))
    return Group(*parts)


def _cell(name: str, section: EvaluationSection, *, two_lines: bool) -> Text:
    """The figure and its interval; below each other where columns are many."""
    value, interval = section.values[name], section.intervals.get(name)
    if not two_lines:
        return Text(format_estimate(value, interval))
    cell = Text(format_value(value))
    if bounds := format_interval(interval):
        cell.append(f"\n{bounds}", style="dim")
    return cell


def _level(level: int | None, section: EvaluationSection) -> str:
    return "all levels" if level is None else level_title(level, section.levels)


def _remarks(section: EvaluationSection) -> list[str]:
    """What the reader must know of the numbers: the intervals and the queries left out."""
    lines = []
    if section.interval_note and any(section.intervals.values()):
        lines.append(f"In brackets: {section.interval_note}.")
    skipped = section.skipped
    for level, count in {"": skipped}.items() if isinstance(skipped, int) else skipped.items():
        if count:
            where = f" ({level})" if level else ""
            query = counted(count, "query", "queries")
            verb = "counts" if count == 1 else "count"
            lines.append(f"{query} without a positive{where} {verb} in no metric.")
    return [*lines, *section.contract]


def _definitions(section: EvaluationSection) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    found = meanings(section.definitions)
    for meaning in found:
        table.add_row(Text(meaning.title), Text(meaning.words))
    if legend := level_legend(found, section.levels):
        table.add_row("", Text(legend))
    return table
