"""What every engine must do alike, on the same vectors, against the obvious."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lookalike.errors import DataError, RunError
from lookalike.search import Index
from lookalike.search.asking import Question, ask
from lookalike.search.filters import matching

COUNT, WIDTH = 300, 16
EXACT = [("exact", {}), ("pgvector", {}), ("qdrant", {})]
GRAPHS = [
    ("hnsw", {}),
    ("ivfpq", {"lists": 4, "probes": 4, "refine": 40}),
    ("pgvector", {"index": "hnsw"}),
    ("qdrant", {"index": "hnsw"}),
]
every_engine = pytest.mark.parametrize(("engine", "options"), EXACT + GRAPHS)
pytestmark = [  # of Qdrant's local mode, which compares all, whatever it is asked
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest.fixture(scope="module")
def vectors():
    draw = np.random.default_rng(3)
    x = draw.normal(size=(COUNT, WIDTH)).astype(np.float32)
    x[120:135] = x[7]  # copies: equal scores come in the order of rows
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def items():
    kinds = np.array(["fox", "owl", "bat", 'it\'s "so"'])
    return pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(COUNT)],
            "label": kinds[np.arange(COUNT) % 4],
            "year": np.where(np.arange(COUNT) % 10 == 0, np.nan, 1900 + np.arange(COUNT)),
            "place": [None if i % 3 else f"Köln {i % 7}" for i in range(COUNT)],
            "seen": np.arange(COUNT) % 2 == 0,
        }
    )


@pytest.fixture
def build(tmp_path, engine, options, server, vectors, items):
    given = options if server is None else {"server": server, **options}

    def build(rows=slice(None), **more):
        return Index.build(
            tmp_path / "ix",
            vectors[rows],
            items[rows],
            engine=engine,
            engine_options=given,
            about={"levels": ["label"]},
            **more,
        )

    return build


def obvious(vectors, queries, top, allowed=None):
    scores = np.einsum("qd,nd->qn", queries, vectors, dtype=np.float64)  # copies score alike
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def near(queries):
    """Queries that are no rows: so that no two scores of distinct rows are nearly equal."""
    moved = queries + 0.1 * np.random.default_rng(5).normal(size=queries.shape).astype(np.float32)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


@every_engine
def test_search(build, vectors, engine, options):
    index = Index.open(build().folder)
    queries = near(vectors[:5])
    expected = obvious(vectors, queries, 12)
    local = index.search(queries, 12, exact=True)
    np.testing.assert_array_equal(local.rows, expected)
    found = index.search(queries, 12)
    if (engine, options) in EXACT:
        np.testing.assert_array_equal(found.rows, expected)
        np.testing.assert_array_equal(found.scores, local.scores)
    else:
        shared = [np.isin(a, b).mean() for a, b in zip(found.rows, expected, strict=True)]
        assert np.mean(shared) > 0.95
    rows = np.clip(found.rows, 0, None)
    scores = np.einsum("qd,qkd->qk", queries, vectors[rows])
    np.testing.assert_allclose(found.scores, scores, atol=2e-6)
    assert index.search(queries, 10 * COUNT, exact=True).rows.shape == (5, COUNT)
    own = np.array([7, -1, 3])
    hits = index.search(vectors[[7, 8, 3]], 5, own=own)
    assert hits.rows.shape == (3, 5)
    assert not (hits.rows == own[:, None]).any()
    assert hits.rows[1, 0] == 8
    assert hits.rows[0].tolist() == [120, 121, 122, 123, 124] or (engine, options) in GRAPHS


@every_engine
def test_what_is_written_is_read(build, vectors, items):
    index = Index.open(build().folder)
    assert index.verify() == []
    assert len(index) == len(index.vectors) == COUNT
    assert index.vectors.shape == (COUNT, WIDTH)
    np.testing.assert_array_equal(np.asarray(index.vectors), vectors)
    rows = np.array([9, 3, 9, 299])
    np.testing.assert_array_equal(index.vectors[rows], vectors[rows])
    pd.testing.assert_frame_equal(index.items, items)
    with pytest.raises(RunError, match="--overwrite"):
        build()
    assert len(build(slice(0, 260), overwrite=True)) == 260
    again = Index.open(index.folder)
    assert again.verify() == []
    np.testing.assert_array_equal(np.asarray(again.vectors), vectors[:260])


@every_engine
def test_add_and_remove(build, vectors, items):
    first = build(slice(0, 260))
    removed = first.remove(list(range(50, 85)))
    index = removed.add(vectors[260:], items[260:])
    kept = np.r_[0:50, 85:300]
    assert index.ids.tolist() == kept.tolist()
    np.testing.assert_array_equal(np.asarray(index.vectors), vectors[kept])
    assert index.verify() == []
    queries = near(vectors[:5])
    expected = obvious(vectors[kept], queries, 5)
    np.testing.assert_array_equal(index.search(queries, 5, exact=True).rows, expected)
    shared = [
        np.isin(a, b).mean() for a, b in zip(index.search(queries, 5).rows, expected, strict=True)
    ]
    assert np.mean(shared) > 0.9
    # An open view goes on as it was.
    assert len(removed) == 225
    there = np.r_[0:50, 85:260]
    np.testing.assert_array_equal(
        removed.search(queries, 5, exact=True).rows, obvious(vectors[there], queries, 5)
    )
    assert index.remove([299]).add(vectors[:1], items[:1]).ids[-1] == 300
    with pytest.raises(DataError, match="no item with id 60"):
        Index.open(index.folder).remove([60])
    with pytest.raises(DataError, match="4 wide"):
        index.add(vectors[:1, :4], items[:1])
    both = Index.open(index.folder).change(add=(vectors[:2], items[:2]), remove=[300, 0])
    assert both.ids[-2:].tolist() == [301, 302]
    assert both.verify() == []


@pytest.mark.parametrize(("engine", "options"), [*EXACT, *GRAPHS[:3]])
@pytest.mark.parametrize(
    "where",
    [
        ["label=fox"],
        ["label=fox|bat", "year>2000"],
        ["label!=owl"],
        ['label=it\'s "so"'],
        ["year<=1950"],
        ["year!=1905|1907"],
        ["year=1905|1906|2001"],
        ["place=Köln 3"],
        ["place!=Köln 3|Köln 6"],
        ["place~KÖLN", "label=owl"],
        ["seen=True", "year>=2100"],
        ["label=fox", "year=3"],
    ],
    ids=" & ".join,
)
def test_filters(filtered, vectors, where):
    index = filtered
    queries = near(vectors[:3])
    allowed = matching(index.columns, where)
    top = min(6, int(allowed.sum()))
    expected = obvious(vectors, queries, top, allowed)
    hits = index.search(queries, 6, where=where)
    assert hits.rows.shape == (3, top)
    np.testing.assert_array_equal(hits.rows, expected)
    even = np.arange(COUNT) % 2 == 0
    hits = index.search(queries, 6, where=where, allowed=even)
    top = min(6, int((allowed & even).sum()))
    np.testing.assert_array_equal(hits.rows, obvious(vectors, queries, top, allowed & even))
    if allowed.sum() > 50:
        asked = ask(index, queries, Question(4, where, rerank="exact"))
        np.testing.assert_array_equal(asked.rows, expected[:, :4])


@pytest.fixture(scope="module")
def _indexes():
    return {}


@pytest.fixture
def filtered(_indexes, engine, options, request, tmp_path_factory):
    """One index an engine: filters change nothing."""
    key = (engine, str(options))
    if key not in _indexes:
        _indexes[key] = request.getfixturevalue("build")()
    return _indexes[key]
