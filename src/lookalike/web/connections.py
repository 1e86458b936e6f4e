"""Connections that must hurry: a slow head is cut off, and a client holds only so many.

uvicorn counts connections of all clients together and waits for a request's head for ever, so a few
hundred half-open connections would shut everybody out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lookalike.web.settings import Settings

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: 48\r\n\r\n"
    b'{"detail": "too many connections of one client"}'
)


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with a deadline for heads and a cap of connections; see below."""

    settings: Settings
    held: Counter[str]  # connections by client
    _clock: asyncio.TimerHandle | None = None
    _counted: str | None = None

    def connection_made(self, transport: Any) -> None:
        """Refuse one more connection than a client may have."""
        super().connection_made(transport)
        client = self.client[0] if self.client else ""
        if client not in self.settings.proxies:
            if self.held[client] >= self.settings.connections:
                transport.write(_FULL)
                transport.close()
                return
            self.held[client] += 1
            self._counted = client
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._counted is not None:
            self.held[self._counted] -= 1
            if self.held[self._counted] == 0:
                del self.held[self._counted]
            self._counted = None
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection was refused."""
        if not self.transport.is_closing():
            super().data_received(data)
            self._watch()

    def _watch(self) -> None:
        """The clock runs while the head of a request is awaited."""
        awaited = self.conn.their_state is h11.IDLE
        if awaited and self._clock is None:
            self._clock = self.loop.call_later(self.settings.header_seconds, self._cut)
        elif not awaited:
            self._stop()

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _cut(self) -> None:
        self._clock = None
        self.transport.close()


def limited_protocol(settings: Settings) -> type[LimitedProtocol]:
    """The protocol of one server.

    >>> limited_protocol(Settings(connections=3)).settings.connections
    3
    """
    return type("LimitedProtocol", (LimitedProtocol,), {"settings": settings, "held": Counter()})
