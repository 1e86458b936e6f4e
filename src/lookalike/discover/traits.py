"""What surrounds an edge of a kNN graph, in numbers that do not change when the space is turned."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.discover.graph import Graph

TRAITS = 16  # numbers of an edge
_ROWS = 8192  # nodes whose edges are described at a time


def edge_traits(graph: Graph, x: Tensor) -> Tensor:
    r"""Sixteen similarities around every edge j → i.

    With c the edge's cosine, :math:`r, b, w` the mean, best and worst cosine of the edges towards a
    node (0 where there is none), and m the mean of a node's vector and its neighbours':
    c; c less :math:`r_i, r_j, b_i, b_j, w_i, w_j`; the cosines of :math:`(x_i, m_j)`,
    :math:`(x_j, m_i)`, :math:`(m_i, m_j)`; the share of i's neighbours that are j's too; whether i
    is a neighbour of j; :math:`r_i, r_j`; the lengths of :math:`m_i, m_j`.

    Args:
        graph: with E edges.
        x: ``(nodes, D)`` unit rows.

    Returns:
        float32 ``(E, 16)``.
    """
    count = torch.bincount(graph.target, minlength=graph.nodes)
    some = count.clamp(min=1)
    cosine = graph.cosine.to(x)
    zero = x.new_zeros(graph.nodes)
    mean = zero.index_add(0, graph.target, cosine) / some
    best = zero.scatter_reduce(0, graph.target, cosine, "amax", include_self=False)
    worst = zero.scatter_reduce(0, graph.target, cosine, "amin", include_self=False)
    near = _padded(graph, int(count.max()) if len(count) else 0)
    middle = _middles(graph, x, count)
    length = middle.norm(dim=1)
    middle /= length.clamp(min=1e-12)[:, None]
    parts = []
    for first in range(0, graph.nodes, _ROWS):
        part = graph.towards(first, min(first + _ROWS, graph.nodes))
        j, i, c = part.source, part.target, part.cosine.to(x)
        x_i, x_j, m_i, m_j = x[i], x[j], middle[i], middle[j]
        shared = (near[i][:, :, None] == near[j][:, None, :]).any(2)
        columns = [c]
        columns += [c - table[end] for table in (mean, best, worst) for end in (i, j)]
        columns += [(a * b).sum(1) for a, b in ((x_i, m_j), (x_j, m_i), (m_i, m_j))]
        columns += [(shared & (near[i] >= 0)).sum(1).to(x) / some[i]]
        columns += [(near[j] == i[:, None]).any(1).to(x)]
        columns += [mean[i], mean[j], length[i], length[j]]
        parts.append(torch.stack(columns, dim=1))
    return torch.cat(parts) if parts else x.new_zeros(0, TRAITS)


def _middles(graph: Graph, x: Tensor, count: Tensor) -> Tensor:
    """The mean of every node's vector and its neighbours'."""
    total = x.clone()
    for first in range(0, graph.nodes, _ROWS):
        part = graph.towards(first, min(first + _ROWS, graph.nodes))
        total.index_add_(0, part.target, x[part.source])
    return total.div_((count + 1)[:, None])


def _padded(graph: Graph, width: int) -> Tensor:
    """The neighbours of every node, int64 ``(nodes, width)``; −1 where there are fewer."""
    place = torch.arange(len(graph.source), device=graph.source.device)
    table = graph.source.new_full((graph.nodes, width), -1)
    table[graph.target, place - graph.offsets[graph.target]] = graph.source
    return table
