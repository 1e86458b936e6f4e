"""A byte that the disk has changed is found when it is read, whatever reads it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import DataError
from lookalike.search import Index
from lookalike.search.blocks import BLOCK, Blocks, write_sums
from lookalike.search.storage import Stored, encode


def flip(path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.fixture
def index(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((300, 16)).astype("f4")
    items = pd.DataFrame({"path": [f"{i}.jpg" for i in range(300)], "label": ["a", "b", "c"] * 100})
    return Index.build(tmp_path / "ix", x, items, engine="hnsw", storage="int8")


@pytest.mark.parametrize(
    "name", ["ids.npy", "items.parquet", "vectors.npy", "scales.npy", "places.npy"]
)
@pytest.mark.parametrize("share", [0.45, 0.7, 0.99])
def test_a_flipped_byte_gives_no_answer(index, name, share):
    path = index.generation / name
    flip(path, int(share * (path.stat().st_size - 1)))
    with pytest.raises(DataError, match=rf"{name}|is not|cannot be read"):
        opened = Index.open(index.folder)
        opened.search(np.ones((1, 16), "f4"), 300)
        opened.search(np.ones((1, 16), "f4"), 300, exact=True)
    assert Index.open  # nothing was written


def test_it_is_found_where_rows_go_on_into_another_generation(index):
    flip(index.generation / "vectors.npy", 2000)
    with pytest.raises(DataError, match=r"vectors\.npy has changed on the disk"):
        Index.open(index.folder).remove([3])


def test_an_index_without_checksums_opens(index):
    for path in index.generation.glob("*.crc"):
        path.unlink()
    import json

    manifest = json.loads((index.folder / "index.json").read_text())
    manifest["files"] = {k: v for k, v in manifest["files"].items() if not k.endswith(".crc")}
    (index.folder / "index.json").write_text(json.dumps(manifest))
    assert len(Index.open(index.folder).search(np.ones((1, 16), "f4"), 5).rows[0]) == 5


def test_only_what_is_read_is_looked_at(tmp_path):
    rows, width = 3 * BLOCK // 256, 64
    x = np.arange(rows * width, dtype="f4").reshape(rows, width)
    np.save(tmp_path / "vectors.npy", x)
    write_sums(tmp_path / "vectors.npy")
    flip(tmp_path / "vectors.npy", 2 * BLOCK + 5)
    stored = Stored.open(tmp_path, "float32", width)
    assert np.array_equal(stored[np.array([0, 1])], x[:2])
    assert np.array_equal(stored[0:1000], x[:1000])
    last = 2 * BLOCK // 256 - 1  # its end lies in the third block, for the header's sake
    for asked in (np.array([0, last]), slice(last, last + 1), slice(None), np.arange(rows) == last):
        with pytest.raises(DataError, match="bytes 2097152 to"):
            Stored.open(tmp_path, "float32", width)[asked]
    with pytest.raises(DataError):
        _ = Stored.open(tmp_path, "float32", width).codes


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 500), st.data())
def test_the_blocks_of_rows_are_those_of_their_bytes(count, size, offset, data):
    """Against the slow way: every byte of every row."""
    rows = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=9)))
    blocks = Blocks.__new__(Blocks)
    seen: set[int] = set()
    blocks._left = np.ones(99, bool)
    blocks._sums = np.empty(99, "<u4")
    blocks._look = lambda some: seen.update(some.tolist())
    blocks.check_rows(rows, offset * BLOCK // 7, size * BLOCK // 3, count)
    begin = offset * BLOCK // 7 + rows * (size * BLOCK // 3)
    ends = begin + size * BLOCK // 3 - 1
    slow = {b for s, e in zip(begin, ends, strict=True) for b in range(s // BLOCK, e // BLOCK + 1)}
    assert seen == slow


def test_every_storage_is_read_through_them(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 16)).astype("f4")
    for storage in ("float32", "float16", "int8", "binary"):
        folder = tmp_path / storage
        folder.mkdir()
        for name, array in encode(x, storage).items():
            np.save(folder / name, array)
            write_sums(folder / name)
        flip(folder / "vectors.npy", 140)
        with pytest.raises(DataError, match="has changed"):
            Stored.open(folder, storage, 16)[np.array([3])]
