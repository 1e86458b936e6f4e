from __future__ import annotations

import errno

import pytest

from lookalike.errors import RunError
from lookalike.files import replacing, sha256, write_text


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


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf")
