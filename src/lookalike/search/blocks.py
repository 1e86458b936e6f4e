"""A checksum for every megabyte of a file, looked at when that megabyte is first read.

``vectors.npy.crc`` lies beside ``vectors.npy``: a CRC-32 a block, little-endian. A byte that a disk
has changed would otherwise give other answers, and nothing would show it. It is no defence against
a person, who can change both; `index verify` compares all of it with the manifest.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import DataError

BLOCK = 1 << 20
SUFFIX = ".crc"


def write_sums(path: Path) -> None:
    """Write the checksums of a file beside it."""
    sums = []
    with path.open("rb") as file:
        while data := file.read(BLOCK):
            sums.append(zlib.crc32(data))
    path.with_name(path.name + SUFFIX).write_bytes(np.array(sums, "<u4").tobytes())


class Blocks:
    """The blocks of one file, and which of them have been looked at.

    A file without checksums, of an index built by an earlier version, is taken as it is.

    Args:
        path: the file.
        mapped: a buffer of its bytes where they are mapped; it outlives the file.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.bin"
    >>> _ = file.write_bytes(b"abc")
    >>> write_sums(file)
    >>> _ = file.write_bytes(b"ab")
    >>> Blocks(file).check()
    Traceback (most recent call last):
    lookalike.errors.DataError: ...a.bin has changed on the disk (bytes 0 to 2). ...
    """

    def __init__(self, path: Path, mapped: Any = None) -> None:
        self.path = path
        self._mapped = None if mapped is None else memoryview(mapped)
        beside = path.with_name(path.name + SUFFIX)
        sums = np.frombuffer(beside.read_bytes(), "<u4") if beside.is_file() else np.empty(0, "<u4")
        self._sums, self._left = sums, np.ones(len(sums), bool)

    def check(self, start: int = 0, stop: int | None = None) -> None:
        """Look at the blocks of a range of bytes; default: all.

        Raises:
            DataError: one has another checksum; names the file and the bytes.
        """
        if stop is not None:
            last = min(-(-stop // BLOCK), len(self._sums))
            self._look(np.arange(start // BLOCK, last))
        else:
            self._look(np.arange(len(self._sums)))

    def check_rows(self, rows: slice | np.ndarray, offset: int, size: int, count: int) -> None:
        """Look at the blocks of some rows, each of ``size`` bytes, the first at ``offset``.

        Raises:
            DataError: see `check`.
        """
        if not self._left.any():
            return
        if isinstance(rows, slice):
            first, last, _ = rows.indices(count)
            self.check(offset + first * size, offset + max(first, last) * size)
            return
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        starts = offset + np.asarray(rows, np.int64) % max(count, 1) * size
        reach = np.arange(-(-size // BLOCK) + 1)
        blocks = np.minimum(starts[:, None] // BLOCK + reach, (starts[:, None] + size - 1) // BLOCK)
        self._look(np.unique(blocks))

    def _look(self, blocks: np.ndarray) -> None:
        blocks = blocks[blocks < len(self._sums)]
        wanted = blocks[self._left[blocks]]
        if not len(wanted):
            return
        whole = memoryview(self.path.read_bytes()) if self._mapped is None else self._mapped
        for block in wanted.tolist():
            data = whole[block * BLOCK : (block + 1) * BLOCK]
            if zlib.crc32(data) != self._sums[block]:
                raise DataError(
                    f"{self.path} has changed on the disk (bytes {block * BLOCK} to "
                    f"{block * BLOCK + len(data)}). Take the index from a backup, or build it "
                    "again; `lookalike index verify` looks at all of it."
                )
            self._left[block] = False
