"""Where another library defines a metric as we do, the numbers are the same. Where not, not.

scikit-learn: average_precision_score (no ties), ndcg_score, label_ranking_average_precision_score.
torchmetrics: RetrievalMAP, RetrievalMRR, RetrievalPrecision, RetrievalHitRate,
    RetrievalRPrecision, RetrievalNormalizedDCG (binary), all skipping queries without a positive.
pytorch-metric-learning: precision_at_1, r_precision, mean_average_precision_at_r,
    mean_average_precision, mean_reciprocal_rank with k=None.
Different by definition: torchmetrics' RetrievalRecall divides by R, true_recall_at_k by min(R, k);
    torchmetrics' RetrievalMAP(top_k=k) divides by the positives found, ours by min(R, k), and
    takes a score of 0 or below as "not retrieved".
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookalike.metrics import evaluate
from other_packages import package


@pytest.fixture(scope="module")
def world():
    random = np.random.default_rng(4)
    labels = random.integers(0, 30, 150)
    x = np.eye(30)[labels] + 0.5 * random.standard_normal((150, 30))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    report = evaluate(x, labels, k=[1, 5])
    scores = x.astype(np.float64) @ x.astype(np.float64).T
    return x, labels, report, scores


def others(world):
    """Scores and relevance of each query against everything but itself."""
    _, labels, _, scores = world
    for i in range(len(labels)):
        rest = np.arange(len(labels)) != i
        yield scores[i, rest], labels[rest] == labels[i]


def test_scikit_learn(world):
    sk = package("sklearn.metrics")
    report = world[2]
    for i, (score, relevant) in enumerate(others(world)):
        if not relevant.any():
            assert np.isnan(report.per_query["map"][i])
            continue
        ours = report.per_query["map"][i]
        assert ours == pytest.approx(sk.average_precision_score(relevant, score))
        ranking = sk.label_ranking_average_precision_score(relevant[None], score[None])
        assert ours == pytest.approx(ranking)
        assert report.per_query["ndcg"][i] == pytest.approx(
            sk.ndcg_score(relevant[None], score[None])
        )


@pytest.mark.slow  # importing torchmetrics takes several seconds
def test_torchmetrics(world):
    retrieval = package("torchmetrics.retrieval")
    report = world[2]
    rows = list(others(world))
    # torchmetrics counts no hit at a score of 0 or below; a constant keeps the order.
    preds = torch.tensor(np.concatenate([score for score, _ in rows])) + 2
    target = torch.tensor(np.concatenate([relevant for _, relevant in rows]))
    indexes = torch.arange(len(rows)).repeat_interleave(len(rows) - 1)
    same = {
        "mean_average_precision": retrieval.RetrievalMAP(empty_target_action="skip"),
        "mean_reciprocal_rank": retrieval.RetrievalMRR(empty_target_action="skip"),
        "precision_at_5": retrieval.RetrievalPrecision(empty_target_action="skip", top_k=5),
        "recall_at_5": retrieval.RetrievalHitRate(empty_target_action="skip", top_k=5),
        "r_precision": retrieval.RetrievalRPrecision(empty_target_action="skip"),
        "ndcg": retrieval.RetrievalNormalizedDCG(empty_target_action="skip"),
    }
    for name, metric in same.items():
        theirs = float(metric(preds, target, indexes=indexes))
        assert report.values[name] == pytest.approx(theirs, rel=1e-6), name
    recall = retrieval.RetrievalRecall(empty_target_action="skip", top_k=1)
    assert report["true_recall_at_1"] > float(recall(preds, target, indexes=indexes)) + 0.1


def test_pytorch_metric_learning(world):
    calculator = package("pytorch_metric_learning.utils.accuracy_calculator")
    inference = package("pytorch_metric_learning.utils.inference")
    DotProductSimilarity = package("pytorch_metric_learning.distances").DotProductSimilarity

    x, labels, report, _ = world
    keys = (
        "precision_at_1",
        "r_precision",
        "mean_average_precision_at_r",
        "mean_average_precision",
        "mean_reciprocal_rank",
    )
    theirs = calculator.AccuracyCalculator(
        include=keys,
        k=None,
        device=torch.device("cpu"),
        knn_func=inference.CustomKNN(DotProductSimilarity(normalize_embeddings=False)),
    ).get_accuracy(torch.from_numpy(x), torch.from_numpy(labels))
    for name in keys:
        assert report.values[name] == pytest.approx(theirs[name], rel=1e-6), name
