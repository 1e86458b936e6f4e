"""``lookalike index audit``: copies, outliers, hubs and doubtful labels, with images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.jobs.options import IndexFolder, LabelColumn, page_file


def run(
    folder: IndexFolder,
    *,
    out: Annotated[Path | None, typer.Option(help="Write a page (HTML).")] = None,
    label: LabelColumn = None,
    k: Annotated[int, typer.Option(min=2, help="Neighbors considered per image.")] = 10,
    same: Annotated[
        float | None,
        typer.Option(help="Cosine threshold for near-duplicates; default: chosen by the data."),
    ] = None,
    shown: Annotated[
        int, typer.Option(min=1, help="Maximum rows of each section of the page.")
    ] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
) -> dict[str, Any]:
    """Look for copies, outliers, hubs and doubtful labels: `index audit INDEX --out audit.html`.

    Returns:
        ``exact``, ``copies``, ``outliers``, ``hubs``, ``suspects`` with ids and paths, and what
        they are judged by.

    Raises:
        DataError: no index, or no such column.
    """
    from lookalike.console import Console
    from lookalike.files import write_text
    from lookalike.search.audit_page import AuditPage, judged_column, listed, summarize
    from lookalike.search.auditing import audit
    from lookalike.search.index import Index

    page = None if out is None else page_file(out)
    console = Console(silent=as_json)
    index = Index.open(folder)
    column = judged_column(index, label)
    labels = None if column is None else index.items[column].astype("str").to_numpy(object)
    with console.embedding(f"neighbours of {folder}", len(index)) as advance:
        found = audit(index, labels, k=k, same=same, progress=advance)
    result = listed(index, found)
    if as_json:
        print(json.dumps(result, indent=2))
    summarize(console, found, column, k)
    if page is not None:
        name = Path(folder).name
        drawn = AuditPage(index, found, labels, shown)
        write_text(page, drawn.render(f"Audit of {name}", f"lookalike index audit {name}"))
        console.say(f"page      {out}")
    return result
