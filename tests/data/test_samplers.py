from collections import Counter
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.compose import compose
from lookalike.data.samplers import HierarchicalSampler, MPerClassSampler, RandomSampler
from lookalike.data.samplers.base import draws
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError
from lookalike.training.build import build_sampler


def labels_of(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(0).permutation(labels)


sizes = st.lists(st.integers(1, 12), min_size=4, max_size=20)


@given(sizes=sizes, m=st.integers(1, 5), per_batch=st.integers(1, 4), epoch=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_m_per_class_composition_and_coverage(sizes, m, per_batch, epoch):
    labels = labels_of(sizes)
    sampler = MPerClassSampler(labels, m, m * per_batch, seed=7)
    plan = np.asarray(sampler.plan(epoch))
    assert plan.shape == (len(sampler), m * per_batch)
    turns = Counter()
    for batch in plan:
        classes = Counter(labels[batch].tolist())
        assert len(classes) == per_batch and set(classes.values()) == {m}
        turns.update(classes.keys())
        for c in classes:
            rows = batch[labels[batch] == c]
            assert len(set(rows.tolist())) == min(m, sizes[c])  # no copies unless too small
    # every class once per pass: at any time the counts differ by one at most
    assert set(turns) == set(range(len(sizes)))
    assert max(turns.values()) - min(turns.values()) <= 1
    # and a class shows all its images before it shows one again
    shown = Counter(plan.ravel().tolist())
    for c in range(len(sizes)):
        counts = [shown[row] for row in np.flatnonzero(labels == c)]
        assert max(counts) - min(counts) <= 1


@given(sizes=sizes, seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_every_pass_holds_every_class_once(sizes, seed):
    labels = labels_of(sizes)
    sampler = MPerClassSampler(labels, 2, 6, seed=seed, batches=4 * len(sizes))
    groups = labels[np.asarray(sampler.plan(0)).ravel()[::2]]
    for start in range(0, len(groups) - len(sizes) + 1, len(sizes)):
        assert sorted(groups[start : start + len(sizes)]) == list(range(len(sizes)))


def test_epochs_differ_and_seeds_repeat():
    labels = labels_of([6] * 8)
    one, two = MPerClassSampler(labels, 3, 6, seed=1), MPerClassSampler(labels, 3, 6, seed=1)
    np.testing.assert_array_equal(one.plan(4), two.plan(4))
    assert not np.array_equal(one.plan(4), one.plan(5))
    assert not np.array_equal(one.plan(4), MPerClassSampler(labels, 3, 6, seed=2).plan(4))


def test_epoch_length_is_that_of_the_pictures_and_at_least_a_pass():
    assert len(MPerClassSampler(labels_of([40] * 10), 4, 20)) == 20
    assert len(MPerClassSampler(labels_of([2] * 10), 4, 20)) == 2
    assert len(MPerClassSampler(labels_of([2] * 10), 4, 20, batches=9)) == 9
    note = MPerClassSampler(labels_of([40] * 10), 4, 20).notes[0]
    assert (
        note
        == "20 batches an epoch, each 5 classes × 4 images; each of 10 classes comes 10.0 times"
    )


def test_the_level_and_distractors():
    labels = np.array([[0, 0], [1, 0], [2, 1], [3, 1], [-1, -1]])
    sampler = MPerClassSampler(labels, 2, 4, level=1)
    assert all(sorted(labels[b, 1]) == [0, 0, 1, 1] for b in sampler)
    assert not (np.asarray(MPerClassSampler(labels, 1, 2).plan(0)) == 4).any()


def test_singletons_are_repeated_dropped_or_refused_and_counted():
    labels = labels_of([1, 1, 3, 5, 5])
    kept = MPerClassSampler(labels, 4, 8)
    assert "2 classes have one image, repeated 4 times" in kept.notes
    assert "1 class has 2 to 3 images and repeats them" in kept.notes
    dropped = MPerClassSampler(labels, 4, 8, singletons="drop")
    assert set(labels[np.asarray(dropped.plan(0)).ravel()]) == {2, 3, 4}
    assert "2 classes have one image, left out" in dropped.notes
    with pytest.raises(DataError, match="2 of 5 classes have one image"):
        MPerClassSampler(labels, 4, 8, singletons="refuse")
    with pytest.raises(DataError, match="of 3 classes none has more than one image"):
        MPerClassSampler([0, 1, 2], 2, 2, singletons="drop")
    with pytest.raises(ConfigError, match="'droop'"):
        MPerClassSampler(labels, 4, 8, singletons="droop")


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_batch_of_one(world):
    labels = labels_of([5] * 12)
    whole = list(MPerClassSampler(labels, 2, 8, seed=3))
    parts = [
        list(MPerClassSampler(labels, 2, 8, seed=3, rank=r, world=world)) for r in range(world)
    ]
    assert [list(chain(*(p[b] for p in parts))) for b in range(len(whole))] == whole


def test_resume_continues_where_it_stopped():
    sampler = MPerClassSampler(labels_of([5] * 12), 2, 8, seed=3)
    sampler.set_epoch(2)
    whole = list(sampler)
    state = sampler.state_dict(batch=3)
    fresh = MPerClassSampler(labels_of([5] * 12), 2, 8, seed=3)
    fresh.load_state_dict(state)
    fresh.set_epoch(2)  # the trainer says so before every epoch
    assert list(fresh) == whole[3:]
    fresh.set_epoch(3)
    assert fresh.state_dict() == {"epoch": 3, "batch": 0}
    assert len(list(fresh)) == len(fresh)


def test_what_cannot_be_is_refused_with_the_remedy():
    labels = labels_of([5] * 6)
    with pytest.raises(ConfigError, match=r"batch_size: 10 is not a multiple of m=4; give 8 or 12"):
        MPerClassSampler(labels, 4, 10)
    with pytest.raises(ConfigError, match=r"needs 8 classes, but there are 6; lower .* to 24"):
        MPerClassSampler(labels, 4, 32)
    with pytest.raises(ConfigError, match=r"cannot be split over 3 processes"):
        MPerClassSampler(labels, 4, 16, world=3)
    with pytest.raises(ConfigError, match=r"sampler.m: 0"):
        MPerClassSampler(labels, 0, 16)
    with pytest.raises(ConfigError, match=r"sampler.level: 1"):
        MPerClassSampler(labels, 2, 4, level=1)
    with pytest.raises(ConfigError, match=r"sampler.batches: 0"):
        MPerClassSampler(labels, 2, 4, batches=0)
    with pytest.raises(DataError, match="no image has a label"):
        MPerClassSampler([-1, -1], 1, 1)
    with pytest.raises(ConfigError, match="at least 1"):
        RandomSampler(10, 0)
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        RandomSampler(10, 2, rank=2, world=2)
    with pytest.raises(ConfigError, match="do not fill one batch"):
        RandomSampler(3, 4)
    with pytest.raises(ConfigError, match="drop_last"):
        RandomSampler(30, 4, drop_last=False, world=2)
    two = np.stack([labels, labels // 3], 1)
    with pytest.raises(ConfigError, match=r"not a multiple of supers × m = 2 × 3"):
        HierarchicalSampler(two, 3, 8)
    with pytest.raises(ConfigError, match=r"needs 3 super-classes, but level 1 has 2"):
        HierarchicalSampler(two, 1, 6, supers=3)


def hierarchy(per_class=6, classes=5, supers=4):
    fine = np.repeat(np.arange(classes * supers), per_class)
    return np.stack([fine, fine // classes], 1)


@pytest.mark.parametrize("supers", [2, 3])
def test_hierarchical_batches_come_from_each_combination_equally(supers):
    labels = hierarchy()
    sampler = HierarchicalSampler(
        labels, 2, 4 * supers, seed=5, batches_per_super_pair=3, supers=supers
    )
    plan = np.asarray(sampler.plan(1))
    assert len(plan) == len(sampler) == 3 * {2: 6, 3: 4}[supers]
    tuples = Counter()
    for batch in plan:
        coarse = Counter(labels[batch, 1].tolist())
        assert set(coarse.values()) == {4} and len(coarse) == supers
        assert set(Counter(labels[batch, 0].tolist()).values()) == {2}
        assert len(set(batch.tolist())) == len(batch)
        tuples[tuple(sorted(coarse))] += 1
    assert set(tuples.values()) == {3}
    np.testing.assert_array_equal(
        plan,
        HierarchicalSampler(
            labels, 2, 4 * supers, seed=5, batches_per_super_pair=3, supers=supers
        ).plan(1),
    )


def test_hierarchical_whole_classes():
    labels = hierarchy(per_class=4)
    for batch in HierarchicalSampler(labels, None, 16, batches_per_super_pair=2):
        assert set(Counter(labels[batch, 0].tolist()).values()) == {4}


def test_hierarchical_small_super_class_repeats_and_says_so():
    labels = np.array([[0, 0], [0, 0], [1, 1], [1, 1], [2, 1], [2, 1], [3, 1], [3, 1]])
    sampler = HierarchicalSampler(labels, 2, 8, batches_per_super_pair=2)
    assert "1 super-class has fewer than 4 images and repeats them" in sampler.notes
    for batch in sampler:
        assert Counter(labels[batch, 1].tolist()) == {0: 4, 1: 4}


def test_random_batches_hold_every_picture_once():
    sampler = RandomSampler(23, 5, seed=1)
    assert len(sampler) == 4 and sampler.notes == ("4 batches an epoch, random, 3 images left out",)
    seen = list(chain(*sampler))
    assert len(seen) == len(set(seen)) == 20
    whole = RandomSampler(np.zeros(23), 5, seed=1, drop_last=False)
    assert sorted(chain(*whole)) == list(range(23)) and len(whole) == 5


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_draws_against_a_loop(plan):
    seen, want = Counter(), []
    for batch in plan:
        want.append([])
        for row in batch:
            want[-1].append(seen[row])
            seen[row] += 1
    assert [d.tolist() for d in draws([np.array(b) for b in plan])] == want


def test_planning_is_fast():
    import time

    labels = np.repeat(np.arange(11318), 6)
    sampler = MPerClassSampler(labels, 4, 128)
    start = time.perf_counter()
    plan = sampler.plan(0)
    draws(plan)
    assert time.perf_counter() - start < 2


def test_random_limits_an_epoch_to_other_pictures_each_time():
    sampler = RandomSampler(100, batch_size=8, limit=20)
    first, second = (np.concatenate(sampler.plan(epoch)) for epoch in (0, 1))
    assert len(sampler) == 2 and len(set(first)) == 16 and set(first) != set(second)
    seen = np.concatenate([np.concatenate(sampler.plan(epoch)) for epoch in range(60)])
    assert set(seen) == set(range(100))
    with pytest.raises(ConfigError, match="sampler.limit: 4 is below batch_size=8"):
        RandomSampler(100, batch_size=8, limit=4)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize(
    ("sampler", "arguments"),
    [
        (MPerClassSampler, {"m": 4}),
        (MPerClassSampler, {"m": 5, "singletons": "drop"}),
        (HierarchicalSampler, {"m": 3}),
        (RandomSampler, {"views": 2}),
        (RandomSampler, {"limit": 20}),
    ],
)
def test_the_batch_that_fits_can_be_built(sampler, arguments, world):
    labels = np.stack([np.repeat(np.arange(6), 7), np.repeat(np.arange(3), 14)], axis=1)
    size = sampler.fitting(labels, 64, world=world, **arguments)
    built = sampler(labels, batch_size=size, world=world, **arguments)
    assert 16 <= size <= 64 and len(built) >= 1
    assert sampler.fitting(labels, 24, world=world, **arguments) <= 24


def test_a_run_that_says_no_batch_size_takes_what_its_classes_fill_and_says_so():
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(24)], "label": np.arange(24) // 4})
    config = compose()
    sampler = build_sampler(config, Table.from_frame(frame.assign(split="train")))
    assert config.batch_size == sampler.batch_size == 24
    assert "batch_size=24, not the usual 64" in sampler.notes[-1]
    asked = compose(["batch_size=64"])
    with pytest.raises(ConfigError, match="needs 16 classes, but there are 6; lower batch_size"):
        build_sampler(asked, Table.from_frame(frame.assign(split="train")))
