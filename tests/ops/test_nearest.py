"""The k nearest on a device: every tile and group, beside a sort of all scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.ops import nearest as module
from lookalike.ops.nearest import nearest


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 7), st.integers(1, 700), st.integers(1, 9), st.booleans(), st.integers(0, 999)
)
def test_equals_a_sort_of_all_scores(queries, items, k, coarse, seed):
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(queries, 5, generator=random), torch.randn(items, 5, generator=random)
    if coarse:  # many equal scores
        x, y = x.round(), y.round()
    k = min(k, items)
    scores, rows = nearest(x, y, k)
    every = x @ y.T
    assert torch.equal(scores, every.sort(dim=1, descending=True).values[:, :k])
    assert torch.equal(every.gather(1, rows), scores)
    assert all(len(set(row)) == k for row in rows.tolist())
    falling = scores[:, 1:] < scores[:, :-1]
    assert bool((falling | (rows[:, 1:] > rows[:, :-1])).all())


@pytest.mark.parametrize("columns", [64, 100, 128])
def test_tiles_do_not_show(monkeypatch, columns):
    random = torch.Generator().manual_seed(1)
    x, y = torch.randn(50, 8, generator=random), torch.randn(999, 8, generator=random)
    whole = nearest(x, y, 4)
    monkeypatch.setattr(module, "_COLUMNS", columns)
    monkeypatch.setattr(module, "_BYTES", 32 * 4 * columns * 7)
    scores, rows = nearest(x, y, 4)
    torch.testing.assert_close(scores, whole[0])
    assert torch.equal(rows, whole[1])


@pytest.mark.parametrize("k", [0, 4])
def test_refuses_more_than_there_are(k):
    with pytest.raises(ValueError, match="k must be 1 … 3"):
        nearest(torch.eye(3), torch.eye(3), k)


def test_takes_the_place_of_faiss_in_a_graph_of_neighbours():
    from lookalike.discover import neighbours

    random = torch.Generator().manual_seed(2)
    x = neighbours.unit(torch.randn(400, 16, generator=random).numpy())
    search = neighbours._on_device(x, "cpu")
    own = torch.arange(400).numpy()
    ids, cosine = neighbours._search(search, x, own, 6)
    theirs = neighbours.nearest_neighbours(x, 6)
    assert (ids == theirs.ids).all()
    torch.testing.assert_close(torch.from_numpy(cosine), torch.from_numpy(theirs.cosine))
