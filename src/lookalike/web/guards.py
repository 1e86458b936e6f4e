"""What stands before every request: host and origin, token, size, rate; and headers after it."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from lookalike.errors import counted
from lookalike.web.settings import Settings

COOKIE = "lookalike_token"
OPEN = ("/api/health", "/api/ready")  # asked by probes that know neither name nor token
_CLIENTS = 4096  # whose rates are remembered
_THUMBNAIL = 0.05


class BadBody(Exception):  # noqa: N818 (a signal between two layers)
    """The body grew beyond the limit while it was read, or came too slowly."""


class Buckets:
    """A bucket a client that fills at a rate; what is asked is taken out of it.

    >>> buckets = Buckets(rate=1.0, full=2.0)
    >>> [buckets.take("a"), buckets.take("a"), buckets.take("a"), buckets.take("b")]
    [True, True, False, True]
    """

    def __init__(self, rate: float, full: float) -> None:
        self.rate, self.full = rate, full
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, cost: float = 1.0) -> bool:
        """Take so much; False, and nothing is taken, where there is less."""
        now = time.monotonic()
        left, then = self._left.pop(client, (self.full, now))
        left = min(self.full, left + (now - then) * self.rate)
        enough = left >= cost
        self._left[client] = (left - cost if enough else left, now)
        while len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return enough

    def holds(self, client: str, cost: float = 1.0) -> bool:
        """Whether there is so much; nothing is taken."""
        left, then = self._left.get(client, (self.full, time.monotonic()))
        return left + (time.monotonic() - then) * self.rate >= cost


class Guard:
    """ASGI middleware; what it refuses never reaches the application.

    A browser on this machine can be led by any page to send requests here. Foreign ``Host`` names
    (DNS rebinding) and foreign ``Origin`` s are therefore refused even where no token is asked.
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self._requests = Buckets(settings.rate, max(5 * settings.rate, 1.0))
        self._wrong = Buckets(settings.wrong_tokens / 60, settings.wrong_tokens)

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
        started, read, whole = False, 0, False
        bad: tuple[int, str] | None = None
        last = time.monotonic() + self.settings.body_seconds

        async def counted() -> Any:
            nonlocal read, whole, bad
            try:
                left = None if whole else max(0.0, last - time.monotonic())
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError:
                bad = 408, f"the request took over {self.settings.body_seconds:g} seconds to come"
                raise BadBody from None
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > self.settings.max_body:
                bad = 413, self._large()
                raise BadBody
            return message

        async def marked(message: Any) -> None:
            nonlocal started
            if bad is not None and not started:
                raise BadBody  # the framework made an answer of its own of the first
            started = True
            await send(message)

        try:
            await self.app(scope, counted, marked)
        except BadBody:
            if bad is not None and not started:
                await _respond(send, *bad)

    def _refuse(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        path, names = scope["path"], self.settings.names
        host, client = headers.get("host", ""), str((scope.get("client") or ("?",))[0])
        if path not in OPEN and names and _hostname(host) not in names:
            return 421, "this server does not go by that name"
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host:
            return 403, "requests from other sites are refused"
        if path not in OPEN and self.settings.token is not None:
            refused = self._refuse_token(self._tokens(scope, headers), client)
            if refused is not None:
                return refused
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length is not a number"
        if int(length) > self.settings.max_body:
            return 413, self._large()
        cost = _THUMBNAIL if path.endswith("/thumbnail") else 1.0
        if path not in OPEN and not self._requests.take(client, cost):
            return 429, "too many requests; wait a second"
        return None

    def _large(self) -> str:
        return f"the request is larger than {counted(self.settings.max_body, 'byte')}"

    def _refuse_token(self, said: list[str], client: str) -> tuple[int, str] | None:
        """Wrong tokens are counted, and one who sent many is not even told of a right one."""
        token = self.settings.token or ""
        if not self._wrong.holds(client):
            return 429, "too many wrong tokens; wait a minute"
        if any(hmac.compare_digest(s.encode(), token.encode()) for s in said):
            return None
        if said:
            self._wrong.take(client)
        return 401, "a token is needed: Authorization: Bearer TOKEN, or /?token=TOKEN"

    def _tokens(self, scope: Any, headers: dict[str, str]) -> list[str]:
        """The tokens that a request shows, empty ones excepted."""
        said = [headers.get("authorization", "").removeprefix("Bearer ")]
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            said.append(cookie.value if cookie is not None else "")
        except CookieError:
            pass  # a cookie that cannot be read holds no token
        if scope["path"] == "/":
            parts = scope.get("query_string", b"").decode("latin-1").split("&")
            said += [part.removeprefix("token=") for part in parts if part.startswith("token=")]
        return [token for token in said if token]


def _place(origin: str) -> str | None:
    """Host and port of an Origin; None for what is not an address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hostname(host: str) -> str:
    """The name in a Host header, without its port; none of what is no such header."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]{0,5})?", host)
    return found[1] if found else ""


async def _respond(send: Any, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
