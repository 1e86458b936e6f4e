"""What an evaluation has done so far, kept beside its model until it is complete."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from lookalike import distributed
from lookalike.config import EvaluationConfig
from lookalike.data.table import Table
from lookalike.errors import DataError, counted
from lookalike.files import remove_tree, write_with
from lookalike.metrics import resuming
from lookalike.models.embedder import Embedder
from lookalike.runs import Run

FOLDER = "unfinished"


class Unfinished:
    """Folders of finished parts, each under a name made of everything that decides its numbers.

    Args:
        folder: the run or model folder; the parts lie in ``unfinished/`` in it.
        say: told what is found there.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        Run(folder).refuse_links()
        self._say = say
        self._root = folder / FOLDER
        self._root.mkdir(parents=True, exist_ok=True)
        self._used: set[Path] = set()

    def vectors(
        self, model: Embedder, rows: Table, c: EvaluationConfig, precision: torch.dtype | None
    ) -> Vectors:
        """Where the embeddings of some rows by a model are kept."""
        digest = hashlib.sha256(json.dumps(model.spec.to_dict(), sort_keys=True).encode())
        for name, tensor in model.state_dict().items():
            whole = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(name.encode() + whole.numpy().data)
        how = (c.batch_size, c.scales, precision, model.device.type, rows.fingerprint)
        digest.update(repr(how).encode())
        for path in map(Path, rows.paths):
            about = path.stat() if path.is_file() else None
            stamp = None if about is None else (about.st_size, about.st_mtime_ns)
            digest.update(repr((str(path), stamp)).encode())
        found = Vectors(self._part("vectors", digest), len(rows))
        if found.before is not None:
            before = len(found.before[1])
            self._say(
                f"resumed  {before:,} of {counted(len(rows), 'picture')} were embedded before"
            )
        return found

    def queries(self, title: str, c: EvaluationConfig, vectors: Sequence[np.ndarray]) -> Path:
        """Where the ranked queries of an evaluation of some vectors are kept.

        Args:
            title: what is evaluated.
            c: what is measured.
            vectors: of one or of both sides.
        """
        digest = hashlib.sha256(repr((title, sorted(asdict(c).items()))).encode())
        for array in vectors:
            digest.update(np.ascontiguousarray(array).data)
        return self._part("queries", digest)

    def _part(self, kind: str, digest: hashlib._Hash) -> Path:
        part = self._root / f"{kind}-{digest.hexdigest()[:16]}"
        self._used.add(part)
        return part

    def remove(self) -> None:
        """Remove the parts of this evaluation: it is complete."""
        for part in self._used:
            remove_tree(part, self._root)
        if not any(self._root.iterdir()):
            self._root.rmdir()


class Vectors:
    """Embedded rows, a file for each stretch of them.

    Which process embedded a row does not matter: any number of processes may go on with what any
    other number left.

    Args:
        folder: where they lie; made when there is something to keep.
        size: how many rows there are.

    Attributes:
        done: ``(size,)`` rows that were embedded before this evaluation began.
        before: their vectors and rows; None where there are none.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._written = time.monotonic()
        # The others must not see what the first of them writes by then.
        files: list[Path] = distributed.broadcast_object(sorted(folder.glob("rows-*.npz")))
        self.done = np.zeros(size, bool)
        self.before: tuple[np.ndarray, np.ndarray] | None = None
        if files:
            vectors, rows = zip(*(_read(path) for path in files), strict=True)
            self.before = np.concatenate(vectors), np.concatenate(rows)
            self.done[self.before[1]] = True

    def add(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Keep the vectors of a batch; they are written now and then."""
        self._waiting.append((vectors, rows))
        if time.monotonic() - self._written >= resuming.SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is waiting, whole or not at all."""
        vectors, rows = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        path = self._folder / f"rows-{rows[0]}-{rows[-1]}.npz"
        write_with(path, lambda sibling: _save(sibling, vectors, rows))
        self._waiting, self._written = [], time.monotonic()


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return kept["vectors"], kept["rows"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(
            f"{path} is damaged ({error}): delete the file, and its pictures are embedded again"
        ) from error


def _save(path: Path, vectors: np.ndarray, rows: np.ndarray) -> None:
    with path.open("wb") as file:  # numpy would add its own suffix to a name
        np.savez(file, vectors=vectors, rows=rows)
