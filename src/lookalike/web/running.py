"""Run the server of an index until the process is asked to stop."""

from __future__ import annotations

import signal
from pathlib import Path

import uvicorn

from lookalike.console import Console
from lookalike.search.encoders import own_encoder
from lookalike.web.app import create_app
from lookalike.web.connections import limited_protocol
from lookalike.web.service import Service
from lookalike.web.settings import Settings


def serve(folder: Path, settings: Settings) -> None:
    """Serve an index folder, and say where.

    Args:
        folder: the index.
        settings: address, token and limits.
    """
    console = Console()
    host, port, token = settings.host, settings.port, settings.token
    shown = f"[{host}]" if ":" in host else host
    console.say("loading  the index and its model")

    def ready() -> None:
        console.say(f"page     http://{shown}:{port}/{f'?token={token}' if token else ''}")
        console.say("stop     Ctrl-C")

    app = create_app(lambda timed: Service(folder, own_encoder, settings, timed), settings, ready)
    # uvicorn stops in good order, then raises the signal again, which would end us as if killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.run(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=10,
        server_header=False, limit_concurrency=512, h11_max_incomplete_event_size=65_536,
        http=limited_protocol(settings), ws="none",
        proxy_headers=bool(settings.proxies), forwarded_allow_ips=list(settings.proxies),
    )  # fmt: skip
