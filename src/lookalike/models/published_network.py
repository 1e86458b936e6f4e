"""A whole embedder from a published checkpoint: its network read off the weights and their meta."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lookalike.errors import ModelError
from lookalike.models import published
from lookalike.models.create import create_model
from lookalike.models.embedder import Embedder
from lookalike.models.weights import fit_state

# Blocks of each stage, and whether they are bottlenecks → torchvision's name.
_RESNETS = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
_POOLS = {"gem": "gem", "gemmp": "gemmp", "mac": "max", "spoc": "avg"}  # RAML's words


def load(path: str | Path, **said: Any) -> Embedder:
    """Build the network of a checkpoint and fill it.

    RAML's checkpoints (Suma and Tolias, WACV 2023) say all of themselves: a ResNet by its blocks,
    GeM by its exponent, the embedding by the linear map behind it, which follows a vector of unit
    length; what they call ``meta`` fills in a pooling without weights. Of other systems'
    checkpoints the person says what their weights do not.

    Args:
        path: a file of `lookalike.models.published`.
        **said: arguments of `create_model`; they win over what the weights tell.

    Returns:
        The embedder in evaluation mode.

    Raises:
        DataError: no such file, or a damaged one.
        ModelError: weights that do not tell what the network is, or that do not fit it.
    """
    raw, meta = published.read_raw(path)
    state = published.own_names(raw)
    options = {**_network(raw, state, meta), **said}
    for name, example in (("backbone", "resnet50"), ("pool", "avg"), ("head_norm", "layer")):
        if name not in options:
            raise ModelError(
                f"{path}: its weights do not tell the {name}. Say it: "
                f"distillation.teacher_model.{name}={example}."
            )
    model = create_model(**options, pretrained=False)
    fit_state(model, published.complete(state, model.state_dict()), str(path))
    return model.eval()


def _network(
    raw: Mapping[str, Tensor], state: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of `create_model` that weights and meta tell.

    >>> import torch
    >>> weights = {"whiten.weight": torch.zeros(8, 64), "pool.p": torch.ones(1)}
    >>> found = _network(weights, published.own_names(weights), {"architecture": "densenet121"})
    >>> sorted(found.items())  # doctest: +NORMALIZE_WHITESPACE
    [('backbone', 'densenet121'), ('embedding_size', 8), ('head_bias', False),
     ('head_norm', 'l2'), ('pool', 'gem')]
    """
    found: dict[str, Any] = {}
    backbone = _resnet(state) or meta.get("architecture")
    if backbone:
        found["backbone"] = str(backbone)
    if "pool.p" in state:
        found["pool"] = "gemmp" if state["pool.p"].numel() > 1 else "gem"
    elif meta.get("pooling") in _POOLS:
        found["pool"] = _POOLS[meta["pooling"]]
    head = state.get("head.weight")
    found["embedding_size"] = None if head is None else len(head)
    found["head_bias"] = "head.bias" in state
    if head is None or any(key.removeprefix("module.").startswith("whiten.") for key in raw):
        found["head_norm"] = False if head is None else "l2"
    return found


def _resnet(state: Mapping[str, Tensor]) -> str | None:
    """The ResNet whose blocks these are, in torchvision's form; None: another network.

    >>> _resnet({f"backbone.layer{s}.{b}.conv1.weight": None for s in range(1, 5) for b in (0, 1)})
    'resnet18'
    """
    blocks = [re.match(r"backbone\.layer([1-4])\.(\d+)\.conv", key) for key in state]
    last = [0, 0, 0, 0]
    for block in filter(None, blocks):
        last[int(block[1]) - 1] = max(last[int(block[1]) - 1], int(block[2]) + 1)
    one, two, three, four = last
    bottlenecks = "backbone.layer1.0.conv3.weight" in state
    return _RESNETS.get(((one, two, three, four), bottlenecks))
