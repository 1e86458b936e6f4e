"""SmoothHAP and SupHAP against the originals' numbers."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, settings, value_and_gradient

from lookalike.errors import LookalikeError
from lookalike.losses import SmoothAP, SmoothHAP, SupAP, SupHAP
from lookalike.losses.relevance import relevance

SUP = ("tau", "rho", "offset", "delta", "start")
H_RANK = ("beta", "gamma", "leak")


def made(loss, case, **more):
    names = SUP if loss is SupHAP else SUP[:1]
    level = int(case.get("level", -1))
    given = {**settings(case, *names), "level": None if level < 0 else level, "normalize": False}
    if "map_weights" in case:
        given |= {"relevance": "map", "alpha": case["map_weights"].tolist()}
    else:
        given["alpha"] = float(case["hp_alpha"])
    if case.get("hp_with_hrank"):
        given |= settings(case, *H_RANK)
    return loss(**given, **more)


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize(
    ("path", "loss"),
    [
        ("suprank/happier_hap", SupHAP),
        ("suprank/suprank_suphap", SupHAP),
        ("suprank/suprank_smoothhap", SmoothHAP),
    ],
)
def test_h_ap_is_happier_and_suprank(path, loss, chunk_size):
    for _, case in cases(path):
        value, gradient = value_and_gradient(made(loss, case, chunk_size=chunk_size), case)
        assert_close(value, case["loss"], 0, atol=1e-6)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)
        each, _ = value_and_gradient(made(loss, case, reduction="none"), case)
        expected = case.get("hap_per_query", case.get("score_per_query"))
        assert_close(1 - each, expected, 0, atol=1e-6)


def test_relevance_is_happier_up_to_a_factor():
    for _, case in cases("suprank/happier_relevance"):
        level = torch.tensor(case["target_levels"])
        if int(case["kind"]):
            ours = relevance(level, "map", case["map_weights"].tolist(), torch.float64)
            factor = 1.0
        else:
            alpha = float(case["hp_alpha"])
            ours = relevance(level, "pop", alpha, torch.float64)
            factor = (case["labels"].shape[1] - 1) ** -alpha
        assert_close(ours.numpy() * factor, case["relevance_matrix"], 1e-6)


@pytest.mark.parametrize(("graded", "binary"), [(SmoothHAP, SmoothAP), (SupHAP, SupAP)])
def test_one_label_column_is_the_binary_loss(graded, binary):
    torch.manual_seed(0)
    x, y = torch.randn(20, 8, dtype=torch.float64), torch.randint(0, 6, (20, 1))
    torch.testing.assert_close(graded()(x, y), binary()(x, y[:, 0]))
    torch.testing.assert_close(
        graded(relevance="map", alpha=[0.3])(x, y), binary()(x, y), rtol=1e-12, atol=0
    )


def test_wrong_relevances_are_named():
    with pytest.raises(LookalikeError, match="alpha has 2 weights and the labels 3"):
        SupHAP(relevance="map", alpha=[1, 1])(torch.eye(3), torch.zeros(3, 3, dtype=torch.long))
    with pytest.raises(LookalikeError, match="give all three"):
        SupHAP(beta=25)
    with pytest.raises(LookalikeError, match="Known: map, pop"):
        SmoothHAP(relevance="populous")
    with pytest.raises(LookalikeError, match="one weight a level"):
        SmoothHAP(relevance="map")


def test_levels_need_not_be_nested():
    torch.manual_seed(1)
    x = torch.randn(12, 6, dtype=torch.float64)
    y = torch.randint(0, 4, (12, 3))
    level = (y[:, None] == y[None]).sum(2)
    assert ((level == 1).sum(), (level == 2).sum()) != (0, 0)
    loss = SupHAP(offset=1.44)
    whole = loss(x, y)
    assert np.isfinite(float(whole))
    torch.testing.assert_close(SupHAP(offset=1.44, chunk_size=5)(x, y), whole)
