from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.errors import RunError
from lookalike.files import is_free, replacing, replacing_folder, sha256, temporary, write_text


def test_a_file_is_whole_or_not_there(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "first")
    with pytest.raises(KeyError), replacing(target) as part:
        part.write_text("half")
        raise KeyError("crash")
    assert target.read_text() == "first"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "first")
    with pytest.raises(RunError, match=r"Cannot write .*a\.txt: No space left.*untouched"):
        with replacing(target) as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("error", [KeyError("crash"), OSError(errno.ENOSPC, "No space left")])
def test_a_folder_is_the_old_one_or_the_new_one(tmp_path, error):
    target = tmp_path / "deep" / "a"
    with replacing_folder(target) as part:
        (part / "one").write_text("first")
    with pytest.raises((KeyError, RunError)), replacing_folder(target) as part:
        (part / "two").write_text("half")
        raise error
    assert [p.name for p in target.iterdir()] == ["one"]
    with replacing_folder(target) as part:
        (part / "two").write_text("second")
    assert [p.name for p in target.iterdir()] == ["two"]
    assert [p.name for p in target.parent.iterdir()] == ["a"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "a"
    with replacing_folder(target) as part:
        (part / "one").write_text("first")
    move = Path.replace

    def full(self, to):
        if self.name.endswith(".part"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return move(self, to)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match="No space left.*untouched"), replacing_folder(target):
        pass
    assert (target / "one").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf")


DIES = """
import os, signal, sys
from pathlib import Path
from lookalike import files
place = Path(sys.argv[1])
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "file":
    with files.replacing(place / "a.txt") as part:
        part.write_text("half")
        kill()
with files.replacing_folder(place / "f") as part:
    (part / "two").write_text("second")
    if sys.argv[2] == "filling":
        kill()
    move, Path.replace = Path.replace, lambda self, to: kill() if self == part else move(self, to)
"""


@pytest.mark.parametrize("when", ["file", "filling", "moving"])
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, when):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/one").write_text("first")
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path), when], check=False)
    left = [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert len(left) == (2 if when == "moving" else 1)
    assert (tmp_path / "f").exists() == (when != "moving")
    here = temporary(tmp_path / "x").name.split("-")[-1]
    name = "a.txt" if when == "file" else "f"
    kept = [f".{name}.{os.getppid()}-{here}", f".b.txt.{2**22 + 1}-{here}",
            f".{name}.{2**22 + 1}-00000000.part", f".{name}.{2**22 + 1}.part"]  # fmt: skip
    for name in kept:
        (tmp_path / name).write_text("another's")
    if when == "file":
        write_text(tmp_path / "a.txt", "whole")
    else:
        with pytest.raises(KeyError), replacing_folder(tmp_path / "f"):
            raise KeyError("crash")
        assert [p.name for p in (tmp_path / "f").iterdir()] == [
            "one"
        ]  # put back, where it was aside
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == sorted(kept)


def test_a_link_in_the_place_of_a_leftover_leads_nowhere(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/kept").write_text("kept")
    place = tmp_path / "in/a.txt"
    place.parent.mkdir()
    left = temporary(place).name.replace(f".{os.getpid()}-", f".{2**22 + 1}-")
    (place.parent / left).symlink_to(tmp_path / "far")
    write_text(place, "whole")
    assert [p.name for p in place.parent.iterdir()] == ["a.txt"]
    assert (tmp_path / "far/kept").read_text() == "kept"


def test_a_folder_with_leftovers_alone_is_free(tmp_path):
    temporary(tmp_path / "a").write_text("half")
    (tmp_path / ".b.123.part").write_text("half")
    assert is_free(tmp_path)
    temporary(tmp_path / "a", "before").write_text("whole")
    assert not is_free(tmp_path)
