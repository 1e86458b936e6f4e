"""From a file to pixels: one way for every format, and one clear error for what is not an image."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

from lookalike.errors import DataError

# What Pillow itself refuses as a decompression bomb: twice its warning limit.
MAX_PIXELS = 178_956_970

# What is read, whatever a file is called. Pillow knows more; some of those run other programs
# (EPS runs Ghostscript) or have no pixels of their own.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA",
    "QOI", "PCX", "SGI", "SUN", "PSD",
)  # fmt: skip

# Pixels that a box may overhang before it counts as wrong.
_SLACK = 2

# How plain pixels in a cache begin; the first byte is none that a text or a known format has.
_RAW = b"\x93LOOKALIKE\0"

# What Pillow's format readers are seen to raise on damaged files.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    NotImplementedError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_picture(
    path: str | Path, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Decode an image file to RGB, upright.

    Plain JPEG goes through libjpeg-turbo directly, everything else through Pillow; the pixels are
    the same. EXIF rotation is applied, transparency lies on white, an animation gives its first
    frame, 16-bit greys keep their upper byte, CMYK, palette and 1-bit become RGB.

    Args:
        path: the file.
        box: ``x_1, y_1, x_2, y_2`` in pixels of the upright image, fractions cut off; up to two
            pixels of overhang on the right and below are cut off too.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        DataError: naming the file and the reason: absent, no image, truncated, broken, too large
            (over 178,956,970 pixels), or a box that leaves the image.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.new("L", (3, 2), 255).save(file)
        >>> read_picture(file).shape
        (2, 3, 3)
    """
    return decode_picture(read_bytes(path), source=str(path), box=box)


def read_bytes(path: str | Path) -> bytes:
    """The encoded image of a file, or of a place in a cache's shard.

    A place is ``FILE.shard#START+SIZE+CRC``; caches of earlier versions have no CRC-32.

    Raises:
        DataError: no such file, one that cannot be read, a shard that ends too early, or bytes that
            the disk has changed.
    """
    file, _, place = str(path).partition(".shard#")
    try:
        if not place:
            return Path(path).read_bytes()
        start, size, check = _read_place(place, path)
        with Path(f"{file}.shard").open("rb") as stream:
            stream.seek(start)
            data = stream.read(size)
    except FileNotFoundError:
        raise DataError(f"{path}: no such image; check the table's root and path") from None
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror or e}") from None
    if len(data) < size:
        raise DataError(f"{path}: the shard ends too early; build the cache anew")
    if check is not None and zlib.crc32(data) != check:
        raise DataError(f"{path}: the shard has changed on the disk; build the cache anew")
    return data


def _read_place(place: str, path: str | Path) -> tuple[int, int, int | None]:
    found = re.fullmatch(r"(\d{1,15})\+(\d{1,10})(?:\+([0-9a-f]{8}))?", place)
    if found is None:
        raise DataError(f"{path}: no place in a shard; build the cache anew")
    start, size, check = found.groups()
    return int(start), int(size), None if check is None else int(check, 16)


