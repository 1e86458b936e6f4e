from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lookalike.errors import ConfigError, DataError, NumericsError, RunError
from lookalike.search import Index
from lookalike.search.generations import writing


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


def test_only_what_is_allowed_is_found(tmp_path, vectors, items):
    index = Index.build(tmp_path / "ix", vectors, items)
    allowed = (items["label"] == 3).to_numpy()
    hits = index.search(vectors[:4], top=99, allowed=allowed)
    assert hits.rows.shape == (4, 10)
    assert all(sorted(row) == np.flatnonzero(allowed).tolist() for row in hits.rows.tolist())
    own = np.array([0, 1, -1, 3])
    hits = index.search(vectors[:4], top=1, own=own)
    assert [row == i for i, (row,) in enumerate(hits.rows.tolist())] == [False, False, True, False]
    everything = index.search(vectors[:4], top=50, own=own).rows
    assert (everything == -1).sum(axis=1).tolist() == [1, 1, 0, 1]
    assert index.search(vectors[:4], top=5, allowed=np.zeros(50, bool)).rows.shape == (4, 0)


def test_what_is_written_is_what_is_opened(tmp_path, vectors, items):
    Index.build(tmp_path / "ix", vectors, items, about={"size": 224})
    index = Index.open(tmp_path / "ix")
    np.testing.assert_array_equal(index.vectors, vectors)
    pd.testing.assert_frame_equal(index.items, items)
    assert index.manifest["size"] == 224
    assert len(index) == 50
    assert index.verify() == []


def test_add_and_remove_make_the_index_that_a_build_would(tmp_path, vectors, items):
    first = Index.build(tmp_path / "ix", vectors[:30], items[:30])
    index = first.add(vectors[30:], items[30:]).remove([3, 47])
    kept = np.delete(np.arange(50), [3, 47])
    whole = Index.build(tmp_path / "whole", vectors[kept], items.iloc[kept])
    np.testing.assert_array_equal(index.vectors, whole.vectors)
    assert index.items["path"].tolist() == whole.items["path"].tolist()
    assert index.ids.tolist() == kept.tolist()
    assert index.rows_of([4, 49]).tolist() == [3, 47]
    with pytest.raises(DataError, match="no item with id 47"):
        index.rows_of([47])
    # An id is never given twice, and a view that is open goes on as it was.
    assert index.remove([49]).add(vectors[:1], items[:1]).ids[-1] == 50
    assert len(first) == 30
    assert first.search(vectors[29:30], top=1).rows.tolist() == [[29]]
    assert len(list((tmp_path / "ix" / "generations").iterdir())) == 1
    with pytest.raises(DataError, match="nothing would be left"):
        whole.remove(whole.ids.tolist())
    with pytest.raises(DataError, match="4 wide"):
        whole.add(vectors[:1, :4], items[:1])


@pytest.mark.parametrize("storage", ["float32", "float16", "int8", "binary"])
def test_every_storage_can_be_added_to_and_says_what_it_loses(tmp_path, vectors, items, storage):
    index = Index.build(tmp_path / "ix", vectors[:40], items[:40], storage=storage)
    loss = index.manifest["storage_loss"]
    index = Index.open(index.add(vectors[40:], items[40:]).folder)
    bits = {"float32": 32, "float16": 16, "int8": 8, "binary": 1}[storage]
    assert index.vectors.codes.nbytes == 50 * 8 * bits // 8
    found = index.search(vectors, top=1).rows[:, 0]
    assert (found == np.arange(50)).mean() > (0.3 if storage == "binary" else 0.99)
    floor = {"float32": 1.0, "float16": 0.98, "int8": 0.9, "binary": 0.3}[storage]
    assert floor <= loss["recall_at_10"] <= 1
    largest = {"float32": 1e-7, "float16": 2e-3, "int8": 2e-2, "binary": 2.0}[storage]
    assert loss["largest_error"] <= largest


def test_chunks_change_nothing(tmp_path, vectors, items, monkeypatch):
    index = Index.build(tmp_path / "ix", vectors, items, storage="float16")
    whole = index.search(vectors, top=7)
    monkeypatch.setattr("lookalike.search.exact.CHUNK", 6)
    parts = index.search(vectors, top=7)
    np.testing.assert_array_equal(whole.rows, parts.rows)
    np.testing.assert_allclose(whole.scores, parts.scores, rtol=1e-6)


def test_top_is_at_most_all(tmp_path, vectors, items):
    index = Index.build(tmp_path / "ix", vectors, items)
    assert index.search(vectors[:2], top=99).rows.shape == (2, 50)


def test_an_index_in_the_way_is_kept(tmp_path, vectors, items):
    Index.build(tmp_path / "ix", vectors, items)
    with pytest.raises(RunError, match="--overwrite"):
        Index.build(tmp_path / "ix", vectors, items)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").touch()
    with pytest.raises(RunError, match="not an index"):
        Index.build(tmp_path / "photos", vectors, items, overwrite=True)


def test_two_writers_are_kept_apart(tmp_path, vectors, items):
    index = Index.build(tmp_path / "ix", vectors, items)
    with writing(tmp_path / "ix"):
        for change in (lambda: index.remove([1]), lambda: index.add(vectors, items)):
            with pytest.raises(RunError, match="another process is writing"):
                change()
    # A view of an older generation changes what is there now, not what it saw.
    index.remove([1])
    assert len(index.remove([2])) == 48


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
    assert len(list((tmp_path / "ix" / "generations").iterdir())) == 1


def test_vectors_that_cannot_be_are_refused(tmp_path, vectors, items):
    with pytest.raises(DataError, match="3 vectors for 50 items"):
        Index.build(tmp_path / "ix", vectors[:3], items)
    with pytest.raises(ConfigError, match="Did you mean 'float16'"):
        Index.build(tmp_path / "ix", vectors, items, storage="flaot16")
    with pytest.raises(ConfigError, match="Did you mean 'hnsw'"):
        Index.build(tmp_path / "ix", vectors, items, engine="hsnw")
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
    index = Index.build(tmp_path / "ix", vectors, items)
    file = index.generation / "vectors.npy"
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    (complaint,) = Index.open(tmp_path / "ix").verify()
    assert "vectors.npy: its content has changed" in complaint
    np.save(file, vectors[:40])
    with pytest.raises(DataError, match=r"vectors\.npy: 1,408 bytes, not 1,728"):
        Index.open(tmp_path / "ix")
    file.write_bytes(data[:100])
    with pytest.raises(DataError, match="100 bytes, not 1,728"):
        Index.open(tmp_path / "ix")
    (tmp_path / "ix" / "index.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        Index.open(tmp_path / "ix")
    (tmp_path / "ix" / "index.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="newer format"):
        Index.open(tmp_path / "ix")
    with pytest.raises(DataError, match="is not an index"):
        Index.open(tmp_path)
