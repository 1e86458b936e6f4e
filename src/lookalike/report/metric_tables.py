"""The figures of evaluations as tables: the same for a page, a terminal and a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lookalike.errors import counted
from lookalike.report.contents import EvaluationSection, Published
from lookalike.report.figures import (
    by_level,
    format_interval,
    format_value,
    level_title,
    metric_title,
    split_level,
)
from lookalike.report.meanings import Meaning, level_legend, meanings
from lookalike.report.tables import Cell, Column, ReportTable, TableRow

if TYPE_CHECKING:
    from rich.console import Group

_MOST_BOUNDED = 4  # columns with intervals that fit a terminal 80 columns wide


def metric_table(section: EvaluationSection, *, definitions: bool = True) -> Group:
    """A table of every metric, and below it what each of them means; print it with rich.

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
    title = f"{section.split}: {section.size}" if section.counts else section.split
    table = figures_table(section, caption=title, notes=remarks(section))
    return _with_definitions(table, [section] if definitions else [])


def metric_tables(sections: Sequence[EvaluationSection]) -> list[Group]:
    """Tables of metrics with their definitions: of several evaluations side by side.

    With baselines beside it each evaluation has a table of its own.
    """
    if len(sections) > 1 and not any(section.baselines for section in sections):
        return [side_by_side(sections)]
    return [metric_table(section) for section in sections]


def figures_table(
    section: EvaluationSection,
    *,
    heads: tuple[str, str] = ("metric", "value"),
    published: Sequence[Published] = (),
    caption: str = "",
    notes: Sequence[str] = (),
    flat: bool = False,
) -> ReportTable:
    """Every metric of one evaluation with what it is compared with.

    Without levels a column a system; with levels a column a level, which four of fit a terminal
    80 columns wide, and a minor row a system.

    Args:
        section: the evaluation.
        heads: of the metrics and, without levels, of its own figures.
        published: figures of papers.
        caption: of the table.
        notes: below it.
        flat: levels are rows too.
    """
    metrics: dict[str, dict[int | None, str]] = by_level(section.values)
    if flat:
        metrics = {name: {None: name} for name in section.values}
    levels = list(dict.fromkeys(level for names in metrics.values() for level in names))
    leveled = any(level is not None for level in levels)
    systems = [
        (who, {name: Cell(format_value(value)) for name, value in values.items()})
        for who, values in section.baselines
    ]
    systems += _papers(section, published)
    rows = []
    for base, names in metrics.items():
        keys = [names.get(level) for level in levels]
        head = Cell(metric_title(base, section.levels), tip=base)
        own = [_figure(key, section) if key else "" for key in keys]
        others = [[found.get(key, "") if key else "" for key in keys] for _, found in systems]
        if leveled:
            rows.append(TableRow([head, *own]))
            rows += [
                TableRow([who, *cells], "minor")
                for (who, _), cells in zip(systems, others, strict=True)
                if any(cells)
            ]
        else:
            rows.append(TableRow([head, *own, *(cells[0] for cells in others)]))
    titles = [_level(level, section) for level in levels]
    return ReportTable(
        columns=[
            Column(heads[0], numeric=False, whole=True),
            # Where a terminal is narrow, names break, and no figure does.
            *(Column(title, whole=True) for title in (titles if leveled else heads[1:])),
            *([] if leveled else [Column(who) for who, _ in systems]),
        ],
        rows=rows,
        caption=caption,
        notes=notes,
        style="numbers",
        stacked=leveled,
    )


def published_for(
    name: str, section: EvaluationSection, published: Sequence[Published]
) -> list[Published]:
    """The published figures for a metric; a name without a level means the finest."""
    base, level = split_level(name)
    known = (name, base) if level == 0 else (name,)
    return [p for p in published if p.metric in known and p.split in ("", section.split)]


def _papers(
    section: EvaluationSection, published: Sequence[Published]
) -> list[tuple[str, Mapping[str, Cell]]]:
    """As many systems called "Published" as some metric has figures of papers."""
    found = {name: published_for(name, section, published) for name in section.values}
    most = max(map(len, found.values()), default=0)
    return [
        (
            "Published",
            {
                name: Cell(format_value(papers[place].value), papers[place].source)
                for name, papers in found.items()
                if place < len(papers)
            },
        )
        for place in range(most)
    ]


