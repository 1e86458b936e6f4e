from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lookalike.errors import RunError
from lookalike.files import replacing, replacing_folder, sha256, write_text


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
