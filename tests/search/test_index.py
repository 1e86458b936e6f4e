from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lookalike.errors import DataError, NumericsError, RunError
from lookalike.search import Index


@pytest.fixture
def vectors():
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def items():
    return pd.DataFrame({"path": [f"{i}.jpg" for i in range(50)], "label": np.arange(50) % 5})


def test_search_finds_what_brute_force_finds(tmp_path, vectors, items):
    index = Index.build(tmp_path / "ix", vectors, items)
    queries = vectors[:7] + 0.1
    hits = index.search(queries, top=5)
    scores = queries @ vectors.T
    np.testing.assert_array_equal(hits.rows, np.argsort(-scores, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(hits.scores, -np.sort(-scores, axis=1)[:, :5], rtol=1e-5)


def test_what_is_written_is_what_is_opened(tmp_path, vectors, items):
    Index.build(tmp_path / "ix", vectors, items, about={"source": "x"})
    index = Index.open(tmp_path / "ix")
    np.testing.assert_array_equal(index.vectors, vectors)
    pd.testing.assert_frame_equal(index.items, items)
    assert index.manifest["source"] == "x"
    assert len(index) == 50


def test_top_is_at_most_all(tmp_path, vectors, items):
    index = Index.build(tmp_path / "ix", vectors, items)
    assert index.search(vectors[:2], top=99).rows.shape == (2, 50)


def test_an_index_in_the_way_is_kept(tmp_path, vectors, items):
    Index.build(tmp_path / "ix", vectors, items)
    with pytest.raises(RunError, match="--overwrite"):
        Index.build(tmp_path / "ix", vectors, items)
    (tmp_path / "photos").mkdir()
    with pytest.raises(RunError, match="no index"):
        Index.build(tmp_path / "photos", vectors, items, overwrite=True)


def test_a_failed_build_leaves_nothing_behind(tmp_path, vectors, items, monkeypatch):
    Index.build(tmp_path / "ix", vectors, items)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RunError, match="No space left"):
        Index.build(tmp_path / "ix", vectors[:3], items[:3], overwrite=True)
    monkeypatch.undo()
    assert len(Index.open(tmp_path / "ix")) == 50
    assert [p.name for p in tmp_path.iterdir()] == ["ix"]


def test_vectors_that_cannot_be_are_refused(tmp_path, vectors, items):
    with pytest.raises(DataError, match="3 vectors for 50 items"):
        Index.build(tmp_path / "ix", vectors[:3], items)
    vectors[4, 2] = np.nan
    with pytest.raises(NumericsError, match=r"rows \[4\]"):
        Index.build(tmp_path / "ix", vectors, items)
    with pytest.raises(DataError, match="N above 0"):
        Index.build(tmp_path / "ix", vectors[:0], items[:0])


def test_queries_that_cannot_be_are_refused(tmp_path, vectors, items):
    index = Index.build(tmp_path / "ix", vectors, items)
    with pytest.raises(DataError, match="4 wide and this index 8"):
        index.search(np.zeros((1, 4), np.float32))
    with pytest.raises(NumericsError):
        index.search(np.full((1, 8), np.nan, np.float32))


def test_a_damaged_index_is_refused(tmp_path, vectors, items):
    Index.build(tmp_path / "ix", vectors, items)
    np.save(tmp_path / "ix" / "vectors.npy", vectors[:40])
    with pytest.raises(DataError, match="40 vectors, 50 items"):
        Index.open(tmp_path / "ix")
    (tmp_path / "ix" / "index.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        Index.open(tmp_path / "ix")
    (tmp_path / "ix" / "index.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="newer format"):
        Index.open(tmp_path / "ix")
    with pytest.raises(DataError, match="is no index"):
        Index.open(tmp_path)
