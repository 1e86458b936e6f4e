import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lookalike.data import transforms
from lookalike.data.cache import build_cache, open_cache
from lookalike.data.datasets import cached
from lookalike.data.decode import decode_picture, encode_raw, read_picture
from lookalike.data.doctor import check
from lookalike.data.loader import eval_loader
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, DiskError

SIZES = [(60, 90), (90, 60), (40, 40), (20, 30), (64, 48), (50, 200)]


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(SIZES):
        small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        image.save(tmp_path / f"{i}.jpg", quality=95)
    frame = pd.DataFrame({"path": [f"{i}.jpg" for i in range(6)], "label": list("aabbcc")})
    frame["family"], frame["split"] = list("xxyyzz"), ["train"] * 4 + ["test"] * 2
    return Table.from_frame(
        frame, levels=["label", "family"], root=tmp_path, name="set", notes=["a note"]
    )


def test_a_cache_holds_the_same_rows_in_small(table, tmp_path):
    seen = []
    small = build_cache(
        table,
        tmp_path / "cache",
        shorter=40,
        encoding="jpeg",
        shard_bytes=4000,
        progress=seen.append,
    )
    assert seen == [1, 2, 3, 4, 5, 6]
    assert small.labels.tolist() == table.labels.tolist() and small.levels == table.levels
    assert small.frame["split"].tolist() == table.frame["split"].tolist()
    assert small.notes[0] == "a note"
    assert small.notes[1] == (
        f"from a cache of set ({table.fingerprint}): shorter side cut down to 40 pixels by a"
        " bicubic filter, JPEG quality 90"
    )
    sizes = [read_picture(p).shape[:2] for p in small.paths]
    assert sizes == [(40, 60), (60, 40), (40, 40), (20, 30), (53, 40), (40, 160)]
    assert len(list((tmp_path / "cache").glob("*.shard"))) > 1
    assert check(small).ok
    assert cached(tmp_path / "cache", verify=True).fingerprint == small.fingerprint
    assert small.fingerprint != table.fingerprint


def test_what_is_small_enough_is_copied_byte_for_byte(table, tmp_path):
    small = build_cache(table, tmp_path / "cache", shorter=40, encoding="jpeg")
    for row in (2, 3):
        np.testing.assert_array_equal(read_picture(small.path(row)), read_picture(table.path(row)))


def test_the_copy_differs_by_the_stated_resampling_alone(table, tmp_path):
    small = build_cache(table, tmp_path / "cache", shorter=40, encoding="jpeg")
    want = Image.open(table.path(0)).convert("RGB").resize((60, 40), Image.Resampling.BICUBIC)
    off = np.abs(read_picture(small.path(0)).astype(int) - np.asarray(want))
    assert off.mean() < 5  # JPEG at quality 90


def test_plain_pixels_lose_nothing_but_the_size(table, tmp_path):
    small = build_cache(table, tmp_path / "cache", shorter=40)
    assert small.notes[-1].endswith("by a bicubic filter, plain pixels")
    want = Image.open(table.path(0)).convert("RGB").resize((60, 40), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(read_picture(small.path(0)), np.asarray(want))
    np.testing.assert_array_equal(read_picture(small.path(3)), read_picture(table.path(3)))
    assert check(open_cache(tmp_path / "cache", verify=True)).ok


def test_damaged_plain_pixels_are_refused():
    data = encode_raw(np.zeros((3, 4, 3), np.uint8))
    assert decode_picture(data).shape == (3, 4, 3)
    for kept in (12, 15, 40):
        with pytest.raises(DataError, match="p: broken image"):
            decode_picture(data[:kept], source="p")


def test_boxes_rotation_and_transparency_are_settled_in_the_cache(tmp_path):
    image = Image.new("RGBA", (50, 30), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 10, 30))
    image.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "b.jpg", exif=exif)
    frame = pd.DataFrame({"path": ["a.png", "b.jpg"], "label": 0})
    frame = frame.assign(x_1=[0, None], x_2=[20, None], y_1=[0, None], y_2=[30, None])
    small = build_cache(Table.from_frame(frame, root=tmp_path), tmp_path / "cache")
    assert small.boxes is None
    first, second = (read_picture(p) for p in small.paths)
    assert first.shape == (30, 20, 3) and second.shape == (20, 10, 3)
    assert (first[:, :5] > 250).all() and (first[:, 15:, 1:] < 5).all()


