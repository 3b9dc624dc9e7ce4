"""`urllib.request`, guarded: `urlopen`, `build_opener`, and http.client for code that uses it.

No proxy of the environment is used, nothing but http and https is opened, each redirect is judged. Exceptions are
`urllib.error.URLError`s as well.
"""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.error import URLError
from urllib.request import Request

from pinfold import errors
from pinfold._asking import check_asking
from pinfold._http import public, secrets, telling
from pinfold._native import Target
from pinfold._redirects import STATUSES, to_drop
from pinfold._urllib.connection import USUAL, Hop, HTTPConnection, HTTPSConnection, ambiguous, http_connection, no_url
from pinfold._urllib.connection import unsupported as _unsupported
from pinfold._urllib.wire import (
    BudgetExceeded,
    DeadlineExceeded,
    Denied,
    InvalidURL,
    NetworkError,
    Timeout,
    translated,
)
from pinfold.guard import Guard, default_guard

if TYPE_CHECKING:
    import ssl

    from pinfold.budget import Budget

__all__ = [
    "BudgetExceeded",
    "DeadlineExceeded",
    "Denied",
    "HTTPConnection",
    "HTTPHandler",
    "HTTPRedirectHandler",
    "HTTPSConnection",
    "HTTPSHandler",
    "InvalidURL",
    "NetworkError",
    "OpenerDirector",
    "Request",
    "Timeout",
    "build_opener",
    "http_connection",
    "urlopen",
]


