"""Checkpoints that the five systems' own code wrote: where to get them, and what they call things.

- RAML: ``backbone.N.…``, ``pool.p``, ``whiten``.
- ROADMAP, HAPPIER: ``backbone.N.…`` (or timm's names), ``fc``.
- SupRank: as ROADMAP, ``pooling.p``; ``head.…`` is the same once more.
- Smooth-AP, PSS: ``model.…``, ``model.last_linear``; ``layer_blocks.…`` is the same once more,
  ``linear`` a classifier.
- Positive Proxy: ``backbone.…`` or ``features.N.…``, ``refactor``; ``fc`` are the proxies.

``N`` counts the children of torchvision's ResNet. All may stand behind ``module.``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lookalike.data import unpickle
from lookalike.errors import ModelError
from lookalike.models.networks import bn_inception

SUFFIXES = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".pkl")

_RAML = "http://ptak.felk.cvut.cz/personal/sumapave/public/{}.pth"
_BAIDU = "https://pan.baidu.com/s/{} (code {})"
# What papers call their weights → where they lie.
WHERE = {
    **{
        name: _RAML.format(name)
        for data in ("cub", "cars", "sop")
        for name in (
            f"{data}-448r-resnet50-512-gem-w",
            f"{data}-224r-resnet50-512-gem-w",
            f"{data}-S224r-T448r-resnet50-512-gem-w",
        )
    },
    "pp/car_resnet50": _BAIDU.format("1buUyFR5bShLcvVkmnB5kEA", "4ahv"),
    "pp/car_inception": _BAIDU.format("1CBuOIOXmf_L8kUbIIhuLhw", "w66g"),
    "pp/car_googlenet": _BAIDU.format("1O2l49xOKiAmCP3kPq81npA", "i3tz"),
    "pp/cub_resnet50": _BAIDU.format("11xIyDFbUdjpgMJbXVsZbPw", "ek5w"),
    "pp/cub_inception": _BAIDU.format("1Qo9Ax-9HDrkMn0wewvIUOw", "48qr"),
    "pp/cub_googlenet": _BAIDU.format("1N4e9VcF72T4TQqmciPqWGw", "s4uv"),
    "dino_vitbase16_pretrain": (
        "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth,"
        " or take model=vit_base_patch16_224.dino"
    ),
    "bn_inception-52deb4733": f"{bn_inception.WEIGHTS}, or take model=bn_inception",
}

_RESNET_CHILDREN = {"0": "conv1", "1": "bn1", **{str(n + 3): f"layer{n}" for n in range(1, 5)}}
_HEADS = {"whiten": "head", "refactor": "head", "fc": "head", "model.last_linear": "head"}
_POOLS = {"pool.p": "pool.p", "pooling.p": "pool.p"}
_NETWORKS = ("backbone.", "features.", "model.")
# Where checkpoints keep the network: RAML, Smooth-AP; ROADMAP and its kin; others.
_PLACES = ("state_dict", "net_state", "model_state", "model", "net")


def refuse_a_bare_name(name: str, option: str = "model.weights") -> None:
    """Say where published weights are to be had, if this is their name and no file.

    Args:
        name: what was given.
        option: as what, for the message.

    Raises:
        ModelError: it is.
    """
    if name.removesuffix(".pth") in WHERE:
        where = WHERE[name.removesuffix(".pth")]
        raise ModelError(
            f"{option}={name}: published weights, but no file here. Get them from {where};"
            " then give the file's path."
        )


def read(path: str | Path) -> dict[str, Tensor]:
    """A published checkpoint under this project's names.

    Nothing in the file is run: it is read by PyTorch's weights-only unpickler or, where the
    checkpoint holds its authors' settings too, by one that leaves those out.

    Args:
        path: what their code saved: a state, or a checkpoint that holds one.

    Returns:
        Names as in `lookalike.models.Embedder`: ``backbone.…``, ``pool.p``, ``head.…``.

    Raises:
        DataError: no such file, or a damaged one.
        ModelError: it holds no network's state.
    """
    return own_names(read_raw(path)[0])


def read_raw(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint's state under its own names, and what it says of the network (RAML's meta)."""
    content = unpickle.load_checkpoint(path)
    state = _state(content)
    if not state:
        raise ModelError(f"{path}: holds no state of a network.")
    meta = content.get("meta")
    return state, dict(meta) if isinstance(meta, Mapping) else {}


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of one of the five systems under this project's names.

    >>> state = {"features.4.0.conv1.weight": torch.ones(1), "whiten.bias": torch.ones(2)}
    >>> list(own_names(state))
    ['backbone.layer1.0.conv1.weight', 'head.bias']
    """
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    unused = [_unused(state, key) for key in state]
    kept = {k: v for (k, v), out in zip(state.items(), unused, strict=True) if not out}
    named = {_own_name(key): tensor for key, tensor in kept.items()}
    if any("conv1_7x7_s2" in key for key in named):
        network = {
            key.removeprefix("backbone."): tensor
            for key, tensor in named.items()
            if key.startswith("backbone.")
        }
        rest = {k: v for k, v in named.items() if not k.startswith("backbone.")}
        return {f"backbone.{k}": v for k, v in bn_inception.own_names(network).items()} | rest
    return named


def _state(content: Any) -> dict[str, Tensor]:
    """The state inside a checkpoint; empty where there is none."""
    if not isinstance(content, Mapping):
        return {}
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if len(tensors) == len(content):
        return tensors
    return next((_state(content[place]) for place in _PLACES if place in content), {})


def _unused(state: Mapping[str, Tensor], key: str) -> bool:
    """Proxies and classifiers, and what stands there twice."""
    if key.startswith("fc."):
        return "refactor.weight" in state  # the proxies of Positive Proxy
    if key.startswith("head."):
        return any(k.startswith(("fc.", "pooling.", "backbone.")) for k in state)
    return key.startswith(("layer_blocks.", "linear."))


def _own_name(key: str) -> str:
    if key in _POOLS:
        return _POOLS[key]
    for theirs, ours in _HEADS.items():
        if re.fullmatch(rf"{re.escape(theirs)}\.(weight|bias)", key):
            return key.replace(theirs, ours, 1)
    for prefix in _NETWORKS:
        if key.startswith(prefix):
            child, _, rest = key.removeprefix(prefix).partition(".")
            return f"backbone.{_RESNET_CHILDREN.get(child, child)}.{rest}".rstrip(".")
    return f"backbone.{key}"  # a network alone, as DINO's


def complete(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With the counters of batch norm that old checkpoints do not have; they weigh nothing."""
    counters = [k for k in own if k.endswith("num_batches_tracked") and k not in state]
    return state | {key: torch.zeros_like(own[key]) for key in counters}
