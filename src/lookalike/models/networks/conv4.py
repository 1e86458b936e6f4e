"""Four blocks of convolution, for small drawings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


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