def urlopen(
    url: str | Request,
    data: Any = None,
    timeout: float | None = USUAL,
    *,
    context: ssl.SSLContext | None = None,
    guard: Guard | None = None,
    subject: str | None = None,
    labels: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> Any:
    """As `urllib.request.urlopen`. An opener that was installed there is not used.

    `timeout` is in seconds, for each wait; the budget holds for everything together.
    """
    handlers = [] if context is None else [HTTPSHandler(context=context)]
    opener = build_opener(*handlers, guard=guard, subject=subject, labels=labels, budget=budget)
    return opener.open(url, data, timeout)


def build_opener(
    *handlers: Any,
    guard: Guard | None = None,
    subject: str | None = None,
    labels: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> OpenerDirector:
    """As `urllib.request.build_opener`: handlers of cookies, passwords, errors and redirects work.

    Those that open a URL themselves are refused with `PolicyError`: proxies, `file:`, `ftp:`, `data:`, and all others
    that have a method `http_open` or the like, unless they derive from `HTTPHandler` or `HTTPSHandler` here.
    """
    opener = OpenerDirector(guard=guard, subject=subject, labels=labels, budget=budget)
    given = [_guarded(handler() if isinstance(handler, type) else handler) for handler in handlers]
    for made, replaced in _DEFAULTS:
        if not any(isinstance(handler, replaced) for handler in given):
            opener.add_handler(made())
    for handler in given:
        if handler is not None:
            opener.add_handler(handler)
    return opener


class OpenerDirector(urllib.request.OpenerDirector):
    """As of urllib.request. Everything that one call of `open` leads to is one exchange with one budget."""

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        check_asking(guard, subject, labels, budget)
        super().__init__()
        self._guard = guard
        self._options: dict[str, Any] = {"subject": subject, "labels": labels, "budget": budget}

    def add_handler(self, handler: Any) -> None:
        """As of urllib.request. Raises `PolicyError` for a handler that would connect by itself."""
        kept = _guarded(handler)
        if kept is not None:
            super().add_handler(kept)

    def open(self, fullurl: str | Request, data: Any = None, timeout: float | None = USUAL) -> Any:
        """As of urllib.request."""
        with _raised():
            hop = self._hop(fullurl)
            request = _request(fullurl, data)
            inner = _CURRENT.set((self, hop))
            try:
                self._enter(hop, request)
                return super().open(request, data, timeout)
            finally:
                _CURRENT.reset(inner)

    def _hop(self, fullurl: str | Request) -> Hop:
        """The hop that this call is about: of the exchange that is under way, or the first of a new one."""
        under_way = _CURRENT.get()
        hop = under_way[1] if under_way is not None and under_way[0] is self else None
        exchange = hop.exchange if hop else (self._guard or default_guard()).exchange(**self._options)
        with telling(exchange):
            target = Target.parse(fullurl if isinstance(fullurl, str) else fullurl.full_url)
        return hop or Hop(exchange, target)

    def _enter(self, hop: Hop, request: Request) -> None:
        """A request to another URL than the last is a redirect, whichever handler made it."""
        if request.has_proxy():
            raise _unsupported("a proxy", "leave `set_proxy` out, or let the proxy be the one that judges")
        with telling(hop.exchange):
            target = Target.parse(request.full_url)
        if target != hop.target:
            _forget(request, to_drop(_names(request), hop.target, target))
            hop.go_on(target)
        if target.scheme not in ("http", "https"):
            # The policy refuses it, and it is in the log; if it does not, nothing here opens it.
            hop.pin(request.get_method())
            raise hop.exchange.refused(no_url("scheme-unsupported", "scheme", "use `http` or `https`"), target)


class _Opens:
    """Makes connections for the hop that is under way."""

    def _connection(self, made: type[HTTPConnection]) -> Any:
        under_way = _CURRENT.get()
        if under_way is None:
            raise _unsupported("this handler without its opener", "call `open` of an opener from `build_opener`")
        return partial(made, hop=under_way[1])

    def _prepared(self, request: Any) -> Any:
        """Prepares it as urllib.request does, where `addheaders` go to every place that a server names."""
        before = _names(request)
        prepared = cast(Any, self).do_request_(request)
        under_way = _CURRENT.get()
        if under_way is not None and under_way[1].crossed:
            added = [name.capitalize() for name, _ in under_way[0].addheaders]
            _forget(request, [name for name in secrets(added) if name not in before])
        return prepared


class HTTPHandler(_Opens, urllib.request.HTTPHandler):
    """Opens `http:`, judged."""

    def http_request(self, req: Request) -> Request:
        """As of urllib.request; across origins without what `addheaders` holds."""
        return cast(Request, self._prepared(req))

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        """As of urllib.request."""
        return self.do_open(self._connection(HTTPConnection), req)


class HTTPSHandler(_Opens, urllib.request.HTTPSHandler):
    """Opens `https:`, judged, with TLS for the name of the URL."""

    def __init__(self, debuglevel: int | None = None, context: ssl.SSLContext | None = None) -> None:
        # Not that of HTTPSHandler: it may load all trusted roots, also when nothing but `http:` is opened.
        urllib.request.AbstractHTTPHandler.__init__(self, debuglevel or 0)
        self._context = context

    def https_request(self, req: Request) -> Request:
        """As of urllib.request; across origins without what `addheaders` holds."""
        return cast(Request, self._prepared(req))

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        """As of urllib.request."""
        return self.do_open(self._connection(HTTPSConnection), req, context=self._context)


class HTTPRedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows redirects as urllib.request does, where it and the guard read `Location` as the same place."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Request | None:
        """As of urllib.request."""
        location = headers.get("location") or headers.get("uri") or ""
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and code in STATUSES:
            try:
                _agreed(Target.parse(req.full_url).join(location), Target.parse(new.full_url))
            except errors.PinfoldError as error:
                fp.close()
                if under_way := _CURRENT.get():
                    under_way[1].exchange.refused(error)
                raise
        return new


def _agreed(ours: Target, theirs: Target) -> None:
    if not ours.same_origin(theirs):
        raise ambiguous()


def _request(fullurl: str | Request, data: Any) -> Request:
    return fullurl if isinstance(fullurl, Request) else Request(fullurl, data)  # noqa: S310 # judged as it is


def _names(request: Request) -> list[str]:
    return [*request.headers, *request.unredirected_hdrs]


def _forget(request: Request, names: list[str]) -> None:
    for name in names:
        request.remove_header(name)


def _guarded(handler: Any) -> Any:
    """What is used for a handler; `None` for a proxy handler that names no proxy."""
    if isinstance(handler, urllib.request.ProxyHandler):
        if getattr(handler, "proxies", None):
            raise _unsupported("a proxy", "leave `ProxyHandler` out, or let the proxy be the one that judges")
        return None
    if isinstance(handler, _Opens) or not any(map(_is_opening, dir(handler))):
        return handler
    if isinstance(handler, _OTHERS):
        raise _unsupported(f"`{type(handler).__name__}`", "only `http:` and `https:` are opened")
    return _replaced(handler)


def _is_opening(method: str) -> bool:
    """Whether an opener asks this method for an answer. `unknown_open` only refuses."""
    kind, _, does = method.partition("_")
    return does == "open" and kind not in ("do", "proxy", "unknown")


def _replaced(handler: Any) -> urllib.request.BaseHandler:
    if type(handler) is urllib.request.HTTPHandler:
        return HTTPHandler(getattr(handler, "_debuglevel", 0))
    if type(handler) is urllib.request.HTTPSHandler:
        return HTTPSHandler(getattr(handler, "_debuglevel", 0), getattr(handler, "_context", None))
    raise _unsupported(
        f"`{type(handler).__name__}`", "derive it from `HTTPHandler` or `HTTPSHandler` of `pinfold.urllib`"
    )


@contextmanager
def _raised() -> Iterator[None]:
    """Raises what is ours as itself: urllib.request hides it in the `reason` of a `URLError`."""
    with translated():
        try:
            yield
        except URLError as error:
            if not isinstance(error, errors.PinfoldError) and isinstance(error.reason, errors.PinfoldError):
                raise error.reason from None
            raise


_OTHERS = (urllib.request.FileHandler, urllib.request.FTPHandler, urllib.request.DataHandler)
_DEFAULTS: tuple[tuple[type[urllib.request.BaseHandler], type[urllib.request.BaseHandler]], ...] = (
    (urllib.request.UnknownHandler, urllib.request.UnknownHandler),
    (HTTPHandler, urllib.request.HTTPHandler),
    (urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPDefaultErrorHandler),
    (HTTPRedirectHandler, urllib.request.HTTPRedirectHandler),
    (urllib.request.HTTPErrorProcessor, urllib.request.HTTPErrorProcessor),
    (HTTPSHandler, urllib.request.HTTPSHandler),
)
# The opener and the hop that it is at: what ties redirects and second attempts together.
_CURRENT: ContextVar[tuple[OpenerDirector, Hop] | None] = ContextVar("pinfold.urllib", default=None)

public(__name__, __all__, globals())
