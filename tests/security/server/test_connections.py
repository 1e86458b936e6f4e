"""Connections without a request: they cost one client its own, and nobody else's."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack

import httpx
import pytest
import uvicorn
from running_server import serve_here, start_app
from served import Site

from lookalike.web.connections import limited_protocol

PATIENCE = 60  # seconds for what comes at once on an idle machine; an answer that never comes fails


@pytest.fixture
def started(index):
    """Starts servers in this process."""
    with ExitStack() as stack:

        def start(**options) -> int:
            site = Site(index.folder, **options)
            http = limited_protocol(site.settings)
            port = stack.enter_context(start_app(site.app, log_level="warning", http=http))
            site.service.load()
            return port

        yield start


def health(port: int) -> int:
    return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=PATIENCE).status_code


def connect(port: int, text: bytes = b"") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    opened.sendall(text)
    return opened


def test_half_open_connections_are_cut(started):
    port = started(header_seconds=0.5, connections=8)
    held = [connect(port, b"GET / HTTP/1.1\r\nHo") for _ in range(8)]
    for one in held:
        assert one.recv(100) == b""  # cut without a word, before PATIENCE is at its end
    assert health(port) == 200


def test_a_second_head_on_the_same_connection_has_its_deadline_too(started):
    port = started(header_seconds=5)
    one = connect(port, b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert one.recv(10_000).startswith(b"HTTP/1.1 200")
    one.sendall(b"GET /api/he")
    while one.recv(10_000):
        pass


def test_a_body_that_drips_is_refused(started):
    head = (
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    one = connect(started(body_seconds=1), head)
    one.settimeout(0.1)
    began, answer = time.monotonic(), b""
    while not answer:
        try:
            one.sendall(b"y")
            answer = one.recv(10_000)
        except TimeoutError:
            assert time.monotonic() - began < PATIENCE
    assert answer.startswith(b"HTTP/1.1 408")


def test_refused_connections_are_answered_and_forgotten(started):
    port = started(header_seconds=600, connections=8)
    for _ in range(3):
        held = [connect(port) for _ in range(8)]
        last = connect(port)
        answer = last.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 503")
        body = answer.partition(b"\r\n\r\n")[2]
        assert f"content-length: {len(body)}".encode() in answer
        assert "too many connections" in json.loads(body)["detail"]
        for one in [*held, last]:
            one.close()
        _await_forgotten(port)


def _await_forgotten(port: int) -> None:
    """The server hears of a connection's end when its loop comes round to it."""
    began = time.monotonic()
    while True:
        try:
            assert health(port) == 200
            return
        except (AssertionError, httpx.TransportError):
            if time.monotonic() - began > PATIENCE:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("trusted", [False, True])
def test_forwarded_addresses_are_believed_of_trusted_proxies_only(index, trusted):
    options = ["--trusted-proxy", "127.0.0.1"] if trusted else []
    with serve_here(index.folder, "--rate", "0.02", *options) as url:
        codes = [
            httpx.get(
                f"{url}/api/stats", headers={"X-Forwarded-For": f"10.1.1.{i}"}, timeout=PATIENCE
            ).status_code
            for i in range(10)
        ]
    assert (429 not in codes) == trusted


def test_the_protocol_is_the_one_that_uvicorn_has(index):
    """If uvicorn renames what is overridden, the deadline would silently be gone."""
    protocol = limited_protocol(Site(index.folder).settings)
    parent = uvicorn.protocols.http.h11_impl.H11Protocol
    for name in ("connection_made", "connection_lost", "data_received"):
        assert name in vars(parent)
        assert getattr(protocol, name) is not getattr(parent, name)
