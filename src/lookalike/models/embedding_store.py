"""Embedded rows on disk, a file for each stretch of them, so that a killed pass goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from lookalike import distributed
from lookalike.errors import DataError
from lookalike.files import remove_tree, write_with

SECONDS = 20.0  # between two writes: what a kill can cost


class Embedded(NamedTuple):
    """What a pass has embedded.

    Attributes:
        vectors: float32 ``(n, D)``, in the order of the rows.
        rows: int64 ``(n,)``, rising: the row of each vector.
        unreadable: row → why its file could not be read.
    """

    vectors: np.ndarray
    rows: np.ndarray
    unreadable: dict[int, str]


class EmbeddingStore:
    """Parts of a pass, each whole or not there.

    Which process embedded a row does not matter: any number of processes may go on with what any
    other number left. The name of the folder must tell apart what gives other vectors: the model,
    the images, the precision.

    Args:
        folder: where the parts lie; made when there is something to keep.
        size: how many rows there are.
        every: seconds between two writes.

    Attributes:
        before: what was embedded before this pass began; None where nothing was.
        done: bool ``(size,)``: its rows, unreadable ones included.
    """

    def __init__(self, folder: Path, size: int, every: float = SECONDS) -> None:
        self.folder, self._every = folder, every
        self._waiting: list[Embedded] = []
        self._written = time.monotonic()
        # The others must not see what the first of them writes by then.
        files: list[Path] = distributed.broadcast_object(sorted(folder.glob("rows-*.npz")))
        self.before = merged([_read(path) for path in files]) if files else None
        self.done = np.zeros(size, bool)
        if self.before is not None:
            self.done[self.before.rows] = True
            self.done[list(self.before.unreadable)] = True

    @classmethod
    def of_plan(cls, folder: Path, plan: dict[str, Any], size: int) -> EmbeddingStore:
        """The store of whatever decides what the vectors are; that of another plan is removed.

        Args:
            folder: holds one store at a time.
            plan: model, images, precision, …, as JSON takes them.
            size: how many rows there are.
        """
        digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
        if folder.is_dir() and not (folder / digest).is_dir():
            remove_tree(folder, folder.parent)
        return cls(folder / digest, size)

    def add(self, part: Embedded) -> None:
        """Keep what a batch gave; it is written now and then."""
        self._waiting.append(part)
        if time.monotonic() - self._written >= self._every:
            self.write()

    def write(self) -> None:
        """Write what is waiting, whole or not at all."""
        if not self._waiting:
            return
        part = merged(self._waiting)
        known = [*part.rows.tolist(), *part.unreadable]
        if not known:
            return
        path = self.folder / f"rows-{min(known)}-{max(known)}.npz"
        write_with(path, lambda sibling: _save(sibling, part))
        self._waiting, self._written = [], time.monotonic()

    def remove(self) -> None:
        """The pass is complete, and what it gave is kept elsewhere."""
        remove_tree(self.folder, self.folder.parent)
        with suppress(OSError):  # it holds something else, or was never made
            self.folder.parent.rmdir()


def collect(
    parts: Iterable[Embedded],
    width: int,
    *,
    store: EmbeddingStore | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Embedded:
    """Keep parts as they come, and put this process's and all others' together.

    Args:
        parts: of this process.
        width: of the embeddings.
        store: where parts are kept; what it holds already is part of the answer.
        on_batch: see `lookalike.models.embedding.embed_table`.
    """
    if store is not None and store.before is not None and on_batch is not None:
        on_batch(int(store.done.sum()))
    world = distributed.world_size()
    own = [Embedded(np.empty((0, width), np.float32), np.empty(0, np.int64), {})]
    for part in parts:
        own.append(part)
        if store is not None:
            store.add(part)
        if on_batch is not None:  # the others are as far as this process
            on_batch((len(part.rows) + len(part.unreadable)) * world)
    if store is not None:
        store.write()
    shares: list[Embedded] = distributed.gather_objects(merged(own))
    if store is not None and store.before is not None:
        shares.append(store.before)
    return merged(shares)


def merged(parts: list[Embedded]) -> Embedded:
    """Several parts as one, in the order of the rows."""
    vectors = np.concatenate([part.vectors for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    unreadable = {row: why for part in parts for row, why in part.unreadable.items()}
    if (np.diff(rows) < 0).any():
        place = np.argsort(rows, kind="stable")
        vectors, rows = vectors[place], rows[place]
    return Embedded(vectors, rows, unreadable)


def _read(path: Path) -> Embedded:
    try:
        with np.load(path, allow_pickle=False) as kept:
            unreadable = json.loads(str(kept["unreadable"])) if "unreadable" in kept else {}
            return Embedded(
                kept["vectors"], kept["rows"], {int(row): why for row, why in unreadable.items()}
            )
    except (OSError, ValueError, KeyError, AttributeError, BadZipFile) as error:
        raise DataError(
            f"{path} is damaged ({error}): delete the file, and its images are embedded again"
        ) from error


def _save(path: Path, part: Embedded) -> None:
    with path.open("wb") as file:  # numpy would add its own suffix to a name
        unreadable = np.array(json.dumps(part.unreadable))
        np.savez(file, vectors=part.vectors, rows=part.rows, unreadable=unreadable)
