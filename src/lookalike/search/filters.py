"""Conditions on the columns of an index: which rows may be found."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as untyped

from lookalike.errors import ConfigError, DataError, counted, suggest

pc: Any = untyped  # its functions are made when it is loaded

_CONDITION = re.compile(r"\s*([^=<>!~]+?)\s*(!=|>=|<=|=|>|<|~)\s*(.*)", re.DOTALL)
MOST_WORDS = 10_000  # of one condition
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def matching(items: pa.Table, conditions: Sequence[str]) -> np.ndarray:
    """The rows for which every condition holds.

    ``column=a|b`` is any of the values (with a backslash before it, the bar is a letter; where a
    value of the column holds that bar, both ways to write it are said),
    ``!=`` none of them, ``<``, ``<=``, ``>``, ``>=`` compare numbers, ``~`` finds a piece of text
    whatever its case. An empty cell matches only ``!=``.

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
    for condition in read_conditions(items, conditions):
        mask &= _holds(items[condition.column], condition)
    return mask


@dataclass(frozen=True)
class Condition:
    """One condition on a column, read.

    Attributes:
        column: which.
        sign: ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or ``~``.
        words: what to compare with; several only of ``=`` and ``!=``.
        numbers: the words as numbers, where the column's cells are; None: cells are text.
    """

    column: str
    sign: str
    words: tuple[str, ...]
    numbers: tuple[float, ...] | None = None


def read_conditions(items: pa.Table, conditions: Sequence[str]) -> list[Condition]:
    """Conditions as `matching` takes and refuses them.

    >>> read_conditions(pa.table({"year": [1, 2]}), ["year=1|2"])
    [Condition(column='year', sign='=', words=('1', '2'), numbers=(1.0, 2.0))]
    """
    return [_read(items, condition) for condition in conditions]


def split_condition(condition: str) -> tuple[str, str, str]:
    """Column, sign and value of a condition.

    Raises:
        ConfigError: it cannot be read.

    >>> split_condition("label = fox")
    ('label', '=', 'fox')
    """
    parts = _CONDITION.fullmatch(condition)
    if parts is None:
        raise ConfigError(f"where {condition}: write COLUMN=VALUE, such as label=fox.")
    column, sign, value = parts.groups()
    return column, sign, value


def _read(items: pa.Table, condition: str) -> Condition:
    column, sign, value = split_condition(condition)
    if column not in items.column_names:
        hint = suggest(column, items.column_names)
        raise DataError(f"where {condition}: no column '{column}'. {hint}")
    kind = items[column].type
    words = _alternatives(value) if sign in ("=", "!=") else (value,)
    if len(words) > MOST_WORDS:
        raise ConfigError(
            f"where {column}{sign}…: {counted(len(words), 'value')}; at most {MOST_WORDS:,} are"
            " taken. "
            "Put what they have in common into a column of its own."
        )
    if len(words) > 1:
        _refuse_two_meanings(items[column], condition, (column, sign, value))
    if sign != "~" and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return Condition(column, sign, words, tuple(_number(word, condition) for word in words))
    if sign in _ORDERED:
        raise ConfigError(f"where {condition}: '{column}' holds words; use = or ~.")
    return Condition(column, sign, words)


def _refuse_two_meanings(cells: pa.ChunkedArray, condition: str, parts: Sequence[str]) -> None:
    """Refuse bars that a value of the column holds too, unless the last word is written twice."""
    column, sign, value = parts
    held = {v for v in cells.unique().to_pylist() if isinstance(v, str) and "|" in v}
    words = _alternatives(value)
    if not held or (words[-1] == words[-2] and value not in held):
        return
    most = 1 + max(v.count("|") for v in held)
    found, whole, start = [], [], 0
    while start < len(words):
        ends = range(min(len(words), start + most), start, -1)
        end = next((e for e in ends if "|".join(words[start:e]) in held), start + 1)
        name = "|".join(words[start:end])
        if end > start + 1:
            found.append(name)
        whole.append(name.replace("|", "\\|"))
        start = end
    if found:
        raise ConfigError(
            f"where {condition}: means {' or '.join(words)}, but '{column}' holds '{found[0]}'"
            f" too. Write {column}{sign}{'|'.join(whole)} for that one, {condition}|{words[-1]}"
            " for each by itself: the last word twice."
        )


def _alternatives(value: str) -> tuple[str, ...]:
    """The words between bars; a bar behind a backslash is one of the word's letters."""
    return tuple(word.replace("\\|", "|") for word in re.split(r"(?<!\\)\|", value))


# Lists, not NumPy: Arrow loads pandas to make arrays of words and of what may be empty.
def _holds(values: pa.ChunkedArray, condition: Condition) -> np.ndarray:
    sign, wanted = condition.sign, condition.numbers
    if wanted is not None and sign in _ORDERED:
        return _ORDERED[sign](_numbers(values), wanted[0])
    if wanted is not None:
        among = np.isin(_numbers(values), wanted)
        return among if sign == "=" else ~among
    text = _text(values)
    if sign == "~":
        found = pc.match_substring(text, condition.words[0], ignore_case=True)
        return np.array([yes is True for yes in found.to_pylist()], bool)
    known = set(condition.words)
    among = np.array([word in known for word in text.to_pylist()], bool)
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
        raise ConfigError(f"where {condition}: '{word}' is not a number.") from error
