"""SmoothAP and SupAP against the originals' numbers and against plain loops."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load, settings, value_and_gradient

from lookalike.losses import SmoothAP, SupAP

SUP = ("tau", "rho", "offset", "delta", "start")


@pytest.mark.parametrize("name", [*map(str, range(6)), "6_unnormalised"])
def test_smooth_ap_is_the_original(name):
    case = load(f"smoothap/smoothap_{name}")
    value, gradient = value_and_gradient(SmoothAP(float(case["tau"]), normalize=False), case, "x")
    assert_close(value, case["loss"], 1e-10)
    assert_close(gradient, case["grad"], 0, atol=1e-10)


@pytest.mark.parametrize("chunk_size", [None, 5])
@pytest.mark.parametrize(
    ("path", "loss"),
    [
        ("suprank/roadmap_smoothap", SmoothAP),
        ("suprank/roadmap_supap", SupAP),
        ("suprank/suprank_smoothap", SmoothAP),
        ("suprank/suprank_supap", SupAP),
    ],
)
def test_rank_losses_are_roadmap_and_suprank(path, loss, chunk_size):
    for _, case in cases(path):
        made = loss(
            **settings(case, *(SUP if loss is SupAP else SUP[:1])),
            level=int(case.get("level", 0)),
            normalize=False,
            chunk_size=chunk_size,
        )
        value, gradient = value_and_gradient(made, case)
        joined = loss is SupAP and np.isnan(case["hp_offset"])  # the original's offset is float32
        assert_close(value, case["loss"], 0, atol=1e-6 if joined else 1e-8)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)
        made.reduction = "none"
        each, _ = value_and_gradient(made, case)
        expected = case.get("ap_per_query", case.get("score_per_query"))
        assert_close(1 - each, expected, 0, atol=1e-6 if joined else 1e-8)


def test_a_batch_without_positives_gives_zero_and_a_gradient_of_zeros():
    x = torch.randn(5, 4, requires_grad=True)
    loss = SmoothAP(include_self=False)
    value = loss(x, torch.arange(5))
    value.backward()
    assert value.item() == 0
    assert x.grad.abs().max() == 0
    assert loss.skipped == 5
