"""The batch orders of Smooth-AP and RAML, against their own runs."""

import random
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data import transforms
from lookalike.data.loader import train_loader
from lookalike.data.samplers import GreedyMPerClassSampler, GroupedSampler, HierarchicalSampler
from lookalike.data.samplers.base import rows_by_class
from lookalike.data.samplers.greedy import greedy_batches
from lookalike.data.samplers.mining import distance_weights, mine_negatives
from lookalike.errors import ConfigError, DataError

GOLDEN = Path(__file__).parents[1] / "golden"


def labels_of(sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


# ── Smooth-AP's batch builder ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", [0, 1, 2])
def test_greedy_batches_are_those_of_smooth_ap(case):
    golden = np.load(GOLDEN / "smoothap" / f"sampler_{case}.npz", allow_pickle=False)
    sizes, m, batch_size, seed = (
        golden[k] for k in ("class_sizes", "samples_per_class", "batch_size", "python_random_seed")
    )
    starts = np.cumsum(sizes) - sizes
    want = starts[golden["order_class"]] + golden["order_item"]
    sampler = GreedyMPerClassSampler(labels_of(sizes), int(m), int(batch_size), int(seed))
    assert len(sampler) == golden["n_batches"]
    assert list(chain(*sampler)) == want.tolist()


def slow_greedy(sizes, m, batch_size, rng, limit):
    """The rule word by word."""
    left = {}
    for c, size in enumerate(sizes):
        items = [(c, i) for i in range(size)]
        rng.shuffle(items)
        left[c] = items[:limit]
    order = list(left)
    rng.shuffle(order)
    batches = []
    while True:
        batch = []
        for c in order:
            if len(batch) < batch_size and len(left[c]) >= m:
                batch += left[c][:m]
                left[c] = left[c][m:]
        if len(batch) < batch_size:
            break
        batches.append(batch)
    rng.shuffle(batches)
    return batches


@given(
    sizes=st.lists(st.integers(0, 12), min_size=3, max_size=12),
    m=st.integers(1, 4),
    groups=st.integers(1, 4),
    limit=st.none() | st.integers(4, 9),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_greedy_batches_against_the_rule(sizes, m, groups, limit, seed):
    starts = np.cumsum([0, *sizes])
    rows = [list(range(starts[c], starts[c + 1])) for c in range(len(sizes))]
    fast = greedy_batches(rows, m, m * groups, random.Random(seed), limit)
    slow = slow_greedy(sizes, m, m * groups, random.Random(seed), limit)
    assert fast == [[int(starts[c]) + i for c, i in batch] for batch in slow]


def test_greedy_invariants_and_epochs():
    labels = labels_of([9, 4, 3, 12, 8, 5, 16, 4, 7, 2])
    sampler = GreedyMPerClassSampler(labels, 4, 16, seed=3)
    first = list(sampler)
    for batch in first:
        assert set(Counter(labels[batch].tolist()).values()) == {4}
    rows = list(chain(*first))
    assert len(rows) == len(set(rows)) and not {2, 9} & set(labels[rows])
    assert "2 classes have fewer than 4 images and never come" in sampler.notes
    sampler.set_epoch(1)
    assert list(sampler) != first
    parts = [list(GreedyMPerClassSampler(labels, 4, 16, seed=3, rank=r, world=2)) for r in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == first


def test_every_greedy_epoch_is_as_long_as_stated():
    """The rule gives now more batches, now fewer; schedules count those of epoch 0."""
    sizes = np.random.default_rng(0).integers(1, 30, 24)
    labels, lengths = labels_of(sizes), set()
    for seed in range(4):
        sampler = GreedyMPerClassSampler(labels, 4, 16, seed=seed)
        rows = [np.flatnonzero(labels == c).tolist() for c in range(24)]
        for epoch in range(6):
            rng = random.Random(seed if epoch == 0 else f"{seed}/{epoch}")
            rule = greedy_batches([[*r] for r in rows], 4, 16, rng)
            lengths.add(len(rule))
            sampler.set_epoch(epoch)
            plan = list(sampler)
            assert len(plan) == len(sampler)
            kept = min(len(rule), len(plan))
            assert plan[:kept] == rule[:kept]
            for batch in plan:
                assert set(Counter(labels[batch].tolist()).values()) == {4}
    assert len(lengths) > 2  # else this test tells nothing


def test_greedy_limit_per_class():
    labels = labels_of([20] * 4)
    sampler = GreedyMPerClassSampler(labels, 4, 8, reduce_per_class=8)
    counts = Counter(labels[list(chain(*sampler))].tolist())
    assert set(counts.values()) == {8}


def test_greedy_refusals():
    with pytest.raises(ConfigError, match="needs 4 classes of at least 4 images, but there are 2"):
        GreedyMPerClassSampler(labels_of([5, 5, 3, 3]), 4, 16)
    with pytest.raises(ConfigError, match="is not a multiple of m=4"):
        GreedyMPerClassSampler(labels_of([5, 5]), 4, 6)
    with pytest.raises(ConfigError, match="reduce_per_class: 3 is below m=4"):
        GreedyMPerClassSampler(labels_of([5, 5]), 4, 8, reduce_per_class=3)


def test_rows_by_class_skips_distractors():
    rows = rows_by_class(np.array([1, -1, 0, 1, -1, 5]))
    assert [r.tolist() for r in rows] == [[2], [0, 3], [5]]
    assert rows_by_class(np.array([-1])) == []


# ── RAML's order and negatives ──────────────────────────────────────────────────────────────────


def raml(case, **options):
    golden = np.load(GOLDEN / "raml_pp" / "raml_epoch_order.npz", allow_pickle=False)
    g = {k.removeprefix(f"c{case}_"): golden[k] for k in golden if k.startswith(f"c{case}_")}
    labels = labels_of(g["sizes"])
    negatives = g["nidxs"].shape[1]
    sampler = GroupedSampler(
        labels, 4, 4, int(g["seed"]), query_size=int(g["query_size"]),
        pool_size=int(g["pool_size"]), negatives=negatives, published=True, **options,
    )  # fmt: skip
    return sampler, g


@pytest.mark.parametrize("case", [0, 1, 2])
def test_grouped_order_is_that_of_raml(case):
    sampler, g = raml(case)
    sampler.negatives = 0
    whole = len(g["qidxs"]) // 4 * 4
    # RAML numbers the images of kept classes only
    assert list(chain(*sampler)) == sampler.kept[g["qidxs"][:whole]].tolist()
    assert sampler.length == g["len"]


@pytest.mark.parametrize("case", [1, 2])  # case 0 embodies RAML's misaligned labels
def test_mined_negatives_are_those_of_raml(case):
    sampler, g = raml(case)
    sampler.set_negatives(0, sampler.kept, g["V"])
    batches = list(sampler)
    whole = len(batches) * 4
    anchors = np.array([b[:4] for b in batches]).ravel()
    negatives = np.array([b[4:] for b in batches]).reshape(whole, -1)
    np.testing.assert_array_equal(anchors, sampler.kept[g["qidxs"][:whole]])
    np.testing.assert_array_equal(negatives, sampler.kept[g["nidxs"][:whole]])


def test_mining_weights_and_draws_are_those_of_raml():
    golden = np.load(GOLDEN / "raml_pp" / "raml_mining.npz", allow_pickle=False)
    for i in range(3):
        same = golden[f"isd{i}_labels"] == golden[f"isd{i}_anchor"]
        got = distance_weights(
            golden[f"isd{i}_dist"], same, int(golden[f"isd{i}_dim"]), published=True
        )
        np.testing.assert_allclose(got, golden[f"isd{i}_prob"], atol=1e-10)
    drawn = mine_negatives(
        golden["md_q"].T, golden["md_qcls"], golden["md_pool"].T, golden["md_cls"], 4,
        np.random.RandomState(int(golden["md_seed"])), published=True,
    )  # fmt: skip
    np.testing.assert_array_equal(drawn, golden["md_nidx"])


def test_negatives_are_never_of_the_anchor_s_class():
    rng = np.random.default_rng(0)
    labels = labels_of([8, 9, 3, 12])
    sampler = GroupedSampler(labels, 4, 8, seed=2, negatives=5)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        rows = sampler.rows_to_embed(epoch)
        vectors = rng.standard_normal((len(rows), 16))
        vectors[0] = -vectors[1]  # opposite points must not make NaN
        sampler.set_negatives(epoch, rows, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        for batch in sampler:
            anchors, negatives = np.array(batch[:8]), np.array(batch[8:]).reshape(8, 5)
            assert (labels[anchors[:4]] == labels[anchors[0]]).all()
            assert (labels[negatives] != labels[anchors][:, None]).all()
            assert 2 not in labels[batch]
    assert "1 class has fewer than 4 images, left out" in sampler.notes


def test_weights_with_opposite_points_are_finite():
    weights = distance_weights(np.array([2.0, 0.7, 2.1]), np.array([False, False, True]), 512)
    assert np.isfinite(weights).all() and weights[2] == 0 and weights.sum() == pytest.approx(1)


def test_grouped_sampler_resumes_and_splits_with_its_negatives():
    sampler, g = raml(1)
    with pytest.raises(DataError, match="the negatives of epoch 0 are not mined"):
        list(sampler)
    sampler.set_negatives(0, sampler.kept, g["V"])
    whole = list(sampler)
    fresh, _ = raml(1)
    fresh.load_state_dict(sampler.state_dict(2))
    assert list(fresh) == whole[2:]
    halves = []
    for r in (0, 1):
        half, _ = raml(1, rank=r, world=2)
        half.set_negatives(0, half.kept, g["V"])
        halves.append(list(half))
    for a, b, both in zip(*halves, whole, strict=True):
        assert a[:2] + b[:2] + a[2:] + b[2:] == both
    with pytest.raises(DataError, match="no embedding of row"):
        sampler.set_negatives(1, sampler.kept[:3], g["V"])


def test_grouped_refusals():
    with pytest.raises(ConfigError, match="not a multiple of m=4"):
        GroupedSampler(labels_of([8, 8]), 4, 6)
    with pytest.raises(DataError, match="no class has 4 images"):
        GroupedSampler(labels_of([3, 3]), 4, 4)
    with pytest.raises(DataError, match="4 anchors cannot fill a batch of 8"):
        GroupedSampler(labels_of([4, 1]), 4, 8)
    with pytest.raises(ConfigError, match="negatives: -1"):
        GroupedSampler(labels_of([4, 4]), 4, 8, negatives=-1)


def test_the_loader_s_state_holds_the_negatives(tmp_path):
    import pandas as pd
    from PIL import Image

    from lookalike.data.table import Table

    sampler, g = raml(2)
    labels = labels_of(g["sizes"])
    for i in range(len(labels)):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(len(labels))], "label": labels})
    table = Table.from_frame(frame, root=tmp_path)
    sampler.set_negatives(0, sampler.kept, g["V"])
    loader = train_loader(table, transforms.evaluation(8, crop=False), sampler)
    batches = list(loader)
    state = loader.state_dict()
    fresh, _ = raml(2)
    again = train_loader(table, transforms.evaluation(8, crop=False), fresh)
    again.load_state_dict(state)
    assert [b["index"].tolist() for b in again] == [b["index"].tolist() for b in batches]


# ── fewer hierarchical batches ──────────────────────────────────────────────────────────────────


def test_hierarchical_epochs_may_be_cut_short():
    fine = labels_of([4] * 12)
    labels = np.stack([fine, fine // 3], 1)
    sampler = HierarchicalSampler(labels, 2, 8, batches_per_super_pair=5, batches=7)
    assert len(sampler) == 7 == len(list(sampler))
    with pytest.raises(ConfigError, match="31 of 30 batches"):
        HierarchicalSampler(labels, 2, 8, batches_per_super_pair=5, batches=31)
