"""What strangers may send to a server, and what comes of it: a line of SECURITY.md a test."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from served import Site

import lookalike
from lookalike import trust
from lookalike.errors import Busy, ConfigError, DiskError, Unreachable
from lookalike.jobs import index as jobs
from lookalike.models import weights
from lookalike.search import Index, generations
from lookalike.web.settings import Settings


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


# ── who may ask ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("token", ["", " ", "\t\n"])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_an_empty_token_is_no_token(host, token):
    with pytest.raises(ConfigError, match="--token is empty"):
        Settings(host=host, token=token)


def test_off_loopback_there_is_a_token():
    with pytest.raises(ConfigError, match="a token is needed"):
        Settings(host="0.0.0.0")


def test_every_route_asks_for_the_token(index):
    """The routes are those of the application, so that a new one is tested too."""
    with Site(
        index.folder, host="0.0.0.0", token="s3cret", changes=True, wrong_tokens=1000
    ) as site:
        routes = [
            (method, route.path.replace("{number}", "1"))
            for route in site.client.app.app.routes
            for method in route.methods - {"HEAD"}
        ]
        assert len(routes) > 10
        for method, path in routes:
            answers = {
                name: site.client.request(method, path, headers=headers).status_code
                for name, headers in {
                    "none": {},
                    "wrong": {"Authorization": "Bearer wrong"},
                    "empty": {"Authorization": "Bearer "},
                    "foreign": {"Authorization": "Bearer s3cret", "Origin": "http://evil.example"},
                    "broken": {"Authorization": "Bearer s3cret", "Origin": "http://["},
                }.items()
            }
            opened = path in ("/api/health", "/api/ready")
            asked = 200 if opened else 401
            assert answers == {
                "none": asked, "wrong": asked, "empty": asked, "foreign": 403, "broken": 403,
            }, (method, path)  # fmt: skip


def test_wrong_tokens_are_limited_and_do_not_cost_others(index):
    with Site(index.folder, host="0.0.0.0", token="s3cret", wrong_tokens=5) as site:
        get = site.client.get
        wrong = {"Authorization": "Bearer wrong"}
        codes = [get("/api/stats", headers=wrong).status_code for _ in range(20)]
        assert codes == [401] * 5 + [429] * 15
        assert get("/api/health").status_code == 200


def test_health_answers_whatever_it_is_called(index):
    with Site(index.folder, host="0.0.0.0", token="s3cret", hosts=("photos.example",)) as site:
        by_address = {"Host": "10.0.0.7:8000"}
        assert site.client.get("/api/health", headers=by_address).status_code == 200
        assert site.client.get("/api/ready", headers=by_address).status_code == 200
        assert site.client.get("/api/stats", headers=by_address).status_code == 421


# ── images that cost more than they weigh ───────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("width", "height", "word"),
    [
        (1_000_000, 1, "long"),
        (1, 1_000_000, "long"),
        (29_000, 200, "too thin"),
        (200, 29_000, "too thin"),
        (900, 10, "would grow"),
    ],
)
def test_thin_images_are_refused_before_they_grow(index, query, width, height, word):
    limits = {"max_pixels": 100_000} if word == "would grow" else {"max_pixels": 50_000_000}
    with Site(index.folder, **limits) as site:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        response = site.search(png(width, height))
        assert response.status_code == 422
        assert word in response.text
        assert site.search(png(width, height), box=f"0,0,{width},{height}").status_code == 422
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 100_000  # kB
        assert site.search(query).status_code == 200


def test_a_thin_part_of_an_image_is_refused_too(site):
    response = site.search(png(990, 990), box="0,0,990,2")
    assert response.status_code == 422
    assert "too thin" in response.text


def im_of(side: int) -> bytes:
    """An image in IM's format, which Pillow reads and the server does not."""
    head = (
        f"Image type: L image\r\nImage size (x*y): {side}*{side}\r\nFile size (no of images): 1\r\n"
    )
    return (head.encode() + b"\x1a").ljust(512, b"\0") + bytes(side * side)


