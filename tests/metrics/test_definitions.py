"""Every number has a contract, and answers to the names people use."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import reference_metrics as reference
from test_landmarks_and_partitions import slow_clustering

from lookalike.errors import ConfigError
from lookalike.metrics import catalogue, evaluate, explain, names
from lookalike.metrics.definitions import parse


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
