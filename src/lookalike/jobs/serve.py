"""``lookalike serve``: a page and an API over an index."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

from lookalike.console import Console
from lookalike.errors import ConfigError
from lookalike.search.index import Index
from lookalike.web.settings import Settings, is_loopback


def run(
    index: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    changes: bool = False,
    marks: bool = True,
    max_marks: int = 10_000,
    max_stored: float = 500.0,
    rate: float = 20.0,
    connections: int = 64,
    concurrency: int = 2,
    max_megabytes: float = 20.0,
    max_megapixels: float = 50.0,
    roots: Sequence[Path] = (),
    hosts: Sequence[str] = (),
    proxies: Sequence[str] = (),
) -> None:
    """Serve an index until the process is asked to stop.

    Args:
        index: the index folder.
        host: address to listen on; any but a loopback address asks for a token.
        port: port to listen on.
        token: what callers must know; drawn and printed where one is needed and none given.
        changes: open the endpoints that add and remove pictures.
        marks: let callers mark results right and wrong.
        max_marks: how many of them are kept.
        max_stored: megabytes of images that marks and additions may keep together.
        rate: requests a second and client.
        connections: open connections of one client.
        concurrency: searches at a time.
        max_megabytes: of a request.
        max_megapixels: of a picture that is sent.
        roots: folders, beside those indexed, whose pictures may be shown.
        hosts: names that browsers may call this server by.
        proxies: addresses whose ``X-Forwarded-For`` names the client.

    Raises:
        ConfigError: the extra is not installed, or a limit that cannot be.
    """
    try:
        import uvicorn

        from lookalike.web.app import create_app
        from lookalike.web.connections import limited_protocol
    except ImportError as error:
        raise ConfigError(
            f"lookalike serve needs {error.name}: pip install 'lookalike[serve]'"
        ) from error
    from lookalike.search.encoders import own_encoder
    from lookalike.web.service import Service

    console = Console()
    folder = Path(index)
    Index.open(folder)  # a folder that is no index is refused before anything starts
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    settings = Settings(
        host=host,
        port=port,
        token=token,
        changes=changes,
        marks=marks,
        max_marks=max_marks,
        max_stored=round(max_stored * 1e6),
        max_body=round(max_megabytes * 1e6),
        max_pixels=round(max_megapixels * 1e6),
        rate=rate,
        connections=connections,
        concurrency=concurrency,
        roots=tuple(str(root.absolute()) for root in roots),
        hosts=tuple(hosts),
        proxies=tuple(proxies),
    )
    app = create_app(lambda timed: Service(folder, own_encoder, settings, timed), settings)
    shown = f"[{host}]" if ":" in host else host
    console.say(f"page     http://{shown}:{port}/{f'?token={token}' if token else ''}")
    console.say("stop     Ctrl-C")
    # uvicorn stops in good order, then raises the signal again, which would end us as if killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.run(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=10,
        server_header=False, limit_concurrency=512, h11_max_incomplete_event_size=65_536,
        http=limited_protocol(settings), ws="none",
        proxy_headers=bool(proxies), forwarded_allow_ips=list(proxies),
    )  # fmt: skip
