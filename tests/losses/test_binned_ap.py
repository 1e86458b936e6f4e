"""FastAP and SoftBinAP against the originals' numbers."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load, value_and_gradient

from lookalike.errors import LookalikeError
from lookalike.losses import FastAP, SoftBinAP
from lookalike.ops.histograms import Bins, histogram
from on_device import device


@pytest.mark.parametrize("chunk_size", [None, 5])
@pytest.mark.parametrize("path", ["suprank/roadmap_fastap", "suprank/suprank_fastap"])
def test_fast_ap_is_roadmap(path, chunk_size):
    for _, case in cases(path):
        loss = FastAP(
            int(case["hp_num_bins"]), level=int(case.get("level", 0)), chunk_size=chunk_size
        )
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-6)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)


@pytest.mark.parametrize("number", range(4))
def test_fast_ap_is_the_original(number):
    case = load(f"smoothap/fastap_{number}")
    loss = FastAP(int(case["num_bins"]), normalize=False)
    value, gradient = value_and_gradient(loss, case, "x")
    assert_close(value, case["loss_autodiff"], 0, atol=1e-9)
    assert_close(gradient, case["grad_autodiff"], 0, atol=1e-9)
    assert_close(gradient * (len(case["x"]) - loss.skipped) / 2, case["grad"], 1e-6)


def test_the_quantiser_is_the_original():
    case = load("smoothap/softbin_quantizer_nq5")
    shares = histogram(torch.tensor(case["x"])[:, None], Bins(5, 0.0, 1.0))
    assert_close(shares.T.numpy(), case["memberships_bin_by_x"], 0, atol=1e-12)


def tangent(gradient, x):
    """The gradient along the unit sphere.

    The score of a query with itself is 1 to the last bit or one more or less, and there lies the
    corner of the first bin: what the originals give for it is chance, and is radial.
    """
    return gradient - (gradient * x).sum(1, keepdims=True) * x


@pytest.mark.parametrize("path", ["suprank/roadmap_softbinap", "suprank/suprank_softbinap"])
def test_soft_bin_ap_is_roadmap_and_suprank(path):
    for _, case in cases(path):
        loss = SoftBinAP(
            int(case["hp_nq"]),
            float(case["hp_min"]),
            float(case["hp_max"]),
            level=int(case.get("level", 0)),
            normalize=False,
        )
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-6)
        x = case["embeddings"]
        assert_close(tangent(gradient, x), tangent(case["grad_embeddings"], x), 1e-6, atol=1e-14)
        if "loss_per_query" in case:
            loss.reduction = "none"
            each, _ = value_and_gradient(loss, case)
            assert_close(each, case["loss_per_query"], 0, atol=1e-6)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    ("kind", "ties", "distance"),
    [
        ("ap", "ignore", False),
        ("tap", "aware", False),
        ("taps", "simplified", False),
        ("ap_dist", "ignore", True),
        ("tap_dist", "aware", True),
    ],
)
def test_soft_bin_ap_is_the_original(kind, ties, distance, number):
    case = load(f"smoothap/softbin_{kind}_{number}")
    loss = SoftBinAP(
        int(case["nq"]), float(case["min"]), float(case["max"]), ties, distance, normalize=False
    )
    value, gradient = value_and_gradient(loss, case, "x")
    assert_close(value, case["loss"], 0, atol=1e-9)
    x = case["x"]
    # A bin of one item divides by 1e-8: another order of summation shows.
    atol = 1e-9 if device().type == "cpu" else 1e-7
    assert_close(tangent(gradient, x), tangent(case["grad"], x), 0, atol=atol)
    loss.reduction = "none"
    each, _ = value_and_gradient(loss, case, "x")
    assert_close(1 - each, case["per_query_ap"], 0, atol=1e-9)
    weighed = 1 - np.mean(case["qw"].ravel() * (1 - each))
    assert_close(weighed, case["loss_qw"], 0, atol=1e-9)


def test_what_cannot_be_is_refused():
    with pytest.raises(LookalikeError, match="num_bins=0"):
        FastAP(0)
    with pytest.raises(LookalikeError, match="from 1 to 0"):
        SoftBinAP(low=1, high=0)
    with pytest.raises(LookalikeError, match="Did you mean 'aware'"):
        SoftBinAP(ties="awar")


def test_a_query_without_positives_changes_nothing():
    torch.manual_seed(0)
    x = torch.randn(9, 5, dtype=torch.float64)
    y = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 9])
    loss = FastAP(reduction="none")
    each = loss(x, y)
    assert each[-1] == 0 and loss.skipped == 1
    torch.testing.assert_close(FastAP()(x, y), each[:-1].mean())
