"""Right and wrong, as people mark them: a log, and the table that it makes.

marks.jsonl     a line a mark, appended; see `lookalike.records`
marks.csv       a dataset table: train on it, or evaluate with it
pictures/       the uploaded queries that were marked

Images joined by "right" are one class. Its name is a label that one of them has in the index, or
``marked-N``. What was only ever marked wrong is a distractor (−1). Queries are the images that
were searched with; the gallery is what was marked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookalike.files import write_text, write_with
from lookalike.records import append_record, read_records

_LOG = logging.getLogger("lookalike")
_FIELDS = {
    "query": str,
    "query_label": (str, type(None)),
    "path": str,
    "label": (str, type(None)),
    "right": (bool, type(None)),  # null: the mark was taken back
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("path", "label", "split", "is_query", "is_gallery")


class Marks:
    """The marks of one index.

    Args:
        folder: made at the first mark.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.pictures = folder, folder / "pictures"
        self._log = folder / "marks.jsonl"
        self._lock, self._told = threading.Lock(), list[str]()

    def keep(self, data: bytes) -> str:
        """Store an uploaded query, already decoded and encoded again; its path."""
        path = self.pictures / f"{hashlib.sha256(data).hexdigest()[:24]}.jpg"
        if not path.exists():
            write_with(path, lambda part: part.write_bytes(data))
        return str(path.absolute())

    def add(self, mark: dict[str, Any]) -> int:
        """Write a mark ``{query, query_label, path, label, right, score}``; how many there are.

        A mark whose ``right`` is None takes the one before back.
        """
        with self._lock:
            append_record(self._log, mark)
            marks = self.read()
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([COLUMNS, *table(marks)])
            write_text(self.folder / "marks.csv", text.getvalue())
            return len(marks)

    def read(self) -> list[dict[str, Any]]:
        """The marks that stand: of each pair the latest, unless that took it back.

        Lines that are damaged are left out, and logged.
        """
        records, wrong = read_records(self._log)
        latest: dict[tuple[str, str], dict[str, Any]] = {}
        for record in records:
            if all(isinstance(record.get(name, 0), kind) for name, kind in _FIELDS.items()):
                latest[record["query"], record["path"]] = record
            else:
                wrong.append(f"not a mark: {str(record)[:60]}")
        if wrong != self._told:
            self._told = wrong
            for reason in wrong:
                _LOG.warning("%s, %s; it is left out", self._log, reason)
        return [mark for mark in latest.values() if mark["right"] is not None]

    def lines(self) -> int:
        """How many records were ever written."""
        return len(read_records(self._log)[0])

    def csv(self, name: Callable[[str], str]) -> str:
        """The table for others to download: names in the place of paths.

        A cell that a spreadsheet would take for a formula begins with an apostrophe.
        """
        text = io.StringIO()
        rows = [(name(path), *more) for path, *more in table(self.read())]
        written = [[_plain(cell) for cell in row] for row in rows]
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *written])
        return text.getvalue()


def _plain(cell: str | bool) -> str | bool:
    formula = isinstance(cell, str) and cell.startswith(_FORMULA) and cell != "-1"
    return f"'{cell}" if formula else cell


def table(marks: list[dict[str, Any]]) -> list[tuple[str, str, str, bool, bool]]:
    """Marks as the rows of a dataset table, with `COLUMNS`.

    >>> mark = {"query": "q.jpg", "query_label": None, "path": "a.jpg", "label": "fox"}
    >>> table([mark | {"right": True}])
    [('q.jpg', 'fox', 'test', True, False), ('a.jpg', 'fox', 'test', False, True)]
    """
    parent: dict[str, str] = {}

    def root(path: str) -> str:
        parent.setdefault(path, path)
        while parent[path] != path:
            path = parent[path]
        return path

    known: dict[str, str | None] = {}
    queries, gallery, joined = set(), set(), set()
    for mark in marks:
        query, path = mark["query"], mark["path"]
        queries.add(query)
        gallery.add(path)
        known.setdefault(query, mark["query_label"])
        known.setdefault(path, mark["label"])
        if mark["right"]:
            parent[root(path)] = root(query)
            joined |= {query, path}
    names: dict[str, str] = {}
    for path in known:
        label = known[path]
        if path in joined and label is not None:
            names.setdefault(root(path), label)
    rows = []
    for path in known:
        label = "-1"
        if path in joined:
            label = names.setdefault(root(path), f"marked-{len(names)}")
        rows.append((path, label, "test", path in queries, path in gallery))
    return rows
