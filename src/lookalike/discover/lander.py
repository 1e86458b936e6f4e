"""LANDER: a graph network that says of every edge whether it links two of one class."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.discover.graph import Graph, predicted_density
from lookalike.errors import ConfigError

_MOST_LAYERS = 4


class GraphConvolution(nn.Module):
    r"""One graph-convolution layer.

    :math:`h_i' = \mathrm{ReLU}(W [h_i ; \sum_j s_{ij} h_j] + b)` with the graph's shares s.

    Args:
        width: of the input.
        out: of the output.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.gcn_layer = nn.ModuleDict({"mlp": nn.Linear(2 * width, out)})

    def project(self, x: Tensor) -> Tensor:
        """What `combine` needs of every node: its vector as it is."""
        return x

    def combine(self, x: Tensor, graph: Graph, rows: slice) -> Tensor:
        """The new vectors of some nodes, from the edges towards them alone."""
        first, last, _ = rows.indices(len(x))
        weighted = x.index_select(0, graph.source) * graph.share.to(x)[:, None]
        total = x.new_zeros(last - first, x.shape[1])
        total = total.index_add(0, graph.target - first, weighted)
        return F.relu(self.gcn_layer["mlp"](torch.cat([x[rows], total], dim=1)))


class _Attention(nn.Module):
    """The attention weights, under the names that published checkpoints have."""

    def __init__(self, width: int, out: int, heads: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, heads * out, bias=False)
        self.attn_l = nn.Parameter(torch.empty(1, heads, out))
        self.attn_r = nn.Parameter(torch.empty(1, heads, out))
        self.bias = nn.Parameter(torch.zeros(heads * out))
        for weight in (self.fc.weight, self.attn_l, self.attn_r):
            nn.init.xavier_normal_(weight, gain=2**0.5)


class GraphAttention(nn.Module):
    r"""One graph-attention layer (Veličković et al., ICLR 2018).

    With :math:`u = W x`: :math:`e_{ij} = \mathrm{LeakyReLU}_{0.2}(a_l u_j + a_r u_i)`,
    :math:`\alpha` its softmax over the edges towards i, and the output
    :math:`\mathrm{ReLU}(\mathrm{mean}_{heads} \sum_j \alpha_{ij} u_j + b)`. The centre speaks only
    through its attention.

    Args:
        width: of the input.
        out: of the output.
        heads: number of attention heads.
    """

    def __init__(self, width: int, out: int, heads: int = 1) -> None:
        super().__init__()
        self.heads, self.out = heads, out
        self.gcn_layer = _Attention(width, out, heads)
        self.bias = nn.Parameter(torch.zeros(heads, out))

    def project(self, x: Tensor) -> Tensor:
        """What `combine` needs of every node: ``W x``, ``(N, heads · out)``."""
        return self.gcn_layer.fc(x)

    def combine(self, u: Tensor, graph: Graph, rows: slice) -> Tensor:
        """The new vectors of some nodes, from the edges towards them alone."""
        first, last, _ = rows.indices(len(u))
        local = graph.target - first
        of_source = self._attend(u, self.gcn_layer.attn_l).index_select(0, graph.source)
        of_target = self._attend(u[rows], self.gcn_layer.attn_r).index_select(0, local)
        weight = _softmax(F.leaky_relu(of_source + of_target, 0.2), local, last - first)
        # index_select and index_add on matrices: on three axes torch takes a slow path.
        message = u.index_select(0, graph.source) * weight.repeat_interleave(self.out, 1)
        total = u.new_zeros(last - first, u.shape[1]).index_add(0, local, message)
        total = total + self.gcn_layer.bias + self.bias.flatten()
        return F.relu(total.view(-1, self.heads, self.out).mean(1))

    def _attend(self, u: Tensor, weights: Tensor) -> Tensor:
        return (u.view(-1, self.heads, self.out) * weights).sum(-1)


