"""BN-Inception, the network of Proxy Anchor and its kin, which no library in use has kept."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

# The Caffe model's weights as `pretrainedmodels` published them; the name ends in their SHA-256.
WEIGHTS = "http://data.lip6.fr/cadene/pretrainedmodels/bn_inception-52deb4733.pth"


class _Widths(NamedTuple):
    """Channels of a block's four branches; no ``one`` and no ``pool``: a block of stride 2."""

    one: int
    three: tuple[int, int]  # reduced, out
    double: tuple[int, int]
    pool: int
    pooling: str = "avg"


# Ioffe and Szegedy 2015, figure 5, as trained in Caffe.
_BLOCKS = {
    "3a": _Widths(64, (64, 64), (64, 96), 32),
    "3b": _Widths(64, (64, 96), (64, 96), 64),
    "3c": _Widths(0, (128, 160), (64, 96), 0, "max"),
    "4a": _Widths(224, (64, 96), (96, 128), 128),
    "4b": _Widths(192, (96, 128), (96, 128), 128),
    "4c": _Widths(160, (128, 160), (128, 160), 128),
    "4d": _Widths(96, (128, 192), (160, 192), 128),
    "4e": _Widths(0, (128, 192), (192, 256), 0, "max"),
    "5a": _Widths(352, (192, 320), (160, 224), 128),
    "5b": _Widths(352, (192, 320), (192, 224), 128, "max"),
}


class BNInception(nn.Sequential):
    """BN-Inception up to its last feature map (Ioffe and Szegedy, Batch Normalization, ICML 2015).

    10.3 million parameters, 1,024 channels at a 32nd of the size. The published weights see blue
    before red, in 0 … 255, less a mean: the mean and scale below do that to RGB, and the network
    turns the channels round itself.

    Args:
        pretrained: with the published ImageNet weights.

    Raises:
        OSError: the weights cannot be reached.
    """

    num_features = 1024
    # Of RGB in 0 … 1, as everywhere: a scale of 1/255 leaves the values in 0 … 255.
    mean = (128 / 255, 117 / 255, 104 / 255)
    std = (1 / 255, 1 / 255, 1 / 255)

    def __init__(self, pretrained: bool = False) -> None:
        layers: dict[str, nn.Module] = {
            "conv1": _named("7x7_s2", _Conv(3, 64, 7, stride=2)),
            "pool1": _max_pool(stride=2),
            "conv2": nn.Sequential(
                OrderedDict({"3x3_reduce": _Conv(64, 64, 1), "3x3": _Conv(64, 192, 3)})
            ),
            "pool2": _max_pool(stride=2),
        }
        channels = 192
        for name, widths in _BLOCKS.items():
            block = _Block(channels, widths)
            layers[f"inception_{name}"] = block
            channels = block.channels
        super().__init__(OrderedDict(layers))
        if pretrained:
            state = torch.hub.load_state_dict_from_url(
                WEIGHTS, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
            self.load_state_dict(own_names(state), strict=True)

    def forward(self, input: Tensor) -> Tensor:
        """``(B, 3, H, W)`` in RGB → ``(B, 1024, H/32, W/32)``."""
        return super().forward(input.flip(1))


class _Conv(nn.Sequential):
    """Convolution with bias, batch norm, ReLU: the size stays, but for the stride."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)
        super().__init__(
            OrderedDict(conv=convolution, bn=nn.BatchNorm2d(after), relu=nn.ReLU(inplace=True))
        )


class _Block(nn.Module):
    """Up to four branches on one map, their outputs side by side."""

    def __init__(self, before: int, w: _Widths) -> None:
        super().__init__()
        stride = 1 if w.one else 2
        branches: dict[str, dict[str, nn.Module]] = {
            "three": {
                "3x3_reduce": _Conv(before, w.three[0], 1),
                "3x3": _Conv(w.three[0], w.three[1], 3, stride),
            },
            "double": {
                "double_3x3_reduce": _Conv(before, w.double[0], 1),
                "double_3x3_1": _Conv(w.double[0], w.double[1], 3),
                "double_3x3_2": _Conv(w.double[1], w.double[1], 3, stride),
            },
            "pool": {"pool": _max_pool(stride) if w.pooling == "max" else _mean_pool()},
        }
        if w.one:
            branches = {"one": {"1x1": _Conv(before, w.one, 1)}, **branches}
            branches["pool"]["pool_proj"] = _Conv(before, w.pool, 1)
        # The layers bear the published names; the branches are lists of those.
        self.branches = [list(branch) for branch in branches.values()]
        for branch in branches.values():
            for name, layer in branch.items():
                self.add_module(name, layer)
        self.channels = w.one + w.three[1] + w.double[1] + (w.pool or before)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for names in self.branches:
            y = x
            for name in names:
                y = self.get_submodule(name)(y)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


def _named(name: str, layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict({name: layer}))


def _max_pool(stride: int) -> nn.Module:
    # Caffe rounds sizes up, and pads only where the size is to stay.
    return nn.MaxPool2d(3, stride, padding=0 if stride == 2 else 1, ceil_mode=True)


def _mean_pool() -> nn.Module:
    return nn.AvgPool2d(3, 1, padding=1, ceil_mode=True, count_include_pad=True)


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published weights under this network's names, without the classifier.

    >>> list(own_names({"inception_3a_3x3_reduce_bn.weight": torch.ones(64)}))
    ['inception_3a.3x3_reduce.bn.weight', 'inception_3a.3x3_reduce.bn.num_batches_tracked']
    """
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"(conv\d|inception_\d\w)_(.+?)(_bn)?\.(\w+)", key)
        if match is None:  # last_linear
            continue
        layer, name, norm, kind = match.groups()
        place = f"{layer}.{name}.{'bn' if norm else 'conv'}"
        # Some copies keep a leading one from Caffe's shapes of the norms.
        found[f"{place}.{kind}"] = tensor.flatten() if norm and tensor.dim() > 1 else tensor
        if norm:  # younger than these weights
            found.setdefault(f"{place}.num_batches_tracked", torch.tensor(0))
    return found
