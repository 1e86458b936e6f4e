"""``lookalike serve``: a page and an API over an index."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from lookalike.errors import ConfigError
from lookalike.jobs.options import IndexFolder


def run(
    index: IndexFolder,
    *,
    host: Annotated[
        str, typer.Option(help="Bind address; a non-loopback address requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="LOOKALIKE_TOKEN",
            help="Bearer token clients must send; default: drawn where one is required.",
        ),
    ] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="Let clients add and remove images.")
    ] = False,
    marks: Annotated[bool, typer.Option(help="Let clients mark results right and wrong.")] = True,
    max_marks: Annotated[int, typer.Option(min=1, help="Maximum number of marks kept.")] = 10_000,
    max_stored: Annotated[
        float, typer.Option(help="Maximum size of all uploads that are kept (MB).")
    ] = 500.0,
    rate: Annotated[float, typer.Option(help="Maximum requests per second and client.")] = 20.0,
    connections: Annotated[
        int, typer.Option(min=1, help="Maximum open connections per client.")
    ] = 64,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Maximum searches at a time; others wait.")
    ] = 2,
    max_megabytes: Annotated[float, typer.Option(help="Maximum request size (MB).")] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option(help="Maximum uploaded image size (megapixels).")
    ] = 50.0,
    roots: Annotated[
        list[Path] | None,
        typer.Option("--root", help="Another folder whose images may be shown; repeatable."),
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--name", help="Host name that browsers may use for this server; repeatable."),
    ] = None,
    proxies: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            help="Address of a proxy whose X-Forwarded-For header is trusted; repeatable.",
        ),
    ] = None,
) -> None:
    """Open a page that searches: `lookalike serve INDEX`, then http://127.0.0.1:8000/.

    Further limits: an image that is sent has a longer side of at most 30,000 pixels, 100 times the
    shorter one; the head of a request comes within 10 seconds, its body within 60; ten wrong
    tokens a minute and client; 512 connections in all; 64 searches may wait; a decoder has 20
    seconds and 4 GB.

    Raises:
        ConfigError: the extra is not installed, or a limit that is not valid.
    """
    from lookalike.search.index import Index

    try:
        from lookalike.web.running import serve
        from lookalike.web.settings import Settings, is_loopback
    except ImportError as error:
        raise ConfigError(
            f"lookalike serve needs {error.name}: pip install 'lookalike[serve]'"
        ) from error
    folder = Path(index)
    Index.open(folder)  # a folder that is not an index is refused before anything starts
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    serve(folder, Settings(
        host=host, port=port, token=token, changes=changes, marks=marks, max_marks=max_marks,
        max_stored=round(max_stored * 1e6), max_body=round(max_megabytes * 1e6),
        max_pixels=round(max_megapixels * 1e6), rate=rate, connections=connections,
        concurrency=concurrency, roots=tuple(str(root.absolute()) for root in roots or ()),
        hosts=tuple(hosts or ()), proxies=tuple(proxies or ()),
    ))  # fmt: skip