def _figure(name: str, section: EvaluationSection, *, bounds: bool = True) -> Cell:
    interval = format_interval(section.intervals.get(name)) if bounds else ""
    return Cell(format_value(section.values[name]), interval, strong=True)


def _level(level: int | None, section: EvaluationSection) -> str:
    return "all levels" if level is None else level_title(level, section.levels)


def remarks(section: EvaluationSection) -> list[str]:
    """How to read the intervals, and which queries the numbers leave out."""
    lines = []
    if section.interval_note and any(section.intervals.values()):
        lines.append(f"In brackets: {section.interval_note}.")
    lines += [
        f"{words} {'counts' if count == 1 else 'count'} in no metric."
        for words, count in _skipped(section)
    ]
    return [*lines, *section.contract]


def _skipped(section: EvaluationSection) -> list[tuple[str, int]]:
    """Queries without a positive in words, with their number, for each level that has any."""
    skipped = section.skipped
    return [
        (
            f"{counted(count, 'query', 'queries')} without a positive"
            + (f" ({level})" if level else ""),
            count,
        )
        for level, count in ({"": skipped} if isinstance(skipped, int) else skipped).items()
        if count
    ]


# ── several evaluations ─────────────────────────────────────────────────────────────────────────


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
    bounded = [any(map(format_interval, section.intervals.values())) for section in sections]
    shown = sum(bounded) <= _MOST_BOUNDED
    named = {tuple(s.levels) for s in sections if len(s.levels) > 1}
    levels = next(iter(named)) if len(named) == 1 else ()
    table = ReportTable(
        columns=[Column("metric", numeric=False), *(Column(section.split) for section in sections)],
        rows=[
            TableRow(
                [
                    metric_title(base if level is None else f"{base}_level{level}", levels),
                    *(
                        "" if name is None else _figure(name, section, bounds=shown)
                        for name, section in zip(names, sections, strict=True)
                    ),
                ]
            )
            for (base, level), names in _shared_rows(sections).items()
        ],
        notes=_shared_remarks(sections, bounds=shown),
        stacked=True,
    )
    return _with_definitions(table, sections if definitions else [])


def _shared_rows(
    sections: Sequence[EvaluationSection],
) -> dict[tuple[str, int | None], list[str | None]]:
    """(metric, level) → its name in each section."""
    leveled = {
        split_level(name)[0] for s in sections for name in s.values if split_level(name)[1] == 0
    }
    rows: dict[tuple[str, int | None], list[str | None]] = {}
    for column, section in enumerate(sections):
        own = {split_level(name) for name in section.values}
        for name in section.values:
            base, level = split_level(name)
            alone = level is None and not any(b == base and v is not None for b, v in own)
            row = (base, 0) if alone and base in leveled else (base, level)
            rows.setdefault(row, [None] * len(sections))[column] = name
    return rows


def _shared_remarks(sections: Sequence[EvaluationSection], *, bounds: bool) -> list[str]:
    lines = []
    for section in sections:
        counts = [section.size] if section.counts else []
        if counts := [*counts, *(words for words, _ in _skipped(section))]:
            lines.append(f"{section.split}: {', '.join(counts)}")
    notes = [f"In brackets: {s.interval_note}." for s in sections if s.interval_note]
    if not bounds:
        notes = ["Too many columns for the intervals; JSON has them."]
    return lines + list(dict.fromkeys([*notes, *(line for s in sections for line in s.contract)]))


def _with_definitions(table: ReportTable, sections: Sequence[EvaluationSection]) -> Group:
    """The table, then each metric's meaning once, whatever its k, level and split."""
    from rich.console import Group

    found, legend = definitions_of(sections)
    rows = [TableRow([meaning.title, Cell(meaning.plain)]) for meaning in found]
    if any(meaning.formula for meaning in found):
        rows.append(TableRow(["", "Formulas and sources: lookalike explain METRIC"]))
    rows += [TableRow(["", legend])] if legend else []
    if not rows:
        return Group(table)
    columns = [Column("", numeric=False, whole=True), Column("", numeric=False)]
    return Group(table, ReportTable(columns=columns, rows=rows, headless=True))


def definitions_of(sections: Sequence[EvaluationSection]) -> tuple[list[Meaning], str]:
    """Each metric's meaning once, whatever its k, level and split; and what the levels are."""
    words = {name: text for section in sections for name, text in section.definitions.items()}
    found = meanings(words)
    return found, level_legend(found, max((s.levels for s in sections), key=len, default=()))
