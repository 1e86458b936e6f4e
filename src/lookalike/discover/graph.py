"""The kNN graph that Hi-LANDER looks at, and the densities it learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lookalike.discover.neighbours import Neighbours


@dataclass(frozen=True, eq=False)
class Graph:
    """Directed edges from neighbours (``source``) to centres (``target``), a centre at a time.

    Edges are ordered by target, then by source.

    Attributes:
        nodes: number of nodes.
        source: int64 ``(E,)``.
        target: int64 ``(E,)``, rising.
        cosine: ``(E,)``, 0 … 1.
        share: ``(E,)``, the cosine divided by the sum over the edges of the same target.
    """

    nodes: int
    source: Tensor
    target: Tensor
    cosine: Tensor
    share: Tensor

    @cached_property
    def offsets(self) -> Tensor:
        """Where the edges of each target begin, ``(nodes + 1,)``."""
        counts = torch.bincount(self.target, minlength=self.nodes)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    def to(self, device: torch.device | str) -> Graph:
        """The same graph elsewhere."""
        moved = (t.to(device) for t in (self.source, self.target, self.cosine, self.share))
        return Graph(self.nodes, *moved)

    def towards(self, first: int, last: int) -> Graph:
        """The edges whose target is one of ``first … last − 1``; all nodes keep their numbers."""
        kept = slice(int(self.offsets[first]), int(self.offsets[last]))
        return self.only(kept)

    def only(self, edges: slice | Tensor) -> Graph:
        """Some of the edges, in order; all nodes keep their numbers."""
        parts = (self.source, self.target, self.cosine, self.share)
        return Graph(self.nodes, *(part[edges] for part in parts))

    def around(self, seeds: Tensor, hops: int) -> tuple[Graph, Tensor]:
        """The part that decides what a network of ``hops − 1`` layers says about some targets.

        Returns:
            The subgraph, its nodes numbered anew in rising order, with every edge whose target is
            a seed or lies on a path of up to ``hops − 1`` edges towards one; and the old number
            of each of its nodes.
        """
        wanted = torch.zeros(self.nodes, dtype=torch.bool, device=self.source.device)
        wanted[seeds] = True
        edges = wanted[self.target]
        for _ in range(hops):
            edges = wanted[self.target]
            wanted = wanted.clone()
            wanted[self.source[edges]] = True
        kept = torch.nonzero(edges).flatten()
        old = torch.nonzero(wanted).flatten()
        new = torch.empty(self.nodes, dtype=torch.long, device=old.device)
        new[old] = torch.arange(len(old), device=old.device)
        part = self.only(kept)
        return replace(part, nodes=len(old), source=new[part.source], target=new[part.target]), old


def knn_graph(near: Neighbours) -> Graph:
    """The graph of a neighbour search: an edge j → i of weight cos(i, j) where j is near i.

    Neighbours of negative cosine are left out: the network's weights are shares of a sum.

    >>> near = Neighbours(np.array([[1], [0]]), np.float32([[0.5], [0.5]]), 1.0)
    >>> knn_graph(near).source.tolist(), knn_graph(near).share.tolist()
    ([1, 0], [1.0, 1.0])
    """
    order = np.argsort(near.ids, axis=1, kind="stable")
    source = np.take_along_axis(near.ids, order, 1).ravel()
    cosine = np.take_along_axis(near.cosine, order, 1).ravel()
    target = np.repeat(np.arange(len(near.ids)), near.ids.shape[1])
    kept = (source >= 0) & (cosine >= 0)
    source, target = (torch.from_numpy(part[kept]) for part in (source, target))
    weight = torch.from_numpy(np.minimum(cosine[kept], 1))
    total = weight.new_zeros(len(near.ids)).index_add_(0, target, weight)[target]
    return Graph(len(near.ids), source, target, weight, weight / torch.where(total > 0, total, 1))


def true_density(near: Neighbours, labels: np.ndarray) -> Tensor:
    r"""What the network learns to predict: how much of the near neighbourhood is of one's class.

    :math:`\rho_i = \frac{1}{k-1} \sum_j \cos(i, j) \, (+1 \text{ if } y_j = y_i \text{ else } -1)`
    over the ``k − 1`` neighbours (Xing et al., Learning Hierarchical Graph Neural Networks for
    Image Clustering, ICCV 2021).

    Args:
        near: of every node.
        labels: ``(N,)``.

    Returns:
        float32 ``(N,)``, −1 … 1.
    """
    alike = np.where(labels[near.ids] == labels[:, None], 1.0, -1.0)
    signed = np.maximum(near.cosine.astype(np.float64), 0) * alike
    return torch.from_numpy(signed.mean(axis=1).astype(np.float32))


def predicted_density(graph: Graph, linked: Tensor) -> Tensor:
    r"""The network's view of the same.

    :math:`\hat\rho_i = \mathrm{mean}_j\, \cos_{ij}\,(p^1_{ij} - p^0_{ij})` over the edges towards
    i; 0 where there is none.

    Args:
        graph: with E edges.
        linked: ``(E, 2)``, probabilities of no link and of a link.

    Returns:
        ``(nodes,)``.
    """
    signed = graph.cosine.to(linked) * (linked[:, 1] - linked[:, 0])
    total = signed.new_zeros(graph.nodes).index_add(0, graph.target, signed)
    return total / torch.bincount(graph.target, minlength=graph.nodes).clamp(min=1)
