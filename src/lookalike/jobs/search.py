"""``lookalike search``: the nearest images of a query, as lines, JSON or a contact sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookalike.jobs.options import AsJson, IndexFolder, RerankMethod, Where

if TYPE_CHECKING:
    from lookalike.console import Console


def run(
    index: IndexFolder,
    queries: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Image files, or items of the index by id, as '#12'."
        ),
    ],
    *,
    top: Annotated[int, typer.Option(min=1, help="Number of neighbors per query.")] = 10,
    box: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="X1 Y1 X2 Y2", help="Search with this box of each image, in pixels."),
    ] = None,
    fuse: Annotated[
        Literal["average", "best"] | None,
        typer.Option(help="The queries show one object: give one answer to all of them."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Class of the queries, to mark results as right or wrong."),
    ] = None,
    where: Where = None,
    min_score: Annotated[float | None, typer.Option(help="Minimum score of a result.")] = None,
    rerank: Annotated[RerankMethod | None, typer.Option(help="Re-ranking method.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Model that embeds the queries; default: the index's own."),
    ] = None,
    student: Annotated[
        bool,
        typer.Option(
            "--student", help="The model of --model was distilled into the space of the index."
        ),
    ] = False,
    exclude_self: Annotated[
        bool,
        typer.Option("--exclude-self", help="Exclude the query itself if it is in the index."),
    ] = False,
    as_json: AsJson = False,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG).")] = None,
    why: Annotated[
        Path | None,
        typer.Option(help="Write which regions made query and neighbors alike (PNG)."),
    ] = None,
) -> list[dict[str, Any]]:
    """Find the nearest images: `lookalike search INDEX query.jpg --top 10`.

    Returns:
        One ``{"query": path, "hits": [{"id", "path", "score", "labels", …}]}`` a query.

    Raises:
        DataError: no index, an index without model, or an image that cannot be read.
        ModelError: a model that did not make the index.
    """
    from lookalike.console import Console
    from lookalike.search.image_search import png, search_images
    from lookalike.search.index import Index

    for option, target in (("--sheet", sheet), ("--why", why)):
        if target is not None:
            png(target, option)
    found = search_images(
        Index.open(index), queries, top=top, box=box, fuse=fuse, label=label, where=where or [],
        min_score=min_score, rerank=rerank, model=model, student=student,
        exclude_self=exclude_self, explains=why is not None,
    )  # fmt: skip
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
            console.say("      nothing: no image meets the conditions")
