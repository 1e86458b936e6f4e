"""A real server in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import httpx
import uvicorn
from typer.testing import CliRunner

from lookalike.cli import app as cli


def start(folder, *options: str) -> tuple[subprocess.Popen, str]:
    """Run ``lookalike serve`` and wait until it is ready."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "lookalike", "serve", str(folder), "--port", str(port)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            if httpx.get(f"{url}/api/ready").status_code == 200:
                return process, url
        except httpx.TransportError:
            pass  # it is not listening yet
        assert process.poll() is None, "the server ended"
        time.sleep(0.1)
    process.kill()
    raise AssertionError("the server was not ready within a minute")


@contextmanager
def start_app(app, **options) -> Iterator[int]:
    """Serve an application from a thread of this process, with uvicorn's options; its port."""
    server = uvicorn.Server(uvicorn.Config(app, **(options | {"port": 0})))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(1200):
        if server.started:
            break
        time.sleep(0.05)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


@contextmanager
def serve_here(folder, *words: str) -> Iterator[str]:
    """``lookalike serve`` with these words, in this process: its address, at once and not ready."""
    with patch("uvicorn.run") as run, patch("signal.signal"):
        done = CliRunner().invoke(cli, ["serve", str(folder), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with start_app(*run.call_args.args, **run.call_args.kwargs) as port:
        yield f"http://127.0.0.1:{port}"
