"""A long evaluation that may be killed: finished queries lie in a folder and are found again."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import documents
from lookalike.errors import DataError
from lookalike.files import write_text, write_with
from lookalike.metrics.inputs import Problem

SECONDS = 20.0  # between two writes: what a kill can cost
_LAYOUT = 1  # raised when the files change, or the numbers in them
_NAME = re.compile(r"queries-(\d+)-(\d+)\.npy")


def fingerprint(task: Problem, settings: object) -> str:
    """SHA-256 of everything that decides a number: vectors, labels, exclusions and settings.

    Args:
        task: what is evaluated.
        settings: the options, as something whose ``repr`` tells them apart.
    """
    whole = hashlib.sha256(repr((_LAYOUT, settings)).encode())
    arrays = [task.query.exact, task.gallery.exact, task.query_codes, task.gallery_codes, task.own]
    if task.groups is not None:
        arrays += [task.groups[0], task.groups[1].codes]
    for array in arrays:
        whole.update(f"{array.dtype} {array.shape}".encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


class Finished:
    """The rows of finished queries, a file for each stretch of them.

    A row is a query's numbers under ``columns``. Which process finished it does not matter: any
    number of processes may go on with what any other number left.

    Args:
        folder: where they lie; made when it is not there.
        key: the `fingerprint` of the evaluation.
        columns: what a row holds.

    Raises:
        DataError: the folder holds another evaluation.
    """

    def __init__(self, folder: Path, key: str, columns: list[str]) -> None:
        self._folder = folder
        self._columns = len(columns)
        self._start = 0
        self._waiting: list[np.ndarray] = []
        self._written = time.monotonic()
        about = folder / "evaluation.json"
        if about.is_file():
            if documents.read_json(about, dict[str, Any]).get("fingerprint") != key:
                raise DataError(
                    f"resume={folder} holds an evaluation of other vectors, labels or settings. "
                    "Delete the folder, or name another one."
                )
        else:
            write_text(about, json.dumps({"fingerprint": key, "columns": columns}, indent=1) + "\n")

    def read_into(self, rows: np.ndarray, first: int) -> np.ndarray:
        """Fill in what is finished of queries ``first, first + 1, …``; True where it is.

        Args:
            rows: ``(n, columns)``, overwritten where finished.
            first: the query of the first row.
        """
        done = np.zeros(len(rows), bool)
        for path in sorted(self._folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            start, stop = int(name[1]), int(name[2])
            low, high = max(start, first), min(stop, first + len(rows))
            if low >= high:
                continue
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            if found.shape != (stop - start, self._columns):
                raise DataError(
                    f"{path} holds {found.shape} numbers instead of "
                    f"{(stop - start, self._columns)}: delete the file, and its queries are "
                    "evaluated again"
                )
            rows[low - first : high - first] = found[low - start : high - start]
            done[low - first : high - first] = True
        return done

    def add(self, start: int, rows: np.ndarray) -> None:
        """Note the queries from ``start`` on; written now and then, and by `write`."""
        if self._waiting and start != self._start + sum(map(len, self._waiting)):
            self.write()
        if not self._waiting:
            self._start = start
        self._waiting.append(rows.copy())
        if time.monotonic() - self._written >= SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is waiting, whole or not at all."""
        if self._waiting:
            rows = np.concatenate(self._waiting)
            path = self._folder / f"queries-{self._start}-{self._start + len(rows)}.npy"
            write_with(path, lambda sibling: _save(sibling, rows))
            self._waiting = []
        self._written = time.monotonic()


def _save(path: Path, rows: np.ndarray) -> None:
    with path.open("wb") as file:  # numpy would add its own suffix to a name
        np.save(file, rows)
