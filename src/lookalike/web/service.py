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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as untyped
from PIL import Image

from lookalike.errors import ConfigError, DataError, LookalikeError, RunError, counted
from lookalike.files import write_with
from lookalike.search.asking import Question, ask, ask_fused, describe_hits
from lookalike.search.encoders import Encoder
from lookalike.search.filters import matching, split_condition
from lookalike.search.generations import MARKS, UPLOADS
from lookalike.search.index import Index
from lookalike.web.decoding import Decoders
from lookalike.web.marks import Marks
from lookalike.web.names import Names
from lookalike.web.settings import Settings
from lookalike.web.state import Pair, State

if TYPE_CHECKING:
    import pandas as pd

pc: Any = untyped  # its functions are made when it is loaded

_CONDITIONS = 20
_CONDITION = 10_000
_LABELS = 500


class Absent(LookalikeError):  # noqa: N818 (an answer of HTTP: 404)
    """There is no such item, or its image may not be shown."""


class Forbidden(LookalikeError):  # noqa: N818 (an answer of HTTP: 403)
    """The server was started without this permission."""


class Full(RunError):  # noqa: N818 (an answer of HTTP: 507)
    """What the server may keep is used up."""


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
        self.decoders = Decoders(
            settings.concurrency,
            max_pixels=settings.max_pixels,
            max_side=settings.max_side,
            max_aspect=settings.max_aspect,
        )
        self.marks = Marks(folder / MARKS)
        self._timed = timed
        self._thumbnails: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._thumbnail_bytes = 0
        self._lock = threading.Lock()
        self.state = State(folder, open_encoder, self._take_up)

    def load(self) -> None:
        """Load the model and warm it up; readiness comes with it."""
        self.state.load()

    def close(self) -> None:
        """End the decoders."""
        self.decoders.close()

    def present(self) -> Index:
        """The index as it is on disk now: the command line may have changed it."""
        return self.state.present().index

    def require_ready(self) -> None:
        """Nothing, where the model of the present index is loaded.

        Raises:
            Unready: it is not, and why.
        """
        self.state.present().require_encoder()

    def hide(self, text: str) -> str:
        """A text without the places of folders on this machine."""
        return self._names(self.state.latest.index).hide(text)

    def _take_up(self, pair: Pair) -> None:
        """Another state of the index: thumbnails are of the one before, the model's size may be."""
        with self._lock:
            self._thumbnails.clear()
            self._thumbnail_bytes = 0
        if pair.encoder is not None:
            self.decoders.resized = math.ceil(256 / 224 * pair.encoder.size)

    def _names(self, index: Index) -> Names:
        return Names(index, self.folder, self.settings.roots)

    def search(
        self,
        uploads: list[bytes],
        ids: list[int],
        question: Question,
        *,
        box: tuple[float, float, float, float] | None = None,
        fuse: str = "average",
    ) -> dict[str, Any]:
        """Search with uploads and items together, as images of one thing.

        Raises:
            DataError: nothing to search with, or an image that cannot be decoded.
            Absent: no such item.
        """
        pair, began = self.state.present(), time.perf_counter()
        index = pair.index
        if not uploads and not ids:
            raise DataError("send an image, or the id of an item")
        vectors, own = [], [self._row(index, number) for number in ids]
        with self._stage("decode"):
            pictures = [self.decoders.pixels(data, box) for data in uploads]
            if box is not None and ids:
                pictures += [self.decoders.pixels(self._file(index, row), box) for row in own]
        with self._stage("embed"):
            if pictures:
                vectors.append(pair.require_encoder().pictures(pictures))
            if own and box is None:
                vectors.append(np.asarray(index.vectors[np.array(own)], np.float32))
        queries = np.concatenate(vectors)
        names = self._names(index)
        with self._stage("search"):
            question = self._asked(index, names, question)
            if len(queries) == 1:
                excluded = np.array(own) if own else None
                hits = ask(index, queries, question, excluded)
            else:
                hits = ask_fused(index, queries, question, fuse, own)
        found = [
            {
                "id": hit["id"],
                "name": names.name(hit["path"]),
                "score": hit["score"],
                "labels": hit["labels"],
            }
            for hit in describe_hits(index, hits)
        ]
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
            "name": self._names(index).name(str(item["path"])),
            "labels": {level: str(item[level]) for level in index.levels},
            "columns": {name: str(value) for name, value in more.items() if value is not None},
        }

    def thumbnail(self, number: int, side: int) -> bytes:
        """An item's image as a JPEG, at most ``side`` pixels wide and high."""
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
                raise Absent("the image of this item can no longer be read") from error
        with self._lock:
            before = self._thumbnails.pop((number, side), b"")
            self._thumbnails[number, side] = data
            self._thumbnail_bytes += len(data) - len(before)
            while self._thumbnail_bytes > self.settings.thumbnail_bytes:
                self._thumbnail_bytes -= len(self._thumbnails.popitem(last=False)[1])
        return data

    def add(self, data: bytes, label: str) -> dict[str, Any]:
        """Add an uploaded image to the index; it is kept beside it, encoded again."""
        pair = self.state.present()
        pixels = self.decoders.pixels(data)
        vector = pair.require_encoder().pictures([pixels])
        file = _as_jpeg(pixels)
        self._require_room(len(file))
        path = self.folder / UPLOADS / f"{time.time_ns()}.jpg"
        items = _new_item(pair.index, str(path.absolute()), label)
        write_with(path, lambda part: part.write_bytes(file))
        try:
            number = int(self.state.change(lambda _: pair.index.add(vector, items)).ids[-1])
        except BaseException:
            path.unlink(missing_ok=True)  # nothing points to it
            raise
        return self.item(number)

    def remove(self, number: int) -> None:
        """Take an item out of the index; its file stays."""
        index = self.present()
        self._row(index, number)
        self.state.change(lambda _: index.remove([number]))

    def mark(
        self,
        number: int,
        right: bool | None,
        *,
        query_id: int | None,
        upload: bytes | None,
        score: float,
    ) -> int:
        """Say that an item is right or wrong for a query, or (None) neither; how many marks are."""
        if not self.settings.marks:
            raise Forbidden("this server keeps no marks; start it without --no-marks")
        if self.marks.lines() >= self.settings.max_marks:
            raise Full(
                f"there are {counted(self.settings.max_marks, 'mark')}, as many as this server may"
                " keep; "
                "take marks.jsonl away, or start it with a larger --max-marks"
            )
        index = self.present()
        row = self._row(index, number)
        if query_id is not None:
            query_row = self._row(index, query_id)
            query, label = str(index.cell("path", query_row)), self._label(index, query_row)
        elif upload is not None:
            file = _as_jpeg(self.decoders.pixels(upload))
            self._require_room(len(file))
            query, label = self.marks.keep(file), None
        else:
            raise DataError("say what was searched with: query_id, or the image")
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
            "backbone": (index.manifest.get("model") or {}).get("backbone"),
            "levels": index.levels,
            "labels": _label_counts(index),
            "changes": self.settings.changes,
            "keeps_marks": self.settings.marks,
            "marks": len(self.marks.read()),
        }

    def marks_table(self) -> str:
        """The table of marks as CSV, with names in the place of full paths.

        Raises:
            Absent: nothing has been marked.
        """
        if not self.marks.lines():
            raise Absent("nothing has been marked yet")
        return self.marks.csv(self._names(self.present()).name)

    def _asked(self, index: Index, names: Names, question: Question) -> Question:
        """The question with conditions on paths decided by the names that are told."""
        if len(question.where) > _CONDITIONS or any(len(c) > _CONDITION for c in question.where):
            raise ConfigError(
                f"where: at most {counted(_CONDITIONS, 'condition')} of"
                f" {counted(_CONDITION, 'character')} are taken"
            )
        here = [text for text in question.where if split_condition(text)[0] == "path"]
        if not here:
            return question
        there = [text for text in question.where if text not in here]
        return replace(question, where=there, allowed=matching(names.table(), here))

    def _require_room(self, size: int) -> None:
        """Refuse to keep an upload beyond the quota.

        Raises:
            Full: says how much there is.
        """
        kept = (self.folder / UPLOADS, self.marks.pictures)
        taken = sum(f.stat().st_size for k in kept if k.is_dir() for f in k.iterdir())
        if taken + size > self.settings.max_stored:
            raise Full(
                f"the images that this server keeps take {taken:,} of"
                f" {counted(self.settings.max_stored, 'byte')}; remove some, or start it with a"
                " larger --max-stored"
            )

    def _row(self, index: Index, number: int) -> int:
        try:
            return int(index.rows_of([number])[0])
        except DataError as error:
            raise Absent(f"there is no item {number}") from error

    def _file(self, index: Index, row: int) -> bytes:
        """The file of an item, if it lies below a root once every link is followed."""
        real = os.path.realpath(str(index.cell("path", row)))
        roots = [*self.settings.roots, str(self.folder / UPLOADS)]
        if index.is_own:  # another's index could name any folder of this machine
            roots += (index.manifest.get("source") or {}).get("roots", [])
        for root in roots:
            below = os.path.realpath(root)
            if real != below and os.path.commonpath([real, below]) == below:
                break
        else:
            hint = "" if index.is_own else "; of another's index, name them with --root"
            raise Absent(f"the image of this item lies outside the folders that may be shown{hint}")
        try:
            return Path(real).read_bytes()
        except OSError as error:
            raise Absent("the image of this item is no longer there") from error

    def _label(self, index: Index, row: int) -> str | None:
        label = str(index.cell(index.levels[0], row)) if index.levels else "-1"
        return None if label == "-1" else label

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._timed(name, time.perf_counter() - began)


def _as_jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


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
            f"label: '{label}' is not a number, and the labels of this index are"
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
