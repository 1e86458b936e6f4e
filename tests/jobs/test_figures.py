"""Which figures are measured, and how several splits and levels become one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lookalike.config import EvaluationConfig
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError
from lookalike.evaluation.averages import means
from lookalike.evaluation.evaluator import measure_vectors
from lookalike.evaluation.ground_truth import ground_truth, without_others
from lookalike.evaluation.metric_selection import check_metrics, landmark_names, metric_names
from lookalike.metrics import clustering, evaluate, evaluate_landmarks, kmeans


def test_names_are_selected_and_excluded_by_any_alias():
    def names(columns=1, levels=(0,), **options):
        return metric_names(EvaluationConfig(k=[1, 4], **options), columns, levels)

    assert names(metrics=["R@k", "MAP@R"]) == [
        "recall_at_1",
        "recall_at_4",
        "mean_average_precision_at_r",
    ]
    assert names(metrics=["R@k", "MAP@R"], exclude=["R@4"]) == [
        "recall_at_1",
        "mean_average_precision_at_r",
    ]
    assert names(metrics=["R@k", "MAP@R"], exclude=["R@k"]) == ["mean_average_precision_at_r"]
    two = {"columns": 2, "levels": (0, 1)}
    assert names(**two, metrics=["ap", "ndcg"], exclude=["ap_level1", "H-AP"]) == [
        "mean_average_precision_level0",
        "ndcg",
    ]
    assert {"h_ap", "asi", "mean_reciprocal_rank_level1"} <= set(names(**two))
    assert {"h_ap", "asi_level1"} & set(names(**two, exclude=["h_ap", "asi"])) == set()
    everything = names(**two, metrics=["all", "mp_at_4"])
    assert {"micro_average_precision_level0", "asi_level1"} <= set(everything)
    assert everything[-1] == "mean_precision_at_4_level1" and len(everything) == len(
        set(everything)
    )
    # A level in which no query has a label is nobody's mistake: DyML's benchmarks are so.
    assert names(columns=3, levels=(1,), metrics=["asi_level0", "asi_level1"]) == ["asi_level1"]
    with pytest.raises(ConfigError, match="leave nothing to measure"):
        names(metrics=["R@1"], exclude=["R@k"])


def test_options_are_checked_by_their_words():
    for options, words in (
        ({"metrics": ["recal"]}, "evaluation.metrics: no metric is called 'recal'"),
        ({"exclude": ["recal"]}, "evaluation.exclude"),
        ({"ties": "random"}, "evaluation.ties=random: write one of stable"),
        ({"empty": "one"}, "evaluation.empty=one: write one of skip, zero"),
        ({"scales": [1.0, -1.0]}, "evaluation.scales"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_metrics(EvaluationConfig(**options))


def table(size, columns=1, **more):
    random = np.random.default_rng(0)
    fine = random.integers(0, size // 2, size)
    names = ["label", "genus", "family"][:columns]
    frame = pd.DataFrame({"path": [f"{i}.jpg" for i in range(size)], "split": "test"} | more)
    for column, name in enumerate(names):
        frame[name] = fine // 2**column
    x = random.standard_normal((size, 6)).astype(np.float32)
    return Table.from_frame(frame, levels=names), x


def test_the_options_of_an_evaluation_reach_the_numbers():
    rows, x = table(40, columns=2)
    x = np.round(x)  # ties
    for options in (
        {"ties": "pessimistic"},
        {"empty": "zero"},
        {"relevance": "map", "alpha": [0.3, 0.7]},
        {"alpha": 0.5},
    ):
        c = EvaluationConfig(metrics=["map", "h_ap"], **options)
        ours = measure_vectors("test", rows, x, c).report
        theirs = evaluate(x, rows.labels, metrics=["map", "h_ap"], **options)
        usual = evaluate(x, rows.labels, metrics=["map", "h_ap"])
        assert ours.values == theirs.values
        assert ours.values != usual.values


def test_partitions_are_judged_where_they_are_named():
    rows, x = table(40, columns=2)
    report = measure_vectors("test", rows, x, EvaluationConfig(metrics=["NMI", "ap"])).report
    labels = rows.labels[:, 1]
    found = clustering(kmeans(x, len(np.unique(labels))), labels)
    assert report["nmi_level1"] == found["nmi"]
    assert list(report.values)[-2:] == ["nmi_level0", "nmi_level1"]


def test_levels_without_labels_are_left_out():
    rows, x = table(40, columns=2)
    frame = rows.frame.assign(label=-1)
    alone = Table.from_frame(frame, levels=["label", "genus"])
    report = measure_vectors("test", alone, x, EvaluationConfig(metrics=["ap"])).report
    assert list(report.values) == ["mean_average_precision_level1"]
    nothing = Table.from_frame(frame, levels=["label"])
    with pytest.raises(DataError, match="no query has a label to be found by"):
        measure_vectors("test", nothing, x, EvaluationConfig())


def test_means_are_those_of_plain_loops():
    measured = {
        "val": {"map_level0": 9.0},
        "test_fine": {"map_level0": 0.2, "r_at_1_level0": 0.5},
        "test_coarse": {"map_level0": math.nan, "map_level1": 0.6, "h_ap": 0.7},
        "test_other": {"r_at_1_level0": 0.3},
    }
    both = means(measured, EvaluationConfig(average_levels=True))
    assert both == {
        "test (mean)": {
            "map_level0": 0.2,
            "r_at_1_level0": 0.4,
            "map_level1": 0.6,
            "h_ap": 0.7,
        },
        "test (all levels)": {
            "mean_average_precision": pytest.approx(0.4),
            "recall_at_1": 0.4,
        },
    }
    assert means(measured, EvaluationConfig(average_splits=False)) == {}
    assert means({"test": {"map": 1.0}}, EvaluationConfig(average_levels=True)) == {}
    # Nothing is averaged where every split has figures of its own.
    assert (
        means({"test_a": {"map_level0": 1.0}, "test_b": {"map_level1": 0.0}}, EvaluationConfig())
        == {}
    )


LISTS = {
    "easy": ["1 2", "", "", "", ""],
    "hard": ["", "0", "", "", ""],
    "junk": ["0", "", "", "", ""],
}


def landmarks():
    rows, x = table(5, **LISTS)
    roles = [True, True, False, False, False]
    frame = rows.frame.assign(is_query=roles, is_gallery=[not role for role in roles])
    return Table.from_frame(frame), x


def test_a_table_with_lists_is_judged_by_them():
    rows, x = landmarks()
    truth = ground_truth(rows)
    assert [entry["easy"].tolist() for entry in truth] == [[1, 2], []]
    report = measure_vectors("test", rows, x, EvaluationConfig(k=[2])).report
    expected = evaluate_landmarks(x[:2], [0, 0], x[2:], [0, 0, 0], truth, k=[1, 2, 5, 10])
    assert list(report.values) == list(expected.values)
    np.testing.assert_equal(dict(report.values), dict(expected.values))
    asked = EvaluationConfig(metrics=["hard_map", "easy_mp_at_k", "R@1"], exclude=["easy_mp_at_5"])
    assert landmark_names(report.values, asked) == [
        "easy_mp_at_1",
        "easy_mp_at_2",
        "easy_mp_at_10",
        "hard_map",
    ]
    labels_only = EvaluationConfig(metrics=["R@1"])
    assert landmark_names(report.values, labels_only) == list(report.values)


def test_lists_follow_the_gallery_that_is_left():
    rows, _ = landmarks()
    left = without_others(rows, np.array([0, 1, 2, 4]))
    truth = ground_truth(left)
    assert [entry["easy"].tolist() for entry in truth] == [[1], []]
    assert [entry["hard"].tolist() for entry in truth] == [[], [0]]
    assert len(left) == 4 and truth[0]["junk"].tolist() == [0]
    bad = Table.from_frame(rows.frame.assign(easy="first"))
    with pytest.raises(DataError, match="row 0, easy: 'first' is not a list of positions"):
        ground_truth(bad)
