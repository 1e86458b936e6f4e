"""What a server may do and how much: safe unless a person says otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Limits and permissions of a server.

    Attributes:
        host: address it is bound to.
        port: port it is bound to.
        token: asked of every request but health, readiness; None only on a loopback address.
        changes: whether ``add`` and ``remove`` are open.
        max_body: bytes of a request.
        max_pixels: of a picture that is sent.
        rate: requests a second and client; bursts of five seconds' worth. A thumbnail counts a
            twentieth.
        concurrency: searches at a time; others wait.
        waiting: how many may wait before others are told to come again.
        roots: folders, beside those of the index, whose pictures may be shown.
        hosts: names, beside ``host``, that a browser may call this server by.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    changes: bool = False
    max_body: int = 20_000_000
    max_pixels: int = 50_000_000
    rate: float = 20.0
    concurrency: int = 2
    waiting: int = 64
    roots: tuple[str, ...] = ()
    hosts: tuple[str, ...] = field(default=())

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
