"""What a request of httpx knows about itself: the text it was made from, and the redirect that led to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from pinfold import _native, errors
from pinfold._httpx.errors import ambiguous, option_refused
from pinfold._redirects import to_drop
from pinfold.exchange import Exchange

# The key in `Request.extensions`.
_KEY = "pinfold"
# The schemes that are spoken.
PORTS = {"http": 80, "https": 443}
_Default = type(httpx.USE_CLIENT_DEFAULT)
# httpx writes these anew for each hop: from the URL, and from its jar.
_WRITTEN = frozenset({"host", "cookie"})


@dataclass(frozen=True, slots=True)
class Mark:
    """How the URL of a request was written."""

    url: httpx.URL
    # What the text means, or why it means nothing.
    target: _native.Target | errors.PinfoldError
    # The exchange that a redirect belongs to.
    exchange: Exchange | None = None
    # Whether it has left the origin that it began at.
    crossed: bool = False


class Scope:
    """The exchange that a client is in the middle of."""

    def __init__(self, owner: object, exchange: Exchange) -> None:
        self.owner = owner
        self.exchange = exchange


_scope: ContextVar[Scope | None] = ContextVar("pinfold.httpx", default=None)


@contextmanager
def exchanging(owner: object, exchange: Exchange) -> Iterator[None]:
    """Ties all requests that this transport is given inside, redirects and authentication, to one exchange."""
    token = _scope.set(Scope(owner, exchange))
    try:
        yield
    finally:
        _scope.reset(token)


def exchange_of(owner: object) -> Exchange | None:
    """The exchange that this transport is in the middle of."""
    scope = _scope.get()
    return scope.exchange if scope is not None and scope.owner is owner else None


def mark_text(request: httpx.Request, text: object) -> None:
    """Remembers the text that a request was made from, when it is one and stands alone."""
    if not isinstance(text, str) or (request.url.host and httpx.URL(text).is_relative_url):
        return
    _set(request, Mark(request.url, _read(_with_query(text, request.url))))


def mark_redirect(made: httpx.Request, before: httpx.Request, location: str, jar: httpx.Cookies) -> None:
    """Remembers what the server wrote, and takes off what must not go along."""
    origin = target_of(before)
    if isinstance(origin, errors.PinfoldError):
        return
    after = _joined(origin, location)
    crossed = _mark(before).crossed
    if isinstance(after, _native.Target):
        for name in to_drop(list(made.headers), origin, after):
            if name not in _WRITTEN:
                del made.headers[name]
        crossed = crossed or not origin.same_origin(after)
    if crossed:
        _only_cookies_with_domain(made, jar)
    scope = _scope.get()
    _set(made, Mark(made.url, after, None if scope is None else scope.exchange, crossed))


def at_home(request: httpx.Request, how: dict[str, Any]) -> dict[str, Any]:
    """How a request is sent: the client's own `auth` is for the origin that was asked for, not for where it led."""
    if _mark(request).crossed and isinstance(how.get("auth", httpx.USE_CLIENT_DEFAULT), _Default):
        return {**how, "auth": None}
    return how


@contextmanager
def told(exchange: Exchange) -> Iterator[None]:
    """Makes a decision of what is refused inside before the policy was asked."""
    try:
        yield
    except errors.PinfoldError as error:
        exchange.refused(error)
        raise


def target_of(request: httpx.Request) -> _native.Target | errors.PinfoldError:
    """What is judged: the text, as long as it is still the URL of the request."""
    return _mark(request).target


def is_redirect_in(request: httpx.Request, exchange: Exchange) -> bool:
    """Whether a redirect of this exchange leads here."""
    return _mark(request).exchange is exchange


def checked(request: httpx.Request) -> _native.Target:
    """The target, which httpx understands as we do. Raises what is wrong with it, but for a scheme that is not spoken:
    the policy is asked first.
    """
    target = target_of(request)
    if isinstance(target, errors.PinfoldError):
        raise target
    if target.scheme not in PORTS:
        return target
    url = request.url
    port = PORTS.get(url.scheme) if url.port is None else url.port
    if port is None or not target.goes_to(url.scheme, url.raw_host.decode("ascii"), port):
        raise ambiguous(f"judged as `{target.origin}`, read by httpx as `{url.scheme}://{url.host}:{port}`")
    return target


def core_request(request: httpx.Request, target: _native.Target) -> httpcore.Request:
    """What httpcore sends, to the host that was judged."""
    extensions = {name: value for name, value in request.extensions.items() if name != _KEY}
    _check_sni(extensions.pop("sni_hostname", None), target)
    _check_request_target(extensions.get("target"))
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(
            scheme=target.scheme.encode("ascii"),
            host=target.host.encode("ascii"),
            port=target.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions=extensions,
    )


def _check_sni(name: Any, target: _native.Target) -> None:
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if text is not None and not target.goes_to(target.scheme, str(text), target.port):
        raise option_refused(
            "sni_hostname",
            "the certificate would be verified for a name that was not judged",
            "put the name in the URL",
        )


def _check_request_target(text: Any) -> None:
    if text is not None and text != b"*" and not bytes(text).startswith(b"/"):
        raise option_refused(
            "target",
            "a request target with a host in it asks the server to act as a proxy",
            "give a path that begins with `/`",
        )


def _mark(request: httpx.Request) -> Mark:
    mark = request.extensions.get(_KEY)
    if isinstance(mark, Mark) and mark.url == request.url:
        return mark
    return Mark(request.url, _read(str(request.url)))


def _set(request: httpx.Request, mark: Mark) -> None:
    request.extensions = {**request.extensions, _KEY: mark}


def _read(text: str) -> _native.Target | errors.PinfoldError:
    try:
        return _native.Target.parse(text)
    except errors.PinfoldError as error:
        return error


def _joined(origin: _native.Target, location: str) -> _native.Target | errors.PinfoldError:
    try:
        return origin.join(location)
    except errors.PinfoldError as error:
        return error


def _with_query(text: str, url: httpx.URL) -> str:
    """The text, with the parameters that httpx has added."""
    given = text.partition("#")[0]
    if httpx.URL(given).query == url.query:
        return text
    return f"{given.partition('?')[0]}?{url.query.decode('ascii')}"


def _only_cookies_with_domain(made: httpx.Request, jar: httpx.Cookies) -> None:
    """Cookies that a caller set for no domain are for the origin that it asked for, and for no other."""
    made.headers.pop("cookie", None)
    kept = httpx.Cookies()
    for cookie in jar.jar:
        if cookie.domain:
            kept.jar.set_cookie(cookie)
    kept.set_cookie_header(made)
