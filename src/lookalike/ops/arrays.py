"""Vectors as people hold them, as one matrix: the one place that reads array-likes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lookalike.errors import DataError


def as_matrix(value: Any, name: str, *, single: bool = False) -> np.ndarray:
    """``(N, D)`` of any container, contiguous and of native bytes.

    Arrays of any strides and byte order, tensors on any device, data frames, sparse matrices, and
    lists, Series or generators of rows are taken; values are never changed beyond their type.

    Args:
        value: the vectors, a row each.
        name: what errors call them.
        single: whether one vector ``(D,)`` is taken too, as one row.

    Returns:
        float32 where float16, bfloat16 or float32 was given, else float64.

    Raises:
        DataError: rows of different lengths, another shape, or what is no real number.

    >>> as_matrix(([i, 1.0] for i in range(2)), "query").tolist()
    [[0.0, 1.0], [1.0, 1.0]]
    """
    array = _array(value, name)
    if single and array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise DataError(f"{name} must have shape (N, D), got {array.shape}")
    if array.dtype.kind == "c":
        raise DataError(f"{name} holds complex numbers; give real vectors")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {_odd(array)}; give numbers alone")
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.ascontiguousarray(array, np.float32 if narrow else np.float64)


def as_float32(value: Any, name: str, *, single: bool = False) -> np.ndarray:
    """As `as_matrix`, in float32; a number beyond its range becomes infinite, for checks to name.

    >>> as_float32([[1, 2]], "vectors").dtype
    dtype('float32')
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(as_matrix(value, name, single=single), np.float32)


def _odd(array: np.ndarray) -> str:
    for (row, column), cell in np.ndenumerate(array):
        if not isinstance(cell, int | float | np.number):
            return f"{cell!r:.40} in row {row}, column {column}"
    return str(array.dtype)


def _array(value: Any, name: str) -> np.ndarray:
    if hasattr(value, "detach"):
        return _of_tensor(value)
    if hasattr(value, "toarray"):  # a sparse matrix
        return np.asarray(value.toarray())
    if isinstance(value, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(value), np.nan, np.ma.getdata(value))
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return _numbers(array) if array.dtype.kind != "O" else _stacked(list(array), name)
    if isinstance(value, str | bytes | dict | set | frozenset) or not isinstance(value, Iterable):
        raise DataError(f"{name} is {type(value).__name__}; give vectors of shape (N, D)")
    return _stacked(list(value), name)


def _of_tensor(value: Any) -> np.ndarray:
    value = value.detach().cpu()
    if value.layout.__str__() != "torch.strided":
        value = value.to_dense()
    if value.is_floating_point() and value.element_size() < 4:  # numpy has no bfloat16
        value = value.float()
    return value.resolve_conj().numpy() if value.is_complex() else value.numpy()


def _stacked(rows: list[Any], name: str) -> np.ndarray:
    """Rows of any kind below each other."""
    found = [_of_tensor(r) if hasattr(r, "detach") else np.asarray(_listed(r, name)) for r in rows]
    if not found:
        return np.zeros((0, 0))
    first = found[0].shape
    for number, row in enumerate(found):
        if row.shape != first:
            raise DataError(
                f"{name}: row {number} has shape {row.shape}, row 0 {first}; give rows of one width"
            )
    return _numbers(np.stack(found))


def _listed(row: Any, name: str) -> Any:
    """A row as numpy can take it; a ragged one is refused here, in a sentence."""
    if hasattr(row, "__array__"):
        return row
    if isinstance(row, Iterable) and not isinstance(row, str | bytes | dict):
        row = [float(v) if hasattr(v, "detach") and v.ndim == 0 else v for v in row]
    try:
        return np.asarray(row)
    except ValueError:
        raise DataError(f"{name}: a row holds rows of different lengths") from None


def _numbers(array: np.ndarray) -> np.ndarray:
    """Python's numbers in an array of objects as an array of numbers, where they all are some."""
    if array.dtype.kind != "O":
        return array
    try:
        return np.array(array.tolist(), np.float64)
    except (TypeError, ValueError):
        return array
