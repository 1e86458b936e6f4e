"""Calibration, contrastive and multi-similarity losses: the originals' numbers, and plain loops."""

import math

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load, value_and_gradient

from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import Calibration, Contrastive, MultiSimilarity, PairContrastive
from other_packages import package

pml = package("pytorch_metric_learning.losses")
miners = package("pytorch_metric_learning.miners")

PAIR_LOSSES = (Calibration, Contrastive, MultiSimilarity, PairContrastive)


@pytest.mark.parametrize("path", ["suprank/roadmap_calibration", "suprank/suprank_calibration"])
def test_calibration_is_roadmap_and_suprank(path):
    for _, case in cases(path):
        loss = Calibration(
            float(case["hp_pos_margin"]),
            float(case["hp_neg_margin"]),
            level=int(case.get("level", 0)),
        )
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-8)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)


@pytest.mark.parametrize("path", ["suprank/roadmap_pairloss", "suprank/suprank_xbmloss"])
def test_pair_contrastive_is_roadmap_and_suprank(path):
    for _, case in cases(path):
        loss = PairContrastive(float(case["hp_margin"]), int(case.get("level", 0)), normalize=False)
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-6)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)


def tuples(case):
    """cirtorch's columns (query, positive, negatives, query, …) as rows and PML's pairs."""
    label = case["label"]
    queries = np.flatnonzero(label == -1)
    owner = queries[np.searchsorted(queries, np.arange(len(label)), side="right") - 1]
    positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    return owner[positive], positive, owner[negative], negative


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("name", "margin"), [("con", 0.7), ("con85", 0.85)])
def test_contrastive_is_cirtorch(number, name, margin):
    file = load("raml_pp/cirtorch_losses")
    case = {k.removeprefix(f"c{number}_"): v for k, v in file.items()}
    x = torch.tensor(case["x"].T, requires_grad=True)
    loss = Contrastive(margin, normalize=False)
    value = loss(x, torch.arange(len(x)), tuples(case))
    value.backward()
    assert_close(value.item(), case[f"{name}_loss"], 0, atol=1e-10)
    assert_close(x.grad.numpy().T, case[f"{name}_gx"], 0, atol=1e-10)


def contrastive_in_loops(x, y, ref, ref_y, skip_self, margin=0.7, eps=1e-6):
    total, pairs = 0.0, 0
    for i in range(len(x)):
        for j in range(len(ref)):
            if skip_self and i == j:
                continue
            d = math.sqrt(sum((a - b + eps) ** 2 for a, b in zip(x[i], ref[j], strict=True)))
            total += d * d / 2 if y[i] == ref_y[j] else max(0.0, margin - d) ** 2 / 2
            pairs += 1
    return total, pairs


@pytest.mark.parametrize("other", [False, True])
def test_contrastive_is_its_formula(other):
    torch.manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(9, 3, dtype=torch.float64), dim=1)
    y = torch.tensor([0, 0, 1, 2, 2, 2, 3, 0, 4])
    ref, ref_y = (x[2:7].roll(1, 1), y[2:7]) if other else (x, y)
    given = {"ref_emb": ref, "ref_labels": ref_y} if other else {}
    total, pairs = contrastive_in_loops(
        x.tolist(), y.tolist(), ref.tolist(), ref_y.tolist(), not other
    )
    assert Contrastive()(x, y, **given).item() == pytest.approx(total, rel=1e-12)
    mean = Contrastive(reduction="mean")(x, y, **given).item()
    assert mean == pytest.approx(total / pairs, rel=1e-12)


def test_contrastive_survives_equal_pictures_of_different_classes():
    x = torch.ones(4, 3, requires_grad=True)
    Contrastive()(x, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(x.grad).all()


def multi_similarity_in_loops(s, y, alpha, beta, base, epsilon):
    total = 0.0
    for i in range(len(y)):
        positive = [s[i][j] for j in range(len(y)) if j != i and y[j] == y[i]]
        negative = [s[i][j] for j in range(len(y)) if y[j] != y[i]]
        if epsilon is not None:
            kept = [v for v in positive if negative and v - epsilon < max(negative)]
            negative = [v for v in negative if positive and v + epsilon > min(positive)]
            positive = kept
        total += math.log(1 + sum(math.exp(-alpha * (v - base)) for v in positive)) / alpha
        total += math.log(1 + sum(math.exp(beta * (v - base)) for v in negative)) / beta
    return total / len(y)


@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_multi_similarity_is_its_formula_and_pml(epsilon):
    torch.manual_seed(1)
    y = torch.tensor([3, 3, 0, 5, 5, 5, 1, 0, 3, 5])
    x = torch.randn(10, 4, dtype=torch.float64) + torch.eye(4, dtype=torch.float64)[y % 4]
    x.requires_grad_()
    ours = MultiSimilarity(alpha=3.0, beta=20.0, base=0.4, epsilon=epsilon)(x, y)
    (gradient,) = torch.autograd.grad(ours, x)
    unit = torch.nn.functional.normalize(x.detach(), dim=1)
    loops = multi_similarity_in_loops((unit @ unit.T).tolist(), y.tolist(), 3, 20, 0.4, epsilon)
    assert ours.item() == pytest.approx(loops, rel=1e-12)
    mined = None if epsilon is None else miners.MultiSimilarityMiner(epsilon)(x.detach(), y)
    theirs = pml.MultiSimilarityLoss(3, 20, 0.4)(x, y, mined)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)
    assert torch.allclose(gradient, torch.autograd.grad(theirs, x)[0], rtol=1e-9, atol=1e-12)


def test_calibration_is_pml_with_mined_pairs_and_triplets():
    torch.manual_seed(2)
    x, y = torch.randn(24, 8), torch.arange(24) // 3
    theirs = pml.ContrastiveLoss(0.9, 0.6, distance=pml.MultiSimilarityLoss().distance)
    for miner in (miners.MultiSimilarityMiner(0.1), miners.TripletMarginMiner(0.5)):
        mined = miner(x, y)
        ours = Calibration()(x, y, mined)
        assert ours.item() == pytest.approx(theirs(x, y, mined).item(), rel=1e-5)


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_nothing_to_compare_gives_zero_and_a_gradient_of_zeros(loss):
    nothing = torch.zeros(0, dtype=torch.long)
    x = torch.randn(3, 4, requires_grad=True)
    value = loss()(x, torch.tensor([0, 0, 1]), (nothing,) * 4)
    value.backward()
    assert value.item() == 0
    assert x.grad.abs().max() == 0


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_errors_say_what_they_got(loss):
    x, y = torch.randn(3, 4), torch.tensor([0, 0, 1])
    with pytest.raises(LookalikeError, match=f"{loss.__name__}: indices_tuple must be"):
        loss()(x, y, (y, y))
    with pytest.raises(LookalikeError, match="numbered from 0"):
        loss(level=1)(x, y)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'mean'"):
        Contrastive(reduction="meen")
