"""What happens to a decoded image before the model sees it, on uint8, seeded per image.

Pixels stay uint8 from file to device: a quarter of the bytes, and normalisation lives in the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2

from lookalike.data.decode import MAX_PIXELS
from lookalike.data.jitter import ColorJitter
from lookalike.data.steps import CheckedStep, named_step
from lookalike.errors import ConfigError, DataError, counted, suggest

Size = int | tuple[int, int]


class Transform:
    """Steps from uint8 ``(3, H, W)`` to uint8 of one size; calling it with a seed fixes every draw.

    Attributes:
        steps: torchvision v2 transforms, or any callables from tensor to tensor that draw from
            torch's default generator.
        description: the call that makes this transform; equal descriptions give equal images.

    Example:
        >>> picture = torch.zeros(3, 40, 50, dtype=torch.uint8)
        >>> train(32)(picture, seed=1).shape
        torch.Size([3, 32, 32])
    """

    def __init__(self, steps: Sequence[Callable[[Tensor], Tensor]], description: str) -> None:
        self.steps = list(steps)
        self.description = description

    def __call__(self, picture: Tensor, seed: int | None = None) -> Tensor:
        """The transformed image; with a seed the global generator is left as it was."""
        if seed is None:
            return self._apply(picture)
        generator = torch.default_generator
        before = generator.get_state()
        generator.manual_seed(seed)
        try:
            return self._apply(picture)
        finally:
            generator.set_state(before)

    def _apply(self, picture: Tensor) -> Tensor:
        for step in self.steps:
            picture = step(picture)
        return picture.contiguous()

    def __repr__(self) -> str:
        return self.description


def train(
    size: Size = 224,
    *,
    scale: tuple[float, float] | None = (0.16, 1.0),
    ratio: tuple[float, float] = (0.75, 1.33),
    resize: Size | None = None,
    flip: float = 0.5,
    rotation: float = 0.0,
    jitter: tuple[float, float, float, float] | None = None,
    grey: float = 0.0,
    blur: float = 0.0,
    fill: int = 0,
    interpolation: str = "bilinear",
    extra: Sequence[Any] = (),
) -> Transform:
    """Random crop, flip and more: the view of an image that training sees.

    The defaults are those of ROADMAP, HAPPIER and SupRank; torchvision's own crop has
    ``scale=(0.08, 1), ratio=(3/4, 4/3)``, as RAML and Smooth-AP use it.

    Args:
        size: side of the result in pixels, or ``(height, width)``.
        scale: share of the area that the crop keeps. None: no rescaling crop; with ``resize`` a
            crop of ``size`` at a random place (as NormSoftmax does), else the whole image,
            squeezed to ``size``.
        ratio: width over height of the crop.
        resize: before the crop, shorter side to this many pixels (or to ``(height, width)``).
        flip: probability of a left-right flip.
        rotation: turn by up to ± this many degrees, after the crop.
        jitter: brightness, contrast, saturation, hue, as in torchvision's ``ColorJitter``.
        grey: probability of losing all colour.
        blur: probability of a Gaussian blur with σ from 0.1 to 2 pixels.
        fill: grey value of corners that a rotation uncovers.
        interpolation: ``"bilinear"``, ``"bicubic"``, ``"lanczos"`` or ``"nearest"``.
        extra: further steps on the uint8 tensor, after all others: callables, or
            ``{"name": …, **arguments}`` of one of torchvision's v2 transforms or of your own by
            import path, see `lookalike.data.steps.named_step`.

    Raises:
        ConfigError: for a size, probability or range that cannot be, or an unknown step.

    Example:
        ``lookalike train 'transform.train.extra=[{name: rand_augment, num_ops: 2}]'``
    """
    described = _describe("train", locals())
    _check_ranges(scale=scale, ratio=ratio)
    _check_probabilities(flip=flip, grey=grey, blur=blur)
    side = _pair(size, "size")
    steps: list[Any] = [] if resize is None else [_resize(resize, interpolation)]
    if scale is None and resize is None:
        steps.append(_resize(side, interpolation))
    elif scale is None:
        _check_crop(side, resize)
        steps.append(v2.RandomCrop(side))
    else:
        steps.append(RandomResizedCrop(side, (*scale,), (*ratio,), interpolation))
    if flip:
        steps.append(v2.RandomHorizontalFlip(flip))
    if rotation:
        steps.append(
            v2.RandomRotation([-rotation, rotation], InterpolationMode.BILINEAR, fill=fill)
        )
    if jitter is not None:
        steps.append(ColorJitter(*jitter))
    if grey:
        steps.append(v2.RandomGrayscale(grey))
    if blur:
        kernel = max(3, int(0.1 * max(side)) // 2 * 2 + 1)
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], blur))
    added = [named_step(node, option=f"transform.train.extra[{i}]") for i, node in enumerate(extra)]
    names = [node.get("name") if isinstance(node, Mapping) else repr(node) for node in extra]
    steps += [CheckedStep(step, str(name)) for step, name in zip(added, names, strict=True)]
    return Transform(steps, described)


def evaluation(
    size: Size = 224,
    *,
    resize: Size | None = None,
    crop: bool = True,
    interpolation: str = "bilinear",
    rounding: Literal["down", "nearest"] = "down",
) -> Transform:
    """Resize and centre crop: the one view of an image that evaluation and search see.

    Args:
        size: side of the result in pixels, or ``(height, width)``.
        resize: shorter side before the crop, in pixels, or ``(height, width)``; by default 8/7 of
            the size (256 for 224), which ``rounding="nearest"`` does not round.
        crop: False: squeeze the whole image to ``size``.
        interpolation: ``"bilinear"``, ``"bicubic"``, ``"lanczos"`` or ``"nearest"``.
        rounding: how the longer side becomes a whole number of pixels: ``"down"`` as torchvision,
            ``"nearest"`` as RAML.

    Raises:
        ConfigError: for a size that cannot be, or a crop larger than the resized image.
    """
    described = _describe("evaluation", locals())
    side = _pair(size, "size")
    if not crop:
        if resize is not None or rounding != "down":
            name = "resize" if resize is not None else "rounding"
            raise ConfigError(f"transform.{name}: has no effect with crop=false; drop one of them")
        return Transform([_resize(side, interpolation)], described)
    if resize is None:
        exact = max(side) * 8 / 7
        step = ResizeShorter(
            exact if rounding == "nearest" else round(exact), interpolation, rounding
        )
    else:
        _check_crop(side, resize)
        step = _resize(resize, interpolation, rounding)
    return Transform([step, v2.CenterCrop(side)], described)


def build_transform(kind: Literal["train", "evaluation"], **options: Any) -> Transform:
    """`train` or `evaluation` by name, with its options."""
    makers: dict[str, Callable[..., Transform]] = {"train": train, "evaluation": evaluation}
    if kind not in makers:
        raise ConfigError(f"transform: no kind '{kind}'. {suggest(kind, makers)}")
    return makers[kind](**options)


def picture_seed(seed: int, epoch: int, index: int, draw: int = 0) -> int:
    """Seed of one view: the ``draw``-th time image ``index`` comes up in an epoch of a run."""
    numbers = f"{seed}/{epoch}/{index}/{draw}".encode()
    return int.from_bytes(hashlib.blake2b(numbers, digest_size=8).digest(), "big") >> 1


class ResizeShorter(nn.Module):
    """Scale so that the shorter side has ``size`` pixels, or to ``(height, width)``."""

    def __init__(
        self, size: float | tuple[int, int], interpolation: str, rounding: str = "down"
    ) -> None:
        super().__init__()
        if rounding not in ("down", "nearest"):
            raise ConfigError(f"transform.rounding: '{rounding}'; give 'down' or 'nearest'")
        self.size, self.interpolation, self.rounding = size, interpolation, rounding
        self.mode = _mode(interpolation, ("bilinear", "bicubic", "lanczos", "nearest"))

    def forward(self, picture: Tensor) -> Tensor:
        """uint8 ``(3, H, W)`` at the new size."""
        height, width = self.target(*picture.shape[-2:])
        if self.interpolation == "lanczos":
            return _resize_by_pillow(picture, height, width, Image.Resampling.LANCZOS)
        return v2.functional.resize(picture, [height, width], self.mode, antialias=True)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize.

        Raises:
            DataError: an image so thin that it would grow beyond what is read at all.
        """
        if isinstance(self.size, tuple):
            return self.size
        shorter = self.size if self.rounding == "nearest" else int(self.size)
        longer = shorter * max(height, width) / min(height, width)
        if shorter * longer > MAX_PIXELS:
            raise DataError(
                f"an image of {width:,} × {height:,} pixels would have {shorter * longer:,.0f} "
                f"when its shorter side is resized to {shorter:g}; cut it, or leave it out"
            )
        if self.rounding == "nearest":
            factor = self.size / min(height, width)
            return round(factor * height), round(factor * width)
        short, long = int(shorter), int(longer)
        return (short, long) if height <= width else (long, short)


