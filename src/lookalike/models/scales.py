"""One vector of an image from several sizes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional as F

from lookalike.errors import ConfigError
from lookalike.models.pooling import l2_normalize


def check_scales(scales: Sequence[float]) -> None:
    """Refuse what are no scales.

    Raises:
        ConfigError: none, or one that is not positive.
    """
    if not len(scales) or min(scales) <= 0:
        raise ConfigError(f"scales={list(scales)}: give positive factors, such as [1, 0.707, 0.5]")


def multi_scale(
    describe: Callable[[Tensor], Tensor],
    pictures: Tensor,
    scales: Sequence[float],
    power: float = 1.0,
) -> Tensor:
    r"""The mean over scales of an image's vectors, as the landmark papers extract them.

    .. math:: v = \Big(\frac{1}{n} \sum_s f(x_s)^m\Big)^{1/m}, \quad v / \|v\|

    with :math:`x_s` the image resized bilinearly by the factor s (Radenović, Tolias and Chum
    2018, section 4; there m is the exponent of GeM where nothing comes after the pooling, else 1).

    Args:
        describe: ``(B, 3, H, W)`` → ``(B, D)``, unit vectors.
        pictures: ``(B, 3, H, W)``.
        scales: factors of height and width, such as ``[1, 2**-0.5, 0.5]``.
        power: the exponent m; unless it is 1 the vectors must not be negative.

    Returns:
        ``(B, D)`` unit vectors.

    Raises:
        ConfigError: no scale, or one that is not positive.

    >>> import torch
    >>> v = multi_scale(lambda x: l2_normalize(x.mean((2, 3))), torch.rand(2, 3, 8, 8), [1, 0.5])
    >>> v.shape
    torch.Size([2, 3])
    """
    check_scales(scales)
    total = None
    for scale in scales:
        resized = pictures
        if scale != 1:
            floating = pictures if pictures.is_floating_point() else pictures.float()
            resized = F.interpolate(
                floating, scale_factor=float(scale), mode="bilinear", align_corners=False
            )
        vectors = describe(resized).pow(power)
        total = vectors if total is None else total + vectors
    assert total is not None
    return l2_normalize((total / len(scales)).pow(1 / power))
