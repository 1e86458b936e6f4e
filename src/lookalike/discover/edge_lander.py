"""LANDER that looks at similarities alone, for the few classes that most people have labelled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookalike.discover.graph import Graph
from lookalike.discover.lander import Prediction, prediction
from lookalike.discover.traits import TRAITS, edge_traits
from lookalike.errors import ConfigError


class EdgeLander(nn.Module):
    r"""Hi-LANDER's heads over `edge_traits` instead of vectors; for embeddings of any width.

    The published network adds a vector of each end of an edge. From some thousand labelled
    embeddings it learns where in space the labelled classes lie, which says nothing about others.
    The traits are the same wherever a class lies, so that this one has nothing to learn by heart:
    :math:`z_{ij} = \mathrm{MLP}(t_{ij})` decides between *no link* and *link*, and densities,
    losses and decoding are those of Hi-LANDER.

    Args:
        hidden: width of the two hidden layers.

    Raises:
        ConfigError: no width.

    Relations: `Lander` is the published network.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        if hidden < 1:
            raise ConfigError(f"hidden={hidden}: must be at least 1")
        self.hidden = hidden
        self.register_buffer("mean", torch.zeros(TRAITS))
        self.register_buffer("spread", torch.ones(TRAITS))
        self.head = nn.Sequential(
            nn.Linear(TRAITS, hidden),
            nn.PReLU(),
            nn.Linear(hidden, hidden),
            nn.PReLU(),
            nn.Linear(hidden, 2),
        )

    def fit_scale(self, traits: Tensor) -> None:
        """Take the mean and spread of ``(E, 16)`` traits as those of 0 and 1."""
        self.mean.copy_(traits.mean(0))
        spread = traits.std(0, unbiased=False)
        self.spread.copy_(torch.where(spread > 0, spread, 1))

    def judge(self, graph: Graph, traits: Tensor) -> Prediction:
        """What the network says of edges by their traits, ``(E, 16)``."""
        return prediction(graph, self.head((traits - self.mean) / self.spread))

    @torch.inference_mode()
    def predict(self, graph: Graph, x: Tensor, *, rows: int = 1 << 18) -> Prediction:
        """Judge the edges of a graph of unit vectors, ``rows`` edges at a time."""
        device = self.mean.device
        graph = graph.to(device)
        traits = edge_traits(graph, x.to(device))
        parts = [self.head((part - self.mean) / self.spread) for part in traits.split(rows)]
        return prediction(graph, torch.cat(parts))
