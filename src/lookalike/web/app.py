"""The HTTP API: typed endpoints over a `Service`, and the page."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any, TypeVar

import prometheus_client as prometheus
from fastapi import FastAPI, File, Form, HTTPException, Path, Query, Request, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lookalike import __version__
from lookalike.errors import (
    Busy,
    ConfigError,
    DataError,
    DiskError,
    LookalikeError,
    NumericsError,
)
from lookalike.search.asking import Question
from lookalike.web import schemas
from lookalike.web.guards import COOKIE, Guard
from lookalike.web.service import Absent, Forbidden, Full, Service
from lookalike.web.settings import Settings

T = TypeVar("T")
_LOG = logging.getLogger("lookalike")
_ITEM = Annotated[int, Path(ge=0, le=2**53, description="an item's id")]
_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": schemas.Refusal, "description": words}
    for code, words in {
        400: "not readable as a request",
        401: "a token is needed",
        403: "not allowed here",
        404: "no such item",
        408: "it came too slowly",
        409: "another process writes to the index",
        413: "too large",
        422: "cannot be used, and why",
        429: "too many requests",
        503: "not ready, or too busy",
        507: "the disk, or what the server may keep, is full",
    }.items()
}


class Meters:
    """Prometheus metrics of one server."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "lookalike_requests", "Requests by route and status", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.stages = prometheus.Histogram(
            "lookalike_stage_seconds", "Time of each stage of a search", ["stage"],
            registry=self.registry, buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
        )  # fmt: skip
        self.items = prometheus.Gauge(
            "lookalike_items", "Images in the index", registry=self.registry
        )
        self.deaths = prometheus.Gauge(
            "lookalike_decoder_deaths", "Decoders that died or hung", registry=self.registry
        )

    def stage(self, name: str, seconds: float) -> None:
        """A stage took this long."""
        self.stages.labels(name).observe(seconds)


