import hashlib
import io
import re
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lookalike.data import datasets, sources
from lookalike.data.download import download
from lookalike.errors import ConfigError, DataError

CONTENT = bytes(range(256)) * 8000
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, breaking off, forgetting ranges or failing as told."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        state = self.server.state
        state["asked"].append((self.path, self.headers.get("Range")))
        if state["fail"]:
            self.send_error(state["fail"].pop(0))
            return
        content = state["files"].get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and state["ranges"]:
            start = int(asked[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            first = start + state["shift"]
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if state["length"]:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = state["stops"].pop(0) if state["stops"] else len(content)
        self.wfile.write(content[start : max(start, stop)])

    def log_message(self, *_args):
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_args):
        """Clients that hang up are part of the game."""


@pytest.fixture
def server():
    httpd = Quiet(("127.0.0.1", 0), Server)
    httpd.state = {
        "files": {"/a.bin": CONTENT}, "ranges": True, "stops": [], "fail": [], "asked": [],
        "length": True, "shift": 0,
    }  # fmt: skip
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    return partial(download, f"{server.url}/a.bin", tmp_path / "in" / "a.bin", wait_s=0.01)


def test_a_file_is_fetched_and_checked(server, fetch, tmp_path):
    seen = []
    file = fetch(checksum=MD5, progress=lambda have, total: seen.append((have, total)))
    assert file.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["a.bin"]
    fetch(checksum=MD5)
    assert len(server.state["asked"]) == 1  # what is there is not fetched again
    sha = "sha256:" + hashlib.sha256(CONTENT).hexdigest().upper()
    assert fetch(checksum=sha) == file


def test_a_broken_connection_is_continued(server, fetch):
    server.state["stops"] = [700_000, 1_500_000]
    assert fetch(checksum=MD5).read_bytes() == CONTENT
    assert [r for _, r in server.state["asked"]] == [None, "bytes=700000-", "bytes=1500000-"]


def test_a_stopped_fetch_is_continued_next_time(server, fetch, tmp_path):
    server.state["stops"] = [700_000]
    with pytest.raises(DataError, match=r"not fetched in 1 attempt .* is kept in .*a.bin.part"):
        fetch(attempts=1)
    assert (tmp_path / "in/a.bin.part").stat().st_size == 700_000
    assert fetch(checksum=MD5).read_bytes() == CONTENT
    assert server.state["asked"][-1][1] == "bytes=700000-"


def test_a_server_without_ranges_starts_over(server, fetch):
    server.state |= {"stops": [700_000], "ranges": False}
    assert fetch(checksum=MD5).read_bytes() == CONTENT


def test_a_server_that_answers_with_another_range_starts_over(server, fetch, tmp_path):
    server.state |= {"stops": [700_000], "shift": 5}
    assert fetch(checksum=MD5).read_bytes() == CONTENT


def test_a_whole_part_is_recognised(server, fetch, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin.part").write_bytes(CONTENT)
    assert fetch(checksum=MD5).read_bytes() == CONTENT
    (tmp_path / "in/a.bin").unlink()
    (tmp_path / "in/a.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(checksum=MD5).read_bytes() == CONTENT


def test_a_server_that_tells_no_length(server, fetch):
    server.state["length"] = False
    seen = []
    assert fetch(progress=lambda have, total: seen.append(total)).read_bytes() == CONTENT
    assert set(seen) == {None}


def test_a_busy_server_is_asked_again(server, fetch):
    server.state["fail"] = [503, 429]
    assert fetch(checksum=MD5).read_bytes() == CONTENT


def test_failures_are_named(server, fetch, tmp_path):
    with pytest.raises(DataError, match="the server says 404"):
        download(f"{server.url}/b.bin", tmp_path / "b")
    with pytest.raises(DataError, match=r"a.bin.part: is not what was published.*published 00"):
        fetch(checksum="md5:00")
    assert list((tmp_path / "in").iterdir()) == []
    (tmp_path / "in/a.bin").write_text("else")
    with pytest.raises(DataError, match="is there, but is not what was published"):
        fetch(checksum=MD5)
    with pytest.raises(DataError, match="write md5"):
        fetch(checksum="crc:1")
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="not fetched in 2 attempts"):
        download(f"http://127.0.0.1:{port}/x", tmp_path / "x", attempts=2, wait_s=0.01)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        download("http://127.0.0.1:1/x", tmp_path / "file" / "x")


def test_a_full_disk_is_named(fetch, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lookalike.data.download._copy", full)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        fetch()


# ── whole data sets ─────────────────────────────────────────────────────────────────────────────


def archive(kind, members):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as out:
            for name, content in members.items():
                out.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w:gz") as out:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    return file.getvalue()


def source(server, monkeypatch, files, **options):
    server.state["files"] = {f"/{name}": content for name, (content, _) in files.items()}
    entries = tuple(
        sources.File(f"{server.url}/{n}", "md5:" + hashlib.md5(c).hexdigest(), into=into)
        for n, (c, into) in files.items()
    )
    monkeypatch.setitem(sources.SOURCES, "birds", sources.Source("Birds_1", entries, **options))


def test_a_data_set_is_fetched_unpacked_and_laid_out(server, tmp_path, monkeypatch):
    files = {
        "birds.tgz": (archive("tar", {"Birds_1/images/a.jpg": b"1", "readme.txt": b"2"}), ""),
        "labels.zip": (archive("zip", {"labels.txt": b"3"}), "lists"),
        "plain.pkl": (b"4", None),
    }
    source(server, monkeypatch, files, steps=("sign the form",))
    seen = []
    folder, steps = sources.get("birds", tmp_path, progress=lambda *a: seen.append(a[0]))
    assert folder == tmp_path / "Birds_1" and steps == ("sign the form",)
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
             if p.is_file() and not p.name.endswith(".done")}  # fmt: skip
    assert found == {"images/a.jpg": b"1", "readme.txt": b"2", "lists/labels.txt": b"3",
                     "plain.pkl": b"4"}  # fmt: skip
    assert set(seen) == set(files)
    asked = len(server.state["asked"])
    sources.get("birds", tmp_path)
    assert len(server.state["asked"]) == asked  # nothing is fetched twice


def test_scattered_pictures_may_be_gathered_in_one_folder(server, tmp_path, monkeypatch):
    content = archive("tar", {"paris/louvre/1.jpg": b"1", "paris/eiffel/2.jpg": b"2"})
    server.state["files"] = {"/p.tgz": content}
    file = sources.File(f"{server.url}/p.tgz", into="jpg", flat=True)
    monkeypatch.setitem(sources.SOURCES, "paris", sources.Source("paris", (file,)))
    folder, _ = sources.get("paris", tmp_path)
    assert sorted(p.name for p in (folder / "jpg").iterdir()) == ["1.jpg", "2.jpg"]
    assert not list(folder.glob(".*unpacked"))


def test_archives_may_be_kept(server, tmp_path, monkeypatch):
    source(server, monkeypatch, {"a.zip": (archive("zip", {"a.txt": b"1"}), "")})
    folder, _ = sources.get("birds", tmp_path, keep_archives=True)
    assert (folder / "a.zip").exists() and (folder / "a.txt").exists()


def test_what_is_there_is_not_overwritten(server, tmp_path, monkeypatch):
    source(server, monkeypatch, {"a.zip": (archive("zip", {"a.txt": b"1"}), "")})
    (tmp_path / "Birds_1").mkdir()
    (tmp_path / "Birds_1/a.txt").write_text("mine")
    with pytest.raises(DataError, match=r"a.txt: is there already"):
        sources.get("birds", tmp_path)
    assert (tmp_path / "Birds_1/a.txt").read_text() == "mine"


def test_an_archive_that_reaches_outside_is_refused(server, tmp_path, monkeypatch):
    source(server, monkeypatch, {"a.zip": (archive("zip", {"../evil.txt": b"1"}), "")})
    with pytest.raises(DataError, match="outside the target"):
        sources.get("birds", tmp_path / "data")
    assert not list(tmp_path.rglob("evil.txt"))


def test_every_source_says_what_it_is():
    for name, entry in sources.SOURCES.items():
        assert entry.files or entry.steps, name
        assert name in datasets.__all__ or name in ("roxford5k", "rparis6k")
        for file in entry.files:
            assert re.fullmatch(r"(https?|ftp)://\S+", file.url)
            assert not file.checksum or re.fullmatch(r"md5:[0-9a-f]{32}", file.checksum)
    with pytest.raises(ConfigError, match="no such data set. Did you mean 'cub'"):
        sources.get("cubs", "data")
