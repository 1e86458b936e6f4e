"""NDCG, recall and mix-up losses against SupRank's numbers, RecallAtK against its original."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load, settings, value_and_gradient

from lookalike.losses import (
    RecallAtK,
    SmoothAP,
    SmoothNDCG,
    SmoothRecall,
    SupAP,
    SupNDCG,
    SupRecall,
)

SUP = ("tau", "rho", "offset", "delta", "start")


def made(loss, case, **more):
    is_sup = loss.__name__.startswith("Sup")
    level = int(case.get("level", 0))
    given = {"level": None if level < 0 else level, "normalize": False}
    given |= settings(case, *(SUP if is_sup else SUP[:1]))
    if loss in (SmoothRecall, SupRecall) and "hp_at_k" in case:
        given |= {"at_k": case["hp_at_k"].tolist(), "temp": float(case["hp_temp"])}
    return loss(**given, **more)


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize(
    ("path", "loss", "atol"),
    [
        ("suprank/suprank_smoothndcg", SmoothNDCG, 1e-6),
        ("suprank/suprank_supndcg", SupNDCG, 1e-6),
        ("suprank/suprank_smoothrecall", SmoothRecall, 1e-8),
        ("suprank/suprank_suprecall", SupRecall, 1e-8),
    ],
)
def test_ndcg_and_recall_are_suprank(path, loss, atol, chunk_size):
    for _, case in cases(path):
        if "hp_offset" in case and np.isnan(case["hp_offset"]):
            atol = 1e-6  # the original's offset is float32
        value, gradient = value_and_gradient(made(loss, case, chunk_size=chunk_size), case)
        assert_close(value, case["loss"], 0, atol=atol)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)
        each, _ = value_and_gradient(made(loss, case, reduction="none"), case)
        assert_close(1 - each, case["score_per_query"], 0, atol=atol)


def test_mixed_positives_are_suprank():
    for _, case in cases("suprank/suprank_pos_mixup"):
        loss = made((SupAP, SmoothAP, SupRecall)[int(case["kind"])], case, pos_mixup=True)
        loss.mixup = lambda positives, like, case=case: torch.tensor(case["alpha"])
        for loss.chunk_size in (None, 5):
            value, gradient = value_and_gradient(loss, case)
            assert_close(value, case["loss"], 0, atol=1e-8)
            assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)


@pytest.mark.parametrize("chunk_size", [None, 1, 5])
def test_mixed_positives_take_any_class_sizes(chunk_size):
    torch.manual_seed(0)
    x = torch.randn(12, 8, requires_grad=True)
    loss = SupAP(pos_mixup=True, chunk_size=chunk_size)
    value = loss(x, torch.tensor([0] * 6 + [1] * 3 + [2] * 2 + [3]))
    value.backward()
    assert 0 < value.item() < 1 and x.grad.abs().max() > 0


@pytest.mark.parametrize("number", range(4))
def test_recall_at_k_is_the_original(number):
    case = load(f"smoothap/rsk_{number}")
    loss = RecallAtK(
        case["k_vals"].tolist(),
        temp_k=case["k_temperatures"].tolist(),
        temp_s=float(case["anneal"]),
        normalize=False,
    )
    value, gradient = value_and_gradient(loss, case, "x")
    assert_close(value, case["loss"], 0, atol=1e-9)
    assert_close(gradient, case["grad"], 0, atol=1e-9)
    loss.reduction = "none"
    each, _ = value_and_gradient(loss, case, "x")
    assert_close(each / len(each), case["per_query"], 0, atol=1e-9)


# The order in which the original draws the pairs of a class.
PAIRS = {
    3: "01 12 02",
    4: "01 12 23 03 02 13",
    6: "01 12 23 34 45 02 03 04 05 13 14 15 24 25 35",
}


@pytest.mark.parametrize("per_class", [3, 4, 6])
def test_simmix_is_the_original(per_class):
    case = load(f"smoothap/simix_P{per_class}")
    drawn = case["alphas"].reshape(int(case["num_id"]), -1)
    order = np.argsort(PAIRS[per_class].split(), kind="stable")
    labels = np.repeat(np.arange(int(case["num_id"])), per_class)
    loss = RecallAtK(
        case["k_vals"].tolist(), temp_s=float(case["anneal"]), simmix=True, normalize=False
    )
    loss.shares = lambda pairs, like: torch.tensor(drawn[:, order].ravel())
    value, gradient = value_and_gradient(loss, case | {"labels": labels}, "x")
    assert_close(value, case["loss"], 0, atol=1e-9)
    assert_close(gradient, case["grad"], 0, atol=1e-9)


@pytest.mark.parametrize("loss", [SmoothRecall(), SupRecall(), RecallAtK(), RecallAtK(simmix=True)])
def test_recall_takes_any_class_sizes_in_any_order(loss):
    torch.manual_seed(0)
    x = torch.randn(15, 8, dtype=torch.float64)
    y = torch.tensor([0] * 7 + [1] * 4 + [2] * 3 + [3])
    if isinstance(loss, RecallAtK):
        loss.shares = lambda pairs, like: torch.full((pairs,), 0.5, dtype=like.dtype)
    order = torch.randperm(15)
    torch.testing.assert_close(loss(x, y), loss(x[order], y[order]))
