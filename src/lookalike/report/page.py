"""The page of a run."""

from __future__ import annotations

import os
from pathlib import Path

from lookalike.files import write_text
from lookalike.report.contents import RunReport
from lookalike.report.curves import charts
from lookalike.report.health import health_charts
from lookalike.report.map_plot import draw_map
from lookalike.report.plots import draw_charts
from lookalike.report.render import Part, render_page
from lookalike.report.sections import confusion_part, definitions_part, results


def render_report(report: RunReport) -> str:
    """The whole page as text; the same report gives the same bytes.

    >>> page = render_report(RunReport(title="toy", command="lookalike train", created="today"))
    >>> page.startswith("<!doctype html>") and "lookalike train" in page
    True
    """
    sections = report.evaluations

    def titled(title: str, split: str) -> str:
        return f"{title}: {split}" if len(sections) > 1 else title

    parts = [
        Part(titled("Results", one.split), "results", results(one, report.published))
        for one in sections
    ]
    levels = max((section.levels for section in sections), key=len, default=())
    if curves := charts(report.rows, levels=levels):
        parts.append(Part("Training", "drawn", draw_charts(curves)))
    if health := health_charts(report.rows):
        parts.append(Part("Health of the training", "drawn", draw_charts(health, report.warnings)))
    parts += [
        Part(titled("Retrieved neighbours", one.split), "sheets", one.sheets)
        for one in sections
        if one.sheets
    ]
    parts += [
        Part(titled("Map of the embeddings", one.split), "drawn", draw_map(one.map))
        for one in sections
        if one.map is not None
    ]
    for one in sections:
        parts += confusion_part(titled("Confused classes", one.split), one)
    parts += definitions_part(sections)
    parts.append(Part("How it was made", "made", report))
    return render_page(report, parts)


def write_report(path: str | os.PathLike[str], report: RunReport) -> Path:
    """Write the page so that at every moment the file is the old page, or the new, or absent.

    Args:
        path: the file to write, such as ``runs/x/report.html``.
        report: what to say.

    Returns:
        The path written.

    Raises:
        RunError: the folder is not writable or full; nothing half-written is left.
        LookalikeError: an image given as an array is not uint8 ``(H, W, 3)``.
    """
    target = Path(path)
    write_text(target, render_report(report))
    return target
