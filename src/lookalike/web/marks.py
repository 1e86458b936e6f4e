"""Right and wrong, as people mark them: a log, and the table that it makes.

marks.jsonl     a line a mark, appended
marks.csv       a dataset table: train on it, or evaluate with it
pictures/       the uploaded queries that were marked

Pictures joined by "right" are one class. Its name is a label that one of them has in the index, or
``marked-N``. What was only ever marked wrong is a distractor (−1). Queries are the pictures that
were searched with; the gallery is what was marked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

from lookalike.errors import RunError
from lookalike.files import write_text, write_with

COLUMNS = ("path", "label", "split", "is_query", "is_gallery")


class Marks:
    """The marks of one index.

    Args:
        folder: made at the first mark.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def keep(self, data: bytes) -> str:
        """Store an uploaded query, already decoded and encoded again; its path."""
        path = self.folder / "pictures" / f"{hashlib.sha256(data).hexdigest()[:24]}.jpg"
        if not path.exists():
            write_with(path, lambda part: part.write_bytes(data))
        return str(path.absolute())

    def add(self, mark: dict[str, Any]) -> int:
        """Write a mark ``{query, query_label, path, label, right, score}``; how many there are."""
        with self._lock:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / "marks.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(mark) + "\n")
                    log.flush()
                    os.fsync(log.fileno())
            except OSError as error:
                raise RunError(f"The mark cannot be written ({error.strerror}).") from error
            marks = self.read()
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([COLUMNS, *table(marks)])
            write_text(self.folder / "marks.csv", text.getvalue())
            return len(marks)

    def read(self) -> list[dict[str, Any]]:
        """All marks, of each pair the latest; a line cut by a crash is passed over."""
        path = self.folder / "marks.jsonl"
        if not path.is_file():
            return []
        latest: dict[tuple[str, str], dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                mark = json.loads(line)
            except json.JSONDecodeError:
                continue
            latest[mark["query"], mark["path"]] = mark
        return list(latest.values())


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
