"""Every number has a contract, and answers to the names people use."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import reference_metrics as reference
from test_landmarks_and_partitions import slow_clustering

from lookalike.errors import ConfigError
from lookalike.metrics import catalogue, definitions, evaluate, explain, names
from lookalike.metrics.definitions import parse
from lookalike.metrics.plain_words import PLAIN


def test_every_value_of_a_report_is_explained():
    x = np.eye(6, dtype=np.float32)
    labels = np.stack([np.arange(6) // 2, np.arange(6) // 3], axis=1)
    for columns in (1, 2):
        report = evaluate(x, labels[:, :columns])
        for name in report.values:
            definition = report.definitions[name]
            assert definition.name == name
            assert "{" not in str(definition)
            assert explain(name).words.split(";")[0] == definition.words.split(";")[0]
            # Each key of a report can be asked for on its own and gives the same number.
            alone = evaluate(x, labels[:, :columns], metrics=[name])
            assert list(alone.values) == [name]
            np.testing.assert_array_equal(alone.per_query[name], report.per_query[name])


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("map_at_r", "mean_average_precision_at_r"),
        ("MAP@R", "mean_average_precision_at_r"),
        ("mAP", "mean_average_precision"),
        ("AP_level0", "mean_average_precision"),
        ("r_at_1", "recall_at_{k}"),
        ("R@10", "recall_at_{k}"),
        ("recall@k", "recall_at_{k}"),
        ("cmc_at_5", "recall_at_{k}"),
        ("P@1", "precision_at_{k}"),
        ("precision_at_1", "precision_at_{k}"),
        ("map@100", "mean_average_precision_at_{k}"),
        ("MRR", "mean_reciprocal_rank"),
        ("µAP", "micro_average_precision"),
        ("H-AP", "h_ap"),
        ("H_AP_multi", "h_ap"),
        ("NDCG", "ndcg"),
        ("nmi", "nmi"),
        ("AMI", "ami"),
        ("adjusted_mutual_info", "ami"),
        ("mP@5", "mean_precision_at_{k}"),
        ("hard_map", "hard_map"),
        ("medium_mP@10", "medium_mp_at_{k}"),
    ],
)
def test_aliases(alias, name):
    cut = "".join(c for c in alias if c.isdigit() and "level" not in alias) or "{k}"
    assert explain(alias).name.removesuffix("_level0") == name.replace("{k}", cut)


def test_unknown_names_get_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'mean_reciprocal_rank'"):
        explain("mean_reciprocal_rnk")
    with pytest.raises(ConfigError, match="no metric is called 'recall_at_0'"):
        explain("recall_at_0")
    with pytest.raises(ConfigError, match="easy, hard and junk"):
        evaluate(np.eye(2), [0, 0], metrics=["hard_map"])


def test_the_list_of_names():
    assert names()[0] == "precision_at_{k}"
    assert {"h_ap", "asi", "ndcg", "micro_average_precision"} <= set(names())
    for name in names():
        assert explain(name).name == name


def test_every_metric_has_a_slow_oracle():
    x = np.eye(6)[[0, 0, 1, 1, 2, 2]].tolist()
    slow = reference.evaluate(x, [(i // 2, i // 3) for i in range(6)])
    measured = {parse(name).base for name in slow}
    assert measured == {d.name for d in catalogue.RETRIEVAL}
    partition = slow_clustering([0, 0, 1, 1, 1], [0, 0, 0, 1, 1])
    assert {d.name for d in catalogue.CLUSTERING} <= set(partition)
    # `slow_landmark` gives the two figures of every setup.
    assert {d.name.split("_", 1)[1] for d in catalogue.LANDMARKS} == {"map", "mp_at_{k}"}


def test_explaining_does_not_import_torch():
    code = "import sys; from lookalike.metrics import explain; explain('mrr'); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def ranked(right: list[int], places: int = 8):
    """A query and a gallery in which the right images stand at these places, from 1."""
    angles = np.concatenate([[0.0], 0.1 + 0.05 * np.arange(places)])
    labels = np.array([0, *(0 if place in right else 1 for place in range(1, places + 1))])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return x[:1], labels[:1], x[1:], labels[1:]


@pytest.mark.parametrize(
    ("name", "right", "value"),
    [
        ("mean_average_precision", [1, 4], 0.75),
        ("mean_average_precision_at_r", [1, 2], 1.0),
        ("mean_average_precision_at_r", [2, 5], 0.25),
        ("mean_average_precision_at_10", [1, 11], 0.5),
        ("mean_reciprocal_rank", [4], 0.25),
        ("ndcg", [3], 0.5),
        ("linear_ndcg", [3], 0.5),
        ("ir_recall_at_1", [1, 2, 3, 4, 5], 0.2),
        ("mean_inverse_negative_penalty", [1, 2, 6], 0.5),
        ("h_ap", [1, 4], 0.75),
        ("asi", [1, 3], 0.75),
        ("mean_average_precision_trapezoid", [1, 4], (1 + (1 / 3 + 2 / 4) / 2) / 2),
    ],
)
def test_the_examples_of_the_plain_sentences_are_right(name, right, value):
    x, labels, gallery, gallery_labels = ranked(right, places=12)
    found = evaluate(x, labels, gallery, gallery_labels, metrics=[name])
    assert found[name] == pytest.approx(value)
    told = explain(name).plain
    assert f"{value:.2f}".rstrip("0").rstrip(".") in told or f"1/{1 / value:.0f}" in told


def test_every_definition_begins_with_a_plain_sentence_and_an_example():
    every = [d for family in definitions._KINDS.values() for d in family]
    assert {d.name for d in every} == set(PLAIN)
    for d in every:
        assert len(d.plain) < 200 and re.search(r"\d", d.plain), d.name
        assert str(d).splitlines()[1].strip() == d.plain
        assert d.told.splitlines()[1] == f"Formula: {d.words} ({d.protocol})"
