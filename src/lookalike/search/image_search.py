"""Search an index with images: files, arrays or items of it; the answers as one object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.data.decode import read_picture
from lookalike.errors import ConfigError, DataError
from lookalike.files import write_with
from lookalike.search.asking import Question, ask, ask_fused, describe_hits
from lookalike.search.encoders import Encoder, open_encoder, own_encoder, refuse_stranger
from lookalike.search.index import Index

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """One query: an image file, perhaps a part of it, or an item of the index.

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


@dataclass(frozen=True)
class ImageHits:
    """The answers to some queries.

    Attributes:
        results: one ``{"query": path, "label": …, "hits": [{"id", "path", "score", "labels", …}]}``
            a query, best hit first.
        queries: what was asked.
        box: the part of each query image that was searched with; None: the whole.
        encoder: what embedded the queries; None where only items were asked.
    """

    results: list[dict[str, Any]]
    queries: list[Query]
    box: Box | None = None
    encoder: Encoder | None = None

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, query: int) -> list[dict[str, Any]]:
        return self.results[query]["hits"]

    def to_frame(self) -> pd.DataFrame:
        """A row a hit: ``query, rank, id, path, score``, a column a label level."""
        import pandas as pd  # a search that prints lines does without

        return pd.DataFrame(
            [
                {"query": result["query"], "rank": rank, **plain, **hit["labels"]}
                for result in self.results
                for rank, hit in enumerate(result["hits"], start=1)
                for plain in [{key: hit[key] for key in ("id", "path", "score")}]
            ]
        )

    def draw(self) -> Image:
        """A contact sheet: a row a query, its hits beside it."""
        from lookalike.report.sheets import Neighbour, SheetRow, contact_sheet

        rows = [
            SheetRow(
                query=read_picture(query.picture, self.box),
                neighbours=[
                    Neighbour(
                        image=hit["path"],
                        label=next(iter(hit["labels"].values()), ""),
                        score=hit["score"],
                        right=hit.get("right"),
                    )
                    for hit in result["hits"]
                ],
                title=" · ".join(filter(None, [Path(result["query"]).name, result["label"]])),
            )
            for result, query in zip(self.results, self.queries[: len(self.results)], strict=True)
        ]
        return contact_sheet(rows)

    def sheet(self, path: str | Path) -> Path:
        """Write the contact sheet as a PNG.

        Raises:
            ConfigError: another ending than ``.png``.
        """
        path = png(path, "sheet")
        write_with(path, lambda part: self.draw().save(part, format="PNG"))
        return path

    def why(self, path: str | Path) -> Path:
        """Write a PNG that shows which regions made each query and its first hits alike.

        Raises:
            ConfigError: another ending than ``.png``.
        """
        from lookalike.search.explain import write_why

        path = png(path, "why")
        if self.encoder is not None:
            images = [query.picture for query in self.queries]
            write_why(path, self.encoder, self.results, images, self.box)
        return path

    def _repr_html_(self) -> str:
        from lookalike.report.tables import Column, ReportTable, TableRow

        heads = ("query", "rank", "score", "image")
        return ReportTable(
            columns=[Column(name, numeric=name in ("rank", "score")) for name in heads],
            rows=[
                TableRow([str(row.query), str(row.rank), f"{row.score:.4f}", str(row.path)])
                for row in self.to_frame().itertuples()
            ],
            caption="Hits",
        ).to_html()


def png(path: str | Path, option: str) -> Path:
    """A path whose ending is ``.png``.

    Raises:
        ConfigError: it is another; ``option`` is named.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{option} {path}: that is a PNG; name a file.png.")
    return path


def search_images(
    index: Index,
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
    explains: bool = False,
) -> ImageHits:
    """Search an index with image files or its own items.

    Args:
        index: where to look.
        queries: image files, or items of the index by id, as ``#12``.
        top: neighbours of each.
        box: ``x_1, y_1, x_2, y_2``: search with this part of each image.
        fuse: the queries show one thing: ``average`` or ``best``, one answer to all.
        label: the queries' class, to mark right and wrong; an item of the index has its own.
        where: conditions on columns, such as ``label=fox``.
        min_score: leave out what scores less.
        rerank: a method of `lookalike.search.reranking`.
        model: embed the queries by this model instead of the index's own.
        student: ``model`` was distilled into the space of the index's model.
        exclude_self: an image file that is in the index does not find itself either.
        explains: `ImageHits.why` will be asked for: load the model even for items.

    Raises:
        DataError: an index without model, or an image that cannot be read.
        ModelError: a model that did not make the index.
    """
    asked = [_query(index, str(query), label, exclude_self=exclude_self) for query in queries]
    encoder = None
    if model is not None or explains or box is not None or any(q.row is None for q in asked):
        encoder = _encoder(index, model, student=student)
    area: Box | None = None if box is None else (box[0], box[1], box[2], box[3])
    vectors = np.concatenate([_embed(index, encoder, q, area) for q in asked])
    results = _answer(index, asked, vectors, Question(top, where, min_score, rerank), fuse)
    return ImageHits(results, asked, area, encoder)


def _query(index: Index, word: str, label: str | None, *, exclude_self: bool) -> Query:
    row = None
    if word.startswith("#") and word[1:].isdecimal():
        row = int(index.rows_of([int(word[1:])])[0])
    elif not Path(word).is_file():
        raise DataError(
            f"{word}: there is no such image. Name a file, or an item of the index, as '#12'."
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
