"""Each re-ranking against its definition written out slowly."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.errors import ConfigError
from lookalike.search.exact import MemoryGallery
from lookalike.search.hits import Hits
from lookalike.search.reranking import METHODS, Request, rerank


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def scene():
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(12, 10))
    labels = np.repeat(np.arange(12), 8)
    gallery = unit(centres[labels] + 0.9 * draw.normal(size=(96, 10)))
    queries = unit(centres + 0.9 * draw.normal(size=(12, 10)))
    return queries, gallery, labels


def request(queries, gallery, top=96, **options):
    memory = MemoryGallery.of(gallery)
    return Request(queries, memory.search(queries, top, **options), memory, **options)


def test_query_expansion(scene):
    queries, gallery, _ = scene
    for method, k, alpha in (("average_qe", 4, 0), ("alpha_qe", 6, 2.0)):
        options = {"k": k} | ({"alpha": alpha} if alpha else {})
        hits = rerank(request(queries, gallery), method, **options)
        for q, row in zip(queries.astype(np.float64), hits.rows, strict=True):
            near = np.argsort(-gallery @ q)[:k]
            new = q + sum(max(gallery[i] @ q, 0) ** alpha * gallery[i] for i in near)
            assert row[:20].tolist() == np.argsort(-gallery @ new)[:20].tolist()


def test_database_augmentation(scene):
    queries, gallery, _ = scene
    k = 5
    augmented = []
    for v in gallery:
        near = np.argsort(-gallery @ v)[:k]  # itself first
        augmented.append(sum((k - j) / k * gallery[i] for j, i in enumerate(near)))
    scores = queries @ unit(np.array(augmented)).T
    hits = rerank(request(queries, gallery), "dba", k=k)
    np.testing.assert_array_equal(hits.rows[:, :30], np.argsort(-scores, axis=1)[:, :30])
    np.testing.assert_allclose(hits.scores, -np.sort(-scores, axis=1), atol=1e-6)


def slow_k_reciprocal(query, gallery, k1, k2, weight):
    """Zhong et al., set by set."""
    x = np.vstack([query, gallery]).astype(np.float64)
    n = len(x)
    d = np.array([[max(0, 2 - 2 * a @ b) for b in x] for a in x])
    d = np.array([[d[i, j] / max(d[i]) for j in range(n)] for i in range(n)])
    near = [sorted(range(n), key=lambda j: (d[i, j], j)) for i in range(n)]

    def reciprocal(i, k):
        return {j for j in near[i][: k + 1] if i in near[j][: k + 1]}

    v = np.zeros((n, n))
    for i in range(n):
        r = reciprocal(i, k1)
        grown = set(r)
        for j in r:
            half = reciprocal(j, round(k1 / 2))
            if len(half & r) > 2 / 3 * len(half):
                grown |= half
        for j in grown:
            v[i, j] = np.exp(-d[i, j])
        v[i] /= v[i].sum()
    v = np.array([np.mean([v[j] for j in near[i][:k2]], axis=0) for i in range(n)])
    jaccard = [1 - np.minimum(v[0], v[i]).sum() / np.maximum(v[0], v[i]).sum() for i in range(1, n)]
    return (1 - weight) * np.array(jaccard) + weight * d[0, 1:]


def test_k_reciprocal_is_the_papers(scene):
    queries, gallery, _ = scene
    hits = rerank(request(queries[:4], gallery), "k_reciprocal", k1=8, k2=3, weight=0.3)
    for q, rows, scores in zip(queries[:4], hits.rows, hits.scores, strict=True):
        order = np.argsort(-gallery @ q, kind="stable")
        distance = slow_k_reciprocal(q, gallery[order], 8, 3, 0.3)
        np.testing.assert_allclose(np.sort(distance), 1 - scores, atol=1e-5)
        ours = dict(zip(rows.tolist(), 1 - scores, strict=True))
        np.testing.assert_allclose([ours[i] for i in order], distance, atol=1e-5)


def test_diffusion_is_the_flow_in_the_limit(scene):
    queries, gallery, _ = scene
    k, k_query, gamma, alpha = 10, 5, 3.0, 0.9
    hits = rerank(
        request(queries, gallery), "diffusion", k=k, k_query=k_query, gamma=gamma, alpha=alpha
    )
    a = np.maximum(gallery.astype(float) @ gallery.T, 0) ** gamma
    np.fill_diagonal(a, 0)
    near = [set(np.argsort(-row)[:k]) for row in a]
    for i in range(96):
        for j in range(96):
            if i not in near[j] or j not in near[i]:
                a[i, j] = 0
    s = a / np.sqrt(np.outer(a.sum(1), a.sum(1)).clip(1e-12))
    for q, rows, scores in zip(queries, hits.rows, hits.scores, strict=True):
        y = np.maximum(gallery @ q, 0).astype(float) ** gamma
        y[np.argsort(-y)[k_query:]] = 0
        f = np.zeros(96)
        for _ in range(2000):
            f = alpha * s @ f + (1 - alpha) * y
        np.testing.assert_allclose(scores, f[rows], atol=1e-6)
        assert (np.diff(scores) <= 1e-7).all()


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_keeps_its_promises(scene, method):
    queries, gallery, labels = scene
    own = np.arange(20)
    allowed = np.arange(96) % 3 != 1
    for options in ({}, {"own": own, "allowed": allowed}):
        asked = gallery[:20] if options else queries
        before = request(asked, gallery, 40, **options)
        after = rerank(before, method)
        assert after.rows.shape == before.hits.rows.shape
        for row in after.rows:
            assert len(set(row)) == len(row)
        assert (np.diff(after.scores, axis=1) <= 1e-6).all()
        if options:
            assert allowed[after.rows].all()
            assert not (after.rows == own[:, None]).any()
    few = Hits(np.array([[5, -1, -1]]), np.array([[0.5, np.nan, np.nan]], np.float32))
    lone = Request(queries[:1], few, MemoryGallery.of(gallery[:6]), allowed=np.arange(6) == 5)
    assert rerank(lone, method).rows[0, 0] == 5
    # The published settings of diffusion are for galleries of thousands.
    options = {"k": 7, "alpha": 0.9} if method == "diffusion" else {}
    right = labels[rerank(request(queries, gallery), method, **options).rows[:, :8]]
    plain = labels[request(queries, gallery).hits.rows[:, :8]]
    assert (np.arange(12) == right.T).mean() >= (np.arange(12) == plain.T).mean() - 0.05


def test_the_rest_of_the_list_follows_in_order(scene):
    queries, gallery, _ = scene
    before = request(queries, gallery, 50)
    after = rerank(before, "k_reciprocal", shortlist=10)
    np.testing.assert_array_equal(after.rows[:, 10:], before.hits.rows[:, 10:])
    assert (np.diff(after.scores, axis=1) <= 1e-6).all()


def test_what_is_unknown_is_refused(scene):
    queries, gallery, _ = scene
    with pytest.raises(ConfigError, match="Did you mean 'k_reciprocal'"):
        rerank(request(queries, gallery), "k_reciprocl")
    with pytest.raises(ConfigError, match="has no option 'kk'"):
        rerank(request(queries, gallery), "alpha_qe", kk=3)
