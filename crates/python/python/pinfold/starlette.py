"""Starlette: a guard and a client for each request, and answers for what was refused.

    app = Starlette(routes=[...])
    pinfold.starlette.install(app, guard=guard)

    async def preview(request):
        response = await pinfold.starlette.client(request).get(request.query_params["url"])

What a handler raises because a URL was refused is answered: 400 for what is no URL, 403 for a refusal, 502 and 504 for
the network, as JSON with reason code and correlation id, and with no address.
"""

from __future__ import annotations

import asyncio
import json as jsons
import logging
from collections.abc import Sequence
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from pinfold._extras import needed

with needed("starlette"):
    import httpx
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse, Response
    from starlette.status import WS_1008_POLICY_VIOLATION
    from starlette.websockets import WebSocket

from pinfold._answers import ANSWERED, HEADERS, Answer, Style, answer, network
from pinfold._fields import MOST_URLS, FieldError, Fields, Names, declared
from pinfold.decision import Decision, new_correlation_id
from pinfold.errors import PinfoldError
from pinfold.guard import Guard, default_guard

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pinfold.httpx import AsyncClient

__all__ = ["PinfoldMiddleware", "check_fields", "client", "exception_handlers", "guard", "install"]

_LOG = logging.getLogger("pinfold.starlette")
# What exception handlers are for: refusals, the network's failures, and the failures of a library by itself.
_HANDLED: tuple[type[Exception], ...] = (*ANSWERED, FieldError, httpx.TransportError)
_MARK = "pinfold.correlation_id"
_KEY = "pinfold"

# The guard of the request that is being handled, for code that is handed no request.
current_guard: ContextVar[Guard | None] = ContextVar("pinfold.starlette.guard", default=None)


def install(app: Starlette, guard: Guard | None = None, *, style: Style = "reasons") -> None:
    """Adds the middleware and the exception handlers. Call it once, before the application starts.

    `guard` is the default guard unless one is given. With `style="opaque"` an answer does not say why.
    """
    app.add_middleware(PinfoldMiddleware, guard=guard, style=style)
    for kind, handler in exception_handlers().items():
        app.add_exception_handler(kind, handler)


def exception_handlers() -> dict[Any, Any]:
    """For `Starlette(exception_handlers=...)`. They answer inside of other middleware, such as the one for CORS."""
    return dict.fromkeys(_HANDLED, _answered)


def guard(request: HTTPConnection) -> Guard:
    """The guard of the application; `request.state.guard` is the same."""
    return _ready(request).guard


def client(request: HTTPConnection) -> AsyncClient:
    """The client of the application. It keeps connections, but no cookies: those of one user are not for the next.

    It lives as long as the application does where the server runs the lifespan, else as long as the request. For a
    subject or a budget of its own make a `pinfold.httpx.AsyncClient`.
    """
    return _ready(request).client()


async def check_fields(
    request: Request,
    *,
    json: Names = (),
    form: Names = (),
    query: Names = (),
    path: Names = (),
    required: bool = True,
    method: str = "GET",
    most: int = MOST_URLS,
) -> list[Decision]:
    """Judges the URLs in these fields of a request, all at once, and raises the refusal of the first that is refused.

    A field of JSON is a pointer (RFC 6901), in which `*` stands for each element. This is early feedback: whoever
    fetches has to use the client all the same.
    """
    fields = declared(json=json, form=form, query=query, path=path, required=required, method=method, most=most)
    return await fields.acheck(guard(request), await _Fields.read(request, fields))


async def judged(request: Request, fields: Fields) -> list[str]:
    """The URLs in these fields, when all of them were allowed."""
    read = await _Fields.read(request, fields)
    await fields.acheck(guard(request), read)
    return [url for _, url in fields.urls(read)]


