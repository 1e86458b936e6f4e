"""``lookalike search``: the nearest pictures of a query, as lines, JSON or a contact sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike.errors import ConfigError, DataError
from lookalike.files import write_with
from lookalike.jobs.console import Console
from lookalike.models import weights
from lookalike.search.index import MODEL, Index


def run(
    index: str | Path,
    queries: Sequence[str | Path],
    *,
    top: int = 10,
    as_json: bool = False,
    sheet: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Search an index with pictures and print what was found.

    Args:
        index: an index folder that holds its model.
        queries: picture files.
        top: neighbours of each.
        as_json: print one JSON document instead of lines.
        sheet: also write a contact sheet here (PNG).

    Returns:
        One ``{"query": path, "hits": [{"path", "score", "label", …}]}`` a query.

    Raises:
        DataError: no index, an index without model, or a picture that cannot be read.
    """
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise ConfigError(f"--sheet {sheet}: a contact sheet is a PNG; name a file.png.")
    found = Index.open(index)
    for query in queries:
        if not Path(query).is_file():
            raise DataError(f"{query}: there is no such picture.")
    if not (found.folder / MODEL).is_dir():
        raise DataError(f"{found.folder} holds no model, so it cannot embed a picture.")
    model = weights.load(found.folder / MODEL)
    vectors = model.encode([str(q) for q in queries])
    hits = found.search(vectors, top)
    results = [
        {
            "query": str(query),
            "hits": [_hit(found, int(r), float(s)) for r, s in zip(rows, scores, strict=True)],
        }
        for query, rows, scores in zip(queries, hits.rows, hits.scores, strict=True)
    ]
    console = Console()
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        _print(console, results)
    if sheet is not None:
        _write_sheet(Path(sheet), results)
        if not as_json:
            console.say(f"sheet    {sheet}")
    return results


def _hit(index: Index, row: int, score: float) -> dict[str, Any]:
    item = index.items.iloc[row]
    levels = index.manifest.get("levels", [])
    labels = {level: str(item[level]) for level in levels if level in item}
    return {"path": str(item["path"]), "score": round(score, 6), "labels": labels}


def _print(console: Console, results: list[dict[str, Any]]) -> None:
    for result in results:
        console.say(result["query"])
        for rank, hit in enumerate(result["hits"], start=1):
            label = next(iter(hit["labels"].values()), "")
            console.say(f"{rank:4d}  {hit['score']:.4f}  {label:24s}  {hit['path']}")


def _write_sheet(path: Path, results: list[dict[str, Any]]) -> None:
    from lookalike.report.sheets import Neighbour, SheetRow, contact_sheet

    rows = [
        SheetRow(
            query=result["query"],
            neighbours=[
                Neighbour(
                    picture=hit["path"],
                    label=next(iter(hit["labels"].values()), ""),
                    score=hit["score"],
                    right=None,
                )
                for hit in result["hits"]
            ],
            title=Path(result["query"]).name,
        )
        for result in results
    ]
    image = contact_sheet(rows)
    write_with(path, lambda part: image.save(part, format="PNG"))
