from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lookalike.models.create import create_model
from lookalike.training.micro_batch import SHARE, find_micro_batch, free_memory

pytestmark = pytest.mark.cpu("it counts the bytes of the process")

FLOAT = 4


def picture(side):
    return torch.zeros(3, side, side, dtype=torch.uint8)


@pytest.mark.parametrize("width", [5, 5000])  # 5000: the largest tensor saved is a weight
def test_the_count_is_that_of_what_the_way_back_needs(width):
    # A linear layer saves its input, tanh its output; weights belong to no image.
    network = nn.Sequential(nn.Flatten(), nn.Linear(300, 70), nn.Tanh(), nn.Linear(70, width))

    def embed(pictures):
        return network(pictures.float())

    saved, largest = FLOAT * (300 + 70), FLOAT * 300
    weights = FLOAT * (300 * 70 + 70 + 70 * width + width)
    free = 10_000_000
    expected = int((SHARE * free - 3 * weights) / (saved + 3 * largest))
    assert find_micro_batch(embed, network, picture(10), free) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_the_real_peak_is_less_than_what_was_free():
    network = create_model("conv4", pretrained=False, embedding_size=32, size=64).train()

    def embed(pictures):
        return network(pictures).float()

    def step(count):
        embeddings = embed(picture(64).expand(count, 3, 64, 64))
        embeddings.backward(torch.ones_like(embeddings))

    step(2)  # what happens once
    network.zero_grad()
    free = 100 * 2**20
    count = find_micro_batch(embed, network, picture(64), free)
    peak = growth(lambda: step(count))
    assert 0.25 * free < peak < free


def growth(act):
    """By how many bytes the process grows, at most, while it acts."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free already would hide growth
    Path("/proc/self/clear_refs").write_text("5")  # the peak is the present from here on
    before = memory("VmRSS")
    act()
    return memory("VmHWM") - before


def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


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