def _softmax(score: Tensor, target: Tensor, nodes: int) -> Tensor:
    """Softmax over the edges of each target; ``score`` is ``(E, heads)``."""
    place = target[:, None].expand_as(score)
    highest = score.new_full((nodes, score.shape[1]), -torch.inf)
    highest = highest.scatter_reduce(0, place, score.detach(), "amax")
    power = (score - highest.index_select(0, target)).exp()
    total = power.new_zeros(nodes, score.shape[1]).index_add(0, target, power)
    return power / total.index_select(0, target)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What LANDER says of a graph.

    Attributes:
        logits: ``(E, 2)``: no link, link.
        linked: ``(E, 2)``, their softmax.
        density: ``(nodes,)``; of nodes that are no target of an edge it is 0.
    """

    logits: Tensor
    linked: Tensor
    density: Tensor


def prediction(graph: Graph, logits: Tensor) -> Prediction:
    """What ``(E, 2)`` logits say of a graph."""
    linked = logits.softmax(1)
    return Prediction(logits, linked, predicted_density(graph, linked))


class Lander(nn.Module):
    r"""The network of Hi-LANDER (Xing et al., ICCV 2021, arXiv 2107.01319).

    Node vectors pass ``layers`` graph layers; of each edge j → i,
    :math:`z_{ij} = \mathrm{MLP}(S h_j + T h_i)` decides between *no link* and *link*, and the
    densities follow from that. Parameters have the names of the published checkpoints.

    Args:
        width: of the input: D, or 2 D where cluster features are used too.
        hidden: width of the hidden vectors.
        layers: number of graph layers, 1 … 4.
        attention: graph attention instead of graph convolution.
        heads: of the attention.

    Raises:
        ConfigError: a number out of range.

    Relations: `EdgeLander` needs fewer labelled classes.
    """

    def __init__(
        self,
        width: int,
        hidden: int = 512,
        layers: int = 1,
        *,
        attention: bool = True,
        heads: int = 1,
    ) -> None:
        super().__init__()
        if not 1 <= layers <= _MOST_LAYERS:
            raise ConfigError(f"layers={layers}: LANDER has 1 to {_MOST_LAYERS} graph layers")
        if hidden < 2 or hidden % 2 or heads < 1:
            raise ConfigError(f"hidden={hidden} must be even, and heads={heads} at least 1")
        self.width, self.hidden, self.attention, self.heads = width, hidden, attention, heads
        half = hidden // 2
        sizes = [width, hidden, hidden, half, half][: layers + 1]
        self.conv = nn.ModuleList(
            GraphAttention(a, b, heads) if attention else GraphConvolution(a, b)
            for a, b in pairwise(sizes)
        )
        self.src_mlp = nn.Linear(sizes[-1], half)
        self.dst_mlp = nn.Linear(sizes[-1], half)
        self.classifier_conn = nn.Sequential(
            nn.PReLU(half), nn.Linear(half, half), nn.PReLU(half), nn.Linear(half, 2)
        )

    def convolve(self, graph: Graph, x: Tensor) -> Tensor:
        """The vectors of all nodes after the graph layers."""
        for layer in self.conv:
            layer = cast("GraphAttention", layer)
            x = layer.combine(layer.project(x), graph, slice(None))
        return x

    def forward(self, graph: Graph, x: Tensor, seeds: Tensor | None = None) -> Prediction:
        """Judge edges.

        Args:
            graph: with E edges.
            x: ``(nodes, width)``.
            seeds: bool ``(nodes,)``: only edges towards these; None for all. The logits are then
                those of these edges, in order.
        """
        h = self.convolve(graph, x)
        if seeds is not None:
            graph = graph.only(seeds[graph.target])
        z = self._heads(self.src_mlp(h), self.dst_mlp(h), graph)
        return prediction(graph, z)

    def _heads(self, of_source: Tensor, of_target: Tensor, graph: Graph) -> Tensor:
        return self.classifier_conn(
            of_source.index_select(0, graph.source) + of_target.index_select(0, graph.target)
        )

    @torch.inference_mode()
    def predict(self, graph: Graph, x: Tensor, *, rows: int = 16_384) -> Prediction:
        """The same as calling it, in memory for ``rows`` nodes' edges at a time, on its device."""
        device = self.src_mlp.weight.device
        graph, h = graph.to(device), x.to(device)
        starts = range(0, graph.nodes, rows)
        spans = [slice(start, min(start + rows, graph.nodes)) for start in starts]
        parts = [graph.towards(span.start, span.stop) for span in spans]
        for layer in self.conv:
            layer = cast("GraphAttention", layer)
            u = torch.cat([layer.project(h[span]) for span in spans])
            pairs = zip(parts, spans, strict=True)
            h = torch.cat([layer.combine(u, part, span) for part, span in pairs])
            del u
        of_source = torch.cat([self.src_mlp(h[span]) for span in spans])
        of_target = torch.cat([self.dst_mlp(h[span]) for span in spans])
        del h
        logits = torch.cat([self._heads(of_source, of_target, part) for part in parts])
        return prediction(graph, logits)
