"""Train LANDER on labelled embeddings, so that it can cluster others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lookalike.discover.edge_lander import EdgeLander
from lookalike.discover.lander import Lander
from lookalike.discover.lander_loss import balanced, lander_loss
from lookalike.discover.levels import Level, training_levels
from lookalike.discover.neighbours import unit
from lookalike.discover.traits import edge_traits
from lookalike.errors import ConfigError, DataError, NumericsError, counted, suggest

_INPUTS = ("similarities", "vectors")
_OPTIMIZERS = ("adamw", "sgd")
_ONE_KIND = ("keep", "drop")
_OF_VECTORS = ("layers", "attention", "heads", "cluster_features")


@dataclass(frozen=True)
class TrainingOptions:
    """How LANDER is trained.

    The defaults are for some thousand labelled vectors. The published network, which wants tens of
    thousands, is ``inputs="vectors", hidden=512, epochs=1000, lr=0.01, optimizer="sgd",
    weight_decay=1e-5``, as in the recipes ``pss/…``.

    Attributes:
        k: neighbours including oneself, a hierarchy each.
        levels: at most so many levels of each.
        inputs: what the network sees: ``similarities`` around an edge (`EdgeLander`), or
            ``vectors`` (`Lander`).
        hidden: width of the hidden vectors.
        layers: graph layers; of ``vectors``, as are the next three.
        attention: graph attention instead of graph convolution.
        heads: of the attention.
        cluster_features: show the network the means of nodes' members too.
        epochs: passes over the largest graph; every other graph is stepped as often.
        lr: falling to 1e-5 along a cosine.
        optimizer: ``adamw``, or ``sgd`` with momentum 0.9.
        weight_decay: of the optimiser.
        batch_size: nodes whose edges make one step.
        balance: as many links as non-links in the links' loss.
        one_kind: where a batch's edges are all links or all none, ``balance`` keeps them
            (``keep``), or drops them, so that its densities alone are learned (``drop``, as
            published: a graph without links then teaches nothing about links).
        focal: focal loss instead of cross-entropy.
        seed: of weights, order and balance.
    """

    k: Sequence[int] = (10, 5, 3)
    levels: Sequence[int] = (2, 3, 4)
    inputs: str = "similarities"
    hidden: int = 64
    layers: int = 1
    attention: bool = True
    heads: int = 1
    cluster_features: bool = False
    epochs: int = 200
    lr: float = 3e-3
    optimizer: str = "adamw"
    weight_decay: float = 1e-2
    batch_size: int = 4096
    balance: bool = True
    one_kind: str = "keep"
    focal: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.k) != len(self.levels) or not self.k:
            raise ConfigError(
                f"k={list(self.k)} and levels={list(self.levels)}: give as many of one as of the "
                "other"
            )
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 1")
        for name, known in (
            ("inputs", _INPUTS),
            ("optimizer", _OPTIMIZERS),
            ("one_kind", _ONE_KIND),
        ):
            given = getattr(self, name)
            if given not in known:
                raise ConfigError(f"{name}={given}: no such. {suggest(given, known)}")
        for name in _OF_VECTORS if self.inputs == "similarities" else ():
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise ConfigError(f"{name}={getattr(self, name)} is of inputs=vectors; add that")


def training_options(given: dict[str, Any], where: str) -> TrainingOptions:
    """LANDER's training options out of plain ones; unknown names are refused."""
    known = TrainingOptions.__dataclass_fields__
    for name in given:
        if name not in known:
            raise ConfigError(f"{where}{name}: no such option. {suggest(name, known)}")
    return replace(TrainingOptions(), **given)


@dataclass(frozen=True, eq=False)
class _Part:
    """A level, what the network sees of it on the device, and the order of its nodes."""

    level: Level
    x: torch.Tensor  # a row a node, or a row an edge
    generator: torch.Generator
    batch_size: int

    def batches(self) -> Iterator[torch.Tensor]:
        """Nodes in random order, a batch at a time, again and again."""
        while True:
            order = torch.randperm(self.level.graph.nodes, generator=self.generator)
            yield from order.split(self.batch_size)


