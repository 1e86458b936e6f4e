"""Metrics of information retrieval, re-identification and verification, against their libraries."""

import numpy as np
import pytest
import torch

from lookalike.errors import ConfigError, DataError
from lookalike.metrics import clustering, evaluate, explain, verification
from other_packages import package

sk = package("sklearn.metrics")
retrieval_normalized_dcg = package("torchmetrics.functional.retrieval").retrieval_normalized_dcg
retrieval_recall = package("torchmetrics.functional.retrieval").retrieval_recall
retrieval_reciprocal_rank = package("torchmetrics.functional.retrieval").retrieval_reciprocal_rank

RNG = np.random.default_rng(5)
Q, G = (RNG.normal(size=(n, 6)).astype("float32") for n in (30, 50))
FINE_Q, FINE_G = RNG.integers(0, 8, 30), RNG.integers(0, 8, 50)
LEVELS = [np.stack([fine, fine // 2, fine // 4], axis=1) for fine in (FINE_Q, FINE_G)]
SCORES = Q.astype(float) @ G.T.astype(float)


def values(name, labels=(FINE_Q, FINE_G), **options):
    report = evaluate(Q, labels[0], G, labels[1], metrics=name, distance="dot", **options)
    return report.per_query[name]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_binary_cut_offs_are_those_of_torchmetrics(k):
    wanted = {
        f"ndcg_at_{k}": lambda s, t: retrieval_normalized_dcg(s, t, min(k, 50)),
        f"ir_recall_at_{k}": lambda s, t: retrieval_recall(s, t, min(k, 50)),
        f"mean_reciprocal_rank_at_{k}": lambda s, t: retrieval_reciprocal_rank(s, t, min(k, 50)),
    }
    for name, theirs in wanted.items():
        got = values(name)
        for i, row in enumerate(SCORES - SCORES.min() + 1):  # theirs find none below 0
            target = torch.from_numpy(FINE_Q[i] == FINE_G)
            want = float(theirs(torch.from_numpy(row), target)) if target.any() else np.nan
            assert got[i] == pytest.approx(want, abs=1e-6, nan_ok=True), name


@pytest.mark.parametrize("k", [3, 12, None])
def test_graded_gains_are_scikit_learns(k):
    grades = (LEVELS[0][:, None] == LEVELS[1][None]).sum(axis=2)
    for stem, gain in (("linear_ndcg", grades), ("ndcg", 2.0**grades - 1)):
        name = stem if k is None else f"{stem}_at_{k}"
        got = values(name, LEVELS)
        for i, row in enumerate(SCORES):
            want = sk.ndcg_score(gain[i : i + 1], row[None], k=k) if gain[i].any() else np.nan
            assert got[i] == pytest.approx(want, abs=1e-9, nan_ok=True), name
        level = evaluate(Q, LEVELS[0], G, LEVELS[1], metrics=f"{name}_level1", distance="dot")
        assert list(level.values) == [f"{name}_level1"]


def test_the_negative_penalty_by_its_words():
    got = values("mean_inverse_negative_penalty")
    for i, row in enumerate(SCORES):
        hits = np.flatnonzero(FINE_G[np.argsort(-row)] == FINE_Q[i])
        want = len(hits) / (hits[-1] + 1) if len(hits) else np.nan
        assert got[i] == pytest.approx(want, nan_ok=True)


def test_ari_is_scikit_learns():
    for _ in range(5):
        pred, true = RNG.integers(0, 6, 40), RNG.integers(0, 4, 40)
        assert clustering(pred, true)["ari"] == pytest.approx(sk.adjusted_rand_score(true, pred))
    for pred, true in (([0, 0, 0], [1, 1, 1]), ([0, 1, 2], [0, 1, 2]), ([0, 1, 2], [0, 0, 0])):
        assert clustering(pred, true)["ari"] == sk.adjusted_rand_score(true, pred)


def rates(scores, same, threshold):
    return (scores[~same] >= threshold).mean(), (scores[same] < threshold).mean()


@pytest.mark.parametrize("alone", [True, False])
def test_error_rates_of_pairs_by_their_words(alone):
    rows, items = (FINE_G, FINE_G) if alone else (FINE_Q, FINE_G)
    a, b = (G, G) if alone else (Q, G)
    unit = [x.astype(float) / np.linalg.norm(x.astype(float), axis=1)[:, None] for x in (a, b)]
    scores, same = (unit[0] @ unit[1].T), rows[:, None] == items[None]
    kept = np.triu_indices(len(items), 1) if alone else np.nonzero(np.ones(same.shape))
    scores, same = scores[kept].astype("float32").astype(float), same[kept]
    given = (a, rows) if alone else (a, rows, b, items)
    found = verification(*given, fmr=(0.2, 0.01))
    assert found["pair_auroc"] == pytest.approx(sk.roc_auc_score(same, scores), abs=1e-6)
    assert found["pair_average_precision"] == pytest.approx(
        sk.average_precision_score(same, scores), abs=1e-6
    )
    cuts = [*np.unique(scores), np.inf]
    all_rates = [rates(scores, same, cut) for cut in cuts]
    for rate in (0.2, 0.01):
        want = min(missed for false, missed in all_rates if false <= rate)
        assert found[f"fnmr_at_fmr_{rate:g}"] == pytest.approx(want, abs=1e-9)
    false, missed = min(all_rates, key=lambda pair: abs(pair[0] - pair[1]))
    assert found["equal_error_rate"] == pytest.approx((false + missed) / 2, abs=1e-9)


def test_what_verification_refuses_and_what_has_no_pairs():
    with pytest.raises(ConfigError, match="rates lie in 0 to 1"):
        verification(Q, FINE_Q, fmr=1.5)
    with pytest.raises(ConfigError, match=r"labels have 1 column"):
        verification(Q, FINE_Q, level=1)
    assert np.isnan(verification(Q[:3], [0, 1, 2])["pair_auroc"])
    assert np.isnan(verification(Q[:3], [-1, -1, -1])["equal_error_rate"])
    with pytest.raises(DataError, match="labels"):
        verification(Q, FINE_Q[:5])
    with pytest.raises(ConfigError, match=r"judges pairs; call metrics.verification"):
        evaluate(Q, FINE_Q, metrics="EER", distance="dot")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NDCG@10", "ndcg_at_10"),
        ("MRR@5", "mean_reciprocal_rank_at_5"),
        ("mINP", "mean_inverse_negative_penalty"),
        ("fnmr_at_fmr", "fnmr_at_fmr"),
        ("fnmr@fmr=0.01", "fnmr_at_fmr"),
        ("AUROC", "pair_auroc"),
        ("EER", "equal_error_rate"),
        ("adjusted_rand_score", "ari"),
    ],
)
def test_peers_names_are_known(name, meant):
    assert explain(name).name == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [("NDGC@10", "ndcg_at_10"), ("recal@20", "recall_at_20"), ("mrrr", "mrr"), ("eerr", "eer")],
)
def test_did_you_mean_points_at_what_is_meant(name, meant):
    with pytest.raises(ConfigError, match=f"Did you mean '{meant}'"):
        explain(name)


