"""Embeddings on disk: an array, and beside it a table that says what each row is.

``heap.npy`` (or ``heap.safetensors``, key ``embeddings``) holds float32 ``(N, D)``;
``heap.parquet`` has N rows in the same order with a column ``path``, and whatever else is known:
``label``, ``set``, …. Anyone's array will do for clustering: the table may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.data.frames import read_frame, write_frame
from lookalike.errors import DataError, counted
from lookalike.files import write_with

_KINDS = (".npy", ".safetensors")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors and what they belong to.

    Attributes:
        vectors: float32 ``(N, D)``.
        rows: N rows; where the file has no table, a column ``row`` alone.
    """

    vectors: np.ndarray
    rows: pd.DataFrame

    def save(self, file: str | Path) -> None:
        """Write the array, and its table beside it; each is whole or not there.

        Raises:
            DataError: another ending than ``.npy`` or ``.safetensors``.
            RunError: the disk refuses.
        """
        path = _checked(Path(file))
        write_frame(self.rows, path.with_suffix(".parquet"))
        write_with(path, lambda part: _write(part, self.vectors, path.suffix))

    @classmethod
    def load(cls, file: str | Path) -> Embeddings:
        """Read an array and, where there is one, its table.

        Raises:
            DataError: no such file, another kind, not ``(N, D)``, or a table of another length.
        """
        path = _checked(Path(file))
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        vectors = _read(path)
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise DataError(
                f"{path}: must hold numbers (N, D), got {vectors.dtype} {vectors.shape}"
            )
        table = next(
            (t for t in (path.with_suffix(".parquet"), path.with_suffix(".csv")) if t.is_file()),
            None,
        )
        if table is None and path.name == "embeddings.npy":
            beside = path.with_name("rows.parquet")  # of `lookalike evaluate`
            table = beside if beside.is_file() else None
        rows = (
            pd.DataFrame({"row": np.arange(len(vectors))}) if table is None else read_frame(table)
        )
        if len(rows) != len(vectors):
            raise DataError(
                f"{path}: {counted(len(vectors), 'vector')}, but {table} has"
                f" {counted(len(rows), 'row')}"
            )
        return cls(vectors.astype(np.float32, copy=False), rows)


def place(file: str, row: int) -> str:
    """The path of one vector of a file, as tables hold it.

    >>> place("x.npy", 3), is_vector(place("x.npy", 3)), is_vector("images/x#3.png")
    ('x.npy#3', True, False)
    """
    return f"{file}#{row}"


def is_vector(path: str) -> bool:
    """Whether a path is the place of a vector instead of an image's file."""
    file, sharp, row = path.rpartition("#")
    return bool(sharp) and row.isdigit() and file.endswith(_KINDS)


def read_vector(path: str) -> np.ndarray:
    """The vector at a `place`, float32 ``(D,)``.

    Raises:
        DataError: no such file or row, or a vector that holds NaN or infinity.
    """
    file, _, row = path.rpartition("#")
    vectors = _vectors(file)
    if int(row) >= len(vectors):
        raise DataError(f"{file} has {counted(len(vectors), 'vector')}, but no row {row}")
    found = np.array(vectors[int(row)], np.float32)
    if not np.isfinite(found).all():
        raise DataError(f"{path}: holds NaN or infinity")
    return found


@lru_cache(maxsize=4)
def _vectors(file: str) -> np.ndarray:
    """The array of a file; of ``.npy`` only what is asked for is read."""
    path = Path(file)
    if path.suffix != ".npy":
        return Embeddings.load(path).vectors
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _checked(path: Path) -> Path:
    if path.suffix not in _KINDS:
        raise DataError(f"{path}: embeddings are kept as {' or '.join(_KINDS)}")
    return path


def _write(part: Path, vectors: np.ndarray, suffix: str) -> None:
    if suffix == ".npy":
        with part.open("wb") as file:
            np.save(file, vectors)
        return
    from safetensors.numpy import save_file

    save_file({"embeddings": np.ascontiguousarray(vectors)}, part)


def _read(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        from safetensors.numpy import load_file

        held = load_file(path)
    except Exception as error:  # each library has errors of its own; all mean one thing
        raise DataError(f"{path}: cannot be read: {error}") from None
    if "embeddings" not in held:
        raise DataError(f"{path}: has no tensor 'embeddings', only {', '.join(held)}")
    return held["embeddings"]
