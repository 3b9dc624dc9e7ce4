"""One request of a session with its redirects: what is judged, and what goes along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookies import Morsel
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import hdrs
from yarl import URL

from pinfold import _native, errors
from pinfold._aiohttp.decode import ACCEPTED
from pinfold._aiohttp.errors import ambiguous, words
from pinfold._redirects import STATUSES, to_drop

if TYPE_CHECKING:
    from aiohttp.client_middlewares import ClientHandlerType

    from pinfold.exchange import Exchange

# Without these a request that aiohttp has begun to make would not be answered. They hold no secret.
_MECHANICS = frozenset(
    {
        "connection",
        "expect",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
    }
)


# What answers challenges with a password.
_DIGEST: Any = getattr(aiohttp, "DigestAuthMiddleware", ())


def read(text: str) -> _native.Target:
    """Reads the text of a URL. Raises `InvalidURL`, in the words of aiohttp."""
    with words():
        return _native.Target.parse(_plain(text))


def agree(target: _native.Target, url: URL) -> None:
    """Raises when aiohttp reads the URL as another place than the one that is judged."""
    if not target.goes_to(url.scheme, url.raw_host or "", url.port or 0):
        raise ambiguous(f"aiohttp would go to {url.scheme}://{url.raw_host}:{url.port}, judged is {target.origin}")


@contextmanager
def told(exchange: Exchange) -> Iterator[None]:
    """Makes a decision of what is refused inside before the policy was asked."""
    try:
        yield
    except errors.PinfoldError as error:
        exchange.refused(error)
        raise


class Hop:
    """One attempt to send: what is judged for it."""

    def __init__(self, exchange: Exchange, target: _native.Target, redirect: bool = False) -> None:
        self.exchange = exchange
        self._target = target
        self._redirect = redirect

    async def pin(self, request: aiohttp.ClientRequest) -> _native.Pin:
        """Judges it. The first one of a redirect counts as such, the next ones are retries."""
        redirect, self._redirect = self._redirect, False
        pin = await self.exchange.apin(self._target, request.method, redirect=redirect)
        with told(self.exchange):
            agree(pin.target, request.url)
        return pin


class Chain:
    """One request of a session, through all of its redirects.

    `middleware` is the outermost one: aiohttp calls it once for the request, once for each redirect, and once more
    when it tries again on a new connection.
    """

    def __init__(self, exchange: Exchange, target: _native.Target, jar: aiohttp.abc.AbstractCookieJar) -> None:
        self.exchange = exchange
        self._target = target
        self._jar = jar
        self._location: str | None = None
        self._dropped: set[str] = set()
        self._crossed = False
        self._request: aiohttp.ClientRequest | None = None
        self._url: URL | None = None
        self._hop = Hop(exchange, target)

    async def middleware(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Sees each hop as aiohttp has made it, before other middlewares do."""
        with words(request):
            self._begin(request)
        self._accept_what_is_decoded(request)
        self._request, self._url = request, request.url
        try:
            response = await handler(request)
        except aiohttp.ConnectionTimeoutError as error:
            # aiohttp puts one of its own in place of whatever is a timeout.
            if isinstance(error.__cause__, errors.PinfoldError):
                raise error.__cause__ from None
            raise
        self._location = _location(response)
        return response

    def at_home(self, middleware: Any) -> Any:
        """A middleware that holds a password is for the origin that was asked for: others may not challenge it."""
        if not isinstance(middleware, _DIGEST):
            return middleware

        async def only_at_home(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
            if self._crossed:
                return await handler(request)
            answered: aiohttp.ClientResponse = await middleware(request, handler)
            return answered

        return only_at_home

    def hop(self, request: aiohttp.ClientRequest) -> Hop | None:
        """What is judged for a request; nothing when it is not of this chain."""
        if request is not self._request:
            return None
        if request.url == self._url:
            return self._hop
        # A middleware of the application has changed it: its URL is what was meant.
        return Hop(self.exchange, read(str(request.url)))

    def _begin(self, request: aiohttp.ClientRequest) -> None:
        if self._location is not None:
            self._follow(request, _plain(self._location))
            self._location = None
        agree(self._target, request.url)
        if self._crossed:
            self._strip(request)

    def _follow(self, request: aiohttp.ClientRequest, location: str) -> None:
        before = self._target
        self._target = before.join(location)
        self._hop = Hop(self.exchange, self._target, redirect=True)
        if not before.same_origin(self._target):
            self._crossed = True
            self._dropped |= {name.lower() for name in to_drop(request.headers.keys(), before, self._target)}

    def _strip(self, request: aiohttp.ClientRequest) -> None:
        """What was dropped once stays dropped. Cookies are the jar's, whatever was given for the first request."""
        headers = request.headers
        for name in {name for name in headers if name.lower() in self._dropped - _MECHANICS}:
            headers.popall(name)
        headers[hdrs.HOST] = request.url.host_port_subcomponent or ""
        headers.popall(hdrs.COOKIE, None)
        request.update_cookies(self._cookies_with_domain(request.url))

    def _cookies_with_domain(self, url: URL) -> dict[str, Morsel[str]]:
        """Cookies that a caller set for no domain are for the origin that it asked for, and for no other."""
        shared = {(morsel.key, morsel.value) for morsel in self._jar if not morsel["domain"]}
        chosen = self._jar.filter_cookies(url).items()
        return {name: morsel for name, morsel in chosen if (name, morsel.value) not in shared}

    def _accept_what_is_decoded(self, request: aiohttp.ClientRequest) -> None:
        usual = request.DEFAULT_HEADERS[hdrs.ACCEPT_ENCODING]
        if request.headers.get(hdrs.ACCEPT_ENCODING) == usual != ACCEPTED:
            request.headers[hdrs.ACCEPT_ENCODING] = ACCEPTED


current: ContextVar[Chain | None] = ContextVar("pinfold.aiohttp", default=None)


def _location(response: aiohttp.ClientResponse) -> str | None:
    """Where a response leads, as the server wrote it and as aiohttp reads it."""
    if response.status not in STATUSES:
        return None
    return response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)


def _plain(text: str) -> str:
    """Bytes that are no UTF-8 come as lone surrogates: they are percent-encoded, as browsers do."""
    return re.sub("[\udc80-\udcff]", lambda found: f"%{ord(found[0]) - 0xDC00:02X}", text)