def test_a_function_of_labels_says_what_is_relevant():
    """As pytorch-metric-learning's; multi-label sets, and a matrix by number."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    unit = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    pairs = np.stack([FINE_Q, FINE_Q // 3], axis=1)

    def either(a, b):
        return (a[:, 0] == b[:, 0]) | (a[:, 1] == b[:, 1])

    names = ["precision_at_1", "r_precision", "mean_average_precision_at_r"]

    def near(a, b):
        return abs(a - b) <= 1

    theirs = AccuracyCalculator(include=names, label_comparison_fn=near)
    want = theirs.get_accuracy(torch.from_numpy(unit), torch.from_numpy(FINE_Q))
    got = evaluate(unit, FINE_Q, metrics=names, label_comparison_fn=near)
    assert dict(got.values) == pytest.approx({n: want[n] for n in names}, abs=1e-6)

    relevant = (pairs[:, None] == pairs[None]).any(axis=2)
    report = evaluate(unit, pairs, metrics="map", label_comparison_fn=either)
    for i, row in enumerate(unit @ unit.T):
        order = [j for j in np.argsort(-row) if j != i]
        hits = relevant[i, order]
        if hits.any():
            ap = (np.cumsum(hits) / np.arange(1, 30))[hits].mean()
            assert report.per_query["map"][i] == pytest.approx(ap)

    same = evaluate(Q, FINE_Q, G, FINE_G, distance="dot")
    matrix = FINE_Q[:, None] == FINE_G[None]
    numbers = np.arange(30), np.arange(50)
    by_matrix = evaluate(
        Q,
        numbers[0],
        G,
        numbers[1],
        distance="dot",
        label_comparison_fn=lambda a, b: matrix[a][:, b].ravel(),
    )
    assert by_matrix.values == pytest.approx(same.values, abs=1e-12)
    with pytest.raises(ConfigError, match="true or false for each"):
        evaluate(unit, FINE_Q, label_comparison_fn=lambda a, b: a - b)


def test_batches_collected_are_the_whole():
    from lookalike.metrics import RetrievalMetrics

    metric = RetrievalMetrics(metrics=["map", "recall_at_1"], k=1, distance="cosine")
    with pytest.raises(DataError, match="call update"):
        metric.compute()
    for start in range(0, 50, 20):
        part = slice(start, start + 20)
        metric.update(torch.from_numpy(G[part]), torch.from_numpy(FINE_G[part]))
    want = evaluate(G, FINE_G, metrics=["map", "recall_at_1"], k=1, distance="cosine")
    assert metric.compute() == dict(want.values)
    metric.reset()
    metric.update(Q, FINE_Q, np.zeros(30, bool))
    metric.update(G, FINE_G, np.ones(50, bool))
    apart = evaluate(Q, FINE_Q, G, FINE_G, metrics=["map", "recall_at_1"], k=1, distance="cosine")
    assert metric.compute() == dict(apart.values)
    metric.update(Q, FINE_Q)
    with pytest.raises(DataError, match="with every batch, or with none"):
        metric.compute()


def test_classes_are_called_by_their_labels():
    words = np.array([f"kind {i}" for i in FINE_G])
    report = evaluate(G, words, metrics="map", distance="cosine")
    by_code, by_name = report.by_class("map"), report.by_class("map", names=words)
    assert set(by_name) <= set(words)
    assert list(by_name.values()) == list(by_code.values())
    first = report.per_query["map"][words == "kind 3"]
    assert by_name["kind 3"] == pytest.approx(np.nanmean(first))
