"""The API, and what must not get through it."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Site

from lookalike.data.datasets.table_files import table_file
from lookalike.jobs import index_changes as changes
from lookalike.search import Index
from lookalike.web.decoding import Decoders


def test_search_by_upload_item_box_and_filter(site, query, index):
    hits = site.search(query, top="5").json()["hits"]
    assert hits[0]["id"] == 6
    assert hits[0]["score"] == pytest.approx(1, abs=1e-5)
    assert len(hits) == 5
    by_id = site.search(ids="6", top="4").json()["hits"]
    assert [hit["id"] for hit in by_id] == [hit["id"] for hit in hits[1:]]
    part = site.search(query, top="5", box="0,0,30,30").json()["hits"]
    assert part != hits
    only = site.search(query, where="label=owl", top="50").json()["hits"]
    assert {hit["labels"]["label"] for hit in only} == {"owl"}
    assert len(site.search(query, min_score="0.99999").json()["hits"]) < 20
    assert len(site.search(query, ids="3", fuse="best").json()["hits"]) == 19
    assert site.search(query, rerank="k_reciprocal").status_code == 200
    item = site.client.get("/api/items/6").json()
    (root,) = index.manifest["source"]["roots"]
    assert item["name"] == str(Path(index.items["path"].iloc[6]).relative_to(root))
    thumbnail = site.client.get("/api/items/6/thumbnail?side=64")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (64, 48)
    assert thumbnail.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"where": "nothing=1"}, "no column"),
        ({"where": "label"}, "COLUMN=VALUE"),
        ({"rerank": "magic"}, "no such method"),
        ({"fuse": "magic", "ids": "1"}, "average or best"),
        ({"box": "1,2,3"}, "four numbers"),
        ({"box": "0,0,nan,9"}, "numbers between"),
        ({"box": "0,0,900,900"}, "leaves the image"),
        ({"top": "0"}, "greater than"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(site, query, form, word):
    response = site.search(query, **form)
    assert response.status_code == 422
    assert word in response.text


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 40,000 × 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    )  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [bomb(), b"", b"GIF89a", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + bytes(50), b"%PDF-1.4"],
    ids=["bomb", "empty", "gif", "svg", "jpeg", "pdf"],
)
def test_no_pictures_and_bombs_are_refused(site, query, data):
    assert site.search(data).status_code == 422
    assert site.service.decoders.deaths == 0
    assert site.search(query).status_code == 200


def test_a_decoder_may_die(site, query):
    decoders = site.service.decoders
    for deaths in (1, 2):
        (process,) = decoders._all
        process.kill()
        process.wait()
        response = site.search(query)
        assert response.status_code == 422
        assert "could not be decoded" in response.text
        assert site.search(query).status_code == 200
        assert decoders.deaths == deaths


def test_decoders_are_as_many_as_are_busy(query):
    """Others are started while one hangs, up to the limit; then requests wait."""
    decoders = Decoders(2, max_pixels=1_000_000)
    first = decoders._take()
    assert decoders.pixels(query).shape == (72, 96, 3)
    second = decoders._take()
    assert decoders._all == {first, second}
    waiting = threading.Timer(0.05, decoders._idle.put, [first])
    waiting.start()
    assert decoders.pixels(query).shape == (72, 96, 3)
    assert decoders._all == {first, second}
    decoders.close()


def test_limits(index, query):
    with Site(index.folder, max_body=1000) as site:
        assert site.search(bytes(2000)).status_code == 413

        def endless():
            for _ in range(100):
                yield b"--x\r\nContent-Disposition: form-data; name=ids\r\n\r\n1\r\n"

        # No Content-Length: the bytes are counted as they come.
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        sent = site.client.post("/api/search", content=endless(), headers=form)
        assert sent.status_code == 413
    with Site(index.folder, rate=2) as site:
        codes = [site.client.get("/api/stats").status_code for _ in range(14)]
        assert codes[:10] == [200] * 10
        assert 429 in codes
        assert site.client.get("/api/health").status_code == 200
    with Site(index.folder, max_pixels=100) as site:
        assert "the limit is 100" in site.search(query).text


def test_a_token_is_asked_and_strangers_are_refused(index):
    with Site(index.folder, host="0.0.0.0", token="s3cret") as site:
        get = site.client.get
        assert get("/api/stats").status_code == 401
        assert get("/").status_code == 401
        assert get("/metrics").status_code == 401
        assert get("/api/openapi.json").status_code == 401
        assert get("/api/health").status_code == 200
        assert get("/api/stats", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert get("/api/stats", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert get("/api/stats?token=s3cret").status_code == 401  # in logs it would stay
        page = get("/?token=s3cret")
        assert "HttpOnly" in page.headers["set-cookie"]
        assert get("/api/stats").status_code == 200  # by the cookie
    with Site(index.folder) as site:
        for host, status in (
            ("evil.example", 421), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("[::1", 421),
            ("[::1]evil.example", 421), ("127.0.0.1:80@evil.example", 421), ("127.0.0.1:x", 421),
        ):  # fmt: skip
            assert site.client.get("/api/stats", headers={"Host": host}).status_code == status, host
        foreign = {"Origin": "http://evil.example"}
        assert site.client.post("/api/search", headers=foreign).status_code == 403
        same = {"Origin": "http://127.0.0.1"}
        assert site.client.get("/api/stats", headers=same).status_code == 200


PATHS = [
    "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd",
    "/etc/passwd", "/api/items/..%2f..%2fetc%2fpasswd/thumbnail", "/api/items/%2fetc%2fpasswd",
    "/api/items/1/thumbnail/../../../etc/passwd", "/%c0%ae%c0%ae/etc/passwd", "/file:///etc/passwd",
    "/api/items/-1", "/api/items/99999999999999999999999", "/index.json", "/api/items/1%00.jpg",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out(site, path):
    response = site.client.get(path)
    assert response.status_code in (404, 405, 422)
    assert "root:" not in response.text
    assert str(site.service.folder) not in response.text


def test_links_and_moved_rows_do_not_lead_out(index, photos, tmp_path):
    """An index is a file too: rows that point elsewhere show nothing."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (50, 50)).save(secret)
    link = photos / "link.png"
    link.symlink_to(secret)
    try:
        items = index.items.iloc[:1].assign(path=str(link))
        outside = index.items.iloc[:1].assign(path=str(secret))
        dotted = index.items.iloc[:1].assign(
            path=f"{photos}/../{secret.relative_to(secret.anchor)}"
        )
        for frame in (items, outside, dotted):
            index = index.add(np.eye(1, 8, dtype=np.float32), frame)
        with Site(index.folder) as site:
            for number in index.ids[-3:]:
                response = site.client.get(f"/api/items/{number}/thumbnail")
                assert response.status_code == 404
                assert str(secret) not in site.client.get(f"/api/items/{number}").text
            assert site.search(ids=str(index.ids[-1]), box="0,0,9,9").status_code == 404
        with Site(index.folder, roots=(str(tmp_path),)) as site:
            assert site.client.get(f"/api/items/{index.ids[-2]}/thumbnail").status_code == 200
    finally:
        link.unlink()


