"""Conditions on the columns of an index: which rows may be found."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lookalike.errors import ConfigError, DataError, suggest

_CONDITION = re.compile(r"\s*([^=<>!~]+?)\s*(!=|>=|<=|=|>|<|~)\s*(.*)", re.DOTALL)
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def matching(items: pd.DataFrame, conditions: Sequence[str]) -> np.ndarray:
    """The rows for which every condition holds.

    ``column=a|b`` is any of the values, ``!=`` none of them, ``<``, ``<=``, ``>``, ``>=`` compare
    numbers, ``~`` finds a piece of text whatever its case. An empty cell matches only ``!=``.

    Args:
        items: the index's items.
        conditions: as above; none: all rows.

    Returns:
        bool ``(N,)``.

    Raises:
        ConfigError: a condition that cannot be read, or a comparison of a column of words.
        DataError: a column that is not there.

    >>> items = pd.DataFrame({"label": ["fox", "owl", "bat"], "year": [1, 2, 3]})
    >>> matching(items, ["label=fox|bat", "year>1"]).tolist()
    [False, False, True]
    """
    mask = np.ones(len(items), bool)
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise ConfigError(f"--where {condition}: write COLUMN=VALUE, such as label=fox.")
        column, sign, value = parts.groups()
        if column not in items:
            hint = suggest(column, items.columns.map(str))
            raise DataError(f"--where {condition}: no column '{column}'. {hint}")
        mask &= _holds(items[column], sign, value, condition)
    return mask


def _holds(values: pd.Series, sign: str, value: str, condition: str) -> np.ndarray:
    numeric = pd.api.types.is_numeric_dtype(values) and values.dtype != bool
    if sign in _ORDERED:
        if not numeric:
            raise ConfigError(f"--where {condition}: '{values.name}' holds words; use = or ~.")
        number = _number(value, condition)
        return _ORDERED[sign](values.to_numpy(np.float64, na_value=np.nan), number)
    if numeric and sign != "~":
        wanted = [_number(word, condition) for word in value.split("|")]
        among = np.isin(values.to_numpy(np.float64, na_value=np.nan), wanted)
        return among if sign == "=" else ~among
    text = values.astype("str").where(values.notna(), None)
    if sign == "~":
        return text.str.contains(value, case=False, regex=False, na=False).to_numpy(bool)
    among = text.isin(value.split("|")).to_numpy(bool)
    return among if sign == "=" else ~among


def _number(word: str, condition: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ConfigError(f"--where {condition}: '{word}' is no number.") from error
