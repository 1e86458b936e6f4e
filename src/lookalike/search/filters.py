"""Conditions on the columns of an index: which rows may be found."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as untyped

from lookalike.errors import ConfigError, DataError, suggest

pc: Any = untyped  # its functions are made when it is loaded

_CONDITION = re.compile(r"\s*([^=<>!~]+?)\s*(!=|>=|<=|=|>|<|~)\s*(.*)", re.DOTALL)
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def matching(items: pa.Table, conditions: Sequence[str]) -> np.ndarray:
    """The rows for which every condition holds.

    ``column=a|b`` is any of the values, ``!=`` none of them, ``<``, ``<=``, ``>``, ``>=`` compare
    numbers, ``~`` finds a piece of text whatever its case. An empty cell matches only ``!=``.

    Args:
        items: the index's columns.
        conditions: as above; none: all rows.

    Returns:
        bool ``(N,)``.

    Raises:
        ConfigError: a condition that cannot be read, or a comparison of a column of words.
        DataError: a column that is not there.

    >>> items = pa.table({"label": ["fox", "owl", "bat"], "year": [1, 2, 3]})
    >>> matching(items, ["label=fox|bat", "year>1"]).tolist()
    [False, False, True]
    """
    mask = np.ones(len(items), bool)
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise ConfigError(f"--where {condition}: write COLUMN=VALUE, such as label=fox.")
        column, sign, value = parts.groups()
        if column not in items.column_names:
            hint = suggest(column, items.column_names)
            raise DataError(f"--where {condition}: no column '{column}'. {hint}")
        mask &= _holds(items, column, sign, value, condition)
    return mask


def _holds(items: pa.Table, column: str, sign: str, value: str, condition: str) -> np.ndarray:
    values = items[column]
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if sign in _ORDERED:
        if not numeric:
            raise ConfigError(f"--where {condition}: '{column}' holds words; use = or ~.")
        return _ORDERED[sign](_numbers(values), _number(value, condition))
    if numeric and sign != "~":
        wanted = [_number(word, condition) for word in value.split("|")]
        among = np.isin(_numbers(values), wanted)
        return among if sign == "=" else ~among
    text = _text(values)
    if sign == "~":
        found = pc.match_substring(text, value, ignore_case=True)
    else:
        found = pc.is_in(text, pa.array(value.split("|"), text.type))
    among = found.fill_null(False).to_numpy().astype(bool)
    return ~among if sign == "!=" else among


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    return values.to_numpy().astype(np.float64)


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values
    words = values.to_pandas()  # as people see them: True, 2024-05-01
    return pa.chunked_array([pa.array(words.astype("str").where(words.notna(), None), pa.string())])


def _number(word: str, condition: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ConfigError(f"--where {condition}: '{word}' is no number.") from error
