"""A backbone of your own, and a step of augmentation: both by import path.

cd examples && lookalike train dataset=toy model=own_network.Patches model.pretrained=false \
    'transform.train.extra=[{name: own_network.hide, share: 0.3}]'
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Patches(nn.Module):
    """Patches, mixed over channels and places by turns (after Tolstikhin et al., MLP-Mixer, 2021).

    Args:
        width: channels.
        depth: blocks.
        patch: side of a patch in pixels.
    """

    mean = (0.5, 0.5, 0.5)  # of RGB in 0 … 1, without which ImageNet's is taken
    std = (0.5, 0.5, 0.5)

    def __init__(self, width: int = 64, depth: int = 4, patch: int = 8) -> None:
        super().__init__()
        self.num_features = width  # what pooling and head have to know
        self.stem = nn.Conv2d(3, width, patch, patch)
        self.places = nn.ModuleList(
            nn.Conv2d(width, width, 5, padding=2, groups=width) for _ in range(depth)
        )
        self.channels = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to a map ``(B, width, H / patch, W / patch)``."""
        x = self.stem(x)
        for places, channels, norm in zip(self.places, self.channels, self.norms, strict=True):
            x = x + channels(nn.functional.gelu(places(norm(x))))
        return x


def hide(share: float = 0.25) -> Callable[[Tensor], Tensor]:
    """A step that paints a square of the picture grey, at a random place."""

    def step(picture: Tensor) -> Tensor:
        height, width = picture.shape[1:]
        side = max(1, int(share * min(height, width)))
        top = int(torch.randint(0, height - side + 1, (1,)))
        left = int(torch.randint(0, width - side + 1, (1,)))
        hidden = picture.clone()
        hidden[:, top : top + side, left : left + side] = 128
        return hidden

    return step
