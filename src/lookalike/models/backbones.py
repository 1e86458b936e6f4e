"""Backbones: every timm model by name, some that timm lacks, and your own by import path."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn

from lookalike import components
from lookalike.errors import ConfigError, ModelError
from lookalike.models.networks.bn_inception import BNInception
from lookalike.models.networks.conv4 import Conv4
from lookalike.models.networks.google_net import GoogLeNet
from lookalike.models.networks.plain_deit import deit_base_distilled, deit_small_distilled
from lookalike.models.networks.vectors import Vectors
from lookalike.models.pretrained import WeightsFile, load_backbone
from lookalike.models.timm_weights import create_with_weights, settings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Networks that timm does not have.
OWN: dict[str, Callable[..., nn.Module]] = {
    "conv4": Conv4,
    "bn_inception": BNInception,
    "googlenet": GoogLeNet,
    "vectors": Vectors,
    "deit_small_distilled": deit_small_distilled,
    "deit_base_distilled": deit_base_distilled,
}


@dataclass(frozen=True)
class Backbone:
    """A network that turns images into a feature map, and what is known of it."""

    network: nn.Module
    channels: int
    layout: str  # "NCHW", "NHWC" or "NLC" (tokens)
    prefix_tokens: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: WeightsFile | None = None  # the file that its first weights came from


def create_backbone(name: str, /, *, pretrained: bool | str = True, **options: Any) -> Backbone:
    """Build a backbone by name.

    A network of your own is an ``nn.Module`` that gives a map ``(B, C, H, W)`` or tokens
    ``(B, N, C)`` and says C as ``num_features``. It may also say ``mean`` and ``std`` (of RGB in
    0 … 1, by default ImageNet's) and ``num_prefix_tokens``; where its constructor takes
    ``pretrained``, it is handed over.

    Args:
        name: a name of `OWN` (``conv4``, ``googlenet``, ``bn_inception``,
            ``deit_small_distilled``, …), any name timm knows (``resnet50``,
            ``vit_base_patch16_224.dino``, …), or the import path of a network of your own.
        pretrained: with the weights its authors published; or a file that holds some, see
            `lookalike.models.pretrained.load_backbone`.
        **options: handed to the backbone's constructor.

    Raises:
        ConfigError: no such backbone, options it refuses, or one without published weights.
        ModelError: the published weights cannot be reached, or a file does not fit.
    """
    import timm

    if isinstance(pretrained, str):
        return _from_file(name, pretrained, options)
    if name in OWN:
        maker = OWN[name]
    elif timm.is_model(name.split(".")[0]):
        return _timm(name, pretrained, options)
    elif "." in name:
        maker = components.imported(name, option="model")
    else:
        known = [*OWN, *timm.list_models()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them."
        raise ConfigError(f"model={name}: no such backbone. {hint}")
    if pretrained and "pretrained" not in inspect.signature(maker).parameters:
        raise ConfigError(f"{name} has no published weights. Set model.pretrained=false.")
    network = _built(name, lambda: maker(**options))
    if not isinstance(network, nn.Module) or not hasattr(network, "num_features"):
        raise ConfigError(f"model={name}: a backbone is an nn.Module with num_features.")
    if pretrained:
        network = _with_weights(name, lambda: maker(pretrained=True, **options))
    return _about(network)


def for_images_of(name: str, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a backbone that is to be given images of a side, in pixels.

    Networks of timm with a place a patch, such as ViT and Swin, take images of one size; it is told
    to them where it is another than their own. All others take what comes.

    >>> for_images_of("vit_tiny_patch16_224", 48, {}), for_images_of("resnet18", 48, {})
    ({'img_size': 48}, {})
    """
    import timm

    known = {"img_size", "dynamic_img_size"} & options.keys()
    if known or name in OWN or not timm.is_model(name.split(".")[0]):
        return dict(options)
    about = settings(name, options)
    own = about.get("input_size", (3, size, size))[-1]
    fixed = about.get("fixed_input_size") and own != size
    return {**options, "img_size": size} if fixed else dict(options)


def _from_file(name: str, file: str, options: dict[str, Any]) -> Backbone:
    """A backbone with a file's weights, which may be those of images of another size."""
    built = create_backbone(name, pretrained=False, **options)
    size = options.get("img_size")
    try:
        return replace(built, weights=load_backbone(built.network, file, name))
    except ModelError:
        if size is None or not hasattr(built.network, "set_input_size"):
            raise
    others = {key: value for key, value in options.items() if key != "img_size"}
    built = create_backbone(name, pretrained=False, **others)
    weights = load_backbone(built.network, file, name)
    cast("Any", built.network).set_input_size(img_size=size)
    return replace(built, weights=weights)


def _timm(name: str, pretrained: bool, options: dict[str, Any]) -> Backbone:
    import timm

    arguments: dict[str, Any] = {"num_classes": 0, "global_pool": "", **options}
    network = _built(name, lambda: timm.create_model(name, pretrained=False, **arguments))
    if pretrained:
        network = _with_weights(name, lambda: create_with_weights(name, arguments))
    return _about(network)


def _built(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise ConfigError(f"model={name}: cannot be built: {error}.") from error


def _with_weights(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except Exception as error:  # the hub raises whatever its HTTP library raises
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"The published weights of {name} cannot be reached "
            f"({type(error).__name__}: {reason}). Three ways without a network: name a file that "
            "holds them, model.pretrained=FILE (.safetensors or .pth); copy the cache of the "
            "Hugging Face hub from a machine that has them ($HF_HOME, by default "
            "~/.cache/huggingface); or start from scratch with model.pretrained=false."
        ) from error


def _about(network: Any) -> Backbone:
    settings: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    return Backbone(
        network=network,
        # Some networks widen after the feature map (mobilenetv3), and say so under this name.
        channels=int(getattr(network, "head_hidden_size", None) or network.num_features),
        layout=_layout(network),
        prefix_tokens=int(getattr(network, "num_prefix_tokens", 0)),
        mean=tuple(getattr(network, "mean", None) or settings.get("mean", IMAGENET_MEAN)),
        std=tuple(getattr(network, "std", None) or settings.get("std", IMAGENET_STD)),
    )


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
