"""How vectors lie on disk: float32, float16, int8 or one bit a number, read as float32.

Every storage is two functions, ``encode`` and the reading of `Stored`; search is the same for all.
What a storage costs in recall is measured on the index's own vectors by `storage_loss`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lookalike.errors import ConfigError, DataError, NumericsError, counted, suggest
from lookalike.search.arrays import read_array
from lookalike.search.blocks import Blocks

_TYPES = {"float32": "<f4", "float16": "<f2", "int8": "|i1", "binary": "|u1"}
STORAGES = tuple(_TYPES)
VECTORS = "vectors.npy"
SCALES = "scales.npy"
_LONGEST = 1e12  # norm of a vector
CHUNK = 65_536  # rows widened to float32 at a time: 32 MB at width 128


def check_storage(storage: str) -> None:
    """Refuse a storage that does not exist.

    Raises:
        ConfigError: names the nearest.
    """
    if storage not in STORAGES:
        raise ConfigError(
            f"--storage {storage}: no such storage. {suggest(storage, list(STORAGES))}"
        )


def check_vectors(
    vectors: np.ndarray, items: Sized, storage: str, width: int | None = None
) -> None:
    """Refuse vectors that do not fit their items, the index's width, or the storage's range.

    Raises:
        DataError: no vectors, another width, or another number of items.
        NumericsError: NaN, infinity, a norm above 1e12, or a number that float16, which ends at
            65,504, would make infinite.
    """
    if not vectors.size:
        raise DataError(f"An index needs (N, D) vectors, N above 0, not {vectors.shape}.")
    if width is not None and vectors.shape[1] != width:
        raise DataError(f"The vectors are {vectors.shape[1]} wide and this index {width}.")
    if len(vectors) != len(items):
        raise DataError(f"{counted(len(vectors), 'vector')} for {counted(len(items), 'item')}.")
    check_range(vectors, "Embeddings")
    most = np.finfo(np.float16).max
    if storage == "float16" and max(vectors.max(), -vectors.min()) > most:
        row = int(np.abs(vectors).max(axis=1).argmax())
        raise NumericsError(
            f"Row {row} holds {np.abs(vectors[row]).max():g}, but float16 ends at {most:g}: it"
            " would be infinite and win every search. Use storage float32, or normalise the vectors"
        )


def check_range(vectors: np.ndarray, what: str) -> None:
    """Refuse rows whose products could overflow: engines sum squares of many of them.

    Raises:
        NumericsError: NaN, infinity, or a row longer than 1e12.

    >>> check_range(np.full((1, 2), 1e30, "f4"), "Queries")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    lookalike.errors.NumericsError: Queries are too long to be compared (row 0: a norm ...
    """
    if len(rows := np.flatnonzero(~np.isfinite(vectors).all(axis=1))[:5].tolist()):
        raise NumericsError(f"{what} hold NaN or infinity (rows {rows}).")
    widest = np.abs(vectors).max(initial=0.0)
    if widest * vectors.shape[1] ** 0.5 <= _LONGEST:
        return  # none can be too long
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    row = int(norms.argmax())
    if norms[row] > _LONGEST:
        raise NumericsError(
            f"{what} are too long to be compared (row {row}: a norm of {norms[row]:.3g}, at most "
            f"{_LONGEST:g}). Normalise them: divide each by its norm."
        )


def encode(vectors: np.ndarray, storage: str) -> dict[str, np.ndarray]:
    """Vectors as the arrays that lie on disk, by file name.

    * ``float32``, ``float16``: the numbers themselves, 4 or 2 bytes each;
    * ``int8``: ``round(127 x / max|x|)`` a row, with the row's ``max|x| / 127`` beside it;
    * ``binary``: the sign of each number, 8 to a byte; read as ± 1/√D, so that a dot product with
      a unit query estimates the cosine up to a factor that is the same for all rows.

    Args:
        vectors: float32 ``(N, D)``.
        storage: one of ``STORAGES``.

    >>> encode(np.array([[0.5, -1.0]], dtype="f4"), "int8")["vectors.npy"].tolist()
    [[64, -127]]
    """
    check_storage(storage)
    if storage == "float32":
        return {VECTORS: np.ascontiguousarray(vectors, np.float32)}
    if storage == "float16":
        return {VECTORS: vectors.astype(np.float16)}
    if storage == "binary":
        return {VECTORS: np.packbits(vectors > 0, axis=1)}
    widest = np.abs(vectors).max(axis=1, keepdims=True)
    scales = np.where(widest > 0, widest / 127, 1).astype(np.float32)
    codes = np.rint(vectors / scales).clip(-127, 127).astype(np.int8)
    return {VECTORS: codes, SCALES: scales[:, 0]}


class Vectors(Protocol):
    """Vectors of an index, wherever they lie, read as float32."""

    @property
    def width(self) -> int:
        """Numbers a vector."""
        ...

    @property
    def storage(self) -> str:
        """One of ``STORAGES``."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and numbers a row."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of them all."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray: ...

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and float32 rows of each chunk, in order."""
        ...


class Stored:
    """Vectors of a folder, memory-mapped; what is asked for comes as float32.

    Args:
        codes: as `encode` makes them.
        storage: which storage that is.
        width: numbers a vector.
        scales: of int8.
        blocks: of the file that the codes are mapped from, checked as they are first read.

    >>> stored = Stored(np.eye(3, dtype="f2"), "float16", 3)
    >>> stored[np.array([2])].tolist()
    [[0.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        codes: np.ndarray,
        storage: str,
        width: int,
        scales: np.ndarray | None = None,
        blocks: Blocks | None = None,
    ) -> None:
        self._codes, self.storage, self.width, self.scales = codes, storage, width, scales
        self._blocks, self._offset = blocks, int(getattr(codes, "offset", 0))

    @property
    def codes(self) -> np.ndarray:
        """All of them, as they lie on the disk."""
        if self._blocks is not None:
            self._blocks.check()
        return self._codes

    @classmethod
    def open(cls, folder: Path, storage: str, width: int) -> Stored:
        """Map the files of a folder.

        Raises:
            DataError: a file that is missing or cut, or holds other numbers than the storage says.
        """
        kind, bytes_or_numbers = _TYPES[storage], -(-width // 8) if storage == "binary" else width
        codes = read_array(folder / VECTORS, kind, (None, bytes_or_numbers), mapped=True)
        scales = None
        if storage == "int8":
            scales = read_array(folder / SCALES, "<f4", (len(codes),))
        return cls(codes, storage, width, scales, Blocks(folder / VECTORS, codes.base))

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and numbers a row."""
        return len(self._codes), self.width

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self._codes.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if self._blocks is not None:
            size = self._codes.itemsize * self._codes.shape[1]
            self._blocks.check_rows(rows, self._offset, size, len(self))
        codes = self._codes[rows]
        if self.storage == "float32":
            return codes
        if self.storage == "binary":
            signs = np.unpackbits(codes, axis=1, count=self.width).astype(np.float32)
            return (2 * signs - 1) / np.float32(np.sqrt(self.width))
        numbers = codes.astype(np.float32)
        return numbers if self.scales is None else numbers * self.scales[rows][:, None]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[slice(None)], dtype=dtype)

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and float32 rows of each chunk, in order."""
        for start in range(0, len(self), CHUNK):
            yield start, self[slice(start, start + CHUNK)]


def storage_loss(
    vectors: np.ndarray, storage: str, *, top: int = 10, queries: int = 256, rows: int = 100_000
) -> dict[str, float]:
    """What a storage costs on these very vectors.

    Queries are rows drawn from the vectors, each without itself, against at most ``rows`` of them.

    Returns:
        ``recall_at_10``: share of the true ten nearest (of float32) among the ten found; and
        ``largest_error``: of a score, of those found.
    """
    from lookalike.search.exact import nearest

    if storage == "float32":
        return {"recall_at_10": 1.0, "largest_error": 0.0}
    draw = np.random.default_rng(0)
    some = vectors if len(vectors) <= rows else vectors[draw.choice(len(vectors), rows, False)]
    some = np.ascontiguousarray(some, np.float32)
    chosen = draw.choice(len(some), min(queries, len(some)), replace=False)
    parts = encode(some, storage)
    stored = Stored(parts[VECTORS], storage, some.shape[1], parts.get(SCALES))
    top = min(top, len(some) - 1)
    if top < 1:
        return {"recall_at_10": 1.0, "largest_error": 0.0}
    true = nearest(some[chosen], Stored(some, "float32", some.shape[1]), top, own=chosen)
    found = nearest(some[chosen], stored, top, own=chosen)
    hit = [len(set(a) & set(b)) / top for a, b in zip(true.rows, found.rows, strict=True)]
    exact = np.einsum("qd,qkd->qk", some[chosen], some[found.rows])
    return {
        "recall_at_10": float(np.mean(hit)),
        "largest_error": float(np.abs(exact - found.scores).max()),
    }