class Turns:
    """So many searches at a time; others wait, and too many are told to come again."""

    def __init__(self, settings: Settings) -> None:
        self._turn = asyncio.Semaphore(settings.concurrency)
        self._most, self._here = settings.concurrency + settings.waiting, 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread, in turn."""
        if self._here >= self._most:
            raise HTTPException(503, "too many searches are waiting; come again in a second")
        self._here += 1
        try:
            async with self._turn:
                return await run_in_threadpool(work)
        finally:
            self._here -= 1


def create_app(
    make_service: Callable[[Callable[[str, float], None]], Service],
    settings: Settings,
    ready: Callable[[], None] = lambda: None,
) -> Any:
    """The ASGI application of one index.

    Args:
        make_service: given where to report times, makes the service; the model is loaded in a
            thread once the server is up.
        settings: limits and permissions.
        ready: called once the model is loaded, or has failed to.
    """
    meters = Meters()
    service = make_service(meters.stage)
    turns = Turns(settings)

    def begin() -> None:
        service.load()
        ready()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=begin, daemon=True).start()
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="lookalike", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json", responses=_REFUSALS,
    )  # fmt: skip
    _handle_errors(app, service)
    _add_search(app, service, turns)
    _add_items(app, service, turns, settings)
    _add_state(app, service, meters)
    _add_page(app, settings)

    @app.middleware("http")
    async def count(request: Request, call_next: Callable[[Request], Any]) -> Response:
        response = await call_next(request)
        route = request.scope.get("route")
        meters.requests.labels(getattr(route, "path", "none"), str(response.status_code)).inc()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    return Guard(app, settings)


# The nearest class counts. Answers name no folder of this machine; the log does.
_CODES: dict[type[LookalikeError], int] = {
    Forbidden: 403,
    Absent: 404,
    Busy: 409,
    DataError: 422,
    ConfigError: 422,
    NumericsError: 422,
    LookalikeError: 503,  # a server or a model that is not there, an index that moved on
    DiskError: 507,
    Full: 507,
}


def _handle_errors(app: FastAPI, service: Service) -> None:
    for kind, code in _CODES.items():

        async def answer(request: Request, error: Exception, code: int = code) -> JSONResponse:
            if code >= 500:
                _LOG.warning("%s: %s", request.url.path, error)
            again = {"Retry-After": "5"} if code in (409, 503) else None
            return JSONResponse({"detail": service.hide(str(error))}, code, headers=again)

        app.add_exception_handler(kind, answer)


def _add_search(app: FastAPI, service: Service, turns: Turns) -> None:
    @app.post("/api/search", response_model=schemas.Answer)
    async def search(
        picture: Annotated[list[UploadFile] | None, File(description="what to look for")] = None,
        ids: Annotated[list[int] | None, Form(description="items to look for")] = None,
        top: Annotated[int, Form(ge=1, le=200)] = 24,
        where: Annotated[list[str] | None, Form(description="COLUMN=VALUE")] = None,
        min_score: Annotated[float | None, Form(ge=-1, le=1)] = None,
        box: Annotated[
            str | None, Form(description="x_1,y_1,x_2,y_2 in pixels of the upright image")
        ] = None,
        rerank: Annotated[str | None, Form()] = None,
        fuse: Annotated[str, Form(description="average or best")] = "average",
    ) -> Any:
        """The nearest images of one thing, shown by uploads and items together."""
        if len(picture or []) + len(ids or []) > 16:
            raise DataError("at most 16 images at a time")
        for number in ids or []:
            if not 0 <= number <= 2**53:
                raise Absent(f"there is no item {number}")
        uploads = [await file.read() for file in picture or []]
        question = Question(top, where or [], min_score, rerank or None)
        area = None if not box else _read_box(box)
        return await turns.run(
            lambda: service.search(uploads, ids or [], question, box=area, fuse=fuse)
        )


def _add_items(app: FastAPI, service: Service, turns: Turns, settings: Settings) -> None:
    @app.get("/api/items/{number}", response_model=schemas.Item)
    def item(number: _ITEM) -> Any:
        """One item."""
        return service.item(number)

    @app.get(
        "/api/items/{number}/thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def thumbnail(number: _ITEM, side: Annotated[int, Query(ge=32, le=1024)] = 256) -> Any:
        """An item's image, at most ``side`` pixels wide and high."""
        data = await run_in_threadpool(service.thumbnail, number, side)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private"})

    @app.post("/api/items", response_model=schemas.Item, status_code=201)
    async def add(
        picture: Annotated[UploadFile, File()],
        label: Annotated[str, Form(max_length=200)] = "",
    ) -> Any:
        """Add an image to the index; only where the server was started with --changes."""
        _allow_changes(settings)
        data = await picture.read()
        return await turns.run(lambda: service.add(data, label))

    @app.delete("/api/items/{number}", status_code=204)
    async def remove(number: _ITEM) -> None:
        """Take an item out of the index; only where the server was started with --changes."""
        _allow_changes(settings)
        await turns.run(lambda: service.remove(number))

    @app.post("/api/marks", response_model=schemas.Marked)
    async def mark(
        number: Annotated[int, Form(ge=0, le=2**53, description="the item found")],
        right: Annotated[bool | None, Form()] = None,
        undo: Annotated[bool, Form(description="take the mark of this pair back")] = False,
        query_id: Annotated[int | None, Form(ge=0, le=2**53)] = None,
        picture: Annotated[UploadFile | None, File()] = None,
        score: Annotated[float, Form(ge=-1, le=1)] = 0.0,
    ) -> Any:
        """Mark an item right or wrong for a query, or take the mark back; it lands in a table."""
        if undo == (right is not None):
            raise DataError("say right=true, right=false or undo=true")
        data = None if picture is None else await picture.read()
        count = await turns.run(
            lambda: service.mark(number, right, query_id=query_id, upload=data, score=score)
        )
        return {"marks": count}

    @app.get(
        "/api/marks.csv",
        response_class=Response,
        responses={200: {"content": {"text/csv": {}}}},
    )
    def marks() -> Any:
        """The table of marks: train on it, or evaluate with it."""
        return Response(service.marks_table(), media_type="text/csv")


def _add_state(app: FastAPI, service: Service, meters: Meters) -> None:
    @app.get("/api/health", response_model=schemas.State)
    def health() -> Any:
        """The server is up."""
        return {"status": "up"}

    @app.get("/api/ready", response_model=schemas.State)
    def ready() -> Any:
        """The model is loaded, and searches are answered."""
        service.require_ready()
        return {"status": "ready"}

    @app.get("/api/stats", response_model=schemas.Stats)
    def stats() -> Any:
        """What the index is."""
        return service.stats()

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def metrics() -> Any:
        """Prometheus metrics."""
        meters.items.set(len(service.present()))
        meters.deaths.set(service.decoders.deaths)
        return Response(prometheus.generate_latest(meters.registry), media_type="text/plain")


def _add_page(app: FastAPI, settings: Settings) -> None:
    html = files("lookalike.web").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> Response:
        nonce = secrets.token_urlsafe(16)
        response = HTMLResponse(html.replace("NONCE", nonce))
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        response.headers["Cache-Control"] = "no-store"
        if settings.token is not None:
            response.set_cookie(COOKIE, settings.token, httponly=True, samesite="strict")
        return response


def _allow_changes(settings: Settings) -> None:
    if not settings.changes:
        raise HTTPException(403, "this server does not change its index; start it with --changes")


def _read_box(text: str) -> tuple[float, float, float, float]:
    try:
        x_1, y_1, x_2, y_2 = (float(number) for number in text.split(","))
    except ValueError as error:
        raise DataError("box: four numbers x_1,y_1,x_2,y_2 are needed") from error
    if not all(0 <= number < 1e6 for number in (x_1, y_1, x_2, y_2)):
        raise DataError("box: numbers between 0 and 1,000,000 are needed")
    return x_1, y_1, x_2, y_2
