"""Bootstrap intervals and paired comparison, against closed forms and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lookalike.errors import ConfigError, DataError
from lookalike.metrics import compare_reports, evaluate
from lookalike.metrics.bootstrap import bootstrap, resampled_means
from lookalike.metrics.compare import compare_entries, permutation_test


def test_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).standard_normal(2000) + 3
    low, high = bootstrap({"x": values}, None, confidence=0.95, resamples=4000, seed=1)["x"]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=half * 0.1)
    assert high == pytest.approx(values.mean() + half, abs=half * 0.1)


def test_resampling_is_that_of_a_plain_loop():
    values = np.array([1.0, np.nan, 3.0, 7.0])
    ours = resampled_means({"x": values}, None, resamples=5, seed=3)["x"]
    draws = np.random.default_rng(3).integers(0, 4, (5, 4))
    theirs = [np.nanmean(values[row]) if (row != 1).any() else np.nan for row in draws]
    np.testing.assert_allclose(ours, theirs)


def test_classes_are_drawn_whole():
    # Every class agrees with itself, so resampling queries hides half of the spread.
    values = np.repeat(np.random.default_rng(0).random(50), 20)
    classes = np.repeat(np.arange(50), 20)
    by_query = bootstrap({"x": values}, None, confidence=0.9, resamples=500, seed=0)["x"]
    by_class = bootstrap({"x": values}, classes, confidence=0.9, resamples=500, seed=0)["x"]
    ratio = (by_class[1] - by_class[0]) / (by_query[1] - by_query[0])
    assert ratio == pytest.approx(np.sqrt(20), rel=0.25)


def test_report_intervals_enclose_the_value():
    random = np.random.default_rng(0)
    labels = np.arange(300) // 6
    x = (np.eye(50)[labels] + 0.4 * random.standard_normal((300, 50))).astype(np.float32)
    report = evaluate(x, labels)
    for over in ("queries", "classes"):
        for name, (low, high) in report.intervals(over=over, resamples=200).items():
            assert low <= report.values[name] <= high, (name, over)
            assert high - low < 0.3
    with pytest.raises(ConfigError, match="Did you mean 'classes'"):
        report.intervals(over="class")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        report.intervals(95)


def test_permutation_test_equals_all_sign_flips():
    changes = np.array([0.3, -0.1, 0.2, 0.4, 0.05, -0.02, 0.11])
    every = [abs(np.dot(s, changes)) for s in itertools.product([-1, 1], repeat=len(changes))]
    exact = np.mean(np.array(every) >= abs(changes.sum()) - 1e-12)
    ours = permutation_test({"x": changes}, None, permutations=40000, seed=0)["x"]
    assert ours == pytest.approx(exact, abs=0.01)
    # Two groups can be exchanged in four ways, two of them as extreme as what was seen.
    pairs = permutation_test(
        {"x": changes}, np.array([0, 0, 0, 1, 1, 1, 1]), permutations=4000, seed=0
    )["x"]
    assert pairs == pytest.approx(0.5, abs=0.03)


def test_p_values_are_uniform_when_nothing_differs():
    random = np.random.default_rng(0)
    entries = {str(i): random.standard_normal(40) for i in range(400)}
    p = np.array(list(permutation_test(entries, None, permutations=500, seed=1).values()))
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.05)
    assert p.mean() == pytest.approx(0.5, abs=0.06)


def test_a_better_model_is_found_better():
    random = np.random.default_rng(0)
    labels = np.arange(200) // 5
    signal = np.eye(40)[labels]
    noise = random.standard_normal((200, 40))
    good = evaluate((signal + 0.25 * noise).astype(np.float32), labels)
    bad = evaluate((signal + 0.45 * noise).astype(np.float32), labels)
    comparison = compare_reports(bad, good, resamples=300, permutations=500)
    d = comparison.differences["mean_average_precision"]
    assert d.difference == pytest.approx(good["map"] - bad["map"])
    assert d.low > 0 and d.p_value < 0.01 and d.better > d.worse
    changed = comparison.changed("mean_average_precision", 5)
    entries = np.abs(comparison.entries["mean_average_precision"])
    assert len(changed) == 5 and entries[changed].min() >= np.sort(entries)[-5]
    assert comparison.to_frame().loc["mean_average_precision", "p_value"] == d.p_value
    by_class = compare_reports(bad, good, over="classes", resamples=300, permutations=500)
    assert by_class.to_dict()["mean_average_precision"]["low"] > 0


def test_queries_skipped_by_either_are_left_out():
    a = {"x": np.array([1.0, np.nan, 0.5, 0.0])}
    b = {"x": np.array([1.0, 1.0, np.nan, 1.0])}
    d = compare_entries(a, b, resamples=50, permutations=50).differences["x"]
    assert (d.queries, d.a, d.b, d.difference) == (2, 0.5, 1.0, 0.5)


def test_other_queries_are_refused():
    x = np.eye(4, dtype=np.float32)
    with pytest.raises(DataError, match="not of the same queries"):
        compare_reports(evaluate(x, [0, 0, 1, 1]), evaluate(x, [0, 1, 1, 1]))
    with pytest.raises(DataError, match="no metric in common"):
        compare_reports(
            evaluate(x, [0, 0, 1, 1], metrics="map"), evaluate(x, [0, 0, 1, 1], metrics="mrr")
        )
    # Other code books, same classes.
    same = compare_reports(evaluate(x, ["a", "a", "b", "b"]), evaluate(x, [9, 9, 3, 3]))
    assert same.differences["recall_at_1"].difference == 0
