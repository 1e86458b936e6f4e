"""ROADMAP, HAPPIER and weighted sums: the originals' totals, balance, and PML's losses as parts."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, settings, value_and_gradient
from torch import nn

from lookalike import components
from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import (
    HAPPIER,
    ROADMAP,
    Calibration,
    MultiSimilarity,
    NormSoftmax,
    ProxyAnchor,
    SmoothAP,
    SupAP,
    WeightedSum,
)
from other_packages import package

pml = package("pytorch_metric_learning.losses")
miners = package("pytorch_metric_learning.miners")

SUP = ("tau", "rho", "offset", "delta", "start")


@pytest.mark.parametrize(
    ("path", "weights"),
    [("suprank/roadmap_total", (1.0, 1.0)), ("suprank/suprank_roadmap_total", (0.9, 0.1))],
)
def test_roadmap_is_the_published_sum(path, weights):
    for _, case in cases(path):
        # The originals normalise in the calibrating part alone.
        loss = ROADMAP(
            SupAP(**settings(case, *SUP), normalize=False),
            Calibration(**settings(case, "pos_margin", "neg_margin")),
            case.get("hp_weights", np.array(weights)).tolist(),
        )
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-8)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)
        parts = loss.parts(torch.tensor(case["embeddings"]), torch.tensor(case["labels"]))
        assert_close(parts["sup_ap"].item(), case["loss_supap"], 0, atol=1e-8)
        assert_close(parts["calibration"].item(), case["loss_calibration"], 0, atol=1e-8)


@pytest.mark.parametrize("path", ["suprank/happier_total", "suprank/suprank_happier_total"])
def test_happier_is_the_published_sum(path):
    for _, case in cases(path):
        share = case.get("hp_weight_hap")
        weights = case["hp_weights"].tolist() if share is None else [float(share), 1 - float(share)]
        loss = HAPPIER(
            *case["weight"].shape,
            weights,
            float(case.get("hp_temperature", 0.05)),
            normalize=False,
            **settings(case, *SUP, "alpha"),
        ).double()
        proxies = loss.losses["softmax"].proxies
        with torch.no_grad():
            proxies.copy_(torch.tensor(case["weight"]))
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-6)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-12)
        assert_close(proxies.grad.numpy(), case["grad_weight"], 1e-7, atol=1e-12)
        parts = loss.parts(torch.tensor(case["embeddings"]), torch.tensor(case["labels"]))
        assert_close(parts["softmax"].item(), case["loss_cluster"], 0, atol=1e-8)


def batch(classes=6, dtype=torch.float32):
    torch.manual_seed(0)
    y = torch.arange(classes).repeat_interleave(3)
    return torch.randn(len(y), 8, dtype=dtype, requires_grad=True), y


def test_defaults_are_the_sum_of_the_parts():
    x, y = batch()
    assert ROADMAP()(x, y).item() == pytest.approx((SupAP()(x, y) + Calibration()(x, y)).item())
    loss = WeightedSum([NormSoftmax(6, 8), Calibration(), NormSoftmax(6, 8)], [0.5, 2, 0])
    parts = loss.parts(x, y)
    assert list(parts) == ["NormSoftmax", "Calibration", "NormSoftmax_2"]
    expected = 0.5 * parts["NormSoftmax"] + 2 * parts["Calibration"]
    assert loss(x, y).item() == pytest.approx(expected.item())
    assert len(list(loss.parameters())) == 2


def test_balanced_parts_pull_equally_and_keep_the_sum_of_norms():
    x, y = batch(dtype=torch.float64)
    parts = {"far": Calibration(), "near": MultiSimilarity(beta=10.0)}

    def pull(loss):
        return torch.autograd.grad(loss(x, y), x)[0]

    slopes = [pull(part) for part in parts.values()]
    norms = [slope.norm() for slope in slopes]
    mean = sum(norms) / 2
    expected = sum(slope / norm * mean for slope, norm in zip(slopes, norms, strict=True))
    balanced = WeightedSum(parts, "balanced")
    assert torch.allclose(pull(balanced), expected, rtol=1e-10)
    # Without gradients there is nothing to balance.
    with torch.no_grad():
        plain = sum(part(x, y) for part in parts.values())
        assert balanced(x, y).item() == pytest.approx(plain.item())


def test_a_part_at_rest_leaves_the_balance_alone():
    x, y = batch()
    at_rest = Calibration(pos_margin=-2.0, neg_margin=2.0)
    loss = WeightedSum([at_rest, MultiSimilarity()], "balanced")
    assert loss(x, y).item() == pytest.approx(MultiSimilarity()(x, y).item())


def test_normalize_is_handed_to_the_parts():
    x, y = batch()
    loss = ROADMAP(SupAP(), Calibration(), normalize=False)
    assert (loss.sup_ap.normalize, loss.calibration.normalize) == (False, False)
    expected = SupAP(normalize=False)(x, y) + Calibration(normalize=False)(x, y)
    assert loss(x, y).item() == pytest.approx(expected.item())
    nested = WeightedSum([WeightedSum([Calibration()])], normalize=False)
    assert nested.losses["WeightedSum"].losses["Calibration"].normalize is False
    with pytest.raises(ConfigError, match="TripletMarginLoss has no such setting"):
        WeightedSum([pml.TripletMarginLoss()], normalize=False)


def test_mined_pairs_reach_the_parts_that_read_them():
    x, y = batch()
    mined = miners.MultiSimilarityMiner(0.1)(x, y)
    expected = SmoothAP()(x, y) + Calibration()(x, y, mined)
    assert WeightedSum([SmoothAP(), Calibration()])(x, y, mined).item() == pytest.approx(
        expected.item()
    )
    with pytest.raises(LookalikeError, match="none of SmoothAP takes an indices_tuple"):
        WeightedSum([SmoothAP()])(x, y, mined)


def test_pml_losses_are_parts_with_labels_of_many_levels_under_autocast():
    x, y = batch()
    theirs = pml.MultiSimilarityLoss()
    loss = WeightedSum([theirs, MultiSimilarity()], [1.0, -1.0])
    levels = torch.stack([y, y // 2], dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(x, levels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0, abs=1e-6)
    ref, ref_y = torch.randn(9, 8), torch.arange(9) % 3
    value = loss(x, levels, ref_emb=ref, ref_labels=torch.stack([ref_y, ref_y], dim=1))
    assert value.item() == pytest.approx(0, abs=1e-6)


def test_state_is_that_of_the_parts():
    x, y = batch()
    loss = HAPPIER(6, 8)
    other = HAPPIER(6, 8)
    assert loss(x, y) != other(x, y)
    other.load_state_dict(loss.state_dict())
    assert loss(x, y) == other(x, y)
    assert list(loss.state_dict()) == ["losses.softmax.proxies"]


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ([], None, "losses is empty"),
        ([Calibration()], [1, 2], r"2 weights for 1 loss \(Calibration\)"),
        ([Calibration()], "balance", "give numbers, or 'balanced'"),
        ([Calibration()], [float("nan")], "weights must be finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(losses, weights, message):
    with pytest.raises(ConfigError, match=message):
        WeightedSum(losses, weights)


def test_a_loss_of_ones_own_is_a_part():
    class Mean(nn.Module):
        normalize = True

        def forward(self, embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None):
            assert indices_tuple is None or len(indices_tuple) == 4
            return embeddings.mean()

    x, y = batch()
    assert WeightedSum({"mean": Mean(), "proxy": ProxyAnchor(6, 8)}, [1, 0])(
        x, y
    ).item() == pytest.approx(x.mean().item())


def test_happier_tells_and_checks_the_arguments_of_its_rank_loss():
    built = components.build(
        "loss", {"name": "happier", "offset": 1.0}, num_classes=3, embedding_size=2
    )
    assert built.losses["sup_hap"].offset == 1.0
    with pytest.raises(ConfigError, match=r"loss.ofset: HAPPIER takes .* mean 'offset'"):
        components.check("loss", {"name": "happier", "ofset": 1.0})
