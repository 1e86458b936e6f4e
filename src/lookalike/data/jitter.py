"""Random brightness, contrast, saturation and hue, in two passes over the pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms import v2

_GREY = np.array([0.2989, 0.587, 0.114], np.float32)  # torchvision's weights of R, G and B
_PART = 16384  # pixels at a time: what is read next is still in the cache
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)  # as torchvision numbers them
_SIXTHS = np.array([[3.0], [1.0], [-1.0]], np.float32)  # where R, G and B stand on the circle

Plane = NDArray[np.float32]
Strength = float | tuple[float, float]


class ColorJitter(nn.Module):
    """torchvision's transform of that name, draw for draw, at a quarter of its cost.

    All four steps are done on float32 and rounded to the nearest once; torchvision's own cuts off
    the fraction after each of them, and is up to 5 of 255 darker.

    Args:
        brightness: factors from 1 - brightness to 1 + brightness, or a pair.
        contrast: the same.
        saturation: the same.
        hue: turns from -hue to hue of the circle, at most 0.5, or a pair.

    >>> picture = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    >>> int(ColorJitter(brightness=(1.5, 1.5))(picture)[0, 0, 0])
    150
    """

    def __init__(
        self,
        brightness: Strength = 0,
        contrast: Strength = 0,
        saturation: Strength = 0,
        hue: Strength = 0,
    ) -> None:
        super().__init__()
        self.chance = v2.ColorJitter(brightness, contrast, saturation, hue)

    def forward(self, picture: Tensor) -> Tensor:
        """uint8 ``(3, H, W)``, of the same size.

        Draws from torch's default generator, as torchvision does.
        """
        drawn = self.chance.make_params([picture])
        factors = [drawn[f"{n}_factor"] for n in ("brightness", "contrast", "saturation", "hue")]
        order = [step for step in drawn["fn_idx"].tolist() if factors[step] is not None]
        return torch.from_numpy(jittered(picture.numpy(), order, factors))


def jittered(
    picture: NDArray[np.uint8], order: list[int], factors: list[float | None]
) -> NDArray[np.uint8]:
    """The steps of a jitter, in an order.

    Args:
        picture: ``(3, H, W)``.
        order: of the steps: 0 brightness, 1 contrast, 2 saturation, 3 hue; those left out are not
            done.
        factors: of each of the four, as torchvision's ``adjust_…`` take them.
    """
    pixels = picture.reshape(3, -1)
    count = pixels.shape[1]
    found = np.empty((3, count), np.uint8)
    whole = np.empty((3, count), np.float32)
    room = np.empty((11, min(_PART, count)), np.float32)
    # Contrast moves away from the mean of all pixels as they are by then: two passes.
    cut = order.index(_CONTRAST) if _CONTRAST in order else 0
    mean = 0.0
    for start in range(0, count, _PART):
        part = whole[:, start : start + _PART]
        part[...] = pixels[:, start : start + _PART]
        for step in order[:cut]:
            _step(part, step, factors[step], room)
        if _CONTRAST in order:
            mean += float((_GREY @ part).sum()) / count
    for start in range(0, count, _PART):
        part = whole[:, start : start + _PART]
        for step in order[cut:]:
            _step(part, step, factors[step], room, mean)
        part += np.float32(0.5)
        found[:, start : start + _PART] = part
    return found.reshape(picture.shape)


def _step(x: Plane, step: int, factor: float | None, room: Plane, mean: float = 0.0) -> None:
    """One step on ``(3, n)`` values 0 … 255, in place."""
    assert factor is not None
    if step == _HUE:
        _turn_hue(x, 6 * factor, room[:, : x.shape[1]])
        return
    towards: Plane | np.float32 = np.float32(0)
    if step == _SATURATION:
        towards = _GREY @ x * np.float32(1 - factor)
    elif step == _CONTRAST:
        towards = np.float32((1 - factor) * mean)
    x *= np.float32(factor)
    if step != _BRIGHTNESS:
        x += towards
    np.clip(x, 0, 255, out=x)


def _turn_hue(x: Plane, sixths: float, room: Plane) -> None:
    """Turn the hue by so many sixths of the circle; value and saturation stay.

    With M, m the largest and smallest of R, G, B, c = M - m, and h the hue in sixths, a channel at
    n sixths is M - min(max(2c - |c (h - n)|, 0), c), the difference taken around the circle. All is
    kept multiplied by c, so nothing is divided.
    """
    r, g, b = x
    largest, smallest, c, hue, other = room[:5]
    at, again = room[5:8], room[8:11]
    np.maximum(np.maximum(r, g, out=largest), b, out=largest)
    np.minimum(np.minimum(r, g, out=smallest), b, out=smallest)
    np.subtract(largest, smallest, out=c)
    np.multiply(c, 4, out=other)
    np.subtract(r, g, out=hue)
    hue += other
    np.subtract(b, r, out=other)
    other += c
    other += c
    other -= hue
    other *= largest == g  # three times as fast as copying under a mask
    hue += other
    np.subtract(g, b, out=other)
    other -= hue
    other *= largest == r
    hue += other
    turned = sixths if abs(sixths) <= 1 else sixths % 6
    np.multiply(c, np.float32(turned), out=other)
    hue += other
    np.multiply(c, _SIXTHS, out=at)
    at += hue  # between -3c and 9c, or up to 15c for a large turn
    np.multiply(c, 6, out=other)
    np.subtract(at, other, out=again)
    np.abs(again, out=again)
    if turned > 1:
        np.minimum(again, np.abs(at - 2 * other), out=again)
    np.abs(at, out=at)
    np.minimum(at, again, out=at)
    np.add(c, c, out=other)
    np.subtract(other, at, out=at)
    np.clip(at, 0, np.inf, out=at)
    np.minimum(at, c, out=at)
    np.subtract(largest, at, out=x)
