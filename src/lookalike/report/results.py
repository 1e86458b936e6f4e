"""The numbers of an evaluation on the page: the few that count, large, then all of them."""

from __future__ import annotations

from collections.abc import Sequence

from lookalike.errors import LookalikeError, counted, suggest
from lookalike.report.contents import EvaluationSection, Published, RunReport
from lookalike.report.figures import (
    Interval,
    by_level,
    format_estimate,
    format_interval,
    format_value,
    headlines,
    level_title,
    metric_title,
    split_level,
)
from lookalike.report.markup import Child, Html, join, tag

OURS = "This run"


def headline_numbers(section: EvaluationSection, report: RunReport) -> Html:
    """A card for each headline metric: the number, its interval, and bars beside the others'."""
    names = section.headline or headlines(section.values)
    for name in names:
        if name not in section.values:
            raise LookalikeError(
                f"The headline metric '{name}' was not measured on {section.split}. "
                f"{suggest(name, section.values)}"
            )
    cards = [_card(name, section, report) for name in names]
    counts = " · ".join(f"{count:,} {what}" for what, count in section.counts.items())
    words = tag("p", counts, class_="small") if counts else None
    return join(words, tag("div", cards, class_="cards"))


def metric_tables(section: EvaluationSection, report: RunReport) -> Html:
    """Every metric with what stands beside it, and what the reader must know of the numbers."""
    leveled = any(split_level(name)[1] is not None for name in section.values)
    table = _by_level(section, report) if leveled else _by_system(section, report)
    lines = [*_remarks(section), *_elsewhere(section, report)]
    remarks = [tag("p", line, class_="small") for line in lines]
    return join(
        tag(
            "div",
            table,
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=f"All metrics on {section.split}",
        ),
        remarks,
    )


def _published(name: str, section: EvaluationSection, report: RunReport) -> list[Published]:
    """The published figures for a metric; a name without a level means the finest."""
    base, level = split_level(name)
    known = (name, base) if level == 0 else (name,)
    return [p for p in report.published if p.metric in known and p.split in ("", section.split)]


def _elsewhere(section: EvaluationSection, report: RunReport) -> list[str]:
    """Published figures of metrics that this evaluation did not measure."""
    shown = {id(p) for name in section.values for p in _published(name, section, report)}
    return [
        f"Published, not measured here: {metric_title(p.metric, section.levels)} "
        f"{format_value(p.value)} ({p.source})."
        for p in report.published
        if p.split in ("", section.split) and id(p) not in shown
    ]


def _card(name: str, section: EvaluationSection, report: RunReport) -> Html:
    value, interval = section.values[name], section.intervals.get(name)
    others = [(who, values[name]) for who, values in section.baselines if name in values]
    others += [("published", p.value) for p in _published(name, section, report)]
    bars = None
    if others and all(0 <= number <= 1 for _, number in [(OURS, value), *others]):
        lines = [_bar(OURS, value, interval, ours=True)]
        lines += [_bar(who, number, None, ours=False) for who, number in others]
        bars = tag("ul", lines, class_="bars")
    return tag(
        "div",
        tag("h3", metric_title(name, section.levels)),
        tag(
            "p",
            tag("span", format_value(value), class_="big"),
            " ",
            tag("span", format_interval(interval), class_="interval"),
        ),
        bars,
        class_="card",
    )


def _bar(who: str, value: float, interval: Interval | None, *, ours: bool) -> Html:
    """A bar from 0 to 1 with a whisker for the interval; the number stands beside it."""
    whisker = None
    if format_interval(interval) and interval is not None:
        low, high = (min(max(bound, 0.0), 1.0) * 100 for bound in interval)
        whisker = tag("path", d=f"M{low:.1f} 5H{high:.1f}", class_="whisker")
    drawing = tag(
        "svg",
        tag("rect", width=100, height=10, class_="track"),
        tag("rect", width=value * 100, height=10, class_="ours" if ours else "theirs"),
        whisker,
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return tag("li", tag("span", who, title=who), drawing, tag("b", format_value(value)))


def _by_system(section: EvaluationSection, report: RunReport) -> Html:
    """One level: a row a metric, a column a system."""
    published = {
        name: found for name in section.values if (found := _published(name, section, report))
    }
    systems = [who for who, _ in section.baselines]
    columns = ["Metric", OURS, *systems, *(["Published"] if published else [])]
    rows = []
    for name, value in section.values.items():
        cells: list[Child] = [
            format_value(values[name]) if name in values else "" for _, values in section.baselines
        ]
        if published:
            cells.append([_paper(p) for p in published.get(name, [])])
        ours = _estimate(value, section.intervals.get(name))
        rows.append(
            tag(
                "tr",
                tag("th", metric_title(name), scope="row", title=name),
                tag("td", ours, class_="mine"),
                [tag("td", cell) for cell in cells],
            )
        )
    return _table(f"All metrics on {section.split}", columns, [tag("tbody", rows)])


def _by_level(section: EvaluationSection, report: RunReport) -> Html:
    """Several levels: a group of rows a metric, one row a system; a column a level."""
    metrics = by_level(section.values)
    levels = list(dict.fromkeys(level for names in metrics.values() for level in names))
    columns = ["Metric", *(_level(level, section) for level in levels)]
    groups = []
    for base, names in metrics.items():
        keys = [names.get(level) for level in levels]
        ours = [
            None if key is None else _estimate(section.values[key], section.intervals.get(key))
            for key in keys
        ]
        rows = [
            tag(
                "tr",
                tag("th", metric_title(base), scope="row", title=base),
                [tag("td", cell, class_="mine") for cell in ours],
            )
        ]
        for who, values in section.baselines:
            theirs = [format_value(values[k]) if k and k in values else "" for k in keys]
            rows += [_minor(who, theirs)] if any(theirs) else []
        papers = [[_paper(p) for p in _published(k, section, report)] if k else [] for k in keys]
        rows += [_minor("Published", papers)] if any(papers) else []
        groups.append(tag("tbody", rows))
    return _table(f"All metrics on {section.split}", columns, groups)


def _minor(who: str, cells: Sequence[Child]) -> Html:
    return tag(
        "tr", tag("th", who, scope="row"), [tag("td", cell) for cell in cells], class_="minor"
    )


def _level(level: int | None, section: EvaluationSection) -> str:
    return "all levels" if level is None else level_title(level, section.levels)


def _paper(published: Published) -> Html:
    return tag("span", format_value(published.value), " ", tag("small", published.source))


def _estimate(value: float, interval: Interval | None) -> Html:
    whole, bounds = format_estimate(value, interval), format_interval(interval)
    number = whole.removesuffix(bounds).rstrip()
    return join(number, [" ", tag("span", bounds, class_="interval")] if bounds else None)


def _table(caption: str, columns: Sequence[str], bodies: list[Html]) -> Html:
    head = tag("thead", tag("tr", [tag("th", column, scope="col") for column in columns]))
    return tag("table", tag("caption", caption), head, bodies, class_="numbers")


def _remarks(section: EvaluationSection) -> list[str]:
    """How to read the intervals, and which queries the numbers leave out."""
    lines = []
    if section.interval_note and any(section.intervals.values()):
        lines.append(f"In brackets: {section.interval_note}.")
    skipped = section.skipped
    for level, count in {"": skipped}.items() if isinstance(skipped, int) else skipped.items():
        if count:
            where = f" at level {level}" if level else ""
            query = counted(count, "query", "queries")
            verb = "counts" if count == 1 else "count"
            lines.append(f"{query} without a positive{where} {verb} in no metric.")
    return [*lines, *section.contract]