def test_one_list_of_formats_checks_and_decodes(index):
    """What one reader took for a small TIFF and another for a large IM is neither."""
    tiff = struct.pack("<2sHI", b"II", 42, 8)
    for data in (im_of(3000), tiff + im_of(3000), png(1, 1) + im_of(3000)):
        with Site(index.folder) as site:
            response = site.search(data)
            assert response.status_code in (200, 422)
            if response.status_code == 200:  # the PNG of one pixel, with waste behind it
                assert data.startswith(b"\x89PNG")


@pytest.mark.parametrize("data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", im_of(8)])
def test_no_file_runs_a_program_whatever_it_is_called(tmp_path, data):
    """Pillow would hand an EPS to Ghostscript."""
    from lookalike.data.decode import read_picture

    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(lookalike.errors.DataError, match=r"a\.jpg"):
        read_picture(tmp_path / "a.jpg")


def test_a_thin_file_does_not_take_an_index_down(tmp_path, model, photos):
    shutil.copytree(photos / "fox", tmp_path / "p" / "fox")
    (tmp_path / "p" / "fox" / "thin.png").write_bytes(png(178_000_000, 1))
    index = jobs.build(model, str(tmp_path / "p"), tmp_path / "ix", workers=0)
    assert len(index) == 4


# ── what is told ────────────────────────────────────────────────────────────────────────────────
def test_no_answer_tells_where_folders_lie(index, query, photos):
    """Every answer, errors too, is free of the folder of the index and of the images."""
    asked = [
        ("GET", "/api/stats", {}),
        ("GET", "/api/items/3", {}),
        ("GET", "/api/items/9999", {}),
        ("GET", "/api/marks.csv", {}),
        ("POST", "/api/search", {"data": {"ids": "3"}}),
        ("POST", "/api/search", {"data": {"ids": "3", "where": "path~fox"}}),
        ("POST", "/api/search", {"data": {"ids": "3", "where": "nothing=1"}}),
        ("POST", "/api/marks", {"data": {"number": 3, "right": True}, "files": {"picture": query}}),
        ("DELETE", "/api/items/9999", {}),
    ]
    with Site(index.folder, changes=True) as site:
        told = [site.client.request(m, p, **more).text for m, p, more in asked * 2]
        shutil.rmtree(index.folder / "models")
    with Site(index.folder) as site:  # it has lost its model: ready says why
        response = site.client.get("/api/ready")
        assert response.status_code == 503
        told.append(response.text)
    for text in told:
        for place in (index.folder, index.folder.parent, photos, Path.home()):
            assert str(place) not in text, text


def test_conditions_on_paths_see_names_only(site, photos):
    """Otherwise ``path~`` would tell the folders above letter by letter."""

    def found(where: str) -> int:
        return len(site.search(ids="1", top="50", where=where).json()["hits"])

    assert found("path~fox/") == 4
    assert found("path=fox/0.png") == 1
    assert found(f"path~{photos.name}") == 0
    assert found(f"path~{photos.parts[1]}/") == 0
    assert found("path!=fox/0.png") == 18


def test_marks_are_named_and_harmless_in_a_spreadsheet(index, query):
    items = index.items.copy()
    items["label"] = ["=HYPERLINK(1)"] * 4 + ["+1"] * 4 + ["@x"] * 4 + ["-2"] * 4 + ["fox"] * 4
    index = Index.build(
        index.folder, np.asarray(index.vectors), items, overwrite=True,
        model=index.model_folder,
        about={k: index.manifest[k] for k in ("levels", "source", "model")},
    )  # fmt: skip
    with Site(index.folder) as site:
        for number in (1, 5, 9, 13, 17):
            mark = {"number": number, "right": True, "query_id": number + 1}
            assert site.client.post("/api/marks", data=mark).status_code == 200
        rows = [*csv.reader(io.StringIO(site.client.get("/api/marks.csv").text))]
    assert {row[1] for row in rows[1:]} == {"'=HYPERLINK(1)", "'+1", "'@x", "'-2", "fox"}
    assert not any(cell.startswith(("=", "+", "@", "-")) for row in rows for cell in row)
    assert all(row[0].count("/") == 1 for row in rows[1:])  # CLASS/NAME


