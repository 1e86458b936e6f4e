"""Labels in any container, and the one rule for a label that is not there."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import DataError
from lookalike.ops.labels import DISTRACTOR, is_absent, is_empty, label_columns, same_label

WORDS = ["ant", None, "bee", "ant"]
NUMBERS = [4, None, 7, 4]
TEXTS = {
    "list": lambda w: w,
    "tuple": tuple,
    "generator": lambda w: (v for v in w),
    "object array": lambda w: np.array(w, object),
    "NaN in an object array": lambda w: np.array([np.nan if v is None else v for v in w], object),
    "-1 in an object array": lambda w: np.array([-1 if v is None else v for v in w], object),
    "fixed text": lambda w: np.array([v or "-1" for v in w]),
    "bytes": lambda w: np.array([(v or "").encode() for v in w]),
    "StringDType": lambda w: np.array([v or "" for v in w], np.dtypes.StringDType()),
    "Series of str": lambda w: pd.Series(w, dtype="str"),
    "Series of string": lambda w: pd.Series(w, dtype="string"),
    "Series of objects": lambda w: pd.Series(w, dtype=object, index=range(5, 9)),
    "category": lambda w: pd.Series(w, dtype="category"),
    "frame": lambda w: pd.DataFrame({"label": w}),
    "blanks around": lambda w: [None if v is None else f" {v} " for v in w],
}
WHOLE = {
    "list": lambda n: n,
    "object array": lambda n: np.array(n, object),
    "float array": lambda n: np.array([np.nan if v is None else v for v in n]),
    "int array": lambda n: np.array([-1 if v is None else v for v in n]),
    "uint8 objects": lambda n: np.array([None if v is None else np.uint8(v) for v in n], object),
    "Int64": lambda n: pd.Series(n, dtype="Int64"),
    "category": lambda n: pd.Series(n, dtype="category"),
    "tensor": lambda n: torch.tensor([-1 if v is None else v for v in n]),
    "bfloat16": lambda n: torch.tensor([-1.0 if v is None else v for v in n]).bfloat16(),
    "list of tensors": lambda n: [torch.tensor(-1 if v is None else v) for v in n],
    "decimals": lambda n: [None if v is None else decimal.Decimal(v) for v in n],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_words_of_any_container(kind):
    (column,) = label_columns(TEXTS[kind](WORDS), "labels")
    assert column.tolist() == ["ant", "", "bee", "ant"] and is_absent(column)[1]


@pytest.mark.parametrize("kind", WHOLE)
def test_numbers_of_any_container(kind):
    (column,) = label_columns(WHOLE[kind](NUMBERS), "labels")
    assert column.dtype == np.int64 and column.tolist() == [4, -1, 7, 4]


def test_whole_numbers_of_any_length_stay_what_they_are():
    numbers = [2**53, 2**53 + 1, 2**63, 2**64 - 1, 10**30, -1]
    (column,) = label_columns(numbers, "labels")
    assert column.tolist() == numbers
    (wide,) = label_columns(np.array([2**63, 2**63 + 1], np.uint64), "labels")
    assert wide.tolist() == [2**63, 2**63 + 1]


def test_what_is_masked_is_no_label():
    masked = np.ma.masked_array([4, 7, 7], [False, True, False])
    assert label_columns(masked, "labels")[0].tolist() == [4, -1, 7]
    assert label_columns(np.ma.masked_array(["a", "b"], [False, True]), "labels")[0].tolist() == [
        "a",
        "",
    ]


BAD = {
    "row 1 is 1.5, not a whole number": [1, 1.5],
    "not an exact whole number": [1.0, 2.0**60],
    "row 2 is 3, row 0 is 'a'": ["a", None, 3],
    "a list; labels must be": [[[1]], [[2]]],
    "got complex128": np.array([1j]),
    "rows of 1 and 2 levels": [[1], [1, 2]],
    "is int; give one label a row": 5,
    "is str; give one label a row": "abc",
    "is set; give one label a row, in order": {1, 2},
    "is dict; give one label a row": {0: "a", 1: "b"},
    "must have shape": np.zeros((2, 2, 2), int),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_no_label_is_named(words):
    with pytest.raises(DataError, match=words):
        label_columns(BAD[words], "labels")


def test_nothing_written_is_not_the_same_as_a_distractor():
    values = np.array(["-1", -1, "", None, float("nan"), pd.NA, pd.NaT, "nan", "NA"], object)
    assert is_absent(values).tolist() == [True] * 7 + [False] * 2
    assert is_empty(values).tolist() == [False] * 2 + [True] * 5 + [False] * 2


cells = st.one_of(st.none(), st.just(float("nan")), st.integers(-1, 2**70), st.just(-1.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(cells, max_size=8))
def test_a_column_of_numbers_keeps_each_or_has_none(values):
    (column,) = label_columns(values, "labels")
    for value, kept in zip(values, column.tolist(), strict=True):
        absent = value is None or value != value or value == DISTRACTOR
        assert kept == (DISTRACTOR if absent else value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=8))
def test_a_column_of_words_keeps_each_or_has_none(values):
    (column,) = label_columns([*values, "there"], "labels")
    for value, kept in zip(values, column.tolist(), strict=False):
        plain = "" if value is None else value.strip()
        assert kept.rstrip("\0") == ("" if plain in ("-1", "-1.0") else plain.rstrip("\0"))


def test_a_distractor_matches_nobody():
    same = same_label(torch.tensor([3, -1]), torch.tensor([3, -1, 4]))
    assert same.tolist() == [[True, False, False], [False, False, False]]
