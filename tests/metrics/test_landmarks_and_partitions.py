"""The landmark protocol and the clustering metrics against plain loops."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import ConfigError, DataError, NumericsError
from lookalike.metrics import clustering, evaluate, evaluate_landmarks, explain, kmeans, revisited
from other_packages import package

sk = package("sklearn.metrics")


def slow_landmark(ranking, positive, junk, ks):
    kept = [item for item in ranking if item not in junk]
    places = [place for place, item in enumerate(kept) if item in positive]
    ap = 0.0
    for j, place in enumerate(places):
        ap += ((j / place if place else 1.0) + (j + 1) / (place + 1)) / 2 / len(positive)
    precisions = []
    for k in ks:
        k = min(k, places[-1] + 1) if places else k
        precisions.append(sum(place < k for place in places) / k)
    return ap, precisions


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("ehjn"), min_size=1, max_size=12), st.randoms())
def test_revisited_equals_a_loop(kinds, random):
    ranking = list(range(len(kinds)))
    random.shuffle(ranking)
    ranking = ranking[: random.randint(1, len(ranking))]
    truth = {
        name: [i for i, kind in enumerate(kinds) if kind == letter]
        for name, letter in (("easy", "e"), ("hard", "h"), ("junk", "j"))
    }
    found = revisited(np.array(ranking)[:, None], [truth], k=[1, 3])
    setups = {"easy": ("e", "jh"), "medium": ("eh", "j"), "hard": ("h", "je")}
    for setup, (positive, junk) in setups.items():
        wanted = {i for i, kind in enumerate(kinds) if kind in positive}
        ignored = {i for i, kind in enumerate(kinds) if kind in junk}
        if not wanted:
            assert found[setup]["queries"] == 0 and np.isnan(found[setup]["map"])
            continue
        ap, precisions = slow_landmark(ranking, wanted, ignored, [1, 3])
        assert found[setup]["map"] == pytest.approx(ap)
        assert found[setup]["mp_at_k"] == pytest.approx(precisions)


def test_revisited_refuses_what_it_cannot_read():
    truth = [{"easy": [0], "hard": [], "junk": []}]
    with pytest.raises(DataError, match="queries × database"):
        revisited(np.zeros((3, 1)), truth)
    with pytest.raises(DataError, match="database × queries"):
        revisited(np.zeros((1, 3), int), truth)
    with pytest.raises(NumericsError, match="NaN, first in row 0"):
        revisited(np.array([[0.0, np.nan]]), truth)
    with pytest.raises(DataError, match="'easy' and 'hard'"):
        revisited(np.zeros((1, 2)), [{"good": [0]}])
    with pytest.raises(ConfigError, match="whole numbers from 1"):
        revisited(np.zeros((1, 2)), truth, k=[0])


def test_a_landmark_report_holds_what_revisited_says():
    random = np.random.default_rng(0)
    query, gallery = random.standard_normal((4, 5)), random.standard_normal((30, 5))
    kinds = random.integers(0, 6, (4, 30))
    kinds[3] = np.where(kinds[3] == 1, 0, kinds[3])  # a query without hard ones
    truth = [
        {key: np.flatnonzero(row == code) for code, key in enumerate(("easy", "hard", "junk"))}
        for row in kinds
    ]
    buildings = ["a", "a", "b", "b"], ["a"] * 30
    report = evaluate_landmarks(query, buildings[0], gallery, buildings[1], truth, k=[1, 10])
    expected = revisited(query @ gallery.T, truth, k=[1, 10])
    for setup, numbers in expected.items():
        assert report[f"{setup}_map"] == numbers["map"]
        assert [report[f"{setup}_mp_at_{k}"] for k in (1, 10)] == numbers["mp_at_k"]
        assert report.skipped[f"{setup}_map"] == 4 - numbers["queries"]
    assert report.skipped["hard_map"] == 1
    assert set(report.intervals(over="classes")) == set(report.values)
    assert all(explain(name).words == d.words for name, d in report.definitions.items())
    items, _ = report.neighbours(0, 30)
    np.testing.assert_array_equal(items[0], np.argsort(-(gallery @ query[0])))
    with pytest.raises(DataError, match="query 0, easy: row 30 of a gallery of 30"):
        wrong = [{"easy": [30], "hard": [], "junk": []}] * 4
        evaluate_landmarks(query, buildings[0], gallery, buildings[1], wrong)
    with pytest.raises(DataError, match="4 queries, but the ground truth of 3"):
        evaluate_landmarks(query, buildings[0], gallery, buildings[1], truth[:3])


def test_kmeans_finds_clusters_that_are_there():
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), 20)
    x = 10 * np.eye(5)[labels] + 0.1 * random.standard_normal((100, 5))
    assert clustering(kmeans(x, 5, restarts=5), labels)["nmi"] == pytest.approx(1)
    assert set(kmeans(x, 1)) == {0}
    with pytest.raises(ConfigError, match="clusters=101, but there are 100 vectors"):
        kmeans(x, 101)
    with pytest.raises(NumericsError, match="NaN"):
        kmeans([[np.nan]], 1)


def test_numbers_of_no_query_join_a_report():
    report = evaluate(np.eye(4), [0, 0, 1, 1], metrics="map").with_values({"nmi": 0.5})
    assert report["NMI"] == 0.5 and report.skipped["nmi"] == 0
    assert "nmi" not in report.intervals() and "nmi" in str(report)
    assert report.to_dict()["definitions"]["nmi"]["protocol"].startswith("scikit-learn")
    assert list(report.to_frame().index) == ["mean_average_precision", "nmi"]


def test_class_means_count_every_class_the_same():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    x = np.random.default_rng(2).standard_normal((7, 3))
    report = evaluate(x, labels, metrics=["map", "r_at_1"], k=1)
    for name, entries in report.per_query.items():
        by_class = [entries[labels == c].mean() for c in (0, 1)]  # class 2 has no positive
        assert report.class_means()[name] == pytest.approx(np.mean(by_class))
        assert report.by_class(name) == pytest.approx(dict(enumerate(by_class)))


def slow_information(pred, true):
    """NMI and AMI by their definitions; the expected information by counting every table."""
    n = len(pred)
    a, b = Counter(pred), Counter(true)
    h_a, h_b = (-sum(c / n * math.log(c / n) for c in side.values()) for side in (a, b))
    both = Counter(zip(pred, true, strict=True))
    mutual = sum(c / n * math.log(n * c / (a[i] * b[j])) for (i, j), c in both.items())
    expected = 0.0
    for size, other in itertools.product(a.values(), b.values()):
        for c in range(max(1, size + other - n), min(size, other) + 1):
            chance = math.comb(other, c) * math.comb(n - other, size - c) / math.comb(n, size)
            expected += chance * c / n * math.log(n * c / (size * other))
    if len(a) == len(b) == 1 or len(a) == len(b) == n:
        return 1.0, 1.0  # nothing to know, or all known: the partitions are the same
    mean = (h_a + h_b) / 2
    nmi = mutual / mean if mutual > 1e-12 else 0.0
    return nmi, None if abs(mean - expected) < 1e-9 else (mutual - expected) / (mean - expected)


def slow_clustering(pred, true):
    n = len(pred)
    pairs = list(itertools.combinations(range(n), 2))
    both = sum(pred[i] == pred[j] and true[i] == true[j] for i, j in pairs)
    claimed = sum(pred[i] == pred[j] for i, j in pairs)
    actual = sum(true[i] == true[j] for i, j in pairs)
    precision, recall = [], []
    for i in range(n):
        shared = sum(pred[i] == pred[j] and true[i] == true[j] for j in range(n))
        precision.append(shared / sum(pred[i] == pred[j] for j in range(n)))
        recall.append(shared / sum(true[i] == true[j] for j in range(n)))
    p, r = np.mean(precision), np.mean(recall)
    nmi, ami = slow_information(pred, true)
    return {
        "nmi": nmi,
        "ami": ami,
        "ari": sk.adjusted_rand_score(true, pred),
        "pairwise_precision": both / claimed if claimed else float("nan"),
        "pairwise_recall": both / actual if actual else float("nan"),
        "pairwise_f": 2 * both / (claimed + actual) if claimed + actual else 1.0,
        "b_cubed_precision": p,
        "b_cubed_recall": r,
        "b_cubed_f": 2 * p * r / (p + r),
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_clustering_equals_loops_over_pairs(pairs):
    pred, true = zip(*pairs, strict=True)
    found = clustering(list(pred), [f"class {c}" for c in true])
    for name, value in slow_clustering(pred, true).items():
        if value is not None:
            assert found[name] == pytest.approx(value, nan_ok=True, abs=1e-9), name
    assert (found["clusters"], found["classes"]) == (len(set(pred)), len(set(true)))


def test_information_of_many_clusters_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    true = draw.integers(60, size=900)
    # From few large clusters to single items.
    for pred in (true // 9, (true * 7 + draw.integers(3, size=900)), np.arange(900) // 2):
        found = clustering(pred, true)
        assert found["nmi"] == pytest.approx(sk.normalized_mutual_info_score(true, pred), abs=1e-12)
        assert found["ami"] == pytest.approx(sk.adjusted_mutual_info_score(true, pred), abs=1e-9)


def test_a_perfect_and_a_useless_clustering():
    same = clustering([3, 3, 1, 1], ["a", "a", "b", "b"])
    assert all(same[name] == pytest.approx(1) for name in ("pairwise_f", "b_cubed_f", "nmi", "ami"))
    alone = clustering([0, 1, 2, 3], [0, 0, 1, 1])
    assert np.isnan(alone["pairwise_precision"]) and alone["pairwise_f"] == 0
    with pytest.raises(DataError, match="pred has 1 item and true 2"):
        clustering([0], [0, 1])
    with pytest.raises(DataError, match="nothing to compare"):
        clustering([], [])
