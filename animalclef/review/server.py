"""Serve the review page to this machine alone."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import jinja2
import uvicorn
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from animalclef.data.review_log import Said
from animalclef.errors import AnimalClefError, ConfigError
from animalclef.review.session import SIZES, ReviewSession

__all__ = ["bind", "review_app", "serve"]

HOST = "127.0.0.1"
_MOST_BYTES = 4096  # of a request's body
_ASSETS = {"review.css": "text/css", "review.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class _Body(BaseModel):
    """What the page sends: an answer about two rows, or the row that is skipped."""

    model_config = ConfigDict(extra="forbid", strict=True)
    first: NonNegativeInt
    second: NonNegativeInt = 0
    said: Said = "unsure"
    settles: bool = False


def bind(port: int = 0) -> socket.socket:
    """Return a socket on this machine's own address; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise ConfigError(f"--port {port}: this port cannot be used ({error.strerror}). Choose another.") from error
    return bound


def serve(session: ReviewSession, bound: socket.socket, announce: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted; `announce` gets its address, which holds a secret token."""
    token, port = secrets.token_urlsafe(24), bound.getsockname()[1]
    app = review_app(session, token, port)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    announce(f"http://{HOST}:{port}/{token}/")
    uvicorn.Server(config).run(sockets=[bound])


def review_app(session: ReviewSession, token: str, port: int) -> ASGIApp:
    """Return the application: every path begins with the token, and a request must come from its own page."""

    def state(_: Request) -> Response:
        return JSONResponse(session.state())

    def pair(request: Request) -> Response:
        return JSONResponse(session.pair(request.path_params["first"], request.path_params["second"]))

    def photograph(request: Request) -> Response:
        row, size = request.path_params["row"], request.path_params["size"]
        jpeg = session.photograph(row, size) if size in SIZES else None
        if jpeg is None:
            return PlainTextResponse("photograph missing", 404)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    def matches(request: Request) -> Response:
        return JSONResponse(session.matches(request.path_params["first"], request.path_params["second"]))

    def answer(body: _Body) -> dict[str, Any]:
        return session.answer(body.first, body.second, body.said, settles=body.settles)

    def undo(_: _Body) -> dict[str, Any]:
        return session.undo()

    def skip(body: _Body) -> dict[str, Any]:
        return session.skip(body.first)

    page = _page(session)
    routes = [
        Route("/", lambda _: HTMLResponse(page)),
        *(Route(f"/{name}", _asset(name, kind)) for name, kind in _ASSETS.items()),
        Route("/state", state),
        Route("/pair/{first:int}/{second:int}", pair),
        Route("/photograph/{row:int}/{size:int}", photograph),
        Route("/matches/{first:int}/{second:int}", matches),
        *(Route(f"/{act.__name__}", _posted(act), methods=["POST"]) for act in (answer, undo, skip)),
    ]
    handlers: Any = {AnimalClefError: _told, IndexError: _told}
    return _Guard(Starlette(routes=[Mount(f"/{token}", routes=routes)], exception_handlers=handlers), token, port)


class _Guard:
    """Refuse requests without the token, from another host name, or from the page of another site."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = (f"{HOST}:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in given)]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return PlainTextResponse("this address is not served", 421)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("method not allowed", 405)
        if origin is None and scope["method"] == "POST":
            return PlainTextResponse("a request without origin", 403)
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("a request of another site", 403)
        given = scope["path"].removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("not found", 404)
        return None


async def _body(request: Request) -> _Body | None:
    """Return the body of a request; `None` where it is too long, or not what the page sends."""
    if request.headers.get("content-type") != "application/json":
        return None
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BYTES:
            return None
    try:
        return _Body.model_validate_json(content)
    except ValidationError:
        return None


def _posted(act: Callable[[_Body], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that answers with what `act` returns for the request's body."""

    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse("the request is not right", 400)
        return JSONResponse(await run_in_threadpool(act, body))

    return endpoint


def _told(_: Request, error: Exception) -> Response:
    """Return the sentence of an error for the page to show."""
    return JSONResponse({"error": str(error)}, 404 if isinstance(error, IndexError) else 500)


def _asset(name: str, kind: str) -> Callable[[Request], Response]:
    content = resources.files("animalclef.review").joinpath("assets", name).read_bytes()
    return lambda _: Response(content, media_type=kind)


def _page(session: ReviewSession) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("animalclef.review"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("review.html.j2").render(run=session.run.name, who=session.who)
