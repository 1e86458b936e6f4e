import io
import stat
import tarfile
import zipfile

import pytest

from lookalike.data.archive import cache_folder, unpack, unpacked
from lookalike.errors import DataError


def zip_of(file, members):
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def tar_of(file, members):
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return file


@pytest.mark.parametrize(("make", "name"), [(zip_of, "a.zip"), (tar_of, "a.tgz")])
def test_an_archive_is_unpacked(make, name, tmp_path):
    archive = make(tmp_path / name, {"x/a.txt": b"1", "b.txt": b"2"})
    unpack([archive], tmp_path / "out")
    assert (tmp_path / "out/x/a.txt").read_bytes() == b"1"
    assert {p.name for p in tmp_path.iterdir()} == {name, "out"}
    with pytest.raises(DataError, match="is there already"):
        unpack([archive], tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil", "/evil", "x/../../evil", "..\\evil", "C:/evil"])
@pytest.mark.parametrize(("make", "file"), [(zip_of, "a.zip"), (tar_of, "a.tgz")])
def test_paths_outside_the_target_are_refused_and_nothing_is_left(make, file, name, tmp_path):
    archive = make(tmp_path / file, {"good.txt": b"1", name: b"2"})
    with pytest.raises(DataError, match=r"refused, for its member .* outside the target"):
        unpack([archive], tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [file]
    assert list((tmp_path / "in").iterdir()) == []


def test_links_are_refused(tmp_path):
    with pytest.raises(DataError, match="is a link or a device"):
        unpack([tar_of(tmp_path / "a.tar.gz", {"link": None})], tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")


def test_damaged_archives_are_refused(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"a.txt": b"1" * 5000})
    data = bytearray(archive.read_bytes())
    data[60:70] = b"0123456789"
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"a.zip: damaged archive"):
        unpack([archive], tmp_path / "out")
    tar = tar_of(tmp_path / "a.tgz", {"a.txt": bytes(range(256)) * 4000})
    tar.write_bytes(tar.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"a.tgz: damaged archive"):
        unpack([tar], tmp_path / "out")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match=r"a.txt: neither a zip nor a tar"):
        unpack([tmp_path / "a.txt"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_cache_follows_the_archive(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"a.txt": b"1"})
    first = unpacked([archive], tmp_path / "cache")
    mark = first / "a.txt"
    assert unpacked([archive], tmp_path / "cache") == first and mark.read_bytes() == b"1"
    zip_of(archive, {"a.txt": b"22"})
    second = unpacked([archive], tmp_path / "cache")
    assert second != first and (second / "a.txt").read_bytes() == b"22"
    with pytest.raises(DataError, match=r"b.zip: cannot be read"):
        unpacked([tmp_path / "b.zip"], tmp_path / "cache")


def test_the_cache_lies_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lookalike"


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").touch()
    archive = zip_of(tmp_path / "a.zip", {"a.txt": b"1"})
    with pytest.raises(DataError, match="cannot be made"):
        unpack([archive], tmp_path / "file" / "out")