def test_loading_from_a_cache(table, tmp_path):
    small = build_cache(table, tmp_path / "cache", shorter=40, encoding="jpeg")
    (batch,) = eval_loader(small, transforms.evaluation(32), workers=1)
    assert batch["pictures"].shape == (6, 3, 32, 32)
    (original,) = eval_loader(table, transforms.evaluation(32))
    off = (batch["pictures"].float() - original["pictures"].float()).abs()
    assert off.mean() < 4


def test_a_broken_picture_is_refused_or_left_out_and_counted(table, tmp_path):
    (tmp_path / "3.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"3.jpg: no image"):
        build_cache(table, tmp_path / "cache")
    assert not list(tmp_path.glob("*cache*"))  # nothing half-written is left
    small = build_cache(table, tmp_path / "cache", broken="skip")
    assert len(small) == 5 and small.notes[-1] == "1 unreadable image left out of the cache"
    for i in range(6):
        (tmp_path / f"{i}.jpg").unlink()
    with pytest.raises(DataError, match="no image can be read"):
        build_cache(table, tmp_path / "other", broken="skip")


def test_a_damaged_cache_is_refused(table, tmp_path):
    folder = tmp_path / "cache"
    build_cache(table, folder)
    with pytest.raises(DataError, match="is there already"):
        build_cache(table, folder)
    shard = folder / "00000.shard"
    data = bytearray(shard.read_bytes())
    data[100] ^= 255
    shard.write_bytes(data)
    open_cache(folder)
    with pytest.raises(DataError, match=r"00000.shard: the shard is damaged"):
        open_cache(folder, verify=True)
    shard.write_bytes(data[:-1])
    with pytest.raises(DataError, match=r"has [\d,]+ bytes, not [\d,]+"):
        open_cache(folder)
    paths = Table.from_frame(pd.read_parquet(folder / "table.parquet"), root=folder).paths
    with pytest.raises(DataError, match="ends too early"):
        read_picture(paths[-1])
    shard.unlink()
    with pytest.raises(DataError, match="the shard is missing"):
        open_cache(folder)
    with pytest.raises(DataError, match="no such image"):
        read_picture(paths[0])
    (folder / "cache.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(DataError, match="version 99, not 1"):
        open_cache(folder)
    with pytest.raises(DataError, match="Build a cache first"):
        open_cache(tmp_path)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_a_byte_that_the_disk_changed_is_found_when_it_is_read(table, tmp_path, encoding):
    cache = build_cache(table, tmp_path / "cache", encoding=encoding)
    (shard,) = (tmp_path / "cache").glob("*.shard")
    data = bytearray(shard.read_bytes())
    start = int(cache.paths[1].split("#")[1].split("+")[0])
    data[start + 30] ^= 1
    shard.write_bytes(data)
    read_picture(cache.paths[0])
    with pytest.raises(DataError, match="has changed on the disk"):
        read_picture(cache.paths[1])
    older = cache.paths[0].rpartition("+")[0]  # as earlier versions wrote places
    assert read_picture(older).shape == read_picture(cache.paths[0]).shape
    for place in ("1", "a+b", "1+-1", "1+2+zz", "9" * 40 + "+1"):
        with pytest.raises(DataError, match="no place in a shard"):
            read_picture(f"{shard}#{place}")


def test_settings_that_cannot_be(table, tmp_path):
    for options in ({"shorter": 0}, {"quality": 101}, {"encoding": "png"}):
        with pytest.raises(ConfigError, match="cannot be"):
            build_cache(table, tmp_path / "cache", **options)
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="Cannot write"):
        build_cache(table, tmp_path / "file" / "cache")


def test_a_full_disk_leaves_nothing(table, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lookalike.data.cache._Shards.add", full)
    with pytest.raises(DiskError, match="Cannot write .*: No space left on device"):
        build_cache(table, tmp_path / "cache")
    assert not list(tmp_path.glob("*cache*"))


def test_a_disk_that_will_be_full_is_named_at_once(table, tmp_path, monkeypatch):
    class Nearly:
        free = 20_000

    monkeypatch.setattr("lookalike.data.cache.shutil.disk_usage", lambda _: Nearly)
    with pytest.raises(DataError, match=r"about 0.0 GB \(encoding=jpeg takes a tenth\)"):
        build_cache(table, tmp_path / "cache", shorter=40)
    assert not list(tmp_path.glob("*cache*"))
    build_cache(table, tmp_path / "cache", shorter=40, encoding="jpeg")
