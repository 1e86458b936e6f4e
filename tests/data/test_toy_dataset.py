"""The built-in images on disk: there whole or not at all, found again, split by class."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.data.datasets._toy import splits, toy
from lookalike.demo import VERSION, draw
from lookalike.demo.folder import Collection, cache_root
from lookalike.errors import ConfigError, DataError

SMALL = {"families": 2, "genera": 2, "species": 3, "pictures": 2, "size": 16}


def entries(root):
    """Return what lies in a cache, but for the lock files."""
    return sorted(entry.name for entry in root.iterdir() if not entry.name.endswith(".lock"))


def test_the_table_holds_every_picture_under_its_names(tmp_path):
    table = toy(tmp_path, **SMALL)
    assert len(table) == 2 * 2 * 3 * 2
    assert table.levels == ("species", "genus", "family")
    assert [table.num_classes(level) for level in table.levels] == [12, 4, 2]
    row = table.frame.iloc[-1]
    family, genus, species, name = row["path"].split("/")
    assert (family, genus, species.replace("_", " ")) == (
        row["family"],
        row["genus"],
        row["species"],
    )
    assert species.startswith(genus) and name == "0001.png"
    pixels = np.asarray(Image.open(table.paths[-1]))
    assert np.array_equal(pixels, draw(1, 1, 2, 1, size=16, seed=0))


def test_species_of_the_test_are_unseen_and_half_of_each_genus(tmp_path):
    table = toy(tmp_path, **SMALL)
    frame = table.frame
    train, test = (set(frame[frame["split"] == word]["species"]) for word in ("train", "test"))
    assert not train & test
    assert frame.groupby("genus")["split"].nunique().eq(2).all()
    assert (frame["is_query"] == (frame["split"] == "test")).all()
    assert len(train) == len(test) == 6  # three a genus: the odd one falls to either side in turn
    even = splits(Collection(3, 2, 8, 1, 16, 0, 1.0))
    assert all(even[i : i + 8].count("test") == 4 for i in range(0, 48, 8))
    single = splits(Collection(3, 2, 1, 1, 16, 0, 1.0))
    assert single.count("test") == 3


def test_the_second_call_draws_nothing(tmp_path, monkeypatch):
    seen = []
    first = toy(tmp_path, **SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 24) for done in range(2, 25, 2)]
    monkeypatch.setattr("lookalike.demo.folder.draw", None)
    second = toy(tmp_path, **SMALL, progress=lambda *_: pytest.fail("drawn again"))
    assert second.fingerprint == first.fingerprint
    assert len(entries(tmp_path)) == 1


def test_every_setting_and_the_version_change_the_fingerprint(monkeypatch):
    base = Collection(2, 2, 2, 2, 16, 0, 1.0)
    changed = [
        replace(base, **{name: getattr(base, name) + 1})
        for name in ("families", "genera", "species", "pictures", "size", "seed", "nuisance")
    ]
    prints = {base.fingerprint, *(other.fingerprint for other in changed)}
    monkeypatch.setattr("lookalike.demo.folder.VERSION", VERSION + 1)
    assert len(prints | {base.fingerprint}) == 9
    assert replace(base, nuisance=1).fingerprint == base.fingerprint


def test_two_workers_draw_the_same_files(tmp_path):
    alone = toy(tmp_path / "a", **SMALL)
    shared = toy(tmp_path / "b", **SMALL, workers=2)
    assert shared.fingerprint == alone.fingerprint
    for a, b in zip(alone.paths, shared.paths, strict=True):
        assert Path(a).read_bytes() == Path(b).read_bytes()


DRAW = """
import sys
from pathlib import Path
from lookalike.demo.folder import Collection, drawn
def progress(done, total):
    print(done, flush=True)
    if done == 6:
        sys.stdin.read()
drawn(Collection(2, 2, 3, 2, 16, 0, 1.0), Path(sys.argv[1]), progress=progress)
"""


@pytest.mark.skipif(os.name != "posix", reason="file locks and SIGKILL")
def test_a_killed_draw_leaves_no_half_set(tmp_path):
    command = [sys.executable, "-c", DRAW, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as drawing:
        assert [drawing.stdout.readline().strip() for _ in range(3)] == ["2", "4", "6"]
        fingerprint = Collection(2, 2, 3, 2, 16, 0, 1.0).fingerprint
        assert not (tmp_path / fingerprint).exists()
        drawing.send_signal(signal.SIGKILL)
    left = entries(tmp_path)
    assert len(left) == 1 and left[0].startswith(f".{fingerprint}.part-")
    assert len(toy(tmp_path, **SMALL)) == 24
    assert entries(tmp_path) == [fingerprint]


@pytest.mark.skipif(os.name != "posix", reason="file locks")
def test_who_comes_second_waits_and_draws_nothing(tmp_path):
    command = [sys.executable, "-c", DRAW, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert [first.stdout.readline().strip() for _ in range(3)] == ["2", "4", "6"]
        with subprocess.Popen(command, **pipes) as second:
            time.sleep(0.5)
            assert second.poll() is None
            assert first.communicate("")[0].split()[-1] == "24"
            assert second.communicate("")[0] == ""
        assert second.returncode == first.returncode == 0


def test_a_draw_that_fails_cleans_up(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path, **SMALL, progress=stop)
    assert entries(tmp_path) == []


def test_a_drawing_process_that_dies_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    def die(*_):
        raise BrokenProcessPool("a process in the pool was terminated abruptly")

    monkeypatch.setattr("lookalike.demo.folder._draw_species", os.getcwd)  # takes no job
    with pytest.raises(TypeError):
        toy(tmp_path, **SMALL, workers=2)
    assert entries(tmp_path) == []
    monkeypatch.setattr("lookalike.demo.folder._results", die)
    with pytest.raises(DataError, match=r"one of the 2 drawing processes died.*workers=0"):
        toy(tmp_path, **SMALL, workers=2)
    assert entries(tmp_path) == []


def test_files_that_others_leave_in_the_cache_do_no_harm(tmp_path):
    table = toy(tmp_path, **SMALL)
    (table.root / ".DS_Store").write_text("")
    assert len(toy(tmp_path, **SMALL)) == 24


def test_a_set_that_lost_pictures_is_refused(tmp_path):
    table = toy(tmp_path, **SMALL)
    Path(table.paths[0]).unlink()
    with pytest.raises(DataError, match=r"should hold 24 images.*holds 23.*remove the folder"):
        toy(tmp_path, **SMALL)


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"cannot draw the images under.*dataset.root="):
        toy(tmp_path / "file" / "cache", **SMALL)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"families": 0}, "families must be a whole number from 1, got 0"),
        ({"pictures": 2.5}, "pictures must be a whole number from 1, got 2.5"),
        ({"size": 5000}, "size must lie in 16 … 1024"),
        ({"seed": 0.5}, "seed must be a whole number"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, setting, says):
    with pytest.raises(ConfigError, match=says):
        toy(tmp_path, **{**SMALL, **setting})
    assert not any(tmp_path.iterdir())


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "lookalike" / "toy"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_root() == tmp_path / "home" / ".cache" / "lookalike" / "toy"
