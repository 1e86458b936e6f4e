"""A real server in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import httpx


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
