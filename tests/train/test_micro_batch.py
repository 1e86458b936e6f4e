from __future__ import annotations

import pytest
import torch
from torch import nn

from lookalike.train.micro_batch import SHARE, find_micro_batch, free_memory

FLOAT = 4


def picture(side):
    return torch.zeros(3, side, side, dtype=torch.uint8)


def test_the_count_is_that_of_what_the_way_back_needs():
    # A linear layer saves its input, tanh its output; weights belong to no picture.
    network = nn.Sequential(nn.Flatten(), nn.Linear(300, 70), nn.Tanh(), nn.Linear(70, 5))

    def embed(pictures):
        return network(pictures.float())

    saved, largest = FLOAT * (300 + 70), FLOAT * 300
    free = 1_000_000
    expected = int(SHARE * free / (saved + 3 * largest))
    assert find_micro_batch(embed, network, picture(10), free) == expected


def test_nothing_moves_while_it_counts():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    network.requires_grad_(True).train()
    before = [b.clone() for b in network.buffers()]
    random = torch.get_rng_state()
    find_micro_batch(lambda x: network(x.float()), network, picture(8), 10**6)
    assert all(torch.equal(a, b) for a, b in zip(before, network.buffers(), strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert all(p.grad is None for p in network.parameters())


def test_there_is_always_room_for_one():
    network = nn.Conv2d(3, 4, 3)
    assert find_micro_batch(lambda x: network(x.float()), network, picture(8), 1) == 1


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    alone = free_memory(torch.device("cpu"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory(torch.device("cpu")) == pytest.approx(alone / 4, rel=0.1)
