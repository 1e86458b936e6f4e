"""NumPy files of an index, opened only as what the manifest says they are."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lookalike.errors import DataError
from lookalike.search.blocks import Blocks


def read_array(
    path: Path, dtype: str, shape: tuple[int | None, ...], *, mapped: bool = False
) -> np.ndarray:
    """An array of a file, whose header must say just this type, order and shape.

    Args:
        path: an ``.npy`` file.
        dtype: NumPy's name of the type, byte order included: ``<f4``.
        shape: the lengths of its axes; None: any.
        mapped: leave it on the disk, to be read where it is asked for.

    Raises:
        DataError: missing, cut, changed on the disk (unless it is mapped), or another array than
            this; the message says which.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "ids.npy"
        >>> np.save(file, np.arange(3, dtype=">i8"))
        >>> read_array(file, "<i8", (3,))
        Traceback (most recent call last):
        lookalike.errors.DataError: ...ids.npy holds >i8 (3,), not <i8 (3,). ...
    """
    remedy = "Run `lookalike index verify`, or build the index again."
    try:
        # Mapped, so that a header that lies about the shape costs no memory.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}). {remedy}") from error
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path} is no .npy file. {remedy}")
    wanted = np.dtype(dtype)
    fits = len(found.shape) == len(shape) and all(
        asked in (None, there) for asked, there in zip(shape, found.shape, strict=True)
    )
    if found.dtype != wanted or not fits or not found.flags.c_contiguous:
        order = "" if found.flags.c_contiguous else " by columns"
        asked = (
            "(" + ", ".join("n" if n is None else str(n) for n in shape) + ",)"[len(shape) > 1 :]
        )
        raise DataError(
            f"{path} holds {found.dtype.str} {found.shape}{order}, not {wanted.str} {asked}. "
            f"{remedy}"
        )
    if not mapped:
        Blocks(path).check()
        return np.array(found)
    return found
