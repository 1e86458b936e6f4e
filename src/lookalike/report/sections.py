"""What the sections of pages show, ready for their templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lookalike.errors import LookalikeError, counted, suggest
from lookalike.report.confusions import Confusions
from lookalike.report.contents import EvaluationSection, Published
from lookalike.report.figures import (
    Interval,
    format_interval,
    format_value,
    headlines,
    metric_title,
)
from lookalike.report.metric_tables import (
    definitions_of,
    figures_table,
    published_for,
    remarks,
)
from lookalike.report.render import Part, render
from lookalike.report.tables import Cell, Column, ReportTable, TableRow


def results(section: EvaluationSection, published: Sequence[Published]) -> dict[str, Any]:
    """A card for each headline metric, then every metric with what stands beside it.

    Raises:
        LookalikeError: a headline metric that was not measured.
    """
    names = section.headline or headlines(section.values)
    for name in names:
        if name not in section.values:
            raise LookalikeError(
                f"The headline metric '{name}' was not measured on {section.split}. "
                f"{suggest(name, section.values)}"
            )
    shown = {id(p) for name in section.values for p in published_for(name, section, published)}
    elsewhere = [
        f"Published, not measured here: {metric_title(p.metric, section.levels)} "
        f"{format_value(p.value)} ({p.source})."
        for p in published
        if p.split in ("", section.split) and id(p) not in shown
    ]
    return {
        "counts": section.size.replace(", ", " · "),
        "cards": [_card(name, section, published) for name in names],
        "table": figures_table(
            section,
            heads=("Metric", "This run"),
            published=published,
            caption=f"All metrics on {section.split}",
            notes=[*remarks(section), *elsewhere],
        ),
    }


def _card(name: str, section: EvaluationSection, published: Sequence[Published]) -> dict[str, Any]:
    """The number, its interval, and bars from 0 to 1 beside the others'."""
    value, interval = section.values[name], section.intervals.get(name)
    others = [(who, values[name]) for who, values in section.baselines if name in values]
    others += [("published", p.value) for p in published_for(name, section, published)]
    comparable = others and all(0 <= number <= 1 for number in (value, *(n for _, n in others)))
    return {
        "title": metric_title(name, section.levels),
        "value": value,
        "interval": interval,
        "whisker": _whisker(interval),
        "others": others if comparable else [],
    }


def _whisker(interval: Interval | None) -> list[float] | None:
    """Where the interval's bar begins and ends, in percent."""
    if interval is None or not format_interval(interval):
        return None
    return [min(max(bound, 0.0), 1.0) * 100 for bound in interval]


def confusion_part(title: str, section: EvaluationSection) -> list[Part]:
    """The commonest confusions with examples; nothing where they were not looked for."""
    found = section.confusions
    if found is None:
        return []
    queries = counted(found.queries, "query", "queries")
    if not found.pairs:
        none = f"None: each of the {queries} has a nearest neighbour of its own class."
        return [Part(title, "text", [none])]
    words = (
        f"{found.wrong:,} of {queries} ({found.wrong / found.queries:.0%})"
        f" {'has' if found.wrong == 1 else 'have'} a nearest neighbour of another class, in"
        f" {counted(found.distinct, 'combination')}. "
        + ("These are all." if len(found.pairs) == found.distinct else "The commonest:")
    )
    table = _confusion_table(found, f"Confusions on {section.split}")
    return [Part(title, "tables", {"lines": [words], "tables": [table]})]


def _confusion_table(found: Confusions, caption: str) -> ReportTable:
    return ReportTable(
        columns=[
            Column("Query is", numeric=False),
            Column("Nearest is", numeric=False),
            Column("Queries"),
            Column("The other way"),
            Column("Examples: query, nearest", numeric=False, only="page"),
        ],
        rows=[
            TableRow(
                [
                    pair.actual,
                    pair.found,
                    f"{pair.count:,} of {pair.queries:,}",
                    f"{pair.reverse:,}",
                    Cell(html=render("examples.html.j2", pair=pair)),
                ]
            )
            for pair in found.pairs
        ],
        caption=caption,
        style="confusions",
    )


def definitions_part(sections: Sequence[EvaluationSection]) -> list[Part]:
    """Each metric's meaning once; nothing where none is given."""
    found, legend = definitions_of(sections)
    data = {"meanings": found, "legend": legend}
    return [Part("What the numbers mean", "definitions", data)] if found else []
