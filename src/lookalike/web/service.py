"""What the server does, without HTTP: search, show, add, remove, mark."""

from __future__ import annotations

import io
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as untyped
from PIL import Image

from lookalike.errors import DataError, LookalikeError
from lookalike.files import write_with
from lookalike.search.asking import Question, ask, ask_fused, describe_hits
from lookalike.search.encoders import Encoder
from lookalike.search.generations import MANIFEST
from lookalike.search.index import Index
from lookalike.web.decoding import Decoders
from lookalike.web.marks import Marks
from lookalike.web.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

pc: Any = untyped  # its functions are made when it is loaded

UPLOADS = "uploads"
_THUMBNAILS = 4096
_LABELS = 500


class Absent(LookalikeError):  # noqa: N818 (an answer of HTTP: 404)
    """There is no such item, or its picture may not be shown."""


class Service:
    """One index and its model, ready to answer.

    Args:
        folder: the index.
        open_encoder: loads the model; called by `load`, in whatever thread calls that.
        settings: limits and permissions.
        timed: told each stage's name and seconds.
    """

    def __init__(
        self,
        folder: Path,
        open_encoder: Callable[[Index], Encoder],
        settings: Settings,
        timed: Callable[[str, float], None] = lambda stage, seconds: None,
    ) -> None:
        self.folder, self.settings = folder, settings
        self.index = Index.open(folder)
        self.encoder: Encoder | None = None
        self.failure: str | None = None
        self.decoders = Decoders(settings.concurrency, max_pixels=settings.max_pixels)
        self.marks = Marks(folder / "marks")
        self._open_encoder, self._timed = open_encoder, timed
        self._stamp = self._read_stamp()
        self._thumbnails: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model and warm it up; readiness comes with it."""
        try:
            encoder = self._open_encoder(self.index)
            grey = np.full((64, 64, 3), 128, np.uint8)
            self.index.search(encoder.pictures([grey]), 1)
            self.encoder = encoder
        except LookalikeError as error:
            self.failure = str(error)

    def close(self) -> None:
        """End the decoders."""
        self.decoders.close()

    def present(self) -> Index:
        """The index as it is on disk now: the command line may have changed it."""
        stamp = self._read_stamp()
        if stamp != self._stamp:
            with self._lock:
                if stamp != self._stamp:
                    self.index = Index.open(self.folder)
                    self._stamp = stamp
                    self._thumbnails.clear()
        return self.index

    def search(
        self,
        uploads: list[bytes],
        ids: list[int],
        question: Question,
        *,
        box: tuple[float, float, float, float] | None = None,
        fuse: str = "average",
    ) -> dict[str, Any]:
        """Search with uploads and items together, as pictures of one thing.

        Raises:
            DataError: nothing to search with, or a picture that cannot be decoded.
            Absent: no such item.
        """
        index, began = self.present(), time.perf_counter()
        if not uploads and not ids:
            raise DataError("send a picture, or the id of an item")
        vectors, own = [], [self._row(index, number) for number in ids]
        with self._stage("decode"):
            pictures = [self.decoders.pixels(data, box) for data in uploads]
            if box is not None and ids:
                pictures += [self.decoders.pixels(self._file(index, row), box) for row in own]
        with self._stage("embed"):
            if pictures:
                vectors.append(self._encoder().pictures(pictures))
            if own and box is None:
                vectors.append(np.asarray(index.vectors[np.array(own)], np.float32))
        queries = np.concatenate(vectors)
        with self._stage("search"):
            if len(queries) == 1:
                excluded = np.array(own) if own else None
                hits = ask(index, queries, question, excluded)
            else:
                hits = ask_fused(index, queries, question, fuse, own)
        found = [self._public(hit) for hit in describe_hits(index, hits)]
        return {"hits": found, "seconds": time.perf_counter() - began, "count": len(index)}

    def item(self, number: int) -> dict[str, Any]:
        """One item with all its columns."""
        index = self.present()
        row = self._row(index, number)
        item = {name: index.cell(name, row) for name in index.columns.column_names}
        hidden = {"path", "file_bytes", "file_mtime_ns", *index.levels}
        more = {name: value for name, value in item.items() if name not in hidden}
        return {
            "id": number,
            "name": self._name(str(item["path"])),
            "labels": {level: str(item[level]) for level in index.levels},
            "columns": {name: str(value) for name, value in more.items() if value is not None},
        }

    def thumbnail(self, number: int, side: int) -> bytes:
        """An item's picture as a JPEG, at most ``side`` pixels wide and high."""
        index = self.present()
        row = self._row(index, number)
        with self._lock:
            if (number, side) in self._thumbnails:
                self._thumbnails.move_to_end((number, side))
                return self._thumbnails[number, side]
        with self._stage("thumbnail"):
            try:
                data = self.decoders.thumbnail(self._file(index, row), side, _box(index, row))
            except DataError as error:
                raise Absent("the picture of this item can no longer be read") from error
        with self._lock:
            self._thumbnails[number, side] = data
            while len(self._thumbnails) > _THUMBNAILS:
                self._thumbnails.popitem(last=False)
        return data

    def add(self, data: bytes, label: str) -> dict[str, Any]:
        """Add an uploaded picture to the index; it is kept beside it, encoded again."""
        pixels = self.decoders.pixels(data)
        vector = self._encoder().pictures([pixels])
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=92)
        path = self.folder / UPLOADS / f"{time.time_ns()}.jpg"
        write_with(path, lambda part: part.write_bytes(file.getvalue()))
        index = self.present()
        items = _new_item(index, str(path.absolute()), label)
        number = int(self._change(lambda: index.add(vector, items)).ids[-1])
        return self.item(number)

    def remove(self, number: int) -> None:
        """Take an item out of the index; its file stays."""
        index = self.present()
        self._row(index, number)
        self._change(lambda: index.remove([number]))

    def mark(
        self, number: int, right: bool, *, query_id: int | None, upload: bytes | None, score: float
    ) -> int:
        """Say that an item is right or wrong for a query; how many marks there are."""
        index = self.present()
        row = self._row(index, number)
        if query_id is not None:
            query_row = self._row(index, query_id)
            query, label = str(index.cell("path", query_row)), self._label(index, query_row)
        elif upload is not None:
            file = io.BytesIO()
            Image.fromarray(self.decoders.pixels(upload)).save(file, "JPEG", quality=92)
            query, label = self.marks.keep(file.getvalue()), None
        else:
            raise DataError("say what was searched with: query_id, or the picture")
        return self.marks.add(
            {
                "query": query,
                "query_label": label,
                "path": str(index.cell("path", row)),
                "label": self._label(index, row),
                "right": right,
                "score": score,
                "time": time.time(),
            }
        )

    def stats(self) -> dict[str, Any]:
        """What the index is, and the labels that a filter may name."""
        index = self.present()
        return {
            "count": len(index),
            "width": index.vectors.width,
            "engine": index.engine["name"],
            "storage": index.vectors.storage,
            "backbone": index.manifest.get("model", {}).get("backbone"),
            "levels": index.levels,
            "labels": _label_counts(index),
            "changes": self.settings.changes,
            "marks": len(self.marks.read()),
        }

    def _change(self, change: Callable[[], Index]) -> Index:
        with self._lock:
            self.index = change()
            self._stamp = self._read_stamp()
            self._thumbnails.clear()
            return self.index

    def _encoder(self) -> Encoder:
        if self.encoder is None:
            raise Unready(self.failure or "the model is being loaded")
        return self.encoder

    def _row(self, index: Index, number: int) -> int:
        try:
            return int(index.rows_of([number])[0])
        except DataError as error:
            raise Absent(f"there is no item {number}") from error

    def _file(self, index: Index, row: int) -> bytes:
        """The file of an item, if it lies below a root once every link is followed."""
        real = os.path.realpath(str(index.cell("path", row)))
        roots = [*index.manifest.get("source", {}).get("roots", []), *self.settings.roots]
        roots.append(str(self.folder / UPLOADS))
        for root in roots:
            below = os.path.realpath(root)
            if real != below and os.path.commonpath([real, below]) == below:
                break
        else:
            raise Absent("the picture of this item lies outside the folders that may be shown")
        try:
            return Path(real).read_bytes()
        except OSError as error:
            raise Absent("the picture of this item is no longer there") from error

    def _name(self, path: str) -> str:
        """A picture's path below its root: what may be told to whoever asks."""
        for root in self.index.manifest.get("source", {}).get("roots", []):
            if path.startswith(f"{root}/") and ".." not in Path(path).parts:
                return path[len(root) + 1 :]
        return Path(path).name

    def _public(self, hit: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": hit["id"],
            "name": self._name(hit["path"]),
            "score": hit["score"],
            "labels": hit["labels"],
        }

    def _label(self, index: Index, row: int) -> str | None:
        label = str(index.cell(index.levels[0], row)) if index.levels else "-1"
        return None if label == "-1" else label

    def _read_stamp(self) -> tuple[int, int]:
        stat = (self.folder / MANIFEST).stat()
        return stat.st_mtime_ns, stat.st_ino

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._timed(name, time.perf_counter() - began)


