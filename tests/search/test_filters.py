"""Filters against the obvious: one row at a time, in Python."""

from __future__ import annotations

import datetime
import math

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
    [("label>3", "holds words"), ("year=x", "no number"), ("yaer=1", "Did you mean 'year'")],
)
def test_what_cannot_be_asked_is_refused(condition, words):
    with pytest.raises((ConfigError, DataError), match=words):
        matching(pa.Table.from_pandas(pd.DataFrame(COLUMNS)), [condition])


def test_no_condition_is_all():
    assert matching(pa.table({"a": np.arange(3)}), []).tolist() == [True] * 3
