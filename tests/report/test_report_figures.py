from __future__ import annotations

import numpy as np
import pytest

from lookalike.errors import LookalikeError
from lookalike.report import choose_queries, find_confusions
from lookalike.report.figures import format_estimate, headlines, metric_title
from lookalike.report.meanings import level_legend, meanings


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("recall_at_10", "Recall@10"),
        ("true_recall_at_4_level1", "True recall@4, genus"),
        ("mean_average_precision_at_r", "MAP@R"),
        ("mean_average_precision_at_100", "mAP@100"),
        ("micro_average_precision", "µAP"),
        ("h_ap_level7", "H-AP, level 7"),
        ("my_own_number_at_3", "my_own_number_at_3"),
    ],
)
def test_metric_titles(name: str, title: str) -> None:
    assert metric_title(name, ["species", "genus"]) == title


def test_estimates() -> None:
    assert format_estimate(0.812, (0.789, 0.8349)) == "0.812 (0.79–0.83)"
    assert format_estimate(0.812) == format_estimate(0.812, (float("nan"), 1.0)) == "0.812"
    assert format_estimate(float("nan")) == "–"


def test_headlines_keep_to_the_finest_level_and_to_known_metrics() -> None:
    names = ["h_ap", "recall_at_1_level1", "recall_at_1_level0", "precision_at_1_level0", "mine"]
    assert headlines(names) == ["recall_at_1_level0", "h_ap"]
    assert headlines(["mine", "yours"]) == ["mine", "yours"]


def test_choice_is_disjoint_ordered_and_spread_over_classes() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.9, 0.5, 0.5, 0.45, 0.1, 0.0, 0.0, np.nan, 0.7])
    labels = np.array([0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9])
    positives = np.array([1, 5, 2, 9, 1, 1, 1, 1, 1, 8, 1, 1])
    chosen = choose_queries(values, labels=labels, positives=positives, count=3)
    # Row 1 before row 2 (more positives), row 0 not at all (its class is there already).
    assert chosen.best == [1, 2, 3]
    assert chosen.worst == [9, 8, 7]
    assert chosen.median == [4, 6, 11]


@pytest.mark.parametrize("size", range(9))
def test_choice_of_few_queries_never_repeats_one(size: int) -> None:
    chosen = choose_queries(np.linspace(0, 1, size), count=4)
    rows = chosen.best + chosen.median + chosen.worst
    assert len(rows) == len(set(rows)) == (3 * (size // 3) if size >= 3 else size)


def test_choice_returns_to_a_class_only_when_all_have_had_their_turn() -> None:
    chosen = choose_queries(
        [0.9, 0.8, 0.1, 0.7, 0.2, 0.3], labels=["a", "a", "b", "b", "b", "b"], count=2
    )
    assert chosen.best == [0, 3]


def test_choice_refuses_what_does_not_fit() -> None:
    with pytest.raises(LookalikeError, match=r"labels \(1,\)"):
        choose_queries([0.5, 0.6], labels=["a"])
    with pytest.raises(LookalikeError, match="count=0"):
        choose_queries([0.5], count=0)


def _confusions_by_loops(
    actual: list[int], found: list[int]
) -> list[tuple[int, int, int, int, int]]:
    rows = []
    for a in set(actual):
        for b in set(found):
            if a != b:
                count = sum(1 for x, y in zip(actual, found, strict=True) if (x, y) == (a, b))
                reverse = sum(1 for x, y in zip(actual, found, strict=True) if (x, y) == (b, a))
                if count:
                    rows.append((a, b, count, actual.count(a), reverse))
    return sorted(rows, key=lambda r: (-r[2], -r[2] / r[3], r[0], r[1]))


def test_confusions_equal_the_loops() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        actual, found = rng.integers(-1, 5, 60).tolist(), rng.integers(-1, 5, 60).tolist()
        result = find_confusions(actual, found, limit=7)
        slow = _confusions_by_loops(actual, found)
        fast = [(int(p.actual), int(p.found), p.count, p.queries, p.reverse) for p in result.pairs]
        assert fast == slow[:7]
        assert result.distinct == len(slow)
        assert result.wrong == sum(row[2] for row in slow)
        assert result.queries == 60


def test_confusions_show_the_surest_mistakes() -> None:
    result = find_confusions(
        [0, 0, 0, 1],
        [1, 1, 1, 1],
        query_images=["a", "b", "c", "d"],
        neighbour_images=["A", "B", "C", "D"],
        scores=[0.1, 0.9, 0.5, 1.0],
        examples=2,
    )
    assert result.pairs[0].examples == [("b", "B"), ("c", "C")]


def test_no_confusions() -> None:
    assert find_confusions([0, 1], [0, 1]).pairs == []
    with pytest.raises(LookalikeError, match=r"\[2, 1, 2\]"):
        find_confusions([0, 1], [0])


def test_definitions_that_differ_in_k_and_level_alone_are_said_once() -> None:
    words = {
        f"recall_at_{k}_level{level}": f"1 if any of the {k} nearest is, of label {level}; else 0"
        for k in (1, 2, 4)
        for level in (0, 1)
    }
    words |= {"ndcg": "all", "ndcg_level0": "column 0", "ndcg_level1": "column 1"}
    found = meanings(words)
    assert [(m.title, m.name, m.words) for m in found] == [
        ("Recall@k", "recall_at_{k}_level{l}", "1 if any of the k nearest is, of label l; else 0"),
        ("NDCG", "ndcg", "all"),
        ("NDCG, level l", "ndcg_level{l}", "column l"),
    ]
    assert level_legend(found, ["species", "genus"]).endswith("0 species, 1 genus.")
    assert level_legend(found[1:2], ["species"]) == ""


def test_definitions_that_differ_otherwise_stay_apart() -> None:
    words = {
        "recall_at_1": "the first",
        "recall_at_2": "one of 2",
        "mine_at_1": "x 1",
        "mine_at_3": "x 3",
    }
    assert [(m.title, m.words) for m in meanings(words)] == [
        ("Recall@1", "the first"),
        ("Recall@2", "one of 2"),
        ("mine_at_k", "x k"),
    ]
    swapped = {"recall_at_1": "2 of 3", "recall_at_2": "3 of 1"}
    assert [m.words for m in meanings(swapped)] == ["2 of 3", "3 of 1"]


def test_only_what_differs_becomes_a_letter() -> None:
    one_k = {f"precision_at_1_level{i}": f"of level {i} among its 1 nearest" for i in range(2)}
    assert [(m.title, m.name, m.words) for m in meanings(one_k)] == [
        ("Precision@1", "precision_at_1_level{l}", "of level l among its 1 nearest")
    ]
    one_level = {f"recall_at_{k}_level1": f"level 1 among {k}" for k in (2, 4)}
    assert [(m.title, m.name, m.words) for m in meanings(one_level)] == [
        ("Recall@k, level 1", "recall_at_{k}_level1", "level 1 among k")
    ]
