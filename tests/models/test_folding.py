"""Folded networks against themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lookalike
from lookalike.models import weights
from lookalike.models.folding import folded
from lookalike.search.encoders import open_encoder


def as_trained(network):
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                values.data.uniform_(-0.5, 0.5)
            for values in (module.running_var, module.weight):
                values.data.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("name", ["conv4", "resnet18"])
def test_a_folded_network_is_the_same_function(name):
    network = as_trained(lookalike.create_model(name, pretrained=False, size=64).backbone)
    pictures = torch.randn(2, 3, 64, 64)
    result = folded(network, torch.randn(1, 3, 64, 64))
    norms = [m for m in result.modules() if type(m) is nn.BatchNorm2d]
    assert result is not network
    assert norms == []
    with torch.no_grad():
        torch.testing.assert_close(result(pictures), network(pictures), rtol=1e-4, atol=1e-4)
        assert any(type(m) is nn.BatchNorm2d for m in network.modules())


class Twice(nn.Module):
    """What the convolution gives is used beside its normalisation, or the convolution twice."""

    def __init__(self, shared):
        super().__init__()
        self.conv, self.norm, self.shared = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), shared

    def forward(self, x):
        y = self.conv(x)
        return self.norm(self.conv(y)) if self.shared else self.norm(y) + y


@pytest.mark.parametrize("shared", [False, True])
def test_what_cannot_be_folded_is_left(shared):
    network = as_trained(Twice(shared))
    assert folded(network, torch.randn(1, 3, 4, 4)) is network


def test_bfloat16_finds_what_float32_finds(tmp_path):
    """``index build --precision bf16``: folded, its channels side by side, and as good."""
    torch.manual_seed(0)
    model = lookalike.create_model("resnet18", pretrained=False, embedding_size=16, size=64)
    as_trained(model.backbone)
    weights.save(model, tmp_path)
    quick, plain = open_encoder(tmp_path, "bf16"), open_encoder(tmp_path)
    kinds = [type(module) for module in quick.model.modules()]
    assert nn.Conv2d in kinds
    assert nn.BatchNorm2d not in kinds
    prepared = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    cosines = np.sum(quick.embed(prepared) * plain.embed(prepared), axis=1)
    assert cosines.min() > 0.999