class RandomResizedCrop(nn.Module):
    """torchvision's crop of the same name, draw for draw, at a third of its cost in Python."""

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        interpolation: str,
    ) -> None:
        super().__init__()
        self.size, self.scale, self.ratio = size, scale, ratio
        self.mode = _mode(interpolation, ("bilinear", "bicubic", "nearest"))

    def forward(self, picture: Tensor) -> Tensor:
        """uint8 ``(3, H, W)`` at the new size."""
        top, left, height, width = self.draw(*picture.shape[-2:])
        crop = picture[:, top : top + height, left : left + width]
        return v2.functional.resize_image(crop, [*self.size], self.mode, antialias=True)

    def draw(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of a crop: ten tries, then the largest in the middle."""
        low, high = (math.log(r) for r in self.ratio)
        for _ in range(10):
            area = height * width * _uniform(*self.scale)
            ratio = math.exp(_uniform(low, high))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = int(torch.randint(0, height - h + 1, (1,)))
                left = int(torch.randint(0, width - w + 1, (1,)))
                return top, left, h, w
        w, h = width, height
        if width / height < self.ratio[0]:
            h = round(width / self.ratio[0])
        elif width / height > self.ratio[1]:
            w = round(height * self.ratio[1])
        return (height - h) // 2, (width - w) // 2, h, w


def _uniform(low: float, high: float) -> float:
    return torch.empty(1).uniform_(low, high).item()


def _resize(size: Size, interpolation: str, rounding: str = "down") -> ResizeShorter:
    checked = _pair(size, "resize")
    return ResizeShorter(size if isinstance(size, int) else checked, interpolation, rounding)


def _resize_by_pillow(picture: Tensor, height: int, width: int, mode: Image.Resampling) -> Tensor:
    # torchvision's Lanczos is young and up to two grey levels off Pillow's.
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    resized = np.array(image.resize((width, height), mode))
    return torch.from_numpy(resized).permute(2, 0, 1)


def _check_probabilities(**probabilities: float) -> None:
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"transform.{name}: {value} is not a probability; give 0 … 1")


def _check_ranges(**ranges: Sequence[float] | None) -> None:
    for name, pair in ranges.items():
        if pair is not None and not (len(pair) == 2 and 0 < pair[0] <= pair[1]):
            raise ConfigError(f"transform.{name}: {pair} must be two rising numbers above 0")


def _mode(interpolation: str, known: tuple[str, ...]) -> InterpolationMode:
    if interpolation not in known:
        raise ConfigError(
            f"transform.interpolation: '{interpolation}' is not possible here."
            f" {suggest(interpolation, known)}"
        )
    return InterpolationMode(interpolation)


def _check_crop(side: tuple[int, int], resize: Any) -> None:
    if any(whole < part for whole, part in zip(_pair(resize, "resize"), side, strict=True)):
        raise ConfigError(
            f"transform.resize: {resize} is smaller than the crop of {counted(max(side), 'pixel')}"
        )


def _pair(size: Any, name: str) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(s, int) and s > 0 for s in pair):
        raise ConfigError(f"transform.{name}: {size!r} must be pixels above 0, or (height, width)")
    return pair


def _describe(name: str, options: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})"
