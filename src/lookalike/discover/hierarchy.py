"""Hi-LANDER at work: graph, network, decode; then the same on the peaks, until little happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from lookalike.discover.decode import parents, trees
from lookalike.discover.edge_lander import EdgeLander
from lookalike.discover.graph import Graph, knn_graph
from lookalike.discover.lander import Lander
from lookalike.discover.levels import member_means
from lookalike.discover.neighbours import nearest_neighbours, unit
from lookalike.errors import ConfigError, DataError, counted


@dataclass(frozen=True, eq=False)
class Clustering:
    """A partition of vectors.

    Attributes:
        labels: int64 ``(N,)``, 0 … clusters − 1; −1 for a vector that a method calls noise.
        density: float32 ``(N,)``, how surely a vector lies among its own: Hi-LANDER's prediction
            at the lowest level, or of another method the mean cosine to its neighbours of the same
            cluster less that to those of others.
        parent: int64 ``(N,)``, the node of Hi-LANDER's forest above each, −1 for a peak; None for
            other methods.
        facts: what a person may want to know: nodes and edges of each level, recall of the kNN.
    """

    labels: np.ndarray
    density: np.ndarray
    parent: np.ndarray | None = None
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def clusters(self) -> int:
        """How many there are, noise not counted."""
        return len(np.unique(self.labels[self.labels >= 0]))


def stops(level: int, levels: int, edges: int, before: float, k: int, *, early: bool) -> bool:
    """Whether the level just decoded is the last.

    It is if it is the last allowed, if it added no edge, or, with ``early``, if the level before
    added less than ``k − 1`` times as many edges.

    >>> stops(1, 10, edges=100, before=899, k=10, early=True)
    True
    >>> stops(1, 10, edges=100, before=900, k=10, early=True)
    False
    """
    return level == levels - 1 or edges == 0 or (early and before / edges < k - 1)


def hilander(
    network: Lander | EdgeLander,
    x: np.ndarray,
    *,
    k: int = 10,
    tau: float = 0.7,
    levels: int = 10,
    early_stop: bool = True,
    threshold: str = "prob",
    knn: str = "auto",
    probes: int = 32,
) -> Clustering:
    """Cluster vectors with a trained network (Xing et al., ICCV 2021).

    Level after level: the kNN graph of the nodes, the network's densities and link probabilities,
    each node's nearest denser neighbour as its parent; the peaks are the nodes of the next level.
    The clusters are the trees of all levels' edges together.

    Args:
        network: of `train_lander` or `load_lander`; a width of 2 D tells that it takes the mean of
            a node's members beside its own vector.
        x: ``(N, D)``; rows are normalised.
        k: neighbours including oneself.
        tau: an edge is followed iff its probability of no link is below ``1 − tau``.
        levels: at most so many.
        early_stop: stop when a level adds more than a ``k − 1`` th of what the one before did, see
            `stops`.
        threshold: ``prob``: edges are measured by the probability of no link; ``sim``: by 1 −
            cosine.
        knn: see `nearest_neighbours`.
        probes: see `nearest_neighbours`.

    Raises:
        ConfigError: tau out of range, another threshold.
        DataError: a network of another width.

    Relations: `clusterers` has HDBSCAN, k-means and others behind one call.
    """
    if not 0 <= tau <= 1 or threshold not in ("prob", "sim"):
        raise ConfigError(f"tau={tau} must be in 0 … 1, and threshold={threshold} prob or sim")
    x = unit(x)
    with_means = _takes_means(network, x.shape[1])
    device = next(network.parameters()).device
    nodes, member, means = np.arange(len(x)), np.arange(len(x)), x
    forest = np.full(len(x), -1)
    lowest = np.zeros(len(x), np.float32)
    history: list[dict[str, float]] = []
    before = float("inf")
    while len(nodes) > k:
        here = x if not history else x[nodes]  # a copy of a million rows is a gigabyte
        near = nearest_neighbours(here, k, method=knn, probes=probes, device=device)
        graph = knn_graph(near)
        parts = [here, means] if with_means else [here]
        density, parent = _decide(network, graph, parts, tau, threshold)
        if not history:
            lowest = density
        risen = parent >= 0
        forest[nodes[risen]] = nodes[parent[risen]]
        edges = int(risen.sum())
        history.append({"nodes": len(nodes), "edges": edges, "knn_recall": near.recall})
        last = stops(len(history) - 1, levels, edges, before, k, early=early_stop)
        before = edges
        cluster, peaks = trees(parent)
        member, nodes = cluster[member], nodes[peaks]
        if last:
            break
        if with_means:
            means = member_means(x, member, len(nodes))
    labels, _ = trees(forest)
    return Clustering(labels, lowest, forest, {"levels": history})


def _decide(
    network: Lander | EdgeLander,
    graph: Graph,
    parts: Sequence[np.ndarray],
    tau: float,
    threshold: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Densities and parents of one level's nodes."""
    weight = next(network.parameters())
    vectors = torch.from_numpy(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])
    found = network.predict(graph, vectors.to(weight.dtype))
    graph = graph.to(weight.device)
    distance = found.linked[:, 0] if threshold == "prob" else 1 - graph.cosine
    parent = parents(graph, found.density, distance, tau)
    return found.density.float().cpu().numpy(), parent


def _takes_means(network: Lander | EdgeLander, width: int) -> bool:
    if isinstance(network, EdgeLander):
        return False
    if network.width not in (width, 2 * width):
        raise DataError(
            f"this LANDER takes vectors of {counted(network.width, 'number')}, and the embeddings"
            " have "
            f"{width}. Train one on embeddings of the same model."
        )
    return network.width == 2 * width
