"""Every rank loss against plain loops: values, and gradients by finite differences."""

from functools import partial

import numpy as np
import pytest
import reference
import torch

from lookalike import losses
from lookalike.ops import line_sums

SUP = {"offset": 1.44}
UPPER = partial(reference.upper, **SUP)
WIDE = {"tau": 0.1}  # a temperature at which finite differences see the curve
SMOOTH = partial(reference.smooth, **WIDE)
UPPER_WIDE = partial(reference.upper, **WIDE)
AT_K = (1, 2, 4)
H_RANK = {"beta": 25.0, "gamma": 0.5, "leak": 10.0}

# name: (ours, the oracle of one query, whether it takes the whole hierarchy)
CASES = {
    "SmoothAP": (
        losses.SmoothAP(**WIDE),
        partial(reference.ap, below=SMOOTH, peer=SMOOTH),
        False,
    ),
    "SupAP": (
        losses.SupAP(**WIDE),
        partial(reference.ap, below=UPPER_WIDE, peer=reference.heaviside),
        False,
    ),
    "SupAP as published": (
        losses.SupAP(**SUP),
        partial(reference.ap, below=UPPER, peer=reference.heaviside),
        False,
    ),
    "SmoothHAP": (
        losses.SmoothHAP(**WIDE),
        partial(reference.h_ap, below=SMOOTH, peer=SMOOTH),
        True,
    ),
    "SupHAP": (
        losses.SupHAP(**WIDE),
        partial(reference.h_ap, below=UPPER_WIDE, peer=reference.heaviside),
        True,
    ),
    "SupHAP with H-rank": (
        losses.SupHAP(**WIDE, **H_RANK, alpha=0.5),
        partial(
            reference.h_ap,
            below=UPPER_WIDE,
            peer=reference.heaviside,
            better=reference.lower,
            worth=partial(reference.pop, alpha=0.5),
        ),
        True,
    ),
    "SupHAP by level": (
        losses.SupHAP(**WIDE, relevance="map", alpha=[0.2, 0.3, 0.5]),
        partial(
            reference.h_ap,
            below=UPPER_WIDE,
            peer=reference.heaviside,
            worth=partial(reference.by_level, alpha=[0.2, 0.3, 0.5]),
        ),
        True,
    ),
    "SmoothNDCG": (
        losses.SmoothNDCG(**WIDE),
        partial(reference.ndcg, below=SMOOTH, peer=SMOOTH),
        True,
    ),
    "SupNDCG": (
        losses.SupNDCG(**WIDE),
        partial(reference.ndcg, below=UPPER_WIDE, peer=reference.heaviside),
        True,
    ),
    "SmoothRecall": (
        losses.SmoothRecall(**WIDE, at_k=AT_K),
        partial(reference.recall, below=SMOOTH, peer=SMOOTH, at_k=AT_K),
        False,
    ),
    "SupRecall": (
        losses.SupRecall(**WIDE, at_k=AT_K),
        partial(reference.recall, below=UPPER_WIDE, peer=reference.heaviside, at_k=AT_K),
        False,
    ),
    "RecallAtK": (
        losses.RecallAtK(AT_K, temp_s=0.1),
        partial(reference.recall_at_k, at_k=AT_K, temp_s=0.1),
        False,
    ),
    "FastAP": (losses.FastAP(), partial(reference.binned_ap, bins=11), False),
    "SoftBinAP": (losses.SoftBinAP(), partial(reference.binned_ap, bins=20), False),
}


