"""What a server may do and how much: safe unless a person says otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from lookalike.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Limits and permissions of a server.

    Attributes:
        host: address it is bound to.
        port: port it is bound to.
        token: asked of every request but health and readiness; None only on a loopback address.
        changes: whether ``add`` and ``remove`` are open.
        marks: whether people may mark results right and wrong.
        max_marks: lines that the log of marks may have.
        max_stored: bytes that kept uploads (marked queries, added images) may take together.
        max_body: bytes of a request.
        max_pixels: of an image that is sent, as it is and after it is resized for the model.
        max_side: pixels of its longer side.
        max_aspect: its longer side over its shorter one.
        rate: requests a second and client; bursts of five seconds' worth. A thumbnail counts a
            twentieth.
        wrong_tokens: wrong tokens a minute and client; then each is told to wait.
        connections: open connections of one client; those of a trusted proxy are not counted.
        header_seconds: within which the head of a request must have come.
        body_seconds: within which its body must have come.
        concurrency: searches at a time; others wait.
        waiting: how many may wait before others are told to come again.
        thumbnail_bytes: memory for thumbnails that were asked for lately.
        roots: folders, beside those of the index, whose images may be shown.
        hosts: names, beside ``host``, that a browser may call this server by.
        proxies: addresses whose ``X-Forwarded-For`` is believed.

    Raises:
        ConfigError: an empty token, none off loopback, or a limit that is not above 0.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    changes: bool = False
    marks: bool = True
    max_marks: int = 10_000
    max_stored: int = 500_000_000
    max_body: int = 20_000_000
    max_pixels: int = 50_000_000
    max_side: int = 30_000
    max_aspect: float = 100.0
    rate: float = 20.0
    wrong_tokens: int = 10
    connections: int = 64
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    concurrency: int = 2
    waiting: int = 64
    thumbnail_bytes: int = 64_000_000
    roots: tuple[str, ...] = ()
    hosts: tuple[str, ...] = field(default=())
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is not None and not self.token.strip():
            raise ConfigError(
                "--token is empty, which is not a token. Leave it out (one is drawn where the "
                "address asks for one), or give a long word that others cannot guess."
            )
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(f"--host {self.host} can be reached by others: a token is needed.")
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise ConfigError(f"serve: {name} is {value}; every limit must be above 0.")

    @property
    def names(self) -> set[str]:
        """Names in a ``Host`` header that are this server; empty: any (it is bound to all)."""
        if self.host in ("0.0.0.0", "::", ""):
            return set(self.hosts)
        local = {"localhost", "127.0.0.1", "[::1]"} if is_loopback(self.host) else set()
        return {self.host, *self.hosts} | local


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
