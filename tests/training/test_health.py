"""The health of embeddings against loops that say what they mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookalike.training import health


def cases():
    generator = torch.Generator().manual_seed(0)
    wide = F.normalize(torch.randn(12, 40, generator=generator), dim=1)
    tall = F.normalize(torch.randn(60, 5, generator=generator), dim=1)
    flat = F.normalize(
        torch.randn(30, 2, generator=generator) @ torch.randn(2, 16, generator=generator), dim=1
    )
    tight = F.normalize(torch.ones(20, 8) + 0.01 * torch.randn(20, 8, generator=generator), dim=1)
    found = {"wide": wide, "tall": tall, "flat": flat, "tight": tight}
    return [pytest.param(x, id=name) for name, x in found.items()]


@pytest.mark.parametrize("x", cases())
def test_effective_rank_is_the_entropy_of_the_singular_values(x):
    sizes = np.linalg.svd(x.double().numpy(), compute_uv=False)
    shares = [size / sizes.sum() for size in sizes]
    slow = math.exp(-sum(p * math.log(p) for p in shares if p > 1e-12))
    assert health.effective_rank(x) == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize("x", cases())
def test_uniformity_is_the_log_of_the_mean_closeness(x):
    rows = x.double().numpy()
    close = [
        math.exp(-2 * ((a - b) ** 2).sum())
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if i != j
    ]
    assert health.uniformity(x) == pytest.approx(math.log(sum(close) / len(close)), abs=1e-5)


@pytest.mark.parametrize("x", cases())
def test_alignment_is_the_mean_square_within_classes(x):
    labels = [i % 4 - 1 for i in range(len(x))]  # a quarter of the rows has no class
    rows = x.double().numpy()
    found = [
        ((rows[i] - rows[j]) ** 2).sum()
        for i in range(len(rows))
        for j in range(len(rows))
        if i != j and labels[i] == labels[j] != -1
    ]
    mean = sum(found) / len(found)
    assert health.alignment(x, torch.tensor(labels)) == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("x", cases())
@pytest.mark.parametrize("k", [1, 3, 10])
def test_hubness_is_the_skewness_of_the_occurrences(x, k):
    rows = x.double().numpy()
    counts = [0] * len(rows)
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        others.sort(key=lambda j: -float(row @ rows[j]))
        for j in others[:k]:
            counts[j] += 1
    mean = sum(counts) / len(counts)
    variance = sum((c - mean) ** 2 for c in counts) / len(counts)
    slow = sum((c - mean) ** 3 for c in counts) / len(counts) / variance**1.5
    assert health.hubness(x, k) == pytest.approx(slow, abs=1e-9)


def test_a_star_has_a_hub_and_a_ring_has_none():
    angles = torch.arange(24) * (2 * math.pi / 24)
    ring = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert abs(health.hubness(ring, k=2)) < 0.5
    star = F.normalize(torch.cat([torch.zeros(23, 23).fill_diagonal_(1), torch.ones(1, 23)]), dim=1)
    assert health.hubness(star, k=1) > 4


def test_nothing_is_said_of_too_few():
    one = torch.ones(1, 4) / 2
    assert math.isnan(health.uniformity(one))
    assert math.isnan(health.hubness(one))
    assert math.isnan(health.alignment(torch.eye(3), torch.arange(3)))
    assert math.isnan(health.effective_rank(torch.zeros(3, 3)))
    assert math.isnan(health.hubness(torch.eye(4), k=10))
    assert math.isnan(health.hubness(torch.eye(11), k=10))


def test_active_are_those_the_loss_moves():
    from lookalike.losses import Triplet

    x = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.6, 0.8]], requires_grad=True)
    Triplet(margin=0.5)(x, torch.tensor([0, 0, 1, 2])).backward()
    assert x.grad is not None
    moved = [bool(row.abs().sum() > 0) for row in x.grad]
    assert health.active_share(x.grad) == sum(moved) / 4 == 0.75
    assert health.active_share(x.grad * 1e-12) == 0.75
    assert health.active_share(torch.zeros(4, 2)) == 0.0


def test_gradient_norms_join_what_decays_and_what_does_not():
    weight, bias, still = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
    weight.grad, bias.grad = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0])
    groups = [
        {"name": "head", "params": [weight]},
        {"name": "head_no_decay", "params": [bias]},
        {"name": "loss", "params": [still]},
    ]
    assert health.gradient_norms(groups) == {"head": 5.0}