def decode_picture(
    data: bytes,
    *,
    source: str = "picture",
    box: tuple[float, float, float, float] | None = None,
    least: int | None = None,
    formats: Sequence[str] = FORMATS,
    check: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """As `read_picture`, from bytes; errors call them by ``source``.

    With ``least``, for thumbnails, a JPEG may come up to eight times smaller than it is, which is
    many times faster; its longer side stays at least so many pixels. A box needs all pixels.

    Args:
        data: the encoded image.
        source: its name in errors.
        box: as of `read_picture`.
        least: see above.
        formats: those of ``FORMATS`` that are read.
        check: told width and height before a pixel is decoded; raises to refuse.
    """
    if least is not None and box is not None:
        raise ValueError("least: a box counts the pixels of the whole image")
    if not data:
        raise DataError(f"{source}: the file is empty")
    try:
        pixels = _decode_plain_jpeg(data, least, check)
        if pixels is None and formats is FORMATS:
            pixels = _decode_raw(data)
        if pixels is None:
            pixels = _decode_by_pillow(data, least, formats, check)
    except Image.UnidentifiedImageError:
        raise DataError(f"{source}: no image that can be read (starts {data[:8]!r})") from None
    except _BROKEN as e:
        raise DataError(f"{source}: broken image: {e or type(e).__name__}") from None
    return pixels if box is None else _crop(pixels, box, source)


def as_pixels(picture: Any, source: str = "the image") -> np.ndarray:
    """An image of any kind as RGB, upright: the same pixels whichever way it comes in.

    Args:
        picture: a path; the bytes of a file; an image of Pillow (turned as its EXIF says,
            transparency on white, 16-bit greys by their upper byte, as from a file); a tensor
            ``(C, H, W)``; or an array ``(H, W)`` or ``(H, W, C)`` of 1 to 4 channels, uint8,
            uint16 or bool.
        source: what errors call it; a path is named by itself.

    Returns:
        uint8 ``(H, W, 3)``, memory of its own.

    Raises:
        DataError: a file that cannot be used, or an array of another kind.

    >>> as_pixels(np.full((2, 3, 4), 255, np.uint8)).shape
    (2, 3, 3)
    """
    if isinstance(picture, str | Path):
        return read_picture(picture)
    if isinstance(picture, bytes):
        return decode_picture(picture, source=source)
    if isinstance(picture, Image.Image):
        try:
            return _upright_rgb(picture)
        except _BROKEN as e:
            name = getattr(picture, "filename", "") or source
            raise DataError(f"{name}: broken image: {e or type(e).__name__}") from None
    if hasattr(picture, "detach"):
        picture = picture.detach().cpu().numpy()
        picture = picture.transpose(1, 2, 0) if picture.ndim == 3 else picture
    array = np.asarray(picture)
    channels = array.shape[2] if array.ndim == 3 else 1
    fits = array.ndim in (2, 3) and 1 <= channels <= 4 and 0 not in array.shape
    if not fits or array.dtype.name not in ("uint8", "uint16", "bool"):
        raise DataError(
            f"{source} is {array.dtype} {array.shape}; give paths, PIL images or uint8 arrays"
            " (H, W, 3)."
        )
    if array.dtype != np.uint8:
        array = (array.astype(np.uint16) * 255 if array.dtype == bool else array >> 8).astype("u1")
    array = array.reshape(*array.shape[:2], channels)
    if channels == 3:
        return np.array(array)
    return _upright_rgb(
        Image.fromarray(np.ascontiguousarray(array.squeeze(axis=2) if channels == 1 else array))
    )


def encode_raw(pixels: np.ndarray) -> bytes:
    """Plain pixels, uint8 ``(H, W, 3)``, as bytes that `decode_picture` reads."""
    return _RAW + struct.pack("<II", *pixels.shape[:2]) + pixels.tobytes()


def _decode_raw(data: bytes) -> np.ndarray | None:
    if not data.startswith(_RAW):
        return None
    height, width = struct.unpack_from("<II", data, len(_RAW))
    pixels = np.frombuffer(data, np.uint8, offset=len(_RAW) + 8)
    return pixels.reshape(height, width, 3).copy()


def is_plain_jpeg(data: bytes) -> bool:
    """Whether data is a sound RGB or grey JPEG that lies upright."""
    return _decode_plain_jpeg(data) is not None


def _decode_plain_jpeg(
    data: bytes, least: int | None = None, check: Callable[[int, int], None] | None = None
) -> np.ndarray | None:
    """RGB where the data is a sound JPEG that needs no rotation or CMYK conversion, else None."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    try:
        high, wide, colours, _ = simplejpeg.decode_jpeg_header(data)
        height, width = int(high), int(wide)
        if check is not None:
            check(width, height)
        if height * width > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width}×{height} pixels are too many to decode")
        if colours in ("CMYK", "YCCK") or (_may_be_turned(data) and _is_turned(data)):
            return None
        share = 1.0 if least is None else min(1.0, least / max(height, width))
        smallest = (0, 0) if share == 1 else (math.ceil(share * height), math.ceil(share * width))
        return simplejpeg.decode_jpeg(
            data, colorspace="RGB", min_height=smallest[0], min_width=smallest[1]
        )
    except ValueError:
        # Pillow is the judge of a doubtful file: it forgives what libjpeg only warns of.
        return None


def _may_be_turned(data: bytes) -> bool:
    """Whether a JPEG's head holds an EXIF block, or an XMP one that speaks of orientation."""
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:  # the pixels begin
            return False
        if marker == 0xE1:
            block = data[place + 4 : place + 2 + size]
            if block.startswith(b"Exif\0") or b"Orientation" in block:
                return True
        # A marker may be filled up by further 0xFF bytes.
        place += 1 if marker == 0xFF else 2 + size
    return False


def _is_turned(data: bytes) -> bool:
    with Image.open(BytesIO(data), formats=["JPEG"]) as image:
        return _orientation(image) != 1


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:  # a damaged EXIF block says nothing about the pixels: leave them as they lie
        return 1


def _decode_by_pillow(
    data: bytes,
    least: int | None,
    formats: Sequence[str],
    check: Callable[[int, int], None] | None,
) -> np.ndarray:
    with Image.open(BytesIO(data), formats=tuple(formats)) as image:
        if check is not None:
            check(*image.size)
        if least is not None:
            image.draft(None, (least, least))  # only a JPEG heeds it
        return _upright_rgb(image)


def _upright_rgb(image: Image.Image) -> np.ndarray:
    image.load()
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    return np.array(_to_rgb(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        return _grey16_to_rgb(image)
    if image.mode == "F":
        raise ValueError("pixels are 32-bit fractions, which have no agreed range; save as 8-bit")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"grey values from {values.min()} to {values.max()} exceed 16 bits; save as 8 or 16-bit"
        )
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")


def _crop(pixels: np.ndarray, box: tuple[float, float, float, float], source: str) -> np.ndarray:
    x_1, y_1, x_2, y_2 = (int(v) for v in box)
    height, width = pixels.shape[:2]
    # Published boxes overhang by a pixel here and there, from rounding.
    right = width if width < x_2 <= width + _SLACK else x_2
    bottom = height if height < y_2 <= height + _SLACK else y_2
    if not (0 <= x_1 < right <= width and 0 <= y_1 < bottom <= height):
        raise DataError(
            f"{source}: the box x {x_1}–{x_2}, y {y_1}–{y_2} leaves the image of"
            f" {width}×{height} pixels (or is empty); give one that lies inside"
        )
    return np.ascontiguousarray(pixels[y_1:bottom, x_1:right])
