"""Rankings by cosine, Euclidean distance, dot product, and a function of one's own."""

import numpy as np
import pytest
import torch

from lookalike.errors import ConfigError, LookalikeWarning
from lookalike.metrics import clustering, evaluate, kmeans
from lookalike.ops.distances import as_products, similarities
from other_packages import package

pml = package("pytorch_metric_learning.distances")

RNG = np.random.default_rng(3)
# Some vectors are copies but for their length, or the same: ties of the cosine or of both.
X = RNG.normal(size=(60, 7)).astype("float32") * RNG.uniform(0.5, 3, (60, 1)).astype("float32")
X[7], X[9] = 2 * X[3], X[3]
Y = RNG.integers(0, 9, 60)
G = RNG.normal(size=(90, 7)).astype("float32")
G[5] = X[4]
Z = RNG.integers(0, 9, 90)


def brute(name, q, g):
    q, g = q.astype(float), g.astype(float)
    if name == "dot":
        return q @ g.T
    if name == "cosine":
        return (q / np.linalg.norm(q, axis=1)[:, None]) @ (g / np.linalg.norm(g, axis=1)[:, None]).T
    return -np.sqrt(((q[:, None] - g[None]) ** 2).sum(-1))


def mean_ap(scores, y, z, excluded):
    found = []
    for i, row in enumerate(scores):
        order = [j for j in np.argsort(-np.round(row, 9), kind="stable") if j != excluded[i]]
        hits = z[order] == y[i]
        if hits.any():
            found.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return np.mean(found)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", ["dot", "cosine", "euclidean"])
def test_the_order_is_that_of_the_distance(name, kind):
    q, g = X.astype(kind), G.astype(kind)
    two = evaluate(q, Y, g, Z, metrics="map", distance=name)["map"]
    assert two == pytest.approx(mean_ap(brute(name, q, g), Y, Z, [-1] * 60), abs=1e-12)
    alone = evaluate(q, Y, metrics="map", distance=name, byte_budget=2000)["map"]
    assert alone == pytest.approx(mean_ap(brute(name, q, q), Y, Y, range(60)), abs=1e-12)
    rows, scores = evaluate(q, Y, g, Z, distance=name).neighbours([4, 11], 5)
    want = brute(name, q, g)[[4, 11]]
    np.testing.assert_allclose(scores, np.take_along_axis(want, rows, 1), atol=1e-5)
    np.testing.assert_allclose(scores, -np.sort(-want, axis=1)[:, :5], atol=1e-5)


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (torch.cdist, "euclidean"),
        (pml.LpDistance(normalize_embeddings=False), "euclidean"),
        (pml.CosineSimilarity(), "cosine"),
    ],
    ids=["function", "pml distance", "pml similarity"],
)
def test_a_function_decides_as_the_name_does(own, name):
    got, want = (evaluate(X, Y, G, Z, distance=d) for d in (own, name))
    assert got.values == pytest.approx(want.values, abs=1e-12)
    assert (got.neighbours([0, 4], 6)[0] == want.neighbours([0, 4], 6)[0]).all()
    with pytest.raises(ConfigError, match="resume needs a distance by name"):
        evaluate(X, Y, distance=own, resume="somewhere")


def test_lengths_that_decide_unasked_are_told_of():
    with pytest.warns(LookalikeWarning, match='lengths from .* Give distance="cosine"'):
        evaluate(X, Y, metrics="map")
    import warnings

    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(unit.astype("float16"), Y, metrics="map")
        evaluate(X, Y, metrics="map", distance="dot")
    with pytest.raises(ConfigError, match="distance='cosinus'. Did you mean 'cosine'"):
        evaluate(X, Y, distance="cosinus")
    with pytest.raises(ConfigError, match=r"gave \(60,\) in place of \(60, 60\)"):
        evaluate(X, Y, distance=lambda q, g: q[:, 0])


def test_clusterings_are_those_of_kmeans_and_clustering():
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    report = evaluate(unit, Y, metrics=["AMI", "nmi", "recall_at_1"])
    want = clustering(kmeans(unit, len(np.unique(Y))), Y)
    assert list(report.values) == ["recall_at_1", "ami", "nmi"]
    assert (report["ami"], report["nmi"]) == (want["ami"], want["nmi"])
    alone = evaluate(X, Y, metrics="nmi", distance="euclidean")
    assert dict(alone.values) == {"nmi": clustering(kmeans(X, len(np.unique(Y))), Y)["nmi"]}


def test_products_hold_the_euclidean_distance_to_the_bits_of_float64():
    x, g = torch.from_numpy(X), torch.from_numpy(G)
    a, b = as_products("euclidean", x, g)
    want = -similarities("squared", x.double(), g.double()).neg() / 2
    assert ((a.double() @ b.double().T) - want).abs().max() < 1e-13 * 100
