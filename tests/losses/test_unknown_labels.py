"""A label that is not known, -1, matches nothing in the losses either, at each level alone."""

from __future__ import annotations

import pytest
import torch

from lookalike import losses

torch.manual_seed(0)
X = torch.randn(12, 8)
FINE = torch.arange(12) // 2
RANK = ["SmoothAP", "SupAP", "SmoothRecall", "SoftBinAP", "BlackboxAP", "RecallAtK", "FastAP"]
PAIR = ["Contrastive", "PairContrastive", "Triplet", "MultiSimilarity", "Calibration"]
HIERARCHICAL = ["SmoothHAP", "SupHAP", "SmoothNDCG", "SupNDCG"]


def made(name, **options):
    if name == "BlackboxAP":
        options |= {"lambda_": 4.0}
    return getattr(losses, name)(**options)


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_an_unknown_genus_is_nobody_s_genus(name):
    unknown = torch.where(FINE < 2, 0, -1)
    own = torch.where(FINE < 2, 0, 10 + FINE)
    found = made(name)(X, torch.stack([FINE, unknown], 1))
    assert torch.allclose(found, made(name)(X, torch.stack([FINE, own], 1)))


@pytest.mark.parametrize("name", [*RANK, *PAIR])
def test_distractors_do_not_attract_each_other(name):
    """The same as if each were of a class of its own, but that they ask for nothing themselves."""
    labels = torch.where(FINE > 3, -1, FINE)
    alone = torch.where(FINE > 3, 100 + torch.arange(12), FINE)
    reference = X.flip(0).contiguous(), labels.flip(0)
    known = labels >= 0
    call = X[known], labels[known]
    loss = made(name)
    expected = made(name)(*call, ref_emb=reference[0], ref_labels=alone.flip(0))
    assert torch.allclose(loss(*call, ref_emb=reference[0], ref_labels=reference[1]), expected)


@pytest.mark.parametrize("name", RANK)
def test_a_distractor_is_no_query(name):
    labels = torch.where(FINE > 3, -1, FINE)
    loss = made(name)
    x = X.clone().requires_grad_()
    loss(x, labels).backward()
    assert loss.skipped == 4 and torch.isfinite(x.grad).all()
    nobody = X.clone().requires_grad_()
    value = loss(nobody, torch.full((12,), -1))
    value.backward()
    assert value == 0 and (nobody.grad == 0).all()


def test_memory_with_distractors():
    loss = losses.CrossBatchMemory(losses.Contrastive(), 8, 32)
    first = loss(X, torch.where(FINE > 3, -1, FINE))
    assert torch.isfinite(first) and torch.isfinite(loss(X, torch.where(FINE > 3, -1, FINE)))


def test_cross_scale_leaves_out_a_level_that_is_not_known():
    hierarchy = torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]])
    loss = losses.CrossScale(4, 8, hierarchy)
    labels = torch.tensor([[0, 0], [1, -1], [3, 1]])
    known = loss.per_level(X[:3], labels)[1]
    assert torch.allclose(known, loss.per_level(X[[0, 2]], labels[[0, 2]])[1])
