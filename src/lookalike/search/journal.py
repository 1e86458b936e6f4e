"""What a build has embedded so far, so that one that was killed goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import documents
from lookalike.data.table import Table
from lookalike.errors import DataError, DiskError
from lookalike.files import remove_tree, write_text, write_with
from lookalike.search.encoders import Encoder

PART = 1024  # pictures between two writes


class Journal:
    """Parts of embeddings on disk, each whole or not there, bound to a plan.

    Args:
        folder: made when missing. Parts of another plan in it are removed.
        plan: whatever decides what the vectors are: model, pictures, precision.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        said = folder / "plan.json"
        # A plan that cannot be read is another plan.
        with suppress(DataError):
            if said.is_file() and documents.read_json(said, dict[str, Any]) == plan:
                return
        try:
            remove_tree(folder, folder.parent)
            folder.mkdir(parents=True)
        except OSError as error:
            raise DiskError(f"Cannot write {folder}: {error.strerror or error}.") from error
        write_text(said, json.dumps(plan))

    def read(self) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Rows, vectors and broken files of all parts."""
        rows, vectors, broken = [], [], {}
        for path in self._parts():
            with np.load(path, allow_pickle=False) as part:
                rows.append(part["rows"])
                vectors.append(part["vectors"])
                broken |= {int(k): v for k, v in json.loads(str(part["broken"])).items()}
        if not rows:
            return np.empty(0, np.int64), np.empty((0, 0), np.float32), broken
        return np.concatenate(rows), np.concatenate(vectors), broken

    def write(self, rows: np.ndarray, vectors: np.ndarray, broken: dict[int, str]) -> None:
        """One more part."""
        path = self.folder / f"part-{len(self._parts()):06d}.npz"

        def save(part: Path) -> None:
            with part.open("wb") as file:
                np.savez(file, rows=rows, vectors=vectors, broken=np.array(json.dumps(broken)))

        write_with(path, save)

    def remove(self) -> None:
        """Nothing is under way any more."""
        remove_tree(self.folder, self.folder.parent)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.npz"))


def embed_table(
    encoder: Encoder,
    table: Table,
    journal: Journal | None,
    *,
    batch_size: int,
    workers: int,
    on_batch: Callable[[int], None] | None = None,
    part: int = PART,
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Embed every row of a table, those that a journal holds already excepted.

    Returns:
        vectors float32 ``(n, D)`` in the order of the table, their rows int64 ``(n,)``, and
        row → reason of every file that cannot be read.
    """
    done, had, broken = (
        journal.read()
        if journal is not None
        else (np.empty(0, np.int64), np.empty((0, 0), np.float32), {})
    )
    all_rows, all_vectors = [done], [had.reshape(len(done), encoder.width)]
    left = np.setdiff1d(np.arange(len(table)), np.concatenate([done, np.array([*broken], int)]))
    if on_batch is not None and len(left) < len(table):
        on_batch(len(table) - len(left))
    waiting: list[tuple[np.ndarray, np.ndarray, dict[int, str]]] = []

    def flush() -> None:
        if waiting:
            rows, vectors, bad = zip(*waiting, strict=True)
            merged = {row: why for one in bad for row, why in one.items()}
            all_rows.append(np.concatenate(rows))
            all_vectors.append(np.concatenate(vectors))
            broken.update(merged)
            if journal is not None:
                journal.write(all_rows[-1], all_vectors[-1], merged)
            waiting.clear()

    if len(left):
        for rows, vectors, bad in encoder.rows(table, left, batch_size=batch_size, workers=workers):
            waiting.append((rows, vectors, bad))
            if on_batch is not None:
                on_batch(len(rows) + len(bad))
            if sum(len(rows) + len(bad) for rows, _, bad in waiting) >= part:
                flush()
        flush()
    rows, vectors = np.concatenate(all_rows), np.concatenate(all_vectors)
    order = np.argsort(rows, kind="stable")
    return vectors[order], rows[order], broken