def test_the_folders_of_anothers_index_are_not_believed(index, photos):
    """Its manifest could name any folder, and its items any image of this machine."""
    file = index.folder / "index.json"
    manifest = json.loads(file.read_text())
    assert manifest.pop(trust.MARK)
    file.write_text(json.dumps(manifest))
    with Site(index.folder) as site:
        response = site.client.get("/api/items/3/thumbnail")
        assert response.status_code == 404
        assert "--root" in response.text
        assert site.search(ids="3", box="0,0,9,9").status_code == 404
        assert site.search(ids="3").status_code == 200
    with Site(index.folder, roots=(str(photos),)) as site:
        assert site.client.get("/api/items/3/thumbnail").status_code == 200


# ── what is kept ────────────────────────────────────────────────────────────────────────────────
def test_marks_can_be_closed_and_have_a_quota(index, query):
    mark = {"data": {"number": 3, "right": True}, "files": {"picture": query}}
    by_id = {"data": {"number": 3, "right": True, "query_id": 4}}
    with Site(index.folder, marks=False) as site:
        assert site.client.post("/api/marks", **mark).status_code == 403
        assert not site.client.get("/api/stats").json()["keeps_marks"]
        assert not (index.folder / "marks").exists()
    with Site(index.folder, max_stored=100) as site:
        response = site.client.post("/api/marks", **mark)
        assert response.status_code == 507
        assert "--max-stored" in response.text
        assert site.client.post("/api/marks", **by_id).status_code == 200
    with Site(index.folder, max_marks=2) as site:
        assert site.client.post("/api/marks", **by_id).status_code == 200
        response = site.client.post("/api/marks", **by_id)
        assert response.status_code == 507
        assert "--max-marks" in response.text


def test_additions_have_the_same_quota(index, query):
    with Site(index.folder, changes=True, max_stored=3000) as site:
        codes = [
            site.client.post("/api/items", files={"picture": query}).status_code for _ in range(4)
        ]
    assert codes[0] == 201
    assert codes[-1] == 507
    kept = sum(f.stat().st_size for f in (index.folder / "uploads").iterdir())
    assert kept <= 3000


def test_a_torn_mark_costs_no_other(index, query):
    by_id = {"data": {"number": 3, "right": True, "query_id": 4}}
    other = {"data": {"number": 5, "right": False, "query_id": 6}}
    log = index.folder / "marks" / "marks.jsonl"
    with Site(index.folder) as site:
        site.client.post("/api/marks", **by_id)
        for waste in ('{"query": "a', "{}\n", "[1]\n", "null\n", "[" * 100_000, '{"query": 1}\n'):
            log.open("a").write(waste)
            assert site.client.get("/api/stats").json()["marks"] == 1
        assert site.client.post("/api/marks", **other).json() == {"marks": 2}
        changed = log.read_text().replace('"right":true', '"right":false')
        log.write_text(changed)
        assert site.client.get("/api/stats").json()["marks"] == 1  # its checksum is another


# ── a busy or broken machine ────────────────────────────────────────────────────────────────────
def test_a_failed_addition_leaves_nothing(index, query, monkeypatch):
    faults = {
        Busy("another process is writing to this index."): 409,
        DiskError("Cannot write it: No space left on device."): 507,
        Unreachable("Cannot reach PostgreSQL."): 503,
    }
    for fault, code in faults.items():
        with Site(index.folder, changes=True) as site:

            def fail(*_, fault=fault):
                raise fault

            with monkeypatch.context() as patch:
                patch.setattr(Index, "add", fail)
                response = site.client.post("/api/items", files={"picture": query})
            assert response.status_code == code
            assert str(fault)[:20] in response.text
            assert not [*(index.folder / "uploads").iterdir()]
            assert site.client.post("/api/items", files={"picture": query}).status_code == 201
            site.client.delete(f"/api/items/{Index.open(index.folder).ids[-1]}")
            for left in (index.folder / "uploads").iterdir():
                left.unlink()


def test_another_writer_is_waited_for_in_words(index, query):
    with Site(index.folder, changes=True) as site, generations.writing(index.folder):
        response = site.client.post("/api/items", files={"picture": query})
        assert response.status_code == 409
        assert "another process is writing" in response.text


