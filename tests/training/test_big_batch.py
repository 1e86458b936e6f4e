"""The two-pass gradient equals that of one pass whose whole graph is kept."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookalike.config import OptimizerConfig
from lookalike.losses import (
    CrossBatchMemory,
    MultiSimilarity,
    ProxyAnchor,
    RecallAtK,
    SmoothAP,
    WeightedSum,
)
from lookalike.training.big_batch import two_pass
from lookalike.training.optimizers import Schedule, create_optimizers
from lookalike.training.schedules import Span
from lookalike.training.step import SupervisedStep
from on_device import device

LABELS = torch.arange(12) // 2 % 3
PARTS = (5, 5, 2)


class Network(nn.Module):
    """Convolution, batch norm, dropout, head; with unit vectors, in double precision."""

    def __init__(self, dropout=0.3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(6, 4)
        self.double()

    def forward(self, pictures):
        return F.normalize(self.head(self.backbone(pictures.double()).mean((2, 3))))


@pytest.fixture
def pictures():
    return torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def gradients(*modules):
    return [p.grad.clone() for m in modules for p in m.parameters() if p.grad is not None]


def back(value, gradient=None):
    value.backward(gradient)


def both_ways(network, loss, pictures):
    """Gradients, buffers and next random number of one pass and of two."""
    found = []
    for passes in (1, 2):
        model, criterion = copy.deepcopy(network), copy.deepcopy(loss)
        torch.manual_seed(1)
        parts = pictures.split(5)
        assert tuple(map(len, parts)) == PARTS

        def loss_of(embeddings, criterion=criterion):
            return criterion(embeddings, LABELS)

        if passes == 1:  # the oracle: the parts one after the other, the graph of all kept
            value = loss_of(torch.cat([model(part) for part in parts]))
            value.backward()
        else:
            value = two_pass(model, loss_of, back, parts, model)
        buffers = [*model.buffers(), *criterion.buffers()]
        found.append(([value.detach(), *gradients(model, criterion), *buffers], torch.rand(1)))
    return found


LOSSES = {
    "smooth_ap": SmoothAP(),
    "recall_at_k": RecallAtK(k=(1, 2)),
    "proxy_anchor": ProxyAnchor(num_classes=3, embedding_size=4),
    "multi_similarity": MultiSimilarity(),
    "balanced": WeightedSum([SmoothAP(), MultiSimilarity()], weights="balanced"),
    "memory": CrossBatchMemory(MultiSimilarity(), embedding_size=4, memory_size=20),
}


@pytest.mark.parametrize("name", LOSSES)
def test_dropout_and_batch_norm_give_the_gradient_of_one_pass(name, pictures):
    one, two = both_ways(Network(), LOSSES[name], pictures)
    assert len(one[0]) == len(two[0])
    for a, b in zip(one[0], two[0], strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)
    assert torch.equal(one[1], two[1])  # both leave the random numbers where they were left


def test_frozen_batch_norm_gives_the_gradient_of_the_whole_batch(pictures):
    network = Network(dropout=0.0)
    network.backbone[1].eval()
    whole, cut = copy.deepcopy(network), copy.deepcopy(network)
    SmoothAP()(whole(pictures), LABELS).backward()
    two_pass(cut, lambda e: SmoothAP()(e, LABELS), back, pictures.split(5), cut)
    for a, b in zip(gradients(whole), gradients(cut), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)


def test_batch_norm_moves_once_a_part(pictures):
    network = Network()
    two_pass(network, lambda e: e.sum(), back, pictures.split(5), network)
    assert int(network.backbone[1].num_batches_tracked) == len(PARTS)


def test_a_loss_without_embeddings_gives_no_gradient_to_the_network(pictures):
    network = Network()
    constant = nn.Parameter(torch.ones(()))
    two_pass(network, lambda e: constant * 1, back, pictures.split(5), network)
    assert all(float(g.abs().max()) == 0 for g in gradients(network))


def step_on(pictures, micro_batch, updates=3, batches=2):
    """Real steps with an optimiser, several batches to each."""
    torch.manual_seed(2)
    network = Network(dropout=0.0)
    network.backbone[1].eval()
    loss = CrossBatchMemory(ProxyAnchor(3, 4), embedding_size=4, memory_size=40)
    parts = {"backbone": network.backbone, "pool": nn.Identity(), "head": network.head}
    config = OptimizerConfig(lr=1e-3)
    optimizers = create_optimizers(parts | {"loss": loss}, config)
    step = SupervisedStep(
        model=network,
        loss=loss,
        optimizers=optimizers,
        schedule=Schedule(optimizers, Span(6, 1, batches), config),
        device=device(),
        micro_batch=micro_batch,
    )
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    network.register_forward_hook(count)
    for update in range(updates):
        for number in range(batches):
            index = torch.arange(12) + 12 * number
            step.backward({"pictures": pictures + number, "labels": LABELS, "index": index})
        step.update(update, 0, batches)
    return [*network.parameters(), *loss.parameters(), *loss.buffers()], calls


def test_steps_with_a_memory_and_accumulated_batches_are_the_same(pictures):
    (whole, one), (cut, two) = step_on(pictures, None), step_on(pictures, 5)
    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)
    assert (one, two) == (6, 6 * 2 * len(PARTS))


def test_a_batch_that_fits_passes_once(pictures):
    assert step_on(pictures, 12)[1] == 6