class PinfoldMiddleware:
    """Pure ASGI: gives each request `state.guard`, keeps the client, answers what no exception handler did."""

    def __init__(self, app: ASGIApp, guard: Guard | None = None, *, style: Style = "reasons") -> None:
        self.app = app
        self.guard = guard or default_guard()
        self.style = style
        self._living: _Ready | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, one web socket, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self._enter(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._living = _Ready(self.guard, self.style)
        try:
            await self.app(scope, receive, send)
        finally:
            ready, self._living = self._living, None
            await ready.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._enter(scope, receive, watched)
        except _HANDLED as error:
            told = _answer(error, self.style)
            if started or told is None:
                raise
            await _response(told)(scope, receive, send)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready = self._here()
        state = scope.setdefault("state", {})
        state["guard"], state[_KEY] = self.guard, ready
        token = current_guard.set(self.guard)
        try:
            await self.app(scope, receive, send)
        finally:
            current_guard.reset(token)
            if ready is not self._living:
                await ready.close()

    def _here(self) -> _Ready:
        """What lives as long as the application, if it lives on this loop: connections belong to a loop."""
        living = self._living
        if living is not None and living.loop is asyncio.get_running_loop():
            return living
        return _Ready(self.guard, self.style)


class _Ready:
    """A guard, and a client that is made when it is first asked for."""

    def __init__(self, guard: Guard, style: Style) -> None:
        self.guard = guard
        self.style = style
        self.loop = asyncio.get_running_loop()
        self._client: AsyncClient | None = None

    def client(self) -> AsyncClient:
        if self._client is None:
            self._client = _new_client(self.guard)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _new_client(guard: Guard) -> AsyncClient:
    from pinfold.httpx import AsyncClient

    made = AsyncClient(guard=guard, event_hooks={"request": [_mark]})
    made.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return made


async def _mark(request: httpx.Request) -> None:
    """Tells requests of the ready client from those of the application's own clients, which fail in their own way."""
    request.extensions = {**request.extensions, _MARK: new_correlation_id()}


async def _answered(connection: HTTPConnection, error: Exception) -> Response | None:
    ready = connection.scope.get("state", {}).get(_KEY)
    told = _answer(error, ready.style if isinstance(ready, _Ready) else "reasons")
    if told is None:
        raise error
    if isinstance(connection, WebSocket):
        await connection.close(WS_1008_POLICY_VIOLATION, told.error["code"])
        return None
    return _response(told)


def _answer(error: Exception, style: Style) -> Answer | None:
    """What is told; `None` for a failure that is not of the ready client."""
    if isinstance(error, PinfoldError):
        if error.decision is None:
            # What has a decision is in the log already.
            _LOG.warning("%s", error, extra={"correlation_id": error.correlation_id, "detail": error.detail})
        return answer(error, style)
    correlation_id = _marked(error) if isinstance(error, httpx.TransportError) else None
    if correlation_id is None:
        return None
    _LOG.warning("failed at stage `exchange`", extra={"correlation_id": correlation_id}, exc_info=error)
    late = isinstance(error, httpx.TimeoutException)
    return network("exchange-timeout" if late else "exchange-failed", correlation_id, style)


def _marked(error: httpx.TransportError) -> str | None:
    try:
        request = error.request
    except RuntimeError:  # httpx says so that it has none
        return None
    mark: str | None = request.extensions.get(_MARK)
    return mark


def _response(told: Answer) -> Response:
    return JSONResponse(told.body, told.status, headers=dict(HEADERS))


def _ready(request: HTTPConnection) -> _Ready:
    ready = request.scope.get("state", {}).get(_KEY)
    if not isinstance(ready, _Ready):
        raise RuntimeError("no guard is at hand: call `pinfold.starlette.install(app)`")
    return ready


class _Fields:
    """What has been read of a request."""

    def __init__(self, request: Request, document: Any, form: Any) -> None:
        self._request = request
        self._document = document
        self._form = form

    @classmethod
    async def read(cls, request: Request, fields: Fields) -> _Fields:
        """Reads what will be asked for."""
        sources = {field.source for field in fields.fields}
        document = _loaded(await request.body()) if "json" in sources else None
        return cls(request, document, await request.form() if "form" in sources else None)

    def json(self) -> Any:
        """The body as JSON."""
        return self._document

    def form(self, name: str) -> Sequence[Any]:
        """All values of a form field."""
        return self._form.getlist(name) if self._form is not None else ()

    def query(self, name: str) -> Sequence[str]:
        """All values of a parameter."""
        return self._request.query_params.getlist(name)

    def path(self, name: str) -> Any:
        """An argument of the route."""
        return self._request.path_params.get(name)


def _loaded(body: bytes) -> Any:
    try:
        return jsons.loads(body)
    except (ValueError, RecursionError):
        return None
