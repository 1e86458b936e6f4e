"""Ranks from tiles equal those of a brute-force sort by the exact score, on every path."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookalike.ops import paths
from lookalike.ops.exact_ranks import exact_counts, tile_type
from lookalike.ops.exact_ranks_torch import best_scores_torch, exact_counts_torch
from lookalike.ops.exact_scores import exact_scores
from lookalike.ops.tiles import Pairs, Vectors, error_bound, full_precision, score_tile
from lookalike.ops.topk import exact_topk
from on_device import device

ON_CPU = device().type == "cpu"
PATHS = ["0", *(paths._instruction_sets() if ON_CPU and paths.native() is not None else [])]
SIZE = 48


def vectors(kind, count):
    random = np.random.default_rng(7)
    x = random.standard_normal((count, SIZE))
    if kind == "separated":
        x = np.eye(SIZE)[np.arange(count) % SIZE] + 0.02 * x
    if kind == "grid":  # exact ties everywhere
        x = np.round(x)
    if kind == "collapsed":
        x = np.ones((count, SIZE))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x = x.astype(np.float32)
    if kind == "duplicates":
        x[count // 2 :] = x[: count - count // 2]
    if kind == "far out":  # some scores lie far from all others, on either side
        x[::90] *= 50
        x[45::90] *= -50
    if kind == "nearly equal":  # all scores within a few float32 roundings
        x = (np.ones((count, SIZE)) + 1e-7 * random.standard_normal((count, SIZE))).astype("f4")
    return x


def whole(x):
    return Vectors(torch.from_numpy(x), np.linalg.norm(x.astype(np.float64), axis=1))


def a_tile(kind, tile):
    """Vectors, the row each of four queries must not see, relevant items, and the scores."""
    x, queries, n = vectors(kind, 700), 4, 700
    # None, one, a few and very many relevant items, so that both sweeps run.
    chosen = [np.zeros(0, int), np.array([5]), np.arange(3, 700, 67), np.arange(0, 700, 3)]
    own = np.array([9, 9, 9, 691])
    relevant = [c[c != o] for c, o in zip(chosen, own, strict=True)]
    pairs = Pairs(np.cumsum([0, *map(len, relevant)]), np.concatenate(relevant))
    side = whole(x)
    scored = score_tile(side.part(slice(0, queries)), side, torch.empty((queries, n), dtype=tile))
    scored.exclude(Pairs(np.arange(queries + 1), own))
    return x, own, pairs, scored


def brute(x, rows, items, own):
    """Counts by a full sort of exact scores, row by row."""
    above, tied, before = [], [], []
    n = len(x)
    for i, item in zip(rows, items, strict=True):
        s = exact_scores(x, x, np.full(n, i), np.arange(n))
        s[own[i]] = -np.inf
        above.append((s > s[item]).sum())
        tied.append((s == s[item]).sum() - 1)
        before.append((s[:item] == s[item]).sum())
    return np.array(above), np.array(tied), np.array(before)


TILES = [("0", torch.float32), ("0", torch.float64)]
TILES += [(path, tile) for path in PATHS[1:] for tile in (torch.int32, torch.float64)]


@pytest.mark.parametrize(("path", "tile"), TILES)
@pytest.mark.parametrize(
    "kind", ["hard", "separated", "grid", "duplicates", "far out", "nearly equal", "collapsed"]
)
def test_counts_equal_brute_force(kind, tile, path, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", path)
    x, own, pairs, scored = a_tile(kind, tile)
    side, queries, n = whole(x), 4, len(x)
    best = np.empty(queries)
    counts = exact_counts(scored, pairs, side.part(slice(0, queries)), side, best=best)
    if tile == torch.float64 and ON_CPU:  # other devices know no tiles that are exact
        exact = score_tile(side.part(slice(0, queries)), side, scored.scores, exactly=True)
        exact.exclude(Pairs(np.arange(queries + 1), own))
        again = exact_counts(exact, pairs, side.part(slice(0, queries)), side)
        np.testing.assert_array_equal(again.tied_before, counts.tied_before)
        np.testing.assert_array_equal(again.above, counts.above)
        assert again.rescored == 0
    above, tied, before = brute(x, pairs.rows, pairs.items, own)
    np.testing.assert_array_equal(counts.above, above)
    np.testing.assert_array_equal(counts.tied, tied)
    np.testing.assert_array_equal(counts.tied_before, before)
    for i in range(queries):
        s = exact_scores(x, x, np.full(n, i), np.arange(n))
        s[own[i]] = -np.inf
        assert best[i] == s.max()


@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("tile", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "kind", ["hard", "separated", "grid", "duplicates", "nearly equal", "collapsed"]
)
def test_the_path_of_accelerators_equals_brute_force(kind, tile, rows, monkeypatch):
    # Plain torch: it runs here on the CPU. Three rows compare one by one, the fourth needs a sort.
    monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
    x, own, pairs, scored = a_tile(kind, tile)
    pairs = Pairs(pairs.starts[: rows + 1], pairs.items[: pairs.starts[rows]])
    scores, error = scored.scores[:rows], torch.from_numpy(scored.error[:rows])
    sides = torch.from_numpy(x[:rows]), torch.from_numpy(x)
    counts = exact_counts_torch(scores, error, pairs, *sides).numpy()
    np.testing.assert_array_equal(counts, brute(x, pairs.rows, pairs.items, own))
    best = best_scores_torch(scores, error, *sides)
    for i in range(rows):
        s = exact_scores(x, x, np.full(len(x), i), np.arange(len(x)))
        s[own[i]] = -np.inf
        assert best[i] == s.max()


@pytest.mark.parametrize("size", [1, 7, 48, 513])
def test_the_error_bound_holds_and_is_not_idle(size):
    random = np.random.default_rng(size)
    x = (random.random((60, size)) + 0.5).astype(np.float32)  # every product adds up
    exact = exact_scores(x, x, np.repeat(np.arange(60), 60), np.tile(np.arange(60), 60))
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    bound = error_bound(norms, norms.max(), size, torch.float32)[:, None]
    one_by_one = np.zeros((60, 60), np.float32)
    for k in range(size):
        one_by_one += x[:, k, None] * x[None, :, k]
    for scores in (one_by_one, x @ x.T):
        assert (np.abs(scores - exact.reshape(60, 60)) <= bound).all()
    assert (bound < 1e-4 * exact.reshape(60, 60).max() * max(1, size / 100)).all()


def test_exact_scores_are_those_of_a_plain_loop():
    x = np.random.default_rng(0).standard_normal((9, 33)).astype(np.float32)
    ours = exact_scores(x, x, np.arange(9), np.arange(9)[::-1])
    theirs = []
    for a, b in zip(x, x[::-1], strict=True):
        total = 0.0
        for p, q in zip(a.tolist(), b.tolist(), strict=True):
            total += p * q
        theirs.append(total)
    assert ours.tolist() == theirs
    assert exact_scores(x[:, :0], x[:, :0], np.arange(2), np.arange(2)).tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["hard", "grid", "duplicates", "nearly equal", "collapsed"])
def test_topk_equals_a_stable_sort(kind):
    x = vectors(kind, 300)
    out = Pairs(np.arange(6), np.array([0, 1, 2, 3, 7]))
    indices, scores = exact_topk(x[:5], x, 9, out)
    for i in range(5):
        s = exact_scores(x, x, np.full(300, i), np.arange(300))
        s[out.items[i]] = -np.inf
        best = np.argsort(-s, kind="stable")[:9]
        np.testing.assert_array_equal(indices[i], best)
        np.testing.assert_array_equal(scores[i], s[best])


def test_the_type_of_a_tile(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
    assert tile_type(torch.float32, cpu, 4.0) == torch.float32
    assert tile_type(torch.float32, cpu, 1000.0) == torch.float64
    assert tile_type(torch.float64, cpu, 4.0) == torch.float64


@pytest.mark.parametrize("path", PATHS[1:])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (13, 50, 17), (24, 48, 64), (5, 23, 0), (30, 40, 515)]
)
@pytest.mark.parametrize("kind", ["alike", "signed", "tiny", "large", "first", "last"])
def test_fixed_tiles_keep_their_bound(kind, shape, path, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", path)
    queries, items, size = shape
    random = np.random.default_rng(1)
    q, g = random.standard_normal((queries, size)), random.standard_normal((items, size))
    if kind == "alike":  # every product adds up
        q, g = np.abs(q) + 1, np.abs(g) + 1
    q, g = ((x * {"tiny": 2.0**-50, "large": 2.0**30}.get(kind, 1.0)).astype("f4") for x in (q, g))
    if kind == "signed":
        q[::2] *= 1e-3
    if kind in ("first", "last"):  # of four dimensions; the bound weighs them differently
        q[:, np.arange(size) % 4 != {"first": 0, "last": 3}[kind]] = 0
    wide = torch.empty((queries + 1, items + 5), dtype=torch.int32)[:, :items]
    tile = score_tile(whole(q), whole(g), wide)
    rows, columns = np.divmod(np.arange(queries * items), items)
    exact = exact_scores(q, g, rows, columns).reshape(queries, items) * tile.scale[:, None]
    assert (np.abs(tile.scores.numpy() - exact) <= tile.error[:, None]).all()
    # The numbers fill their range, and the bound is far below that of any float32 sum.
    assert np.abs(exact).max(initial=0) < 2.0**31
    if size > 64:
        any_order = error_bound(whole(q).norms, whole(g).longest, size, torch.float32)
        assert (tile.error < any_order * tile.scale / 50).all()


@pytest.mark.cpu("other devices know no tiles that are exact")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 50, 17), (16, 48, 64), (5, 23, 0)])
def test_exact_tiles_are_exact_in_every_entry(shape, path, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", path)
    queries, items, size = shape
    random = np.random.default_rng(0)
    q = random.standard_normal((queries, size)).astype(np.float32)
    g = random.standard_normal((items, size)).astype(np.float32)
    out = torch.full((queries, items), torch.nan, dtype=torch.float64)
    tile = score_tile(whole(q), whole(g), out, exactly=True)
    rows, columns = np.divmod(np.arange(queries * items), items)
    assert tile.scores.flatten().tolist() == exact_scores(q, g, rows, columns).tolist()
    assert not tile.error.any()


def test_products_are_float32_whatever_switch_was_set():
    """The switch of one backend alone makes torch's switch for all fail."""
    matmul, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        with full_precision():
            assert matmul.fp32_precision == "ieee"
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before
