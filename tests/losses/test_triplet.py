"""Triplets: the originals' numbers, plain loops over all of them, and PML."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load

from lookalike.errors import ConfigError
from lookalike.losses import Triplet
from lookalike.losses.triplet import distance_weights
from other_packages import package

pml = package("pytorch_metric_learning.losses")
CosineSimilarity = package("pytorch_metric_learning.distances").CosineSimilarity

F64 = torch.float64


def test_triplet_is_suprank():
    """There self counts as a positive, as it does here for a reference that is not the batch."""
    seen = set()
    for _, case in cases("suprank/suprank_triplet"):
        semihard = bool(case["hp_semihard"])
        loss = Triplet(
            float(case["hp_margin"]),
            "semihard" if semihard else "all",
            int(case["level"]),
        )
        x = torch.tensor(case["embeddings"], requires_grad=True)
        y = torch.tensor(case["labels"])
        value = loss(x, y, ref_emb=x.clone(), ref_labels=y)
        value.backward()
        assert_close(value.item(), case["loss"], 0, atol=1e-6)
        assert_close(x.grad.numpy(), case["grad_embeddings"], 1e-6, atol=1e-14)
        seen.add((semihard, bool(case["loss"] > 0)))
    assert seen == {(False, True), (False, False), (True, True), (True, False)}


@pytest.mark.parametrize("number", range(4))
def test_triplet_is_raml(number):
    file = load("raml_pp/raml_triplet")
    x, p, n = (torch.tensor(file[f"t{number}_{k}"], requires_grad=True) for k in "xpn")
    B, P, D = p.shape
    N = n.shape[1]
    reference = torch.cat([p.reshape(-1, D), n.reshape(-1, D)])
    a, i, j = (t.flatten() for t in torch.meshgrid(*map(torch.arange, (B, P, N)), indexing="ij"))
    loss = Triplet(
        float(file[f"t{number}_margin"]),
        distance="squared",
        reduction="anchors",
        normalize=False,
    )
    value = loss(
        x[:, 0],
        torch.arange(B),
        (a, a * P + i, B * P + a * N + j),
        ref_emb=reference,
        ref_labels=torch.zeros(len(reference), dtype=torch.long),
    )
    value.backward()
    assert_close(value.item(), file[f"t{number}_loss"], 0, atol=1e-10)
    for tensor, name in ((x, "gx"), (p, "gp"), (n, "gn")):
        assert_close(tensor.grad.numpy(), file[f"t{number}_{name}"], 0, atol=1e-10)


def test_triplet_is_ramls_symmetric_step():
    file = load("raml_pp/raml_triplet")
    W = torch.tensor(file["sym_W"], requires_grad=True)

    def embed(pictures):
        out = torch.tensor(pictures).flatten(1) @ W
        return out / (out.norm(dim=1, keepdim=True) + 1e-6)

    x = embed(file["sym_x"])
    negatives = embed(file["sym_neg"].reshape(-1, *file["sym_x"].shape[1:]))
    assert_close(x.detach().numpy(), file["sym_emb"], 0, atol=1e-10)
    labels, N = file["sym_labels"], file["sym_neg"].shape[1]
    listed = [
        (a, p, len(labels) + a * N + j)
        for a, p in itertools.permutations(range(len(labels)), 2)
        if labels[a] == labels[p]
        for j in range(N)
    ]
    loss = Triplet(0.7, distance="squared", reduction="anchors", normalize=False)
    value = loss(
        x,
        torch.tensor(labels),
        tuple(torch.tensor(column) for column in zip(*listed, strict=True)),
        ref_emb=torch.cat([x, negatives]),
        ref_labels=torch.zeros(len(x) + len(negatives), dtype=torch.long),
    )
    value.backward()
    assert_close(value.item(), file["sym_loss"], 0, atol=1e-10)
    assert_close(W.grad.numpy(), file["sym_grad_W"], 0, atol=1e-10)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("name", "margin"), [("tri", 0.1), ("tri5", 0.5)])
def test_triplet_is_cirtorch(number, name, margin):
    file = load("raml_pp/cirtorch_losses")
    case = {k.removeprefix(f"c{number}_"): v for k, v in file.items()}
    label = case["label"]
    owner = np.maximum.accumulate(np.where(label == -1, np.arange(len(label)), 0))
    negative = np.flatnonzero(label == 0)
    x = torch.tensor(case["x"].T, requires_grad=True)
    loss = Triplet(margin, distance="squared", reduction="sum", normalize=False)
    value = loss(x, torch.arange(len(x)), (owner[negative], owner[negative] + 1, negative))
    value.backward()
    assert_close(value.item(), case[f"{name}_loss"], 0, atol=1e-10)
    assert_close(x.grad.numpy().T, case[f"{name}_gx"], 0, atol=1e-10)


def in_loops(s, y, ref_y, margin, reduction, skip_self=True):
    """All triplets one by one, with the gradient at the scores."""
    slope = np.zeros((len(y), len(ref_y)))
    total, active = 0.0, 0
    for a in range(len(y)):
        positive = [j for j in range(len(ref_y)) if ref_y[j] == y[a] and not (skip_self and j == a)]
        negative = [j for j in range(len(ref_y)) if ref_y[j] != y[a]]
        share = len(positive) * len(negative) if reduction == "anchors" else 1
        for p, n in itertools.product(positive, negative):
            hinge = s[a, n] - s[a, p] + margin
            if hinge > 0:
                total += hinge / share
                active += 1
                slope[a, n] += 1 / share
                slope[a, p] -= 1 / share
    scale = max(1, active) if reduction == "active" else 1
    return total / scale, slope / scale


@pytest.mark.parametrize("reduction", ["active", "anchors", "sum"])
@pytest.mark.parametrize("ties", [False, True])
def test_all_triplets_are_counted_one_by_one(reduction, ties):
    rng = np.random.default_rng(3)
    for size, classes in ((1, 1), (6, 1), (7, 7), (23, 5), (40, 3)):
        y = rng.integers(0, classes, size)
        x = rng.normal(size=(size, 4))
        if ties:
            x = x[rng.integers(0, size, size)].round(1)
        x = torch.tensor(x, requires_grad=True)
        value = Triplet(0.1, reduction=reduction, normalize=False)(x, torch.tensor(y))
        value.backward()
        s = (x @ x.T).detach().numpy()
        expected, slope = in_loops(s, y, y, 0.1, reduction)
        assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-13)
        assert_close(x.grad.numpy(), (slope + slope.T) @ x.detach().numpy(), 1e-11, atol=1e-13)


@pytest.mark.parametrize("few", [0, 24])
def test_all_triplets_against_a_reference(monkeypatch, few):
    torch.manual_seed(4)
    x, ref = torch.randn(9, 3, dtype=F64), torch.randn(31, 3, dtype=F64)
    y, ref_y = torch.arange(9) % 3, torch.arange(31) % 4
    monkeypatch.setattr("lookalike.losses.triplet._FEW", few)  # counted, or searched
    whole = Triplet(normalize=False)(x, y, ref_emb=ref, ref_labels=ref_y)
    expected, _ = in_loops(
        (x @ ref.T).numpy(), y.numpy(), ref_y.numpy(), 0.05, "active", skip_self=False
    )
    assert whole.item() == pytest.approx(expected, rel=1e-12)


def test_all_triplets_are_pmls():
    torch.manual_seed(5)
    x, y = torch.randn(40, 6, dtype=F64, requires_grad=True), torch.randint(0, 8, (40,))
    ours = Triplet(0.2)(x, y)
    theirs = pml.TripletMarginLoss(0.2, distance=CosineSimilarity())(x, y)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)
    a, b = (torch.autograd.grad(value, x)[0] for value in (ours, theirs))
    assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_semihard_takes_the_nearest_positive_and_the_next_negative():
    # Cosines of query 0: positives 0.9 and 0.8, negatives 0.95, 0.85 and 0.2.
    angles = torch.tensor([1.0, 0.9, 0.8, 0.95, 0.85, 0.2], dtype=F64).acos()
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    y = torch.tensor([0, 0, 0, 1, 2, 3])
    value = Triplet(0.3, "semihard", reduction="sum")(x[:1], y[:1], ref_emb=x[1:], ref_labels=y[1:])
    assert value.item() == pytest.approx(0.85 - 0.9 + 0.3)


def test_distance_weights_are_ramls_mining():
    file = load("raml_pp/raml_mining")
    for number in range(3):
        distance, labels = (file[f"isd{number}_{k}"] for k in ("dist", "labels"))
        allowed = torch.tensor(labels != file[f"isd{number}_anchor"])
        width = int(file[f"isd{number}_dim"])
        d = torch.tensor(distance)
        # The original adds 1e-6 to everything, after a shift by the larger of 0 and the maximum.
        w = distance_weights(d[None], allowed[None], width, farthest=1.9999)[0]
        clamped = d.clamp_min(0.5)
        logs = (2 - width) * clamped.log() - (width - 3) / 2 * (1 - clamped**2 / 4).log()
        highest = logs[allowed].max()
        w = w * torch.exp(highest - highest.clamp_min(0)) + 1e-6
        assert_close((w / w.sum()).numpy(), file[f"isd{number}_prob"], 0, atol=1e-10)


def test_distance_draws_follow_the_weights():
    torch.manual_seed(6)
    x, y = torch.randn(12, 3, dtype=F64), torch.arange(12) // 2
    x = torch.nn.functional.normalize(x, dim=1)
    loss = Triplet(3.0, "distance", reduction="sum", normalize=False)
    allowed = y[:, None] != y
    distance = (2 - 2 * x @ x.T).clamp_min(0).sqrt()
    w = distance_weights(distance, allowed, 3)
    w = w / w.sum(dim=1, keepdim=True)
    s = x @ x.T
    own = s[torch.arange(12), torch.arange(12) ^ 1]
    expected = ((w * s).sum(dim=1) - own + 3.0).sum().item()
    values = torch.stack([loss(x, y) for _ in range(400)])
    error = values.std().item() / math.sqrt(len(values))
    assert abs(values.mean().item() - expected) < 5 * error
    assert error > 0


def test_distance_draws_resume_and_rest_in_eval():
    torch.manual_seed(7)
    x, y = torch.randn(16, 4), torch.arange(16) // 4
    loss = Triplet(0.5, "distance", seed=3)
    loss(x, y)
    saved = copy.deepcopy(loss.state_dict())
    following = [loss(x, y).item() for _ in range(3)]
    again = Triplet(0.5, "distance", seed=3)
    again.load_state_dict(saved)
    assert [again(x, y).item() for _ in range(3)] == following
    assert len(set(following)) > 1
    again.eval()
    assert len({again(x, y).item() for _ in range(3)}) == 1


def test_distance_draws_nothing_where_all_negatives_are_far():
    x = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]], requires_grad=True)
    value = Triplet(5.0, "distance")(x, torch.tensor([0, 0, 1, 1]))
    value.backward()
    assert value.item() == 0
    assert x.grad.abs().max() == 0


def test_a_misspelt_choice_is_refused():
    with pytest.raises(ConfigError, match=r"mining='semi-hard'. Did you mean 'semihard'"):
        Triplet(mining="semi-hard")
