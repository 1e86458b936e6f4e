"""Filters against the obvious: one row at a time, in Python."""

from __future__ import annotations

import datetime
import math
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lookalike.errors import ConfigError, DataError
from lookalike.search.filters import matching

DAY = datetime.date(2024, 5, 1)
COLUMNS = {
    "label": ["fox", "Owl", "", None, "fox owl", "12"],
    "year": [1, 2, 3, 2, -1, 10],
    "score": [0.5, math.nan, 2.0, 1e9, None, -0.5],
    "seen": [True, False, True, None, True, False],
    "kind": ["a", "b", None, "a", "b", "b"],
    "day": [DAY, DAY, None, DAY + datetime.timedelta(1), DAY, DAY],
}
ASKED = [
    "label=fox", "label=fox|12", "label!=fox", "label~OW", "label=", "year=2", "year!=2|3",
    "year>=2", "year<2", "year~1", "score>0", "score<=0.5", "score=0.5|2", "score!=2",
    "seen=True", "seen!=True", "seen~fal", "kind=a", "kind!=a", "kind~B", "day=2024-05-01",
    "day~-02",
]  # fmt: skip


def slow(values, sign, wanted):
    for value in values:
        empty = value is None or value != value
        if sign == "~":
            yield not empty and wanted.lower() in str(value).lower()
        elif sign in ("=", "!="):
            words = wanted.split("|")
            numbers = isinstance(value, int | float) and not isinstance(value, bool)
            same = float(value) in map(float, words) if numbers else str(value) in words
            yield (same and not empty) == (sign == "=")
        else:
            compare = {">": float.__gt__, ">=": float.__ge__, "<": float.__lt__, "<=": float.__le__}
            yield not empty and compare[sign](float(value), float(wanted))


@pytest.mark.parametrize("condition", ASKED)
def test_every_condition_holds_where_it_says(condition):
    items = pa.Table.from_pandas(pd.DataFrame(COLUMNS).astype({"kind": "category"}))
    column = next(name for name in COLUMNS if condition.startswith(name))
    rest = condition[len(column) :]
    sign = next(s for s in ("!=", ">=", "<=", "=", ">", "<", "~") if rest.startswith(s))
    expected = list(slow(COLUMNS[column], sign, rest[len(sign) :]))
    assert matching(items, [condition]).tolist() == expected
    parts = pa.concat_tables([items[:2], items[2:]])  # as a large file is read
    assert matching(parts, [condition, "year>-5"]).tolist() == expected


@pytest.mark.parametrize(
    ("condition", "words"),
    [("label>3", "holds words"), ("year=x", "not a number"), ("yaer=1", "Did you mean 'year'")],
)
def test_what_cannot_be_asked_is_refused(condition, words):
    with pytest.raises((ConfigError, DataError), match=words):
        matching(pa.Table.from_pandas(pd.DataFrame(COLUMNS)), [condition])


def test_no_condition_is_all():
    assert matching(pa.table({"a": np.arange(3)}), []).tolist() == [True] * 3


BARRED = {"label": ["a", "b", "a|b", "b|a", "c", None]}


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (r"label=a\|b", [2]),
        (r"label!=a\|b", [0, 1, 3, 4, 5]),
        ("label=a|b|b", [0, 1]),
        (r"label=a\|b|c", [2, 4]),
        (r"label=c|a\|b", [2, 4]),
        ("label=a|b|c|c", [0, 1, 4]),
        ("label=a|c", [0, 4]),
        ("label~a|b", [2]),
    ],
)
def test_a_bar_within_a_class_and_a_bar_between_classes(condition, rows):
    found = matching(pa.table(BARRED), [condition])
    assert np.flatnonzero(found).tolist() == rows


@pytest.mark.parametrize(
    ("condition", "whole", "apart"),
    [
        ("label=a|b", [2], [0, 1]),
        ("label=b|a", [3], [0, 1]),
        ("label!=a|b", [0, 1, 3, 4, 5], [2, 3, 4, 5]),
        ("label=a|b|c", [2, 4], [0, 1, 4]),
        ("label=c|a|b", [2, 4], [0, 1, 4]),
    ],
)
def test_a_bar_that_can_mean_two_things_is_asked_about_and_each_answer_works(
    condition, whole, apart
):
    items = pa.table(BARRED)
    with pytest.raises(ConfigError, match="means") as refused:
        matching(items, [condition])
    answers = re.findall(r"(label!?=\S+) for", str(refused.value))
    assert [np.flatnonzero(matching(items, [a])).tolist() for a in answers] == [whole, apart]
