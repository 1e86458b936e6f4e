"""Parts that make a training go wrong on purpose, named in configs by import path."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pull(nn.Module):
    """Nothing but attraction: its optimum is one point for all images."""

    def forward(self, embeddings: Tensor, labels: Tensor, *_: object) -> Tensor:
        x = F.normalize(embeddings, dim=1)
        return (1 - x @ x.T).mean()


class Overflowing(nn.Module):
    """A loss whose scaled gradients are beyond every float, whatever the scale."""

    def forward(self, embeddings: Tensor, labels: Tensor, *_: object) -> Tensor:
        x = F.normalize(embeddings, dim=1)
        return (x * 1e37).sum() * torch.ones(())


class Root(nn.Module):
    """A finite loss whose gradient is not a number: the root of zero, as in careless distances."""

    def forward(self, embeddings: Tensor, labels: Tensor, *_: object) -> Tensor:
        return (embeddings - embeddings.detach()).square().sum().sqrt()


class Hole(nn.Module):
    """A loss that is not a number from its second call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, embeddings: Tensor, labels: Tensor, *_: object) -> Tensor:
        self.calls += 1
        return embeddings.sum() * (1.0 if self.calls < 2 else float("nan"))
