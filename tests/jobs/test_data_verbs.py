"""The verbs of ``lookalike data``, as a person uses them."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from lookalike import cli
from lookalike.data import sources
from lookalike.data.datasets import cached


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def pictures(tmp_path):
    """Four classes of four images in their folders."""
    rng = np.random.default_rng(0)
    for number in range(4):
        folder = tmp_path / "pictures" / f"class_{number}"
        folder.mkdir(parents=True)
        for picture in range(4):
            small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            small.resize((64, 48), Image.Resampling.BICUBIC).save(folder / f"{picture}.png")
    return tmp_path / "pictures"


def test_problems_end_with_exit_code_1_unless_asked_not_to(say, pictures):
    code, out, _ = say("data", "check", pictures)
    assert code == 0 and "No problems found" in out and "16 images" in out
    (pictures / "class_0/0.png").write_text("no image")
    for words, expected in (((), 1), (("--exit-zero",), 0), (("--json",), 1)):
        code, out, _ = say("data", "check", pictures, *words)
        assert code == expected
    assert json.loads(out)["ok"] is False
    code, out, _ = say("data", "check", pictures)
    assert "1 file cannot be used; fix or drop them" in out


def test_flat_pictures_and_classes_of_equal_pixels_are_found(say, tmp_path):
    for name in "abcd":
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("LA", (9, 9), (255, 10 * i)).save(tmp_path / name / f"{i}.png")
    code, out, _ = say("data", "check", tmp_path)
    assert code == 1 and "8 images are of one colour, or nearly" in out
    assert "1 image is both in training and in evaluation" in out
    apart = tmp_path / "apart"  # one blank scan among sound images, in a class like any other
    for name in "ab":
        (apart / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.random.default_rng([ord(name), i]).integers(0, 256, (9, 9), np.uint8)
            Image.fromarray(pixels).save(apart / name / f"{i}.png")
    assert say("data", "check", apart)[0] == 0
    Image.new("L", (9, 9), 255).save(apart / "b" / "2.png")
    for words, expected in (((), 1), (("--exit-zero",), 0)):
        code, out, _ = say("data", "check", apart, *words)
        assert code == expected and "1 image is of one colour, or nearly" in out


@pytest.fixture
def server(tmp_path):
    """A server of files, and the folder it serves."""
    served = tmp_path / "served"
    served.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", served
    httpd.shutdown()
    httpd.server_close()


def archive(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as out:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return file.getvalue()


def offer(monkeypatch, server, content, **options):
    """Let `data get cub` fetch an archive from the local server."""
    address, folder = server
    (folder / "birds.tgz").write_bytes(content)
    checksum = "md5:" + hashlib.md5(content).hexdigest()
    file = sources.File(f"{address}/birds.tgz", options.pop("checksum", checksum), into="")
    monkeypatch.setitem(sources.SOURCES, "cub", sources.Source("CUB", (file,), **options))


def test_get_fetches_checks_and_unpacks(say, server, tmp_path, monkeypatch):
    offer(monkeypatch, server, archive({"CUB/images/a.jpg": b"1"}), terms="free", steps=("Sign",))
    code, out, _ = say("data", "get", "cub", f"data_root={tmp_path / 'data'}")
    assert code == 0
    assert (tmp_path / "data/CUB/images/a.jpg").read_bytes() == b"1"
    assert "terms    free" in out and "fetching birds.tgz, 0.0 MB" in out and "1. Sign." in out
    assert f"then     lookalike data check cub data_root={tmp_path / 'data'}" in out


def test_get_refuses_what_was_changed_and_what_reaches_outside(say, server, tmp_path, monkeypatch):
    offer(monkeypatch, server, archive({"a.jpg": b"1"}), checksum="md5:" + "0" * 32)
    code, _, err = say("data", "get", "cub", f"data_root={tmp_path / 'data'}")
    assert code != 0 and "is not what was published" in err
    offer(monkeypatch, server, archive({"../../evil.txt": b"1"}))
    code, _, err = say("data", "get", "cub", f"data_root={tmp_path / 'data'}")
    assert code != 0 and "outside the target" in err
    assert not list(tmp_path.rglob("evil.txt"))


def test_get_prints_the_steps_where_the_owner_asks_for_a_form(say, tmp_path):
    code, out, _ = say("data", "get", "inshop", f"data_root={tmp_path}")
    assert code == 0 and "a form to sign" in out and "fetched" not in out
    code, _, err = say("data", "get", "inshp")
    assert code != 0 and "Did you mean 'inshop'" in err


def test_a_cache_trains_and_the_report_says_so(say, pictures, tmp_path):
    copy = tmp_path / "copy"
    code, out, _ = say("data", "cache", pictures, "--out", copy, "--shorter", "32")
    assert code == 0 and f"train    lookalike train dataset={copy}" in out
    assert len(cached(copy, verify=True)) == 16
    stated = "shorter side cut down to 32 pixels by a bicubic filter, plain pixels"
    assert stated in out
    words = [
        f"dataset={copy}", "model=conv4", "model.pretrained=false", "transform.size=32", "epochs=1",
        "batch_size=4", "sampler.m=2", "workers=0", f"run={tmp_path / 'run'}",
    ]  # fmt: skip
    code, out, err = say("train", *words, "--quiet")
    assert code == 0, err
    assert stated in out
    assert stated in (tmp_path / "run" / "report.html").read_text()


def test_cache_refuses_an_unknown_encoding(say, pictures, tmp_path):
    code, _, err = say("data", "cache", pictures, "--out", tmp_path / "c", "--encoding", "png")
    assert code == 2 and "'raw'" in err and "'jpeg'" in err


def test_check_names_near_copies_across_the_splits(say, pictures):
    twice = pictures.parent / "divided"
    for split in ("train", "test"):
        for folder in sorted(pictures.iterdir())[:2]:
            (twice / split / f"{split}_{folder.name}").mkdir(parents=True)
            for file in sorted(folder.iterdir())[: 2 if split == "train" else 1]:
                to = twice / split / f"{split}_{folder.name}" / file.with_suffix(".jpg").name
                Image.open(file).resize((60, 45)).save(to, quality=85 if split == "test" else 95)
    code, out, _ = say("data", "check", twice, "--json")
    found = {finding["kind"]: finding for finding in json.loads(out)["findings"]}
    assert code == 0 and found["near"]["count"] == 2
    assert "near" not in say("data", "check", twice, "--no-near")[1]