def data(seed=0, size=9):
    """Unequal classes in any order, levels that are not nested, one lone image."""
    rng = np.random.default_rng(seed)
    finest = rng.permutation(np.r_[np.zeros(4), np.ones(2), 2, 2, 3][:size].astype(int))
    labels = np.stack([finest, finest // 2 + (rng.random(size) < 0.2), rng.integers(2, size=size)])
    return rng.normal(size=(size, 4)), labels.T


RANKED = [name for name in CASES if "Bin" not in name and "Fast" not in name]


@pytest.fixture
def by_line(monkeypatch):
    """Makes even one positive many."""

    def begin():
        for table in (line_sums.MANY, line_sums.MANY_PAIRS):
            for key in table:
                monkeypatch.setitem(table, key, 1)

    return begin


@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize(
    ("name", "is_line"), [(n, False) for n in CASES] + [(n, True) for n in RANKED]
)
def test_value_and_gradient_are_those_of_plain_loops(name, is_line, with_reference, by_line):
    if is_line:
        by_line()
    loss, oracle, is_graded = CASES[name]
    x, y = data()
    other, other_y = data(seed=1) if with_reference else (None, None)
    columns = slice(None) if is_graded else slice(1)
    role = "positive"
    if not with_reference:
        role = {"FastAP": "absent", "RecallAtK": "competitor"}.get(name, role)
    elif name == "RecallAtK":
        role = "positive"

    def slow(x, other):
        other_labels = y if other_y is None else other_y
        reference_x = x if other is None else other
        return reference.batch(
            oracle, x, reference_x, y[:, columns], other_labels[:, columns], role
        )

    tensor = torch.tensor(x, requires_grad=True)
    rest = {}
    if with_reference:
        rest = {
            "ref_emb": torch.tensor(other, requires_grad=True),
            "ref_labels": torch.tensor(other_y),
        }
    value = loss(tensor, torch.tensor(y), **rest)
    value.backward()
    assert value.item() == pytest.approx(slow(x, other), rel=1e-10)
    expected = reference.finite_differences(lambda x: slow(x, other), x)
    np.testing.assert_allclose(tensor.grad, expected, rtol=1e-4, atol=1e-6)
    if with_reference:
        expected = reference.finite_differences(lambda other: slow(x, other), other)
        np.testing.assert_allclose(rest["ref_emb"].grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("include_self", [True, False])
def test_blackbox_ap_is_that_of_plain_loops(include_self):
    x, y = data()
    lambda_ = 0.7
    tensor = torch.tensor(x, requires_grad=True)
    loss = losses.BlackboxAP(lambda_, 0.0, include_self=include_self, normalize=False)
    value = loss(tensor, torch.tensor(y))
    value.backward()
    role = "positive" if include_self else "absent"
    slow = reference.batch(reference.blackbox_ap, x, x, y[:, :1], y[:, :1], role, normalize=False)
    assert value.item() == pytest.approx(slow, rel=1e-12)
    queries = 9 - loss.skipped
    by_scores = np.zeros((9, 9))
    for b in range(9):
        columns = [j for j in range(9) if include_self or j != b]
        scores = [float(x[b] @ x[j]) for j in columns]
        shared = [int(y[b, 0] == y[j, 0]) for j in columns]
        places = [i for i, level in enumerate(shared) if level]
        among = [scores[i] for i in places]

        def by_rank(i, scores=scores, places=places, among=among):
            best = reference.mean_rank(among, places.index(i)) / len(scores)
            rank = reference.mean_rank(scores, i) / len(scores)
            return best / rank**2 / (len(places) + 1e-5) / queries

        if places:
            by_scores[b, columns] = reference.blackbox_gradient(scores, shared, by_rank, lambda_)
    np.testing.assert_allclose(tensor.grad, by_scores @ x + by_scores.T @ x, atol=1e-12)


@pytest.mark.parametrize("name", RANKED)
def test_many_positives_are_as_few(name, by_line, monkeypatch):
    """Any batch has the value and gradient of pair by pair, on every face, in any chunks."""
    loss, _, _ = CASES[name]
    torch.manual_seed(0)
    x = torch.randn(120, 16)
    y = torch.stack([torch.randint(0, n, (120,)) for n in (12, 3, 1)], dim=1)

    def run(dtype, chunk_size=None, **more):
        leaf = x.to(dtype, copy=True).requires_grad_()
        loss.chunk_size = chunk_size
        value = loss(leaf, y, **more)
        value.backward()
        loss.chunk_size = None
        return value.item(), leaf.grad.double()

    few, slope = run(torch.float64)
    apart, apart_slope = run(torch.float64, ref_emb=x.double().flip(0), ref_labels=y.flip(0))
    monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
    rough = run(torch.float32)[1] - slope
    by_line()
    for found, exact in (
        (run(torch.float64), (few, slope)),
        (run(torch.float64, chunk_size=50), (few, slope)),
        (
            run(torch.float64, ref_emb=x.double().flip(0), ref_labels=y.flip(0)),
            (apart, apart_slope),
        ),
    ):
        assert found[0] == pytest.approx(exact[0], rel=1e-12)
        most = exact[1].abs().max()
        torch.testing.assert_close(found[1], exact[1], rtol=0, atol=1e-12 * most)
    for native in ("0", "1"):
        monkeypatch.setenv("LOOKALIKE_NATIVE", native)
        value, gradient = run(torch.float32)
        assert value == pytest.approx(few, abs=2e-6)
        # No rougher than what pair by pair gives in float32, beside which a few digits are left.
        assert (gradient - slope).abs().max() < 2 * rough.abs().max() + 1e-6 * slope.abs().max()


@pytest.mark.parametrize("name", CASES)
def test_native_torch_and_chunks_agree(name, monkeypatch):
    loss, _, _ = CASES[name]
    torch.manual_seed(0)
    x = torch.randn(70, 16)
    y = torch.stack([torch.randint(0, n, (70,)) for n in (20, 6, 2)], dim=1)

    def run(dtype=torch.float32, chunk_size=None):
        leaf = x.to(dtype, copy=True).requires_grad_()
        loss.chunk_size = chunk_size
        value = loss(leaf, y)
        value.backward()
        loss.chunk_size = None
        return value.item(), leaf.grad.double()

    monkeypatch.setenv("LOOKALIKE_NATIVE", "1")
    faces = [run(), run(chunk_size=11)]
    monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
    faces += [run(), run(chunk_size=11)]
    exact, gradient = run(torch.float64)
    for value, slope in faces:
        assert value == pytest.approx(exact, abs=2e-6)
        torch.testing.assert_close(slope, gradient, rtol=0, atol=1e-5 * gradient.abs().max())
