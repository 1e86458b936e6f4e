"""``lookalike search``: the nearest pictures of a query, as lines, JSON or a contact sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike.console import Console
from lookalike.search.image_search import png, search_images
from lookalike.search.index import Index


def run(
    index: str | Path,
    queries: Sequence[str | Path],
    *,
    top: int = 10,
    box: Sequence[float] | None = None,
    fuse: str | None = None,
    label: str | None = None,
    where: Sequence[str] = (),
    min_score: float | None = None,
    rerank: str | None = None,
    model: str | Path | None = None,
    student: bool = False,
    exclude_self: bool = False,
    as_json: bool = False,
    sheet: str | Path | None = None,
    why: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Search an index with pictures or its own items and print what was found.

    Args:
        index: an index folder.
        queries: picture files, or items of the index by id, as ``#12``.
        top: neighbours of each.
        box: ``x_1, y_1, x_2, y_2``: search with this part of each picture.
        fuse: the queries show one thing: ``average`` or ``best``, one answer to all.
        label: the queries' class, to mark right and wrong; an item of the index has its own.
        where: conditions on columns, such as ``label=fox``.
        min_score: leave out what scores less.
        rerank: a method of `lookalike.search.reranking`.
        model: embed the queries by this model instead of the index's own.
        student: ``model`` was distilled into the space of the index's model.
        exclude_self: a picture file that is in the index does not find itself either.
        as_json: print one JSON document instead of lines.
        sheet: also write a contact sheet here (PNG).
        why: also write here (PNG) which regions made each query and its first neighbours alike.

    Returns:
        One ``{"query": path, "hits": [{"id", "path", "score", "labels", …}]}`` a query.

    Raises:
        DataError: no index, an index without model, or a picture that cannot be read.
        ModelError: a model that did not make the index.
    """
    for option, target in (("--sheet", sheet), ("--why", why)):
        if target is not None:
            png(target, option)
    found = search_images(
        Index.open(index),
        queries,
        top=top,
        box=box,
        fuse=fuse,
        label=label,
        where=where,
        min_score=min_score,
        rerank=rerank,
        model=model,
        student=student,
        exclude_self=exclude_self,
        explains=why is not None,
    )
    console = Console(silent=as_json)
    if as_json:
        print(json.dumps(found.results, indent=2))
    _print(console, found.results)
    if exclude_self and (others := [q.name for q in found.queries if q.own is None]):
        console.say(f"note     not in the index, so nothing left out for: {', '.join(others)}")
    if sheet is not None:
        console.say(f"sheet    {found.sheet(sheet)}")
    if why is not None:
        console.say(f"why      {found.why(why)}")
    return found.results


def _print(console: Console, results: list[dict[str, Any]]) -> None:
    marks = {True: "✓", False: "✗", None: " "}
    for result in results:
        console.say(result["query"])
        for rank, hit in enumerate(result["hits"], start=1):
            label = next(iter(hit["labels"].values()), "")
            mark = marks[hit.get("right")]
            console.say(
                f"{rank:4d}  {hit['score']:.4f} {mark} {label:24s}  {hit['path']}  #{hit['id']}"
            )
        if not result["hits"]:
            console.say("      nothing: no picture meets the conditions")
