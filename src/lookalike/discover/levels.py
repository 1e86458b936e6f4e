"""The levels that Hi-LANDER is trained on: each level's nodes are the peaks of the one below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lookalike.discover.decode import parents, trees
from lookalike.discover.graph import Graph, knn_graph, true_density
from lookalike.discover.neighbours import nearest_neighbours


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the training hierarchy.

    Attributes:
        graph: of the nodes.
        features: float32 ``(n, D)``, those of the peaks themselves.
        cluster_features: float32 ``(n, D)``, means over all members, not normalised.
        labels: int64 ``(n,)``, those of the peaks.
        density: float32 ``(n,)``, true.
    """

    graph: Graph
    features: np.ndarray
    cluster_features: np.ndarray
    labels: np.ndarray
    density: Tensor

    @property
    def same_class(self) -> Tensor:
        """bool ``(E,)``: both ends of the edge have one label."""
        labels = torch.from_numpy(self.labels)
        return labels[self.graph.source] == labels[self.graph.target]

    @property
    def uphill(self) -> Tensor:
        """bool ``(E,)``: the source is denser than the target; the edges that decoding may take."""
        return self.density[self.graph.source] > self.density[self.graph.target]


def training_levels(
    features: np.ndarray, labels: np.ndarray, k: int, levels: int, *, knn: str = "auto"
) -> list[Level]:
    """The hierarchy over labelled vectors, decoded with true densities.

    Every node follows its nearest neighbour of higher true density with a cosine above 0, whatever
    that one's label: upper levels hold impure nodes, as they will in use. A level of no more than k
    nodes is not built.

    Args:
        features: ``(N, D)`` unit rows.
        labels: ``(N,)`` integers.
        k: neighbours including oneself.
        levels: at most so many.
        knn: see `nearest_neighbours`.
    """
    built: list[Level] = []
    nodes, mean = np.arange(len(features)), features
    member = np.arange(len(features))  # node of the present level that each vector belongs to
    while len(built) < levels and len(nodes) > k:
        near = nearest_neighbours(features[nodes], k, method=knn)
        graph = knn_graph(near)
        density = true_density(near, labels[nodes])
        built.append(Level(graph, features[nodes], mean, labels[nodes], density))
        parent = parents(graph, density, 1 - graph.cosine, tau=0.0)
        if (parent < 0).all():
            break
        cluster, peaks = trees(parent)
        member, nodes = cluster[member], nodes[peaks]
        mean = member_means(features, member, len(nodes))
    return built


def member_means(features: np.ndarray, member: np.ndarray, nodes: int) -> np.ndarray:
    """The mean vector of each node's members, float32 ``(nodes, D)``."""
    total = torch.zeros(nodes, features.shape[1], dtype=torch.float64)
    total.index_add_(0, torch.from_numpy(member), torch.from_numpy(features).double())
    count = np.bincount(member, minlength=nodes)[:, None]
    return (total.numpy() / count).astype(np.float32)
