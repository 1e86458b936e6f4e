"""Batch normalisations folded into the convolutions before them: fewer passes over the memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CLOSE = 1e-4  # of the largest number of the output: float32 in another order


def folded(network: nn.Module, pictures: Tensor) -> nn.Module:
    """The same function with fewer steps, for a network that will not be trained any more.

    A normalisation y = γ (x − μ) / √(σ² + ε) + β after a convolution x = w ∗ p + b is the
    convolution with w γ / √(σ² + ε) and (b − μ) γ / √(σ² + ε) + β. Which convolution comes before
    which normalisation is seen in a run, and the result is held to the network's own on it.

    Args:
        network: in evaluation mode; it is left as it is.
        pictures: float32 ``(B, 3, H, W)``, as the network is given them.

    Returns:
        A folded copy; the network itself where there is nothing to fold, or where what a
        convolution gives is used by something else too.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> folded(net, torch.rand(1, 3, 8, 8))
        Sequential(
          (0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    pairs, output = _pairs(network, pictures)
    if not pairs:
        return network
    result = copy.deepcopy(network)
    for before, after in pairs:
        conv, norm = result.get_submodule(before), result.get_submodule(after)
        _put(result, before, fuse_conv_bn_eval(conv, norm))  # pyright: ignore[reportArgumentType]
        _put(result, after, nn.Identity())
    with torch.no_grad():
        same = torch.allclose(
            result(pictures), output, rtol=0, atol=_CLOSE * float(output.abs().max())
        )
    return result if same else network


def _pairs(network: nn.Module, pictures: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """Names of convolution and normalisation that follow each other, each used once; the output."""
    given: dict[int, tuple[str, Tensor]] = {}  # the tensors are kept, so that no number comes again
    pairs, used, hooks = [], [], []

    def watch(name: str, module: nn.Module) -> None:
        def gave(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            used.append(name)
            if isinstance(module, nn.Conv2d):
                given[id(output)] = name, output
            elif id(inputs[0]) in given:
                pairs.append((given[id(inputs[0])][0], name))

        hooks.append(module.register_forward_hook(gave))

    for name, module in network.named_modules():
        if type(module) in (nn.Conv2d, nn.BatchNorm2d):
            watch(name, module)
    try:
        with torch.no_grad():
            output = network(pictures)
    finally:
        for hook in hooks:
            hook.remove()
    once = [pair for pair in pairs if all(used.count(name) == 1 for name in pair)]
    return once, output


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
