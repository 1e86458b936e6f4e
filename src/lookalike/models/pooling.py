"""From a feature map to one vector: mean, maximum, both, generalised mean, regional maxima."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.errors import ConfigError, suggest
from lookalike.models.precision import at_least_float32


class GeM(nn.Module):
    """Generalised mean: ``(mean over places of max(x, eps)^p)^(1/p)``, p learned.

    Radenović, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation (2018), eq. 5.
    p = 1 is the mean, p → ∞ the maximum.

    Args:
        p: where the exponent starts.
        channels: give each channel its own exponent (the original's ``gemmp``); None: one for all.
        eps: floor under the activations, which keeps the power and its gradient finite.

    >>> GeM()(torch.ones(2, 8, 7, 7)).shape
    torch.Size([2, 8])
    """

    def __init__(self, p: float = 3.0, channels: int | None = None, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((channels or 1,), float(p)))
        self.channels = channels
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` → ``(B, C)``."""
        x = at_least_float32(x)
        p = self.p.to(x.dtype).view(1, -1, 1, 1)
        mean = x.clamp(min=self.eps).pow(p).mean(dim=(2, 3))
        return mean.pow(1.0 / p.flatten())

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        return f"channels={self.channels}, eps={self.eps}"


class Mean(nn.Module):
    """The mean over places (SPoC)."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` → ``(B, C)``."""
        return x.mean(dim=(2, 3))


class Max(nn.Module):
    """The maximum over places (MAC)."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` → ``(B, C)``."""
        return x.amax(dim=(2, 3))


class MeanMax(nn.Module):
    """Mean plus maximum over places, as Proxy-Anchor's networks pool."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` → ``(B, C)``."""
        return x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))


class RMAC(nn.Module):
    """Regional maxima, each L2-normalised, summed (Tolias, Sicre, Jégou 2016).

    Args:
        levels: scales of square regions; level l has regions of side 2·min(H, W)/(l+1).
        overlap: wanted overlap of neighbouring regions along the longer side.
        eps: floor under a region's norm.
    """

    def __init__(self, levels: int = 3, overlap: float = 0.4, eps: float = 1e-6) -> None:
        super().__init__()
        self.levels = levels
        self.overlap = overlap
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` → ``(B, C)``."""
        total = self._region(x)
        height, width = x.shape[2:]
        side = min(height, width)
        extra_h, extra_w = _extra_steps(height, width, self.overlap)
        for level in range(1, self.levels + 1):
            region = 2 * side // (level + 1)
            if region == 0:
                continue
            half = region // 2 - 1
            for top in _starts(level + extra_h, height, region, half):
                for left in _starts(level + extra_w, width, region, half):
                    total = total + self._region(x[:, :, top : top + region, left : left + region])
        return total

    def _region(self, x: Tensor) -> Tensor:
        vector = x.amax(dim=(2, 3))
        return vector / (vector.norm(dim=1, keepdim=True) + self.eps)


def _extra_steps(height: int, width: int, overlap: float) -> tuple[int, int]:
    """How many regions more the longer side gets, so that neighbours overlap as wanted."""
    side, longer = min(height, width), max(height, width)
    if side == longer:
        return 0, 0
    best = min(
        range(2, 8),
        key=lambda n: abs((side**2 - side * (longer - side) / (n - 1)) / side**2 - overlap),
    )
    return (best - 1, 0) if height > width else (0, best - 1)


def _starts(count: int, length: int, region: int, half: int) -> list[int]:
    step = 0.0 if count == 1 else (length - region) / (count - 1)
    return [math.floor(half + i * step) - half for i in range(count)]


class Token(nn.Module):
    """The class token of a transformer, which its feature maps carry first."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` → ``(B, C)``."""
        return x[:, 0]


WORDS = {
    "avg": "mean over all places",
    "spoc": "another name of avg",
    "max": "maximum over all places",
    "mac": "another name of max",
    "avgmax": "sum of mean and maximum",
    "gem": "generalised mean with a learned exponent",
    "gemmp": "generalised mean with a learned exponent a channel",
    "rmac": "sum of the maxima of regions",
    "token": "class token of a transformer",
}
POOLS = tuple(WORDS)


def create_pool(name: str, channels: int) -> nn.Module:
    """The pooling of that name: avg|spoc, max|mac, avgmax, gem, gemmp, rmac, token.

    Args:
        name: which.
        channels: width of the feature map; only ``gemmp`` (one exponent a channel) needs it.

    Raises:
        ConfigError: no such pooling.

    >>> create_pool("gemmp", 8).p.shape
    torch.Size([8])
    """
    match name:
        case "avg" | "spoc":
            return Mean()
        case "max" | "mac":
            return Max()
        case "avgmax":
            return MeanMax()
        case "gem":
            return GeM()
        case "gemmp":
            return GeM(channels=channels)
        case "rmac":
            return RMAC()
        case "token":
            return Token()
    raise ConfigError(f"model.pool={name}: there is no such pooling. {suggest(name, POOLS)}")


def l2_normalize(x: Tensor) -> Tensor:
    """Rows of unit length, in float32 or better."""
    x = at_least_float32(x)
    return F.normalize(x, dim=1)
