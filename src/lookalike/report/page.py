"""One HTML file a run: nothing outside it is needed to read it, and nothing in it runs."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from lookalike.files import write_text
from lookalike.report.contents import EvaluationSection, Published, RunReport, Sheet
from lookalike.report.curves import charts
from lookalike.report.health import health_charts
from lookalike.report.markup import Html, join, tag
from lookalike.report.plots import join_charts
from lookalike.report.results import headline_numbers, metric_tables
from lookalike.report.sections import (
    confusion_table,
    definition_list,
    making_of,
    map_section,
    sheet_section,
)

__all__ = ["EvaluationSection", "Published", "RunReport", "Sheet", "render_report", "write_report"]

HEALTH = "Health of the training"
# A browser that honours this loads nothing and runs nothing, whatever a class may be called.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_report(report: RunReport) -> str:
    """The whole page as text; the same report gives the same bytes.

    >>> page = render_report(RunReport(title="toy", command="lookalike train", created="today"))
    >>> page.startswith("<!doctype html>") and "lookalike train" in page
    True
    """
    levels = max((section.levels for section in report.evaluations), key=len, default=())
    curves = charts(report.rows, levels=levels)
    parts: list[tuple[str, Html]] = []
    for section in report.evaluations:
        numbers = join(headline_numbers(section, report), metric_tables(section, report))
        parts.append((_titled("Results", section, report), numbers))
    if curves:
        parts.append(("Training", join_charts(curves)))
    if health := health_charts(report.rows):
        said = tag("ul", [tag("li", line) for line in report.warnings], class_="said")
        parts.append((HEALTH, join(said if report.warnings else None, join_charts(health))))
    for title, build in (
        ("Found for a query", sheet_section),
        ("Map of the embeddings", map_section),
        ("Taken for each other", confusion_table),
    ):
        built = [
            (_titled(title, section, report), build(section)) for section in report.evaluations
        ]
        parts += [(name, content) for name, content in built if content]
    if definitions := definition_list(report.evaluations):
        parts.append(("What the numbers mean", definitions))
    parts.append(("How it was made", making_of(report)))
    return document(report, parts)


def write_report(path: str | os.PathLike[str], report: RunReport) -> Path:
    """Write the page so that at every moment the file is the old page, or the new, or absent.

    Args:
        path: the file to write, such as ``runs/x/report.html``.
        report: what to say.

    Returns:
        The path written.

    Raises:
        RunError: the folder is not writable or full; nothing half-written is left.
        LookalikeError: a picture given as an array is not uint8 ``(H, W, 3)``.
    """
    target = Path(path)
    write_text(target, render_report(report))
    return target


def _titled(title: str, section: EvaluationSection, report: RunReport) -> str:
    """The section's title, with its split where there are several."""
    return f"{title}: {section.split}" if len(report.evaluations) > 1 else title


def document(report: RunReport, parts: list[tuple[str, Html]]) -> str:
    style = Html(files("lookalike.report").joinpath("style.css").read_text("utf-8"))
    # Ids are counted, not made of the split's name, which may be anything.
    numbered = [(f"part-{number}", *part) for number, part in enumerate(parts, start=1)]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        # Without it a browser asks the server for /favicon.ico.
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{report.title} · lookalike"),
        tag("style", style),
    )
    links = [tag("li", tag("a", title, href=f"#{key}")) for key, title, _ in numbered]
    header = tag(
        "header",
        tag("p", "lookalike", class_="brand"),
        tag("h1", report.title),
        tag("p", report.subtitle, class_="lead") if report.subtitle else None,
        tag("p", report.created, class_="small"),
        tag("nav", tag("ul", links), aria_label="Sections"),
    )
    notes = tag(
        "aside",
        tag("h2", "Before you trust the numbers"),
        tag("ul", [tag("li", note) for note in report.notes]),
        class_="notes",
    )
    sections = [
        tag(
            "section",
            tag("h2", title, id=f"{key}-title"),
            content,
            id=key,
            aria_labelledby=f"{key}-title",
        )
        for key, title, content in numbered
    ]
    main = tag("main", notes if report.notes else None, *sections)
    page = tag("html", head, tag("body", header, main), lang="en")
    return f"<!doctype html>\n{page}\n"
