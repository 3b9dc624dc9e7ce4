"""FastAPI: what `pinfold.starlette` has, as dependencies and as a type for the fields of a model.

    app = FastAPI()
    pinfold.fastapi.install(app, guard=guard)

    @app.get("/preview")
    async def preview(url: FetchableUrl, client: Client) -> Preview: ...

A URL that is refused is answered as in `pinfold.starlette` (400, 403, 502, 504), not with 422. What it says is early
feedback: whoever fetches has to use the client all the same.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

from pinfold._answers import Style
from pinfold._extras import needed
from pinfold._fields import MOST_URLS, FieldError, declared
from pinfold.decision import new_correlation_id
from pinfold.errors import PinfoldError, PolicyError
from pinfold.guard import Guard, default_guard

with needed("fastapi"):
    from fastapi import Depends, Query, Request, Response
    from fastapi.concurrency import run_in_threadpool
    from fastapi.routing import APIRoute
    from pydantic import AfterValidator
    from pydantic_core import PydanticCustomError

    from pinfold import starlette
    from pinfold.httpx import AsyncClient
    from pinfold.starlette import PinfoldMiddleware, exception_handlers

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "Client",
    "FetchableUrl",
    "GuardHere",
    "JudgedRoute",
    "PinfoldMiddleware",
    "exception_handlers",
    "fetchable_url",
    "install",
]


def install(app: "FastAPI", guard: Guard | None = None, *, style: Style = "reasons") -> None:
    """Adds middleware and exception handlers, and has the routes that are added from now on judge `FetchableUrl`.

    A router of your own needs `APIRouter(route_class=JudgedRoute)` for that.
    """
    starlette.install(app, guard, style=style)
    app.router.route_class = JudgedRoute


async def _guard(request: Request) -> Guard:
    return starlette.guard(request)


async def _client(request: Request) -> AsyncClient:
    return starlette.client(request)


GuardHere = Annotated[Guard, Depends(_guard)]
"""The guard of the application, as a parameter of an endpoint."""

Client = Annotated[AsyncClient, Depends(_client)]
"""The client of the application, as a parameter of an endpoint: `pinfold.starlette.client`."""


def fetchable_url(
    name: str = "", *, json: str = "", form: str = "", path: str = "", method: str = "GET"
) -> Callable[..., Coroutine[Any, Any, str]]:
    """A dependency that is the URL in one field of the request: a parameter of the query, or the field that is named.

    `json` is a pointer (RFC 6901). It is judged before the dependency returns, so before the endpoint is called. One
    that is given twice is refused: endpoint and guard might read different ones.
    """
    places = [tuple(filter(None, (place,))) for place in (name, json, form, path)]
    if sum(map(len, places)) != 1:
        raise PolicyError(
            "not one field is declared", hint='name one: `fetchable_url("url")`, `json=`, `form=`, `path=`'
        )
    query, in_json, in_form, in_path = places
    fields = declared(json=in_json, form=in_form, query=query, path=in_path, method=method, most=1)

    async def anywhere(request: Request) -> str:
        return (await starlette.judged(request, fields))[0]

    async def in_query(request: Request, _documented: Annotated[str, Query(alias=name)]) -> str:
        return await anywhere(request)

    return in_query if name else anywhere


class JudgedRoute(APIRoute):
    """A route that judges the `FetchableUrl`s of a request, all at once, before its endpoint is called.

    A validator cannot wait, and a lookup in one would stop the whole loop: it notes the URL, and the route judges it.
    Dependencies come before that, and are given what was not judged yet: in those use `fetchable_url`, which waits.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        self._judges = not any(
            _is_any(kind, endpoint) for kind in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        )
        super().__init__(path, _judging(endpoint) if self._judges else endpoint, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI calls it, for each request."""
        handler = super().get_route_handler()
        if not self._judges:
            return handler

        async def noting(request: Request) -> Response:
            token = _NOTED.set([])
            try:
                return await handler(request)
            finally:
                _NOTED.reset(token)

        return noting


# URLs that were validated and are to be judged; none where nobody would judge them.
_NOTED: ContextVar[list[str] | None] = ContextVar("pinfold.fastapi.noted", default=None)


def _judging(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, after what was noted has been judged."""

    async def judged(*args: Any, **kwargs: Any) -> Any:
        await _judge(_NOTED.get() or [])
        # What the endpoint itself validates would be noted, and never judged.
        token = _NOTED.set(None)
        try:
            if _is_any(inspect.iscoroutinefunction, endpoint):
                return await endpoint(*args, **kwargs)
            return await run_in_threadpool(endpoint, *args, **kwargs)
        finally:
            _NOTED.reset(token)

    functools.update_wrapper(judged, endpoint)
    judged.__name__ = getattr(endpoint, "__name__", type(endpoint).__name__)
    # FastAPI looks through to what is wrapped, and would call `judged` in a thread because of it.
    del judged.__wrapped__  # type: ignore[attr-defined] # set by `update_wrapper`
    judged.__signature__ = _signature(endpoint)  # type: ignore[attr-defined] # functions may have one
    return judged


def _is_any(kind: Callable[[Any], bool], endpoint: Callable[..., Any]) -> bool:
    """Whether an endpoint is of a kind: a function, or an object that is called like one."""
    return kind(endpoint) or kind(type(endpoint).__call__)


def _signature(endpoint: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(endpoint, eval_str=True)
    except NameError:
        return inspect.signature(endpoint)


async def _judge(noted: list[str]) -> None:
    urls = list(dict.fromkeys(noted))
    if len(urls) > MOST_URLS:
        raise _too_many()
    guard = starlette.current_guard.get() or default_guard()
    await asyncio.gather(*(guard.aresolve(url) for url in urls))


def _note(url: str) -> str:
    noted = _NOTED.get()
    if noted is not None:
        noted.append(url)
    elif _in_loop():
        raise RuntimeError(
            "a `FetchableUrl` that no route judges: use `APIRouter(route_class=JudgedRoute)`; elsewhere in async code "
            "declare a `str`, and await `pinfold.starlette.check_fields` or `Guard.acheck`"
        )
    else:
        _judge_now(url)
    return url


def _judge_now(url: str) -> None:
    try:
        (starlette.current_guard.get() or default_guard()).resolve(url)
    except PinfoldError as error:
        raise PydanticCustomError("pinfold", "{message}", {"message": error.message, "code": error.code}) from None


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _too_many() -> FieldError:
    return FieldError(
        "refused at stage `request`: field-too-many",
        stage="request",
        code="field-too-many",
        hint=f"at most {MOST_URLS} URLs may be in one request",
        correlation_id=new_correlation_id(),
    )


FetchableUrl = Annotated[str, AfterValidator(_note)]
"""A string that is a URL that may be fetched: a parameter of an endpoint, or a field of a model.

A dependency that declares one is called before it is judged: use `fetchable_url` there. Outside of a route, and where
no loop runs, it is judged at once, and what is refused is a `ValidationError`.
"""
