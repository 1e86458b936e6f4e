"""What may not change a number: absent labels, the order of rows, classes of no concern."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import DataError, LookalikeWarning
from lookalike.metrics import clustering, evaluate

NAMES = ["R@1", "map_at_r", "mean_average_precision", "mean_reciprocal_rank"]


def drawn(seed, items, classes=4, levels=2):
    rng = np.random.default_rng(seed)
    fine = rng.integers(-1, classes, items)
    coarse = np.where(rng.random(items) < 0.2, -1, fine // 2)
    return rng.normal(size=(items, 5)), np.stack([fine, coarse], 1)[:, :levels]


ABSENT = {
    "NaN among words": lambda c: np.array([np.nan if v < 0 else f"w{v}" for v in c], object),
    "null of pandas": lambda c: pd.Series([None if v < 0 else f"w{v}" for v in c], dtype="string"),
    "text -1": lambda c: np.array(["-1" if v < 0 else f"w{v}" for v in c]),
    "empty": lambda c: ["" if v < 0 else f"w{v}" for v in c],
    "NaN among numbers": lambda c: np.where(c < 0, np.nan, c),
    "nullable numbers": lambda c: pd.Series(c).astype("Int64").replace(-1, pd.NA),
    "long numbers": lambda c: [None if v < 0 else 2**64 + int(v) for v in c],
}


@pytest.mark.parametrize("kind", ABSENT)
def test_a_label_that_is_not_there_matches_nothing_however_it_is_written(kind):
    x, labels = drawn(0, 24, levels=1)
    expected = evaluate(x, labels, metrics=NAMES)
    found = evaluate(x, ABSENT[kind](labels[:, 0]), metrics=NAMES)
    for name, values in expected.per_query.items():
        assert np.array_equal(found.per_query[name], values, equal_nan=True)
    assert np.isnan(found.per_query["recall_at_1"][labels[:, 0] < 0]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(4, 20))
def test_a_permutation_of_rows_changes_no_query(seed, items):
    x, labels = drawn(seed, items)
    labels[:2] = 0
    order = np.random.default_rng(seed).permutation(items)
    one = evaluate(x, labels, metrics=[*NAMES, "h_ap", "ndcg"])
    other = evaluate(x[order], labels[order], metrics=[*NAMES, "h_ap", "ndcg"])
    for name, values in one.per_query.items():
        assert np.allclose(other.per_query[name], values[order], equal_nan=True, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(4, 20))
def test_a_class_far_away_changes_no_query_s_own_numbers(seed, items):
    x, labels = drawn(seed, items)
    labels[:2] = 0
    x = np.concatenate([np.hstack([x, np.ones((items, 1))]), np.zeros((2, 6))])
    x[-2:, -1] = -1000.0  # ranks behind everything, for every other query
    more = np.concatenate([labels, [[99, 99], [99, 99]]])
    one = evaluate(x[:-2], labels, metrics=NAMES)
    other = evaluate(x, more, metrics=NAMES)
    for name, values in one.per_query.items():
        assert np.array_equal(other.per_query[name][:-2], values, equal_nan=True)


def test_sequences_that_are_not_there_exclude_nobody():
    x = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    sequence = np.array(["clip", "clip", None, np.nan, "", "-1"], object)
    report = evaluate(x, [0, 0, 1, 1, 2, 2], sequences=sequence, metrics=["R@1"])
    assert np.isfinite(report.per_query["recall_at_1"]).tolist() == [False] * 2 + [True] * 4


def test_sides_of_other_types_compare_by_value_or_are_refused():
    x = np.eye(2)
    wide = np.array([2**63 + 1, 5], np.uint64)
    report = evaluate(x, np.array([4, 5]), x, wide, metrics=["R@1"], exclude_self=False)
    assert report.per_query["recall_at_1"][1] == 1 and np.isnan(report.per_query["recall_at_1"][0])
    with pytest.raises(DataError, match="give both integers or both strings"):
        evaluate(x, ["a", "b"], x, [1, 2])
    with pytest.raises(DataError, match=r"row 1 is 'b', row 0 is 1"):
        evaluate(x, [1, "b"])


def test_a_gallery_that_is_the_queries_is_said():
    x = np.eye(3)[[0, 0, 1, 1]]
    with pytest.warns(LookalikeWarning, match="every query finds itself"):
        evaluate(x, [0, 0, 1, 1], x.copy(), [0, 0, 1, 1], metrics=["R@1"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for meant in (True, False):
            evaluate(x, [0, 0, 1, 1], x, [0, 0, 1, 1], metrics=["R@1"], exclude_self=meant)
        evaluate(x, [0, 0, 1, 1], x * 2, [0, 0, 1, 1], metrics=["R@1"])


def test_partitions_take_any_container():
    found = clustering(pd.Series([1, 1, 2], index=[5, 6, 7]), iter(["a", "a", "b"]))
    assert found["pairwise_f"] == 1


def test_nothing_to_measure_is_refused():
    none, some = np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32)
    with pytest.raises(DataError, match="query holds no vectors"):
        evaluate(none, [], some, [0, 0])
    with pytest.raises(DataError, match="query holds no vectors"):
        evaluate(none, [])
