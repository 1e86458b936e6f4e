"""Labels as people hold them, in one form; and the one rule for a label that is not there.

Data tables, metrics and losses read labels by this rule: -1, in a number or as a text, and whatever
stands for nothing (None, NaN, NA, NaT, an empty text) is no label. An item without one is a
distractor: it matches nothing, not even another distractor. With several levels that holds for each
alone: a bird of known species and unknown genus matches its species, and no genus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

DISTRACTOR = -1
_NOTHING = frozenset(["", "-1", "-1.0"])
_WORDS = frozenset(["nan", "na", "n/a", "none", "null", "<na>", "nat"])
_INT64 = range(-(2**63), 2**63)


def same_label(query: Tensor, reference: Tensor) -> Tensor:
    """``(B, M)`` bool: which references have the label of each query; a distractor's have none.

    Args:
        query: ``(B,)`` int64.
        reference: ``(M,)``.

    >>> import torch
    >>> same_label(torch.tensor([4, -1]), torch.tensor([4, -1])).tolist()
    [[True, False], [False, False]]
    """
    return (query[:, None] == reference[None, :]) & (query != DISTRACTOR)[:, None]


def is_empty(values: np.ndarray) -> np.ndarray:
    """``(N,)`` bool, where nothing is written: None, NaN, NA, NaT, or a text of blanks.

    >>> is_empty(np.array(["a", None, " ", float("nan"), -1], object)).tolist()
    [False, True, True, True, False]
    """
    kind = values.dtype.kind
    if kind in "biu":
        return np.zeros(len(values), bool)
    if kind in "fcmM":
        return np.asarray(values != values)  # of NaN and NaT
    return np.fromiter((_is_empty(v) for v in values), bool, len(values))


def is_absent(values: np.ndarray) -> np.ndarray:
    """``(N,)`` bool, where there is no label: nothing is written, or -1 is.

    >>> is_absent(np.array(["a", None, "-1", -1.0], object)).tolist()
    [False, True, True, True]
    """
    if values.dtype.kind in "biufc":
        return is_empty(values) | (values == DISTRACTOR)
    return np.fromiter((_is_absent(v) for v in values), bool, len(values))


def reads_as_nothing(name: str) -> bool:
    """Whether a label is a word by which programs write that there is none, in any case.

    As a text it is a label like any other ("NA" is a country's code); but it may well be meant as
    none, so that whoever reads a file says so.

    >>> [reads_as_nothing(name) for name in ("NaN", "<NA>", "null", "Nan tern", "")]
    [True, True, True, False, False]
    """
    return name.strip().casefold() in _WORDS


def _is_empty(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return not value.strip()
    # An array in a cell answers with an array; it is refused where its kind matters.
    return value is None or type(value).__name__ == "NAType" or (value != value) is True


def _is_absent(value: Any) -> bool:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip() in _NOTHING
    if _is_empty(value):
        return True
    return np.ndim(value) == 0 and bool(value == DISTRACTOR)


def label_columns(labels: Any, name: str) -> list[np.ndarray]:
    """The label columns of any container, each as int64, as text, or as Python's whole numbers.

    Numbers are compared by value, whatever their types; texts letter by letter, without blanks
    around. Whole numbers beyond int64 stay exact. What is no label is -1, or the empty text.

    Args:
        labels: ``(N,)`` or ``(N, L)``: lists, arrays, tensors, Series, data frames, generators.
        name: what errors call them.

    Raises:
        DataError: another shape, or a value that is neither a whole number nor a text, with its
            row.

    >>> label_columns([7, None, 2**70], "labels")[0].tolist() == [7, -1, 2**70]
    True
    """
    return [_column(c, f"{name}, column {i}") for i, c in enumerate(_split(labels, name))]


def _split(labels: Any, name: str) -> list[np.ndarray]:
    if hasattr(labels, "iloc") and hasattr(labels, "columns"):  # a data frame: a type each
        columns = [np.asarray(labels.iloc[:, i]) for i in range(labels.shape[1])]
    else:
        array = _array(labels, name)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise DataError(f"{name} must have shape (N,) or (N, levels), got {array.shape}")
        columns = list(array.T)
    if not columns:
        raise DataError(f"{name} must have shape (N,) or (N, levels), got no column")
    return columns


def _array(labels: Any, name: str) -> np.ndarray:
    if hasattr(labels, "detach"):  # a tensor
        labels = labels.detach().cpu()
        return (labels.double() if labels.is_floating_point() else labels).numpy()
    if isinstance(labels, str | bytes | Mapping | Set) or not (
        hasattr(labels, "__array__") or isinstance(labels, Iterable)
    ):
        raise DataError(f"{name} is {type(labels).__name__}; give one label a row, in order")
    if np.ma.isMaskedArray(labels):  # what is masked is not there
        values = np.ma.getdata(labels).astype(object)
        values[np.ma.getmaskarray(labels)] = None
        return values
    if hasattr(labels, "__array__"):
        return np.asarray(labels)
    rows = [_row(row) for row in labels]
    if not any(isinstance(row, list) for row in rows):
        found = np.empty(len(rows), object)  # numpy would write NaN among words as the word "nan"
        found[:] = rows
        return found
    widths = {len(row) if isinstance(row, list) else 1 for row in rows}
    if len(widths) > 1:
        raise DataError(f"{name} has rows of {' and '.join(map(str, sorted(widths)))} levels")
    found = np.empty((len(rows), widths.pop()), object)
    for i, row in enumerate(rows):
        found[i] = row
    return found


def _row(row: Any) -> Any:
    """One row as a plain value, or as a list of them."""
    if hasattr(row, "detach"):
        row = row.detach().cpu().numpy()
    if isinstance(row, np.ndarray):
        return row.tolist()
    return list(row) if isinstance(row, tuple) else row


def _column(column: np.ndarray, where: str) -> np.ndarray:
    """One column; see `label_columns`."""
    kind = column.dtype.kind
    if kind in "bi":
        return column.astype(np.int64)
    if kind not in "ufUSTO":
        raise DataError(f"{where}: labels must be integers or strings, got {column.dtype}")
    values = column.astype(object)
    absent = is_absent(column)
    there = [_plain(v) for v in values[~absent]]
    texts = [isinstance(v, str) for v in there]
    if there and all(texts):
        found = np.zeros(len(values), f"<U{max(map(len, there))}")
        found[~absent] = there
        return found
    odd = next((i for i, v in enumerate(there) if not isinstance(v, str | int)), None)
    if odd is not None or any(texts):
        _refuse(where, np.flatnonzero(~absent), there, odd)
    numbers = np.full(len(values), DISTRACTOR, object)
    numbers[~absent] = there
    small = all(v in _INT64 for v in there)
    if not there and kind in "USTO":
        return np.zeros(len(values), "<U1") if kind != "O" else numbers.astype(np.int64)
    return numbers.astype(np.int64) if small else numbers


def _plain(value: Any) -> Any:
    """A text without blanks around, or a Python whole number; anything else as it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, str):
        return str(value).strip()
    if hasattr(value, "item") and np.ndim(value) == 0:
        value = value.item()
    if isinstance(value, int):
        return int(value)
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return value
    # Beyond 2^53 neighbouring whole numbers are one float: which of them it was is not known.
    exact = not isinstance(value, float) or abs(value) < 2**53
    return whole if whole == value and exact else value


def _refuse(where: str, rows: np.ndarray, there: list[Any], odd: int | None) -> None:
    if odd is None:
        first = isinstance(there[0], str)
        odd = next(i for i, v in enumerate(there) if isinstance(v, str) != first)
        raise DataError(
            f"{where}: row {rows[odd]} is {there[odd]!r}, row {rows[0]} is {there[0]!r}; give all"
            " labels as whole numbers or all as strings"
        )
    value = there[odd]
    wide = isinstance(value, float) and abs(value) >= 2**53 and value == round(value)
    why = "not an exact whole number (float, beyond 2^53)" if wide else "not a whole number"
    if not isinstance(value, float):
        why = f"a {type(value).__name__}; labels must be integers or strings"
    raise DataError(f"{where}: row {rows[odd]} is {value!r:.60}, {why}")
