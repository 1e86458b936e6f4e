"""Several evaluations in one table for a terminal: a row a metric, a column an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lookalike.errors import counted
from lookalike.report.contents import EvaluationSection
from lookalike.report.figures import format_interval, format_value, metric_title, split_level
from lookalike.report.meanings import meanings
from lookalike.report.text import metric_table

Row = tuple[str, int | None]
_MOST_BOUNDED = 4  # columns with intervals that fit a terminal 80 columns wide


def metric_tables(sections: Sequence[EvaluationSection]) -> list[RenderableType]:
    """Tables of metrics with their definitions: of several evaluations side by side.

    With baselines beside it each evaluation has a table of its own.
    """
    if len(sections) > 1 and not any(section.baselines for section in sections):
        return [side_by_side(sections)]
    return [metric_table(section) for section in sections]


def side_by_side(sections: Sequence[EvaluationSection], *, definitions: bool = True) -> Group:
    """One table of all evaluations, then what must be known of each, then the definitions.

    Intervals stand below the values while they fit a terminal 80 columns wide. Rows of one name
    share a line whatever the levels of each data set are called; where one data
    set has levels and another none, the one without stands beside the finest.

    Args:
        sections: the evaluations; ``split`` is the title of the column.
        definitions: whether the words follow.

    >>> from rich.console import Console
    >>> pair = [
    ...     EvaluationSection(split=s, values={"recall_at_1": v}) for s, v in (("a", 1), ("b", 0))
    ... ]
    >>> with (console := Console(width=60)).capture() as out:
    ...     console.print(side_by_side(pair))
    >>> [line.split() for line in out.get().splitlines() if "Recall" in line]
    [['Recall@1', '1.000', '0.000']]
    """
    rows = _rows(sections)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    bounded = [any(map(format_interval, section.intervals.values())) for section in sections]
    shown = sum(bounded) <= _MOST_BOUNDED
    for section, has in zip(sections, bounded, strict=True):
        width = len("(0.00–1.00)") if has and shown else len("0.000")
        table.add_column(Text(section.split), justify="right", min_width=width)
    for row, names in rows.items():
        table.add_row(
            Text(_title(row, sections)),
            *(_cell(name, section, shown) for name, section in zip(names, sections, strict=True)),
        )
    parts: list[Table | Text] = [table]
    parts += [Text(line, style="dim") for line in _remarks(sections, shown)]
    if definitions:
        parts.append(_definitions(sections))
    return Group(*parts)


def _rows(sections: Sequence[EvaluationSection]) -> dict[Row, list[str | None]]:
    """(metric, level) → its name in each section."""
    leveled = {
        split_level(name)[0] for s in sections for name in s.values if split_level(name)[1] == 0
    }
    rows: dict[Row, list[str | None]] = {}
    for column, section in enumerate(sections):
        own = {split_level(name) for name in section.values}
        for name in section.values:
            base, level = split_level(name)
            alone = level is None and not any(b == base and v is not None for b, v in own)
            row = (base, 0) if alone and base in leveled else (base, level)
            rows.setdefault(row, [None] * len(sections))[column] = name
    return rows


def _title(row: Row, sections: Sequence[EvaluationSection]) -> str:
    base, level = row
    named = {tuple(s.levels) for s in sections if len(s.levels) > 1}
    levels = next(iter(named)) if len(named) == 1 else ()
    return metric_title(base if level is None else f"{base}_level{level}", levels)


def _cell(name: str | None, section: EvaluationSection, bounds_too: bool) -> Text:
    if name is None:
        return Text("")
    cell = Text(format_value(section.values[name]))
    if bounds_too and (bounds := format_interval(section.intervals.get(name))):
        cell.append(f"\n{bounds}", style="dim")
    return cell


def _remarks(sections: Sequence[EvaluationSection], bounds_too: bool) -> list[str]:
    lines = []
    for section in sections:
        counts = [f"{count:,} {what}" for what, count in section.counts.items()]
        skipped = section.skipped
        left = {"": skipped} if isinstance(skipped, int) else skipped
        counts += [
            f"{counted(count, 'query', 'queries')} without a positive"
            + (f" ({level})" if level else "")
            for level, count in left.items()
            if count
        ]
        if counts:
            lines.append(f"{section.split}: {', '.join(counts)}")
    notes = [f"In brackets: {s.interval_note}." for s in sections if s.interval_note]
    if not bounds_too:
        notes = ["Too many columns for the intervals; JSON has them."]
    return lines + list(dict.fromkeys([*notes, *(line for s in sections for line in s.contract)]))


def _definitions(sections: Sequence[EvaluationSection]) -> Table:
    words: dict[str, str] = {}
    for section in sections:
        words |= dict(section.definitions)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for meaning in meanings(words):
        table.add_row(Text(meaning.title), Text(meaning.words))
    return table
