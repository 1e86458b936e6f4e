"""Where a training begins, and how far it goes from there: it should not lose what it was given.

A head that is drawn at random forgets what a pretrained backbone knows; one that begins as the
features are does not. And of the way from the first weights to the last, the part is kept that
serves classes which training has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lookalike import distributed
from lookalike.config import Config
from lookalike.data.build import broken_policy
from lookalike.data.embedding_file import Embeddings
from lookalike.data.loader import eval_loader
from lookalike.data.splits import hold_out_classes
from lookalike.data.table import Table
from lookalike.errors import ConfigError, counted, suggest
from lookalike.evaluation import averages
from lookalike.models import weights
from lookalike.models.embedder import Embedder
from lookalike.models.precision import at_least_float32, autocast
from lookalike.training import model_selection
from lookalike.training.evaluated import measured_splits

if TYPE_CHECKING:
    from lookalike.training.frozen import FrozenBackbone
    from lookalike.training.trainer import Training

HEADS = ("random", "identity", "pca")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from the first weights to the trained ones
HELD_OUT = 0.1  # of the training classes, where the data set has no validation split
MOST = 10_000  # images that the first head is made of
_FEWEST = 20  # training classes, of which some can be held out


def for_vectors(config: Config) -> Config:
    """The configuration of a head on an embedding file, whose vectors stand for a backbone's."""
    if config.dataset.get("name") != "embedding_file" or config.model.backbone == "vectors":
        return config
    width = Embeddings.load(config.dataset["root"]).vectors.shape[1]
    own = {"backbone": "vectors", "options": {"width": width}, "pretrained": False}
    return replace(config, model=replace(config.model, **own))


def settled(config: Config) -> Config:
    """The configuration with ``model.head_init`` decided where nothing is said.

    A pretrained backbone gets a head by PCA; a recipe, and a student of a teacher, a random one
    unless it says otherwise.
    """
    m = config.model
    if m.head_init is not None:
        return config
    begun = m.pretrained is not False or m.backbone == "vectors"
    begun = begun and m.weights is None and m.embedding_size is not None
    own = config.recipe is None and config.teacher is None and not config.fsdp
    return replace(config, model=replace(m, head_init="pca" if begun and own else "random"))


def check(config: Config) -> None:
    """Refuse a first head that cannot be.

    Raises:
        ConfigError: names the option.
    """
    m = config.model
    if m.head_init not in (None, *HEADS):
        raise ConfigError(f"model.head_init={m.head_init}: {suggest(str(m.head_init), HEADS)}")
    if m.head_init in ("identity", "pca"):
        where = f"model.head_init={m.head_init}"
        if m.embedding_size is None:
            raise ConfigError(f"{where}: model.embedding_size=null has no head. Give it a width.")
        if m.weights is not None:
            raise ConfigError(f"{where}: model.weights brings a head of its own. Drop one of them.")
        if config.fsdp:
            raise ConfigError(f"{where}: does not go with fsdp. Leave out one of them.")


def begin(run: Training) -> None:
    """Fill the first head, and keep the first weights where they are worth something."""
    way = run.config.model.head_init
    if way in ("identity", "pca"):
        begin_head(run.model, way, features(run, run.frozen))
    whole = run.model if run.sharded is None else run.sharded.gather()
    if run.model.pretrained and distributed.is_main():
        weights.save(whole, run.folder.start)


# ── the first head ──────────────────────────────────────────────────────────────────────────────


@torch.no_grad()
def begin_head(model: Embedder, way: str, features: Tensor) -> None:
    """Let the head begin as the features are.

    ::

        identity:  W = I                                              b = 0
        pca:       W = the first eigenvectors of (X − m)ᵀ (X − m)     b = −W m

    with X the features of training images and m their mean, or 0 where the head has no bias: of
    all linear maps to that width, W keeps their dot products best. The embedding then ranks nearly
    as the features do.

    Args:
        model: whose head is filled.
        way: ``"identity"`` or ``"pca"``.
        features: ``(N, C)`` pooled features of training images.

    Raises:
        ConfigError: an identity of another width than the features, or more directions than there
            are features or images.
    """
    head = model.head
    assert isinstance(head, nn.Linear)
    size, width = head.weight.shape
    if way == "identity":
        if size != width:
            raise ConfigError(
                f"model.head_init=identity: needs model.embedding_size={width}, the backbone's own "
                f"width. For {size} take model.head_init=pca."
            )
        nn.init.eye_(head.weight)
        if head.bias is not None:
            nn.init.zeros_(head.bias)
    else:
        x = model.before_head(features.double())
        mean = torch.zeros_like(x[0]) if head.bias is None else x.mean(dim=0)
        if size > min(x.shape):
            raise ConfigError(
                f"model.head_init=pca: {counted(len(x), 'training image')} with "
                f"{counted(width, 'feature')} each cannot fill a head of {size}. Set "
                f"model.embedding_size={min(x.shape)} or less, or model.head_init=random."
            )
        _, directions = torch.linalg.eigh((x - mean).T @ (x - mean))
        found = directions.flip(1)[:, :size].T
        signs = torch.sign(found.gather(1, found.abs().argmax(dim=1, keepdim=True)))
        found = found * signs  # one of two signs, so that any machine takes the same
        head.weight.copy_(found)
        if head.bias is not None:
            head.bias.copy_(-(found @ mean))


