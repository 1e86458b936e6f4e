"""Images as the report takes them, and thumbnails of them."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import LookalikeError

ImageSource = NDArray[np.uint8] | str | os.PathLike[str]
"""An image in memory, uint8 ``(H, W, 3)`` or ``(H, W)``, or the path of one."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """One retrieved image.

    Attributes:
        image: the image, or its path.
        label: its class, shown below it.
        score: its similarity to the query.
        right: whether it is of the query's class; None where nobody knows.
    """

    image: ImageSource
    label: str = ""
    score: float | None = None
    right: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """A query and what was found for it, nearest first.

    Attributes:
        query: the query image, or its path.
        neighbours: the images found.
        title: what the query is, usually its class.
        value: the query's own figure in words, such as ``"average precision 0.97"``.
    """

    query: ImageSource
    neighbours: list[Neighbour] = field(default_factory=list)
    title: str = ""
    value: str = ""


def load(source: ImageSource) -> Image.Image:
    """The image in RGB.

    Raises:
        DataError: the file cannot be read.
        LookalikeError: the array is not uint8 ``(H, W, 3)`` or ``(H, W)``.
    """
    if isinstance(source, (str, os.PathLike)):
        from lookalike.data.decode import read_picture

        return Image.fromarray(read_picture(Path(source)))
    array = np.asarray(source)
    grey_or_rgb = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not grey_or_rgb or 0 in array.shape:
        raise LookalikeError(
            f"An image in a report is uint8 of shape (H, W, 3) or (H, W); got {array.dtype} of "
            f"shape {array.shape}. Tensors go through .permute(1, 2, 0).numpy() first."
        )
    return Image.fromarray(array).convert("RGB")


def thumbnail(source: ImageSource, side: int, *, enlarge: bool = False) -> Image.Image:
    """The image at most ``side`` pixels wide and high, its proportions kept.

    ``enlarge`` brings smaller images up to ``side`` too.
    """
    image = load(source)
    scale = side / max(image.size)
    if scale < 1 or (enlarge and scale > 1):
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image


def data_uri(image: Image.Image) -> str:
    """The image inside a ``data:`` address: a drawing of few colours as PNG, else JPEG.

    Few colours make PNG the smaller of the two, and it keeps lines sharp.
    """
    file = io.BytesIO()
    drawing = image.getcolors(256) is not None
    if drawing:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=86, optimize=True)
    kind = "png" if drawing else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
