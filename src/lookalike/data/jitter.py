"""Random brightness, contrast, saturation and hue, in two passes over the pixels."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms import v2

_GREY = np.array([0.2989, 0.587, 0.114], np.float32)  # torchvision's weights of R, G and B
_PART = 16384  # pixels at a time: what is read next is still in the cache
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)  # as torchvision numbers them

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
    room = np.empty((10, min(_PART, count)), np.float32)
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
    """Turn the hue by so many sixths of the circle, at most one at a time.

    Value and saturation stay, and so do the largest and smallest of R, G and B, M and m. A turn by
    t sixths from red to green takes from R what G - B has beyond ±(1 - t)(M - m), and no channel
    leaves m … M; so for the other two in turn. (Where R is M or m, G - B says how far the hue is
    from red or its opposite; where R is neither, |G - B| = M - m, and R moves by t(M - m).)
    """
    turns = max(1, math.ceil(abs(sixths)))
    bound = np.float32(1 - abs(sixths) / turns)
    largest, smallest, most, least = room[:4]
    lead, kept = room[4:7], room[7:10]
    for _ in range(turns):
        r, g, b = x
        np.maximum(np.maximum(r, g, out=largest), b, out=largest)
        np.minimum(np.minimum(r, g, out=smallest), b, out=smallest)
        np.subtract(largest, smallest, out=most)
        most *= bound
        np.negative(most, out=least)
        for n, (before, after) in enumerate(((b, g), (r, b), (g, r))):
            if sixths < 0:
                before, after = after, before
            np.subtract(before, after, out=lead[n])
        np.minimum(lead, most, out=kept)
        np.maximum(kept, least, out=kept)
        x += lead
        x -= kept
        np.maximum(x, smallest, out=x)
        np.minimum(x, largest, out=x)