def features(run: Training, frozen: FrozenBackbone | None) -> Tensor:
    """Pooled features ``(N, C)`` of a run's training images, as evaluation sees them.

    At most `MOST` of them, spread over the table; with several processes all must call this.
    """
    if frozen is not None:
        return frozen.pooled(MOST)
    count = min(MOST, len(run.training))
    rows = run.training.where(np.linspace(0, len(run.training) - 1, count).astype(int))
    loader = eval_loader(
        rows,
        run.model.transform(),
        batch_size=run.config.evaluation.batch_size,
        workers=run.config.workers,
        broken=broken_policy(run.config),
    )
    was_training, parts = run.model.training, []
    run.model.eval()
    with torch.inference_mode(), run.console.embedding("for the first head", count) as advance:
        for batch in loader:
            images = batch["pictures"].to(run.device)
            with autocast(run.device, run.precision):
                parts.append(at_least_float32(run.model.features(images)).cpu())
            if advance is not None:
                advance(len(images))
    run.model.train(was_training)
    return torch.cat(parts)


# ── validation classes ──────────────────────────────────────────────────────────────────────────


def with_validation(config: Config, table: Table, *, begun: bool) -> tuple[Table, bool]:
    """The table, and whether a part of the way is going to be chosen.

    Where nothing else can judge it, some training classes are held out for that.

    Args:
        config: its ``interpolate`` says; null means where the model began with trained weights,
            and neither a recipe, a teacher nor ``evaluation.select`` says how to choose.
        table: the data.
        begun: the model began with trained weights.

    Raises:
        ConfigError: it is asked for, and there is nothing to choose by.
    """
    plain = config.recipe is None and config.teacher is None and config.evaluation.select is None
    asked = config.interpolate
    if asked is False or (asked is None and not (begun and plain and not config.fsdp)):
        return table, False
    if asked and not begun:
        raise ConfigError(
            "interpolate=true: the network begins at random, so there is nothing to go back to."
            " Start it from weights: model.pretrained=true, or a file."
        )
    if model_selection.choosing_splits(table, config):
        return table, True
    classes = table.split("train").num_classes(0) if "train" in table.splits else 0
    if config.evaluation.select is None and classes >= _FEWEST:
        return hold_out_classes(table, HELD_OUT, seed=config.seed), True
    if asked:
        raise ConfigError(
            f"interpolate=true: {table.name} has no validation split, and its {classes} training "
            f"classes are too few to hold some out (at least {_FEWEST}). Name a split with "
            "evaluation.select=…"
        )
    return table, False


# ── the way from there ──────────────────────────────────────────────────────────────────────────


def mixed(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights at a share of the way: ``(1 − share)·first + share·last``.

    >>> one, two = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    >>> mixed(one, two, 0.25)
    {'w': tensor([0.2500])}
    """
    return {
        name: torch.lerp(first[name].to(tensor), tensor, share)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }


def go_part_way(run: Training, model: Embedder) -> str:
    """Keep the weights, between the first and the trained ones, that serve held-out classes best.

    Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022 (WiSE-FT), for heads and
    whole networks. Each of `SHARES` is measured on the splits that choose the model; of equal ones
    the farthest is kept.

    Args:
        run: the run, all trained.
        model: with the weights that training kept; filled with those chosen.

    Returns:
        A sentence for the report.
    """
    trained = weights.read_about(run.folder.model)["sha256"]
    metric = run.config.evaluation.monitor
    known: dict[str, Any] | None = run.folder.read_manifest().get("interpolation")
    if known is None or known["trained"] == trained:  # else it was done, and the run then killed
        first = weights.load(run.folder.start).state_dict()
        last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        values = {}
        for share in SHARES:
            model.load_state_dict(mixed(first, last, share))
            found = averages.values(
                measured_splits(run, model, run.choosing), run.config.evaluation
            )
            values[share] = model_selection.monitored(found, metric, run.choosing)
        sound = {share: -math.inf if math.isnan(v) else v for share, v in values.items()}
        best = max(SHARES, key=lambda share: (sound[share], share))
        known = {"trained": trained, "share": best, "metric": metric,
                 "values": {str(share): value for share, value in values.items()}}  # fmt: skip
        run.folder.write_manifest(interpolation=known)
        model.load_state_dict(mixed(first, last, best))
        weights.save(model, run.folder.model)
    return sentence(known, run.choosing)


def sentence(known: Mapping[str, Any], splits: Sequence[str]) -> str:
    """How far the weights went, and how the others did."""
    figures = ", ".join(f"{share} {value:.3f}" for share, value in known["values"].items())
    return (
        f"Its weights lie at {known['share']} of the way from the first to the trained ones, as "
        f"chosen by {known['metric']} on {' and '.join(splits)} ({figures})."
    )
