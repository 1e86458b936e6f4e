"""``lookalike search``: the nearest pictures of a query, as lines, JSON or a contact sheet."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.console import Console
from lookalike.data.decode import read_picture
from lookalike.errors import ConfigError, DataError
from lookalike.files import write_with
from lookalike.search.asking import Question, ask, ask_fused, describe_hits
from lookalike.search.encoders import Encoder, open_encoder, own_encoder, refuse_stranger
from lookalike.search.index import Index

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """One query: a picture file, perhaps a part of it, or an item of the index.

    Attributes:
        name: how it is called in the answer.
        picture: its file.
        row: its row where it was asked for by id; it does not find itself.
        label: its class, where it is known: then right and wrong are marked.
        own: the row that it may not find, its own.
    """

    name: str
    picture: str
    row: int | None
    label: str | None
    own: int | None = None


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
        if target is not None and Path(target).suffix.lower() != ".png":
            raise ConfigError(f"{option} {target}: that is a PNG; name a file.png.")
    found = Index.open(index)
    asked = [_query(found, str(query), label, exclude_self=exclude_self) for query in queries]
    encoder = None
    if model is not None or why is not None or box is not None or any(q.row is None for q in asked):
        encoder = _encoder(found, model, student=student)
    area: Box | None = None if box is None else (box[0], box[1], box[2], box[3])
    vectors = np.concatenate([_embed(found, encoder, q, area) for q in asked])
    question = Question(top, where, min_score, rerank)
    results = _answer(found, asked, vectors, question, fuse)
    console = Console()
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        _print(console, results)
        if exclude_self and (others := [q.name for q in asked if q.own is None]):
            console.say(f"note     not in the index, so nothing left out for: {', '.join(others)}")
    if sheet is not None:
        _write_sheet(Path(sheet), results, asked, area)
        if not as_json:
            console.say(f"sheet    {sheet}")
    if why is not None and encoder is not None:
        from lookalike.search.explain import write_why

        write_why(Path(why), encoder, results, [q.picture for q in asked], area)
        if not as_json:
            console.say(f"why      {why}")
    return results


def _query(index: Index, word: str, label: str | None, *, exclude_self: bool) -> Query:
    row = None
    if word.startswith("#") and word[1:].isdecimal():
        row = int(index.rows_of([int(word[1:])])[0])
    elif not Path(word).is_file():
        raise DataError(
            f"{word}: there is no such picture. Name a file, or an item of the index, as '#12'."
        )
    path = word if row is None else str(index.cell("path", row))
    known = row
    if known is None and (exclude_self or (label is None and index.levels)):
        known = _row_of(index, os.path.abspath(path))  # noqa: PTH100
    if label is None and index.levels and known is not None:
        label = str(index.cell(index.levels[0], known))
        label = None if label == "-1" else label
    return Query(word, path, row, label, own=known if exclude_self else row)


def _row_of(index: Index, path: str) -> int | None:
    paths = index.columns["path"].to_pylist()
    return paths.index(path) if path in paths else None


def _encoder(index: Index, model: str | Path | None, *, student: bool) -> Encoder:
    if model is None:
        return own_encoder(index)
    encoder = open_encoder(model)
    refuse_stranger(encoder, index.manifest, index.folder, student=student)
    return encoder


def _embed(index: Index, encoder: Encoder | None, query: Query, box: Box | None) -> np.ndarray:
    if encoder is None or (query.row is not None and box is None):
        return np.asarray(index.vectors[np.array([query.row])], np.float32)
    return encoder.pictures([read_picture(query.picture, box)])


def _answer(
    index: Index, asked: list[Query], vectors: np.ndarray, question: Question, fuse: str | None
) -> list[dict[str, Any]]:
    if fuse is not None:
        own = [q.own for q in asked if q.own is not None]
        hits = ask_fused(index, vectors, question, fuse, own)
        names = [", ".join(q.name for q in asked)]
        asked = asked[:1]
    else:
        own_rows = np.array([-1 if q.own is None else q.own for q in asked])
        hits = ask(index, vectors, question, own_rows if (own_rows >= 0).any() else None)
        names = [q.name for q in asked]
    results = []
    for i, (name, query) in enumerate(zip(names, asked, strict=True)):
        found = describe_hits(index, hits, i)
        if query.label is not None:
            for hit in found:
                hit["right"] = next(iter(hit["labels"].values()), None) == query.label
        results.append({"query": name, "label": query.label, "hits": found})
    return results


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


def _write_sheet(
    path: Path, results: list[dict[str, Any]], asked: list[Query], box: Box | None
) -> None:
    from lookalike.report.sheets import Neighbour, SheetRow, contact_sheet

    rows = [
        SheetRow(
            query=read_picture(query.picture, box),
            neighbours=[
                Neighbour(
                    picture=hit["path"],
                    label=next(iter(hit["labels"].values()), ""),
                    score=hit["score"],
                    right=hit.get("right"),
                )
                for hit in result["hits"]
            ],
            title=" · ".join(filter(None, [Path(result["query"]).name, result["label"]])),
        )
        for result, query in zip(results, asked[: len(results)], strict=True)
    ]
    image = contact_sheet(rows)
    write_with(path, lambda part: image.save(part, format="PNG"))
