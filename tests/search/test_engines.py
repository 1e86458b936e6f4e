from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lookalike.errors import ConfigError
from lookalike.search import Index
from lookalike.search.tuning import tune


@pytest.fixture(scope="module")
def vectors():
    draw = np.random.default_rng(1)
    x = draw.normal(size=(60, 16))[draw.integers(60, size=1500)]
    x = (x + 0.5 * draw.normal(size=x.shape)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def frame(count, start=0):
    return pd.DataFrame({"path": [f"{start + i}.jpg" for i in range(count)]})


def recall(index, queries, **options):
    true = index.search(queries, 10, exact=True, **options).rows
    found = index.search(queries, 10, **options).rows
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(true, found, strict=True)])


ENGINES = [("hnsw", "float32"), ("hnsw", "int8"), ("ivfpq", "float32"), ("ivfpq", "float16")]


@pytest.mark.parametrize(("engine", "storage"), ENGINES)
def test_an_engine_finds_nearly_all_with_the_scores_of_the_vectors(
    tmp_path, vectors, engine, storage
):
    index = Index.build(
        tmp_path / "ix", vectors, frame(1500), engine=engine, storage=storage,
        engine_options={"lists": 20} if engine == "ivfpq" else {},
    )  # fmt: skip
    index = Index.open(index.folder)
    queries = vectors[:200]
    assert recall(index, queries) > 0.97
    hits = index.search(queries, 10)
    stored = np.asarray(index.vectors)
    np.testing.assert_allclose(
        hits.scores, np.einsum("qd,qkd->qk", queries, stored[hits.rows]), atol=2e-6
    )
    allowed = np.arange(1500) % 2 == 0
    assert set(np.unique(index.search(queries, 10, allowed=allowed).rows) % 2) == {0}


@pytest.mark.parametrize("engine", ["hnsw", "ivfpq"])
def test_filters_by_the_engine_itself_find_only_what_is_allowed(
    tmp_path, vectors, engine, monkeypatch
):
    monkeypatch.setattr("lookalike.search.index._FEW", 0)
    index = Index.build(tmp_path / "ix", vectors, frame(1500), engine=engine)
    allowed = np.arange(1500) % 2 == 0
    assert set(np.unique(index.search(vectors[:50], 10, allowed=allowed).rows) % 2) == {0}
    assert recall(index, vectors[:100], allowed=allowed) > 0.95
    own = np.arange(50)
    assert not (index.search(vectors[:50], 10, own=own).rows == own[:, None]).any()


@pytest.mark.parametrize("engine", ["hnsw", "ivfpq"])
def test_what_is_removed_is_never_found_and_what_is_added_is(tmp_path, vectors, engine):
    index = Index.build(tmp_path / "ix", vectors[:1200], frame(1200), engine=engine)
    gone = np.arange(0, 200)
    index = index.remove(gone.tolist())
    engine_before, places = index.open_engine()
    assert engine_before.ntotal == 1200  # marked, not rebuilt
    assert (places < 0).sum() == 200
    index = index.add(vectors[1200:], frame(300, 1200))
    assert index.open_engine()[0].ntotal == 1500
    assert recall(index, vectors[:100]) > 0.95
    hits = index.search(vectors, 1)
    paths = index.items["path"].to_numpy()[hits.rows[:, 0]]
    assert not set(paths) & {f"{i}.jpg" for i in gone}
    assert (paths[200:] == [f"{i}.jpg" for i in range(200, 1500)]).mean() > 0.95
    # Beyond a fifth of dead rows the engine is built again.
    index = index.remove(index.ids[:200].tolist())
    engine_after, places = index.open_engine()
    assert engine_after.ntotal == len(index) == 1100
    assert (places == np.arange(1100)).all()
    assert index.verify() == []


def test_options_that_cannot_be_are_refused(tmp_path, vectors):
    with pytest.raises(ConfigError, match="at least 256"):
        Index.build(tmp_path / "a", vectors[:100], frame(100), engine="ivfpq")
    with pytest.raises(ConfigError, match="Did you mean 'links'"):
        Index.build(tmp_path / "a", vectors, frame(1500), engine="hnsw", engine_options={"link": 3})


def test_tune_chooses_the_cheapest_that_reaches_the_recall(tmp_path, vectors):
    index = Index.build(tmp_path / "ix", vectors, frame(1500), engine="hnsw")
    curve, best = tune(index, recall=0.9, queries=100)
    assert {point.engine for point in curve} == {"exact", "hnsw", "ivfpq"}
    assert best.recall >= 0.9
    assert best.seconds == min(p.seconds for p in curve if p.recall >= 0.9)
    exact = next(p for p in curve if p.engine == "exact")
    assert exact.recall == 1
    assert exact.bytes == 1500 * 16 * 4
    for name in ("hnsw", "ivfpq"):
        recalls = [p.recall for p in curve if p.engine == name]
        assert recalls[-1] >= recalls[0]
    changed = index.use(best.spec)
    assert changed.engine == best.spec
    assert recall(changed, vectors[:100]) >= 0.85
    assert changed.use({"name": "exact"}).engine == {"name": "exact"}
    assert not (Index.open(index.folder).generation / "engine.faiss").exists()