def train_lander(
    features: np.ndarray,
    labels: np.ndarray,
    options: TrainingOptions | None = None,
    *,
    device: str | torch.device = "cpu",
    on_epoch: Callable[[int, float], None] | None = None,
) -> Lander | EdgeLander:
    """Train a network on labelled vectors (Xing et al., ICCV 2021).

    For every k a hierarchy of graphs is built (`training_levels`); every step takes a batch of
    nodes of one graph, all graphs in turn.

    Args:
        features: ``(N, D)``; rows are normalised.
        labels: ``(N,)`` integers.
        options: see `TrainingOptions`.
        device: where to train; the network is returned on it, in evaluation mode.
        on_epoch: told the epoch and its mean loss.

    Raises:
        DataError: too few vectors for any graph, or no two of one label.
        NumericsError: the loss is not a number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(12).repeat(8)
        >>> x = rng.normal(size=(12, 16))[labels] + 0.3 * rng.normal(size=(96, 16))
        >>> small = TrainingOptions(k=[5], levels=[2], hidden=16, epochs=2)
        >>> train_lander(x, labels, small).hidden
        16
    """
    o = options or TrainingOptions()
    x, labels = unit(features), np.asarray(labels)
    if labels.shape != (len(x),):
        raise DataError(f"{counted(len(x), 'vector')}, and labels of shape {labels.shape}")
    if len(np.unique(labels)) == len(labels):
        raise DataError("no two vectors have one label; LANDER learns from pairs of a class")
    generator = torch.Generator().manual_seed(o.seed)
    parts = _parts(x, labels, o, torch.device(device), generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(o.seed)
        network = _untrained(x.shape[1], o)
    network.to(device).train()
    if isinstance(network, EdgeLander):
        network.fit_scale(torch.cat([part.x for part in parts]))
    _train(network, parts, o, generator, on_epoch)
    return network.eval()


def _untrained(width: int, o: TrainingOptions) -> Lander | EdgeLander:
    if o.inputs == "similarities":
        return EdgeLander(o.hidden)
    width *= 2 if o.cluster_features else 1
    return Lander(width, o.hidden, o.layers, attention=o.attention, heads=o.heads)


def _parts(
    x: np.ndarray,
    labels: np.ndarray,
    o: TrainingOptions,
    device: torch.device,
    generator: torch.Generator,
) -> list[_Part]:
    parts = []
    for k, levels in zip(o.k, o.levels, strict=True):
        for level in training_levels(x, labels, k, levels) if len(x) > k else []:
            vectors = [level.features, *([level.cluster_features] if o.cluster_features else [])]
            shown = torch.from_numpy(np.concatenate(vectors, axis=1)).to(device)
            if o.inputs == "similarities":
                shown = edge_traits(level.graph.to(device), shown)
            parts.append(_Part(level, shown, generator, o.batch_size))
    if not parts:
        raise DataError(
            f"{counted(len(x), 'vector is', 'vectors are')} too few for a graph of k={list(o.k)}"
            " neighbours"
        )
    return parts


def _train(
    network: Lander | EdgeLander,
    parts: Sequence[_Part],
    o: TrainingOptions,
    generator: torch.Generator,
    on_epoch: Callable[[int, float], None] | None,
) -> None:
    weights, decay = network.parameters(), o.weight_decay
    optimizer = (
        torch.optim.SGD(weights, o.lr, momentum=0.9, weight_decay=decay)
        if o.optimizer == "sgd"
        else torch.optim.AdamW(weights, o.lr, weight_decay=decay)
    )
    rounds = math.ceil(max(part.level.graph.nodes for part in parts) / o.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, o.epochs * rounds * len(parts), eta_min=1e-5
    )
    streams = [part.batches() for part in parts]
    for epoch in range(o.epochs):
        total = 0.0
        for _ in range(rounds):
            for part, stream in zip(parts, streams, strict=True):
                loss = _loss(network, part, next(stream), o, generator)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
        if not math.isfinite(total):
            raise NumericsError(
                f"training LANDER: the loss is not a number in epoch {epoch + 1}; lower lr={o.lr}"
            )
        if on_epoch is not None:
            on_epoch(epoch + 1, total / (rounds * len(parts)))


def _loss(
    network: Lander | EdgeLander,
    part: _Part,
    seeds: torch.Tensor,
    o: TrainingOptions,
    generator: torch.Generator,
) -> torch.Tensor:
    """The loss over the edges towards some nodes of a level."""
    level, device = part.level, part.x.device
    if isinstance(network, EdgeLander) or len(seeds) == level.graph.nodes:
        graph, old = level.graph, torch.arange(level.graph.nodes)
    else:
        graph, old = level.graph.around(seeds, len(network.conv) + 1)
    is_seed = torch.zeros(level.graph.nodes, dtype=torch.bool)
    is_seed[seeds] = True
    is_seed = is_seed[old]
    towards = is_seed[graph.target]
    labels = torch.from_numpy(level.labels)[old]
    source, target = graph.source[towards], graph.target[towards]
    same = labels[source] == labels[target]
    density = level.density[old]
    counted = density[source] > density[target]
    if o.balance:
        counted = balanced(same, counted, generator, one_kind=o.one_kind)
    if isinstance(network, EdgeLander):
        found = network.judge(graph.only(towards).to(device), part.x[towards.to(device)])
    else:
        found = network(graph.to(device), part.x[old.to(device)], is_seed.to(device))
    found = type(found)(found.logits, found.linked, found.density[is_seed.to(device)])
    return lander_loss(
        found, density[is_seed].to(device), same.to(device), counted.to(device), focal=o.focal
    )