def test_an_own_image_may_be_larger_than_what_is_sent(index, tmp_path):
    Image.new("RGB", (400, 300), (9, 9, 200)).save(tmp_path / "large.png")
    items = index.items.iloc[:1].assign(path=str(tmp_path / "large.png"))
    index = index.add(np.eye(1, 8, dtype=np.float32), items)
    with Site(index.folder, max_pixels=50_000, roots=(str(tmp_path),)) as site:
        assert site.client.get(f"/api/items/{index.ids[-1]}/thumbnail").status_code == 200
        assert site.search((tmp_path / "large.png").read_bytes()).status_code == 422


def test_thumbnails_are_kept_by_their_bytes(index):
    with Site(index.folder, thumbnail_bytes=20_000) as site:
        for number in range(20):
            assert site.client.get(f"/api/items/{number}/thumbnail?side=128").status_code == 200
        kept = site.service._thumbnails
        assert 0 < sum(map(len, kept.values())) <= 20_000
        assert site.service._thumbnail_bytes == sum(map(len, kept.values()))


# ── model and vectors together ──────────────────────────────────────────────────────────────────
def other_model(folder: Path) -> Path:
    torch.manual_seed(7)
    made = lookalike.create_model(
        "conv4", pretrained=False, embedding_size=8, size=32, options={"width": 8}
    )
    weights.save(made, folder)
    return folder


def test_rebuilt_with_another_model_it_answers_with_that_one_or_not_at_all(
    index, query, photos, tmp_path
):
    with Site(index.folder, changes=True) as site:
        assert site.search(query).json()["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
        before, loading = site.service.state._open_encoder, threading.Event()

        def slow(opened):
            assert loading.wait(30)
            return before(opened)

        site.service.state._open_encoder = slow
        jobs.build(
            other_model(tmp_path / "m"), str(photos), index.folder, workers=0, overwrite=True
        )
        assert site.client.get("/api/ready").status_code == 503
        response = site.search(query)
        assert response.status_code == 503
        assert "another model" in response.text
        assert site.client.post("/api/items", files={"picture": query}).status_code == 503
        assert site.search(ids="3").status_code == 200  # items need no model
        loading.set()
        for _ in range(100):
            if site.client.get("/api/ready").status_code == 200:
                break
            time.sleep(0.05)
        hits = site.search(query).json()["hits"]
        assert hits[0]["id"] == 6
        assert hits[0]["score"] == pytest.approx(1, abs=1e-4)


def test_vectors_of_the_model_before_do_not_get_into_a_rebuilt_index(index, photos, tmp_path):
    opened = Index.open(index.folder)
    again = jobs.build(
        other_model(tmp_path / "m"), str(photos), index.folder, workers=0, overwrite=True
    )
    with pytest.raises(Busy, match="built again"):
        opened.add(np.eye(1, 8, dtype=np.float32), opened.items.iloc[:1])
    with pytest.raises(Busy, match="built again"):
        opened.remove([3])
    assert Index.open(index.folder).manifest == again.manifest


def test_an_index_that_is_gone_is_said(index, query):
    with Site(index.folder) as site:
        (index.folder / "index.json").rename(index.folder / "away.json")
        assert site.search(query).status_code == 503
        assert site.client.get("/api/ready").status_code == 503
        (index.folder / "away.json").rename(index.folder / "index.json")
        assert site.search(query).status_code == 200


# ── filters ─────────────────────────────────────────────────────────────────────────────────────
def test_filters_of_many_words_are_refused_or_quick(index):
    with Site(index.folder) as site:
        many = "label=" + "|".join(f"w{i}" for i in range(300_000))
        began = time.process_time()
        assert site.search(ids="1", where=many).status_code in (400, 413, 422)
        assert site.search(ids="1", where=many[:20_000]).status_code == 422
        assert site.search(ids="1", where=["label=fox"] * 21).status_code == 422
        assert time.process_time() - began < 5
        some = "label=" + "|".join(f"w{i}" for i in range(1000)) + "|owl"  # 4 of 20
        assert len(site.search(ids="1", where=some, top="50").json()["hits"]) == 4


def test_json_of_answers_is_text(site):
    """The label that would be a script stays a string."""
    hits = site.search(ids="1", top="50").json()["hits"]
    assert any("<img" in json.dumps(hit["labels"]) for hit in hits)
    assert zlib.crc32(site.client.get("/").content)  # the page holds no data of the index
