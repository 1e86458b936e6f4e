"""Connections without a request: they cost one client its own, and nobody else's."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest
import uvicorn
from running_server import start, start_app
from served import Site

from lookalike.web.connections import limited_protocol


@pytest.fixture
def quick(index):
    """A server in this process with deadlines of a second."""
    site = Site(index.folder, header_seconds=0.5, body_seconds=1, connections=8)
    with start_app(site.app, site.settings) as port:
        site.service.load()
        yield port


def half_open(port: int, text: bytes = b"GET / HTTP/1.1\r\nHo") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=10)
    opened.sendall(text)
    return opened


def test_half_open_connections_are_cut(quick):
    held = [half_open(quick) for _ in range(8)]
    with pytest.raises(AssertionError):  # the ninth of this client is refused
        assert httpx.get(f"http://127.0.0.1:{quick}/api/health").status_code == 200
    began = time.monotonic()
    for one in held:
        assert one.recv(100) == b""
    assert time.monotonic() - began < 5
    assert httpx.get(f"http://127.0.0.1:{quick}/api/health").status_code == 200


def test_a_second_head_on_the_same_connection_has_its_deadline_too(quick):
    one = half_open(quick, b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert one.recv(10_000).startswith(b"HTTP/1.1 200")
    one.sendall(b"GET /api/he")
    began = time.monotonic()
    while one.recv(10_000):
        assert time.monotonic() - began < 5
    assert time.monotonic() - began < 5


def test_a_body_that_drips_is_refused(quick):
    head = (
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    one = half_open(quick, head)
    began, answer = time.monotonic(), b""
    while not answer:
        try:
            one.sendall(b"y")
            one.settimeout(0.1)
            answer = one.recv(10_000)
        except TimeoutError:
            assert time.monotonic() - began < 10
    assert answer.startswith(b"HTTP/1.1 408")


def test_refused_connections_are_answered_and_forgotten(quick):
    for _ in range(3):
        held = [socket.create_connection(("127.0.0.1", quick), timeout=10) for _ in range(8)]
        last = socket.create_connection(("127.0.0.1", quick), timeout=10)
        answer = last.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 503")
        body = answer.partition(b"\r\n\r\n")[2]
        assert f"content-length: {len(body)}".encode() in answer
        assert "too many connections" in json.loads(body)["detail"]
        for one in [*held, last]:
            one.close()
        time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{quick}/api/health").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [False, True])
def test_forwarded_addresses_are_believed_of_trusted_proxies_only(index, trusted):
    options = ["--trusted-proxy", "127.0.0.1"] if trusted else []
    process, url = start(index.folder, "--rate", "2", *options)
    try:
        codes = [
            httpx.get(f"{url}/api/stats", headers={"X-Forwarded-For": f"10.1.1.{i}"}).status_code
            for i in range(40)
        ]
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert (429 not in codes) == trusted


def test_the_protocol_is_the_one_that_uvicorn_has(index):
    """If uvicorn renames what is overridden, the deadline would silently be gone."""
    protocol = limited_protocol(Site(index.folder).settings)
    parent = uvicorn.protocols.http.h11_impl.H11Protocol
    for name in ("connection_made", "connection_lost", "data_received"):
        assert name in vars(parent)
        assert getattr(protocol, name) is not getattr(parent, name)
