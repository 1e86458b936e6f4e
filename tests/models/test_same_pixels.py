"""File, Pillow image and array give the same pixels, and so one vector."""

from __future__ import annotations

import io
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

from lookalike.data.decode import as_pixels, read_picture
from lookalike.errors import DataError
from lookalike.models import create_model

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (24, 32, 4)).astype("u1")
RGB, GREY = Image.fromarray(NOISE[..., :3]), Image.fromarray(NOISE[..., 0])


def turned(way):
    exif = Image.Exif()
    exif[0x112] = way
    return {"exif": exif}


KINDS = {
    "rgb": ("png", RGB, {}),
    "grey": ("png", GREY, {}),
    "16 bit": ("png", Image.fromarray(NOISE[..., 0].astype("u2") * 257), {}),
    "alpha": ("png", Image.fromarray(NOISE), {}),
    "grey and alpha": ("png", Image.fromarray(NOISE[..., :2]), {}),
    "one bit": ("png", GREY.convert("1"), {}),
    "palette": ("png", RGB.quantize(16), {}),
    "transparent colour": ("png", RGB.quantize(16), {"transparency": 3}),
    "jpeg": ("jpg", RGB, {}),
    "grey jpeg": ("jpg", GREY, {}),
    "cmyk": ("jpg", RGB.convert("CMYK"), {}),
    "webp": ("webp", RGB, {"lossless": True}),
    "tiff": ("tiff", RGB, {}),
    **{f"turned {way}": ("jpg", RGB, turned(way)) for way in range(2, 9)},
    "turned png": ("png", RGB, turned(6)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_file_and_pillow_give_the_same_pixels(tmp_path, kind):
    ending, image, options = KINDS[kind]
    image.save(tmp_path / f"x.{ending}", **options)
    expected = read_picture(tmp_path / f"x.{ending}")
    with Image.open(tmp_path / f"x.{ending}") as opened:
        assert (as_pixels(opened) == expected).all()
        if opened.mode not in ("P", "CMYK") and "turned" not in kind:  # an array has no EXIF
            assert (as_pixels(np.asarray(opened)) == expected).all()
    assert (as_pixels((tmp_path / f"x.{ending}").read_bytes()) == expected).all()
    assert (as_pixels(expected) == expected).all()
    assert (as_pixels(torch.from_numpy(expected).permute(2, 0, 1)) == expected).all()


def segments(jpeg, *blocks):
    """A JPEG with APP1 blocks in front of its own."""
    parts = [b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block for block in blocks]
    return jpeg[:2] + b"".join(parts) + jpeg[2:]


def test_orientation_far_behind_or_in_xmp_alone_turns_the_picture():
    plain, marked = io.BytesIO(), io.BytesIO()
    RGB.save(plain, "JPEG")
    RGB.save(marked, "JPEG", **turned(6))
    padding = b"http://ns.adobe.com/xmp/extension/\0" + bytes(60000)
    far = segments(marked.getvalue(), padding, padding)
    assert far.find(b"Exif\0\0") > 65536
    about = (
        b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        b'<rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    )
    for data in (far, segments(plain.getvalue(), about)):
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        assert as_pixels(data).shape == (32, 24, 3)
        assert np.abs(as_pixels(data).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "odd", [np.zeros((4, 4, 3)), np.zeros((4, 4, 5), "u1"), np.zeros((0, 4, 3), "u1"), 5, None]
)
def test_what_is_no_picture_is_refused_in_a_sentence(odd):
    with pytest.raises(DataError, match="give paths, PIL images or uint8 arrays"):
        as_pixels(odd)


def test_every_way_in_and_every_collection_gives_one_vector(tmp_path):
    torch.manual_seed(0)
    model = create_model("conv4", pretrained=False, embedding_size=8, size=24)
    file = tmp_path / "a.jpg"
    RGB.save(file, **turned(8))
    (expected,) = model.encode(file)
    with Image.open(file) as image:
        pixels = read_picture(file)
        ways = [
            image, pixels, [file, image, pixels], (p for p in [file, pixels]), pixels[None],
            pd.Series([str(file)] * 2, index=[7, 8]), np.array([str(file)]), file.read_bytes(),
        ]  # fmt: skip
        for way in ways:
            for vector in model.encode(way):
                assert np.allclose(vector, expected, atol=1e-5)
    with pytest.raises(DataError, match="int is not an image"):
        model.encode(5)
