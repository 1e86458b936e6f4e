"""The process that decodes what strangers send: ``python -m lookalike.web.worker``.

It reads requests from standard input and answers on standard output, each a line of JSON and as
many raw bytes as the line says: no pickle in either direction. It may die of what it is given, or
be killed: `decoding.Decoders` starts another.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import IO, Any

import numpy as np
import simplejpeg
from PIL import Image

from lookalike.data.decode import decode_picture
from lookalike.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MEMORY = 4 << 30  # address space: a picture of 100 million pixels and its copies


def answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode a picture: its pixels, or a thumbnail as JPEG.

    Args:
        request: ``max_pixels``; ``box`` in pixels or None; ``thumbnail``: a side, or None.
        data: the encoded picture.

    Returns:
        ``{"height", "width"}`` or ``{"error"}``, and the bytes: RGB pixels, or the JPEG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels_there = image.width * image.height
        if pixels_there > request["max_pixels"]:
            return {"error": f"the picture has {pixels_there:,} pixels; the limit is "
                    f"{request['max_pixels']:,}"}, b""  # fmt: skip
        box = None if request["box"] is None else tuple(request["box"])
        side = request["thumbnail"]
        least = None if side is None or box is not None else 2 * side
        pixels = decode_picture(data, source="the picture", box=box, least=least)  # pyright: ignore[reportArgumentType]
    except DataError as error:
        return {"error": str(error)}, b""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {"error": f"this is no picture of a known format ({', '.join(FORMATS)})"}, b""
    if side is None:
        return {"height": pixels.shape[0], "width": pixels.shape[1]}, pixels.tobytes()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    jpeg = simplejpeg.encode_jpeg(np.array(image), quality=85, colorsubsampling="420")
    return {"height": image.height, "width": image.width}, jpeg


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
