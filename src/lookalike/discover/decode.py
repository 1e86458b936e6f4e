"""From densities and edge distances to trees, and from trees to clusters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lookalike.discover.graph import Graph


def parents(graph: Graph, density: Tensor, distance: Tensor, tau: float) -> np.ndarray:
    """The parent of every node: its nearest neighbour of higher density, if one is near enough.

    An edge counts iff the density of its source is higher than that of its target and its distance
    is below ``1 − tau``, both strictly; of those that count, a node follows the one of least
    distance, the first in edge order among equals. Nodes without one are peaks. Since density rises
    along every edge, nothing runs in circles.

    Args:
        graph: with E edges.
        density: ``(nodes,)``.
        distance: ``(E,)``, such as the probability of no link, or 1 − cosine.
        tau: 0 … 1.

    Returns:
        int64 ``(nodes,)``, −1 for a peak.

    >>> from lookalike.discover.neighbours import Neighbours
    >>> from lookalike.discover.graph import knn_graph
    >>> graph = knn_graph(Neighbours(np.array([[1], [0]]), np.float32([[0.9], [0.9]]), 1.0))
    >>> parents(graph, torch.tensor([0.2, 0.7]), 1 - graph.cosine, tau=0.5).tolist()
    [1, -1]
    """
    counts = (density[graph.source] > density[graph.target]) & (distance < 1 - tau)
    edges = torch.nonzero(counts).flatten()
    target, length = graph.target[edges], distance[edges]
    least = length.new_full((graph.nodes,), float("inf"))
    least = least.scatter_reduce(0, target, length, "amin")
    ties = length == least[target]
    first = torch.full((graph.nodes,), len(graph.source), device=target.device)
    first = first.scatter_reduce(0, target[ties], edges[ties], "amin")
    has = first < len(graph.source)
    found = torch.full((graph.nodes,), -1, device=target.device)
    found[has] = graph.source[first[has]]
    return found.cpu().numpy()


def trees(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clusters of a forest, and its peaks.

    Args:
        parent: int64 ``(N,)``, −1 for a peak; without circles.

    Returns:
        int64 ``(N,)``, the cluster of every node, numbered in the order of the peaks; and the
        peaks, rising.

    >>> labels, peaks = trees(np.array([2, -1, -1, 0]))
    >>> labels.tolist(), peaks.tolist()
    ([1, 0, 1, 1], [1, 2])
    """
    root = np.where(parent < 0, np.arange(len(parent)), parent)
    while not np.array_equal(above := root[root], root):
        root = above
    peaks, labels = np.unique(root, return_inverse=True)
    return labels.astype(np.int64), peaks
