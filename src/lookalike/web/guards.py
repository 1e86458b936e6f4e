"""What stands before every request: host and origin, token, size, rate; and headers after it."""

from __future__ import annotations

import hmac
import json
import time
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from lookalike.web.settings import Settings

COOKIE = "lookalike_token"
OPEN = ("/api/health", "/api/ready")
_CLIENTS = 4096  # whose rates are remembered
_THUMBNAIL = 0.05


class TooLarge(Exception):  # noqa: N818 (a signal between two layers)
    """The body grew beyond the limit while it was read."""


class Guard:
    """ASGI middleware; what it refuses never reaches the application.

    A browser on this machine can be led by any page to send requests here. Foreign ``Host`` names
    (DNS rebinding) and foreign ``Origin`` s are therefore refused even where no token is asked.
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refuse(scope, headers)
        if refused is not None:
            await _respond(send, *refused)
            return
        started, over, read = False, False, 0

        async def counted() -> Any:
            nonlocal read, over
            message = await receive()
            read += len(message.get("body", b""))
            over = read > self.settings.max_body
            if over:
                raise TooLarge
            return message

        async def marked(message: Any) -> None:
            nonlocal started
            if over and not started:
                raise TooLarge  # the framework made an answer of its own of the first
            started = True
            await send(message)

        try:
            await self.app(scope, counted, marked)
        except TooLarge:
            if not started:
                await _respond(send, 413, self._large())

    def _refuse(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        path, names = scope["path"], self.settings.names
        host = headers.get("host", "")
        if names and _hostname(host) not in names:
            return 421, "this server does not go by that name"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "requests from other sites are refused"
        if path not in OPEN and not self._knows(scope, headers):
            return 401, "a token is needed: Authorization: Bearer TOKEN, or /?token=TOKEN"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length is no number"
        if int(length) > self.settings.max_body:
            return 413, self._large()
        cost = _THUMBNAIL if path.endswith("/thumbnail") else 1.0
        if path not in OPEN and not self._afford(str((scope.get("client") or ("?",))[0]), cost):
            return 429, "too many requests; wait a second"
        return None

    def _large(self) -> str:
        return f"the request is larger than {self.settings.max_body:,} bytes"

    def _knows(self, scope: Any, headers: dict[str, str]) -> bool:
        token = self.settings.token
        if token is None:
            return True
        said = [headers.get("authorization", "").removeprefix("Bearer ")]
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            said.append(cookie.value if cookie is not None else "")
        except CookieError:
            pass  # a cookie that cannot be read holds no token
        if scope["path"] == "/":
            parts = scope.get("query_string", b"").decode("latin-1").split("&")
            said += [part.removeprefix("token=") for part in parts if part.startswith("token=")]
        return any(hmac.compare_digest(s.encode(), token.encode()) for s in said)

    def _afford(self, client: str, cost: float) -> bool:
        """A bucket a client that fills at the rate and holds five seconds of it."""
        rate, now = self.settings.rate, time.monotonic()
        full = max(5 * rate, 1.0)
        left, then = self._buckets.pop(client, (full, now))
        left = min(full, left + (now - then) * rate)
        if left >= cost:
            self._buckets[client] = (left - cost, now)
            allowed = True
        else:
            self._buckets[client] = (left, now)
            allowed = False
        while len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return allowed


def _hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


async def _respond(send: Any, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