def test_add_and_remove_only_where_allowed(index, query):
    with Site(index.folder) as site:
        assert site.client.post("/api/items", files={"picture": query}).status_code == 403
        assert site.client.delete("/api/items/1").status_code == 403
    blue = io.BytesIO()
    Image.new("RGB", (40, 40), (0, 0, 200)).save(blue, "PNG")
    with Site(index.folder, changes=True) as site:
        added = site.client.post(
            "/api/items", files={"picture": blue.getvalue()}, data={"label": "blue"}
        )
        assert added.status_code == 201
        number = added.json()["id"]
        assert added.json()["labels"] == {"label": "blue"}
        assert site.search(blue.getvalue()).json()["hits"][0]["id"] == number
        assert site.client.get(f"/api/items/{number}/thumbnail").status_code == 200
        assert site.client.delete(f"/api/items/{number}").status_code == 204
        assert site.client.get(f"/api/items/{number}").status_code == 404
        assert site.client.delete(f"/api/items/{number}").status_code == 404
        assert len(Index.open(index.folder)) == 20
        # What the command line changes is seen by the next request.
        changes.remove(index.folder, ["#0"])
        assert site.client.get("/api/stats").json()["count"] == 19
        assert site.client.get("/api/items/0").status_code == 404


def test_marks_make_a_table_to_train_on_and_to_evaluate_with(site, query, index):
    post = site.client.post
    assert site.client.get("/api/marks.csv").status_code == 404
    upload = {"picture": query}
    assert post("/api/marks", data={"number": 5, "right": True}, files=upload).json() == {
        "marks": 1
    }
    post("/api/marks", data={"number": 4, "right": True}, files=upload)
    post("/api/marks", data={"number": 9, "right": True}, files=upload)
    post("/api/marks", data={"number": 9, "right": False}, files=upload)  # changed their mind
    post("/api/marks", data={"number": 13, "right": True, "query_id": 12})
    post("/api/marks", data={"number": 14, "right": True, "query_id": 12})
    taken_back = {"number": 14, "undo": True, "query_id": 12}
    assert post("/api/marks", data=taken_back).json() == {"marks": 4}
    assert post("/api/marks", data=taken_back | {"right": True}).status_code == 422
    assert post("/api/marks", data={"number": 14, "query_id": 12}).status_code == 422
    assert post("/api/marks", data={"number": 13, "right": True}).status_code == 422
    assert post("/api/marks", data={"number": 99, "right": True}, files=upload).status_code == 404
    (index.folder / "marks" / "marks.jsonl").open("a").write('{"cut by a cra')
    table = table_file(index.folder / "marks" / "marks.csv")
    frame = table.frame.set_index("path")
    label = frame["label"].to_dict()
    paths = index.items["path"]
    (upload_path,) = [p for p in label if "marks" in p]
    assert label[upload_path] == label[paths[4]] == label[paths[5]] == index.items["label"][5]
    assert label[paths[9]] == "-1"
    assert label[paths[12]] == label[paths[13]]
    assert frame["is_query"].to_dict()[upload_path]
    assert frame["is_gallery"].sum() == 4
    assert site.client.get("/api/marks.csv").text.startswith("path,label")


def test_state_and_metrics(site, query):
    assert site.client.get("/api/ready").status_code == 200
    stats = site.client.get("/api/stats").json()
    assert stats["count"] == 20
    assert stats["labels"]["fox"] == 4
    site.search(query)
    text = site.client.get("/metrics").text
    assert "lookalike_items 20.0" in text
    assert 'lookalike_requests_total{route="/api/search",status="200"} 1.0' in text
    assert 'lookalike_stage_seconds_count{stage="embed"} 1.0' in text


def test_not_ready_without_a_model(index, query):
    import shutil

    shutil.rmtree(index.folder / "models")
    with Site(index.folder) as site:
        assert site.client.get("/api/ready").status_code == 503
        assert site.client.get("/api/health").status_code == 200
        assert site.search(query).status_code == 503
        assert site.search(ids="3").status_code == 200  # items need no model
