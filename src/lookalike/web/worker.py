"""The process that decodes what strangers send: ``python -m lookalike.web.worker``.

It reads requests from standard input and answers on standard output, each a line of JSON and as
many raw bytes as the line says: no pickle in either direction. It may die of what it is given, or
be killed: `decoding.Decoders` starts another.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import IO, Any

import numpy as np
import simplejpeg
from PIL import Image

from lookalike.data.decode import decode_picture
from lookalike.errors import DataError, counted

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MEMORY = 4 << 30  # address space: an image of 100 million pixels and its copies


def answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode an image: its pixels, or a thumbnail as JPEG.

    Args:
        request: ``limits``, see `check_size`; ``box`` in pixels or None; ``thumbnail``: a side, or
            None.
        data: the encoded image.

    Returns:
        ``{"height", "width"}`` or ``{"error"}``, and the bytes: RGB pixels, or the JPEG.
    """
    try:
        limits = request["limits"]
        box = None if request["box"] is None else tuple(request["box"])
        side = request["thumbnail"]
        least = None if side is None or box is not None else 2 * side
        pixels = decode_picture(
            data,
            source="the image",
            box=box,  # pyright: ignore[reportArgumentType]
            least=least,
            formats=FORMATS,
            check=lambda width, height: check_size(width, height, limits),
        )
        if box is not None and side is None:  # what was cut out is resized too
            check_size(pixels.shape[1], pixels.shape[0], limits)
    except DataError as error:
        return {"error": f"{error} (known formats: {', '.join(FORMATS)})"}, b""
    if side is None:
        return {"height": pixels.shape[0], "width": pixels.shape[1]}, pixels.tobytes()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    jpeg = simplejpeg.encode_jpeg(np.array(image), quality=85, colorsubsampling="420")
    return {"height": image.height, "width": image.width}, jpeg


def check_size(width: int, height: int, limits: dict[str, Any]) -> None:
    """Refuse an image that is too large, or would be once it is resized.

    A model resizes the shorter side to ``resized`` pixels, so a thin image grows: of 1,000,000 × 1
    a side of 256 makes 65,536,000,000 pixels.

    Args:
        width: in pixels.
        height: in pixels.
        limits: ``pixels``, ``side`` (of the longer one), ``aspect`` (longer over shorter side) and
            ``resized`` (the shorter side after the model's resize; 0: it is not resized).

    Raises:
        DataError: says which limit, and what it is.

    >>> check_size(640, 480, {"pixels": 10**6, "side": 1000, "aspect": 20, "resized": 256})
    """
    longer, shorter = max(width, height), max(1, min(width, height))
    if width * height > limits["pixels"]:
        raise DataError(
            f"the image has {counted(width * height, 'pixel')}; the limit is {limits['pixels']:,}"
        )
    if longer > limits["side"]:
        raise DataError(
            f"the image is {counted(longer, 'pixel')} long; the limit is {limits['side']:,}"
        )
    if longer > limits["aspect"] * shorter:
        raise DataError(
            f"the image of {width:,} × {height:,} pixels is too thin; its longer side may be "
            f"{limits['aspect']:g} times the shorter one"
        )
    if limits["resized"] ** 2 * longer / shorter > limits["pixels"]:
        raise DataError(
            f"the image of {width:,} × {height:,} pixels would grow beyond "
            f"{counted(limits['pixels'], 'pixel')} when it is resized for the model"
        )


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """A line of JSON and the bytes it announces; None at the end."""
    line = stream.readline()
    if not line:
        return None
    head = json.loads(line)
    data = stream.read(head["bytes"])
    return None if len(data) < head["bytes"] else (head, data)


def write_frame(stream: IO[bytes], head: dict[str, Any], data: bytes) -> None:
    """The counterpart of `read_frame`."""
    stream.write(json.dumps({**head, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()


def main() -> None:
    """Answer until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        write_frame(sys.stdout.buffer, *answer(*frame))


if __name__ == "__main__":
    main()
