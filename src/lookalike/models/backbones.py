"""Backbones: every timm model by name, and a small one of our own for small pictures."""

from __future__ import annotations

import difflib
import socket
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lookalike.errors import ConfigError, ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A network that turns pictures into a feature map, and what is known of it."""

    network: nn.Module
    channels: int
    layout: str  # "NCHW", "NHWC" or "NLC" (tokens)
    prefix_tokens: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Conv4(nn.Sequential):
    """Four blocks of 3×3 convolution, batch norm, ReLU and 2×2 max pooling.

    The network of the few-shot literature (Vinyals et al. 2016), right for small drawings: 113
    thousand parameters at width 64. Growing widths spend less on the first, largest map.

    Args:
        width: channels of every block, or four numbers, one a block.
    """

    def __init__(self, width: int | Sequence[int] = 64) -> None:
        widths = [width] * 4 if isinstance(width, int) else list(width)
        if len(widths) != 4 or min(widths) < 1:
            raise ValueError(f"width={width!r}: give one number of channels, or four")
        blocks = []
        for before, after in zip([3, *widths], widths, strict=False):
            blocks += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        super().__init__(*blocks)
        self.num_features = widths[-1]

    def forward(self, input: Tensor) -> Tensor:
        """``(B, 3, H, W)`` → ``(B, channels, ⌈H/16⌉, ⌈W/16⌉)``."""
        return super().forward(input)


OWN = {"conv4": Conv4}


def create_backbone(name: str, *, pretrained: bool = True, **options: Any) -> Backbone:
    """Build a backbone by name.

    Args:
        name: ``conv4``, or any name timm knows (``resnet18``, ``vit_small_patch16_224.dino``, …).
        pretrained: with the weights its authors published.
        **options: handed to the backbone's constructor.

    Raises:
        ConfigError: no such backbone, or one that has no published weights.
        ModelError: the published weights cannot be reached.
    """
    if name in OWN:
        if pretrained:
            raise ConfigError(f"{name} has no published weights. Set model.pretrained=false.")
        try:
            network = OWN[name](**options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"model={name}: {error}.") from error
        return Backbone(network, network.num_features, "NCHW", 0, IMAGENET_MEAN, IMAGENET_STD)
    return _timm(name, pretrained, options)


def _timm(name: str, pretrained: bool, options: dict[str, Any]) -> Backbone:
    import timm

    if not timm.is_model(name.split(".")[0]):
        known = [*OWN, *timm.list_models()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them."
        raise ConfigError(f"model={name}: no such backbone. {hint}")
    arguments: dict[str, Any] = {"num_classes": 0, "global_pool": "", **options}
    try:
        network = timm.create_model(name, pretrained=False, **arguments)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise ConfigError(f"model={name}: timm cannot build it: {error}") from error
    if pretrained:
        network = _with_weights(name, arguments)
    settings: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    return Backbone(
        network=network,
        channels=_channels(network),
        layout=_layout(network),
        prefix_tokens=int(getattr(network, "num_prefix_tokens", 0)),
        mean=tuple(settings.get("mean", IMAGENET_MEAN)),
        std=tuple(settings.get("std", IMAGENET_STD)),
    )


def _channels(network: Any) -> int:
    # Some networks widen after the feature map (mobilenetv3), and say so under this name.
    return int(getattr(network, "head_hidden_size", None) or network.num_features)


def _with_weights(name: str, arguments: dict[str, Any]) -> nn.Module:
    import timm

    try:
        _refuse_without_network(name)
        return timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # the hub raises whatever its HTTP library raises
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"The published weights of {name} cannot be reached "
            f"({type(error).__name__}: {reason}). Set model.pretrained=false to start from "
            "scratch, or model.weights=FILE."
        ) from error


def _refuse_without_network(name: str) -> None:
    """Fail at once where the hub's name cannot be resolved: its client would retry for a minute."""
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    settings = timm.get_pretrained_cfg(name)
    repository = getattr(settings, "hf_hub_id", None)
    if not repository or urllib.request.getproxies() or constants.HF_HUB_OFFLINE:
        return
    files = (constants.SAFETENSORS_SINGLE_FILE, constants.PYTORCH_WEIGHTS_NAME)
    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return
    socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)


def _layout(network: nn.Module) -> str:
    if getattr(network, "num_prefix_tokens", None) is not None:
        return "NLC"
    return str(getattr(network, "output_fmt", "NCHW"))


def feature_map(backbone: Backbone, features: Tensor, *, keep_tokens: bool) -> Tensor:
    """The features as ``(B, C, H, W)``; or as tokens ``(B, N, C)`` where the pooling wants them.

    Tokens without a grid become a map one place wide: mean and maximum do not care.
    """
    if features.dim() == 3:
        if keep_tokens:
            return features
        return features[:, backbone.prefix_tokens :].transpose(1, 2).unsqueeze(-1)
    if backbone.layout == "NHWC":
        return features.permute(0, 3, 1, 2)
    if features.dim() == 2:  # some timm heads pool whatever they are told
        return features[:, :, None, None]
    return features