class Unready(LookalikeError):  # noqa: N818 (an answer of HTTP: 503)
    """The model is not loaded yet, or could not be."""


def _new_item(index: Index, path: str, label: str) -> pd.DataFrame:
    """A row as the index has them; of the labels only the finest is known."""
    import pandas as pd

    row: dict[str, Any] = {"path": path, "split": "gallery"}
    for place, level in enumerate(index.levels):
        row[level] = label if place == 0 and label else "-1"
    frame = pd.DataFrame([{k: v for k, v in row.items() if k in index.items}])
    try:
        return frame.astype({name: index.items[name].dtype for name in frame})
    except ValueError as error:
        raise DataError(
            f"label: '{label}' is no number, and the labels of this index are"
        ) from error


def _label_counts(index: Index) -> dict[str, int]:
    """The most frequent finest labels and their numbers, most frequent first."""
    if not index.levels:
        return {}
    counts = pc.value_counts(index.columns[index.levels[0]]).to_pylist()
    counts.sort(key=lambda found: -found["counts"])
    words = {str(found["values"]): found["counts"] for found in counts[: _LABELS + 1]}
    words.pop("-1", None)
    return dict([*words.items()][:_LABELS])


def _box(index: Index, row: int) -> tuple[float, ...] | None:
    if "x_1" not in index.columns.column_names:
        return None
    box = [index.cell(name, row) for name in ("x_1", "y_1", "x_2", "y_2")]
    return None if box[0] is None or math.isnan(box[0]) else tuple(map(float, box))
