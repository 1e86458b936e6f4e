import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.data import decode
from lookalike.data.decode import decode_picture, read_picture
from lookalike.errors import DataError


def photo(height=37, width=53, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 64), (200, 131)])
@pytest.mark.parametrize("quality", [40, 95])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_pixels_are_those_of_pillow(size, quality, options):
    data = encoded(photo(*size), "JPEG", quality=quality, **options)
    want = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_picture(data), want)


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("1", "PNG"),
        ("L", "PNG"),
        ("RGB", "PNG"),
        ("RGB", "BMP"),
        ("RGB", "TIFF"),
        ("CMYK", "TIFF"),
        ("RGB", "PPM"),
    ],
)
def test_every_mode_becomes_rgb(mode, format):
    data = encoded(photo().convert(mode), format)
    pixels = decode_picture(data)
    assert pixels.shape == (37, 53, 3) and pixels.dtype == np.uint8
    want = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(pixels, want)


def test_cmyk_shows_the_colours_it_was_made_from():
    pixels = decode_picture(encoded(photo().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - np.asarray(photo())).mean() < 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode):
    grey = np.full((4, 4, 4), 100, np.uint8)
    grey[:2, :, 3] = 0
    grey[2:3, :, 3] = 255
    grey[3:, :, 3] = 102
    pixels = decode_picture(encoded(Image.fromarray(grey, "RGBA").convert(mode), "PNG"))
    assert (pixels[:2] == 255).all() and (pixels[2] == 100).all()
    assert (pixels[3] == 193).all()  # 0.4 · 100 + 0.6 · 255


def test_a_transparent_palette_colour_lies_on_white():
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    pixels = decode_picture(encoded(image, "PNG", transparency=0))
    assert pixels[0, 0].tolist() == [255] * 3 and pixels[0, 1].tolist() == [0, 0, 200]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_greys_keep_their_upper_byte(format):
    values = np.array([[0, 255, 256, 40000, 65535]], np.uint16)
    pixels = decode_picture(encoded(Image.fromarray(values), format))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 156, 255]


def test_numbers_without_an_agreed_range_are_refused():
    with pytest.raises(DataError, match="32-bit fractions"):
        decode_picture(encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"))
    with pytest.raises(DataError, match="exceed 16 bits"):
        decode_picture(encoded(Image.fromarray(np.full((3, 3), 70000, np.int32)), "TIFF"))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue", "lime")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert (decode_picture(data) == [255, 0, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_exif_rotation_is_applied(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = photo()
    data = encoded(stored, format, exif=exif, **({"quality": 95} if format == "JPEG" else {}))
    raw = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    turned = {
        1: raw,
        2: raw[:, ::-1],
        3: raw[::-1, ::-1],
        4: raw[::-1],
        5: raw.transpose(1, 0, 2),
        6: raw.transpose(1, 0, 2)[:, ::-1],
        7: raw.transpose(1, 0, 2)[::-1, ::-1],
        8: raw.transpose(1, 0, 2)[::-1],
    }[orientation]
    np.testing.assert_array_equal(decode_picture(data), turned)


def test_a_box_is_cut_out_and_must_lie_inside():
    data = encoded(photo(), "PNG")
    whole = decode_picture(data)
    np.testing.assert_array_equal(decode_picture(data, box=(3.9, 2, 50, 37)), whole[2:37, 3:50])
    np.testing.assert_array_equal(decode_picture(data, box=(9, 8, 55, 39)), whole[8:, 9:])
    for box in [(0, 0, 56, 9), (0, 0, 9, 40), (-1, 0, 5, 5), (5, 5, 5.5, 9)]:
        with pytest.raises(DataError, match=r"bird: the box .* leaves the image of 53×37 pixels"):
            decode_picture(data, source="bird", box=box)


def test_what_is_no_picture_is_named(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("I am no image")
    with pytest.raises(DataError, match=r"text.jpg: no image that can be read \(starts b'I am"):
        read_picture(text)
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(DataError, match=r"empty.png: the file is empty"):
        read_picture(empty)
    with pytest.raises(DataError, match=r"absent.png: no such image"):
        read_picture(tmp_path / "absent.png")
    with pytest.raises(DataError, match="cannot be read"):
        read_picture(tmp_path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(format, kept):
    data = encoded(photo(120, 160), format)
    with pytest.raises(DataError, match=r"^p: "):
        decode_picture(data[: int(len(data) * kept)], source="p")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_damaged_bytes_never_raise_anything_else(format):
    rng = np.random.default_rng(0)
    data = bytearray(encoded(photo(), format))
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 8):
            damaged[place] = rng.integers(256)
        try:
            pixels = decode_picture(bytes(damaged))
        except DataError:
            continue
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_decompression_bomb_is_refused(format, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(DataError, match=r"broken image: .*pixels"):
        decode_picture(encoded(photo(), format))


def test_the_limit_is_that_of_pillow():
    assert Image.MAX_IMAGE_PIXELS is not None
    assert abs(decode.MAX_PIXELS - 2 * Image.MAX_IMAGE_PIXELS) <= 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_damaged_exif_leaves_the_pixels_as_they_lie():
    data = bytearray(encoded(photo(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    assert decode_picture(bytes(data)).shape == (37, 53, 3)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_may_be_text_or_path(kind, tmp_path):
    file = tmp_path / "a.png"
    photo().save(file)
    np.testing.assert_array_equal(read_picture(kind(file)), np.asarray(photo()))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("least", "longer"), [(100, 125), (300, 375), (900, 1000)])
def test_a_thumbnail_needs_no_more_pixels_than_it_asks_for(turned, least, longer):
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    data = encoded(photo(760, 1000), "JPEG", quality=95, exif=exif)
    whole, less = decode_picture(data), decode_picture(data, least=least)
    assert max(less.shape) == longer or (turned and least < max(less.shape))
    height, width = less.shape[:2]
    expected = np.asarray(Image.fromarray(whole).resize((width, height), Image.Resampling.BOX))
    assert np.abs(less.astype(int) - expected).mean() < 2
    with pytest.raises(ValueError, match="the whole image"):
        decode_picture(data, least=least, box=(0, 0, 9, 9))


def test_no_other_file_opens_images():
    """Sheets, reports, servers and indexes show the pixels that the network sees."""
    source = Path(decode.__file__).parents[1]
    calls = re.compile(r"Image\.open\(|\bdecode_jpeg\(|read_image\(|imread\(")
    opening = {f.name for f in source.rglob("*.py") if calls.search(f.read_text("utf-8"))}
    assert opening == {"decode.py"}
