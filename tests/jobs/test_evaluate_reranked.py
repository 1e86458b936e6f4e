"""`lookalike evaluate --rerank`: the figures of each method are those of its ranking."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lookalike.config import EvaluationConfig
from lookalike.data.datasets.table_files import table_file
from lookalike.errors import ConfigError
from lookalike.evaluation import reranking
from lookalike.evaluation.evaluator import measure_vectors
from lookalike.jobs import evaluate
from lookalike.search.exact import MemoryGallery
from lookalike.search.reranking import METHODS, Request, rerank


def measured(tmp_path, **more):
    """120 vectors of 12 classes in 4 groups; some rows are queries alone, some gallery alone."""
    draw = np.random.default_rng(4)
    labels = draw.integers(0, 12, 120)
    frame = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(120)], "label": labels, "group": labels // 3}
        | {"split": "test", "is_query": np.arange(120) % 5 != 0}
        | {"is_gallery": np.arange(120) % 7 != 0}
        | more
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = table_file(tmp_path / "t.csv", levels=["label", "group"])
    centres = draw.normal(size=(12, 6))[labels]
    x = centres + 1.1 * draw.normal(size=(120, 6))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return measure_vectors("test", table.split("test"), x, EvaluationConfig(k=[1, 4, 120]))


def test_without_re_ranking_the_figures_are_the_reports(tmp_path):
    one = measured(tmp_path)
    (plain,) = reranking.measure(one, [])
    assert set(plain.values) >= {"recall_at_4_level0", "mean_average_precision_at_r_level1"}
    for name, value in plain.values.items():
        assert value == pytest.approx(one.report[name], abs=1e-12), name
        np.testing.assert_array_equal(plain.per_query[name], one.report.per_query[name])


def test_each_method_is_judged_by_its_own_ranking(tmp_path):
    one = measured(tmp_path)
    found = {r.method: r for r in reranking.measure(one, list(METHODS))}
    labels = one.table.labels[:, 0]
    gallery = MemoryGallery.of(one.embeddings[one.gallery])
    where = {int(row): place for place, row in enumerate(one.gallery)}
    own = np.array([where.get(int(row), -1) for row in one.queries])
    queries = one.embeddings[one.queries]
    before = Request(queries, gallery.search(queries, 120, own=own), gallery, own)
    for method in METHODS:
        rows = rerank(before, method).rows
        values = []
        for query, ranking in zip(one.queries, rows, strict=True):
            right = [labels[one.gallery[i]] == labels[query] for i in ranking if i >= 0]
            r = (labels[one.gallery] == labels[query]).sum() - (int(query) in where)
            hits = [sum(right[: j + 1]) / (j + 1) for j in range(r) if right[j]]
            values.append(sum(hits) / r)
        expected = found[method].values["mean_average_precision_at_r_level0"]
        assert expected == pytest.approx(np.mean(values), abs=1e-9), method
    figures = reranking.figures(one, [*found.values()], "queries")["k_reciprocal"]
    name = "mean_average_precision_at_r_level0"
    gain = found["k_reciprocal"].values[name] - found["none"].values[name]
    assert figures["gains"][name] == pytest.approx(gain, abs=1e-9)
    low, high = figures["gain_intervals"][name]
    assert low <= gain <= high


def test_junk_lists_judge_a_re_ranking_too(tmp_path):
    places = ["0 3 9" if i % 5 else "" for i in range(120)]
    one = measured(tmp_path, easy=places, hard="5", junk="1 2")
    plain, other = reranking.measure(one, ["average_qe"])
    for name, value in plain.values.items():
        assert value == pytest.approx(one.report[name], abs=1e-9), name
    assert other.values["medium_map"] != plain.values["medium_map"]


def test_the_verb_prints_it_and_keeps_it_with_the_run(finished, capsys):
    options = {"rerank": ["exact", "k_reciprocal"]}
    results = evaluate.run(finished, as_json=True, **options)
    printed = json.loads(capsys.readouterr().out)["test"]["reranking"]
    kept = json.loads((finished / "evaluation" / "test" / "reranking.json").read_text())
    assert printed == kept
    assert list(kept) == ["none", "exact", "k_reciprocal"]
    assert kept["exact"]["values"] == kept["none"]["values"]
    assert (
        kept["none"]["values"]["recall_at_1_level0"]
        == results["test"]["values"]["recall_at_1_level0"]
    )
    assert kept["k_reciprocal"]["milliseconds"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rerank": ["k_reciprocl"]}, "Did you mean 'k_reciprocal'"),
        ({"rerank": ["all"], "gallery": "x"}, "--rerank beside --gallery"),
    ],
)
def test_what_cannot_be_is_refused(finished, options, words):
    with pytest.raises(ConfigError, match=words):
        evaluate.run(finished, **options)
