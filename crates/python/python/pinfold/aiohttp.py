"""aiohttp whose connections go to judged addresses only.

    >>> import asyncio
    >>> from pinfold.aiohttp import ClientSession
    >>> async def fetch(url: str) -> str:
    ...     async with ClientSession() as session, session.get(url) as response:
    ...         return await response.text()

`ClientSession` judges the text of each URL and each `Location`, ties redirects together and drops what must not cross
origins. `TCPConnector` is for a session that somebody else makes: every connection is judged, budgets hold, but each
redirect is a request of its own there, and its headers are aiohttp's choice.

A websocket is judged with the scheme of its URL: `ws` and `wss` must be among the `schemes` of the settings, which
they are not unless an operator writes them. Its exchange ends with the handshake; after that only the policy ends it,
and no budget counts its messages: what bounds one is aiohttp's `max_msg_size`, which is 4 MiB unless you raise it.

What differs from aiohttp: there are no DNS events in a `TraceConfig` and no resolver; a proxy, `trust_env`,
`local_addr` and a `server_hostname` other than the URL's are refused; credentials in a URL are the policy's to judge.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pinfold._extras import needed

with needed("aiohttp"):
    import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from pinfold import _native, errors
from pinfold._aiohttp.body import Handler, Use, within
from pinfold._aiohttp.chain import Chain, Hop, current, read, told
from pinfold._aiohttp.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Denied,
    DNSError,
    InvalidURL,
    NetworkError,
    Refused,
    Timeout,
    TooManyRedirects,
    no_proxy,
    refused,
    tls_errors,
    words,
)
from pinfold._aiohttp.library import check
from pinfold._asking import check_asking
from pinfold.budget import Budget
from pinfold.guard import Guard, default_guard

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

__all__ = [
    "BudgetExceeded",
    "ClientSession",
    "DNSError",
    "DeadlineExceeded",
    "Denied",
    "InvalidURL",
    "NetworkError",
    "Refused",
    "TCPConnector",
    "Timeout",
    "TooManyRedirects",
    "request",
]


class TCPConnector(aiohttp.TCPConnector):
    """A connector of aiohttp whose connections are judged, new ones and kept ones.

    `subject` and `labels` are what the policy is told of whoever asks, `budget` bounds each request; the rest is
    aiohttp's. Options that choose where a socket comes from, `resolver` among them, raise `Refused`.
    """

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        **options: Any,
    ) -> None:
        for name in _BYPASSES & options.keys():
            raise refused(f"`{name}` is not an option here: a guard makes the sockets", _HINT)
        check_asking(guard, subject, labels, budget)
        super().__init__(resolver=_NoResolver(), **options)
        self.guard = guard if guard is not None else default_guard()
        self.begin = functools.partial(self.guard.exchange, subject=subject, labels=labels, budget=budget)
        factory: Any = functools.partial(Handler, loop=self._loop)
        self._factory = factory

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection for a request, kept or new, and judged for it."""
        with words(req):
            attempt = self._attempt(req)
            spending = attempt.hop.exchange.spending
            async with within(spending), asyncio.timeout(_seconds(timeout.connect)):
                with _set(_ATTEMPT, attempt):
                    connection = await super().connect(req, traces, timeout)
            _begin_use(connection, attempt)
        return connection

    def _attempt(self, request: aiohttp.ClientRequest) -> _Attempt:
        if request.proxy is not None:
            raise no_proxy()
        if not _is_host(request.server_hostname, request.url):
            raise refused(
                "a certificate for another name than the URL's is not accepted", "leave out `server_hostname`"
            )
        chain = current.get()
        hop = chain.hop(request) if chain is not None else None
        return _Attempt(request, hop or self._hop(request))

    def _hop(self, request: aiohttp.ClientRequest) -> Hop:
        exchange = self.begin()
        with told(exchange):
            return Hop(exchange, read(str(request.url)))

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        if not self._conns.get(key):
            return None
        attempt = _ATTEMPT.get()
        pin = await attempt.pin()
        self._close_all_but(key, pin)
        connection = await super()._get(key, traces)
        if connection is not None:
            _reuse(connection, attempt, pin)
        return connection

    def _close_all_but(self, key: ConnectionKey, pin: _native.Pin) -> None:
        """Connections that were opened under another policy, for another name or to another address."""
        kept = self._conns.get(key)
        for entry in list(kept or ()):
            handler = entry[0]
            if not _accepts(pin, handler):
                self._conns[key].remove(entry)
                handler.close()
        if kept is not None and not kept:
            del self._conns[key]

    async def _wait_for_available_connection(self, key: ConnectionKey, traces: list[Trace]) -> None:
        await super()._wait_for_available_connection(key, traces)
        # It may have taken long: what was looked up before is not used.
        _ATTEMPT.get().forget()

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],  # noqa: ARG002  # aiohttp tells of lookups: there are none
        timeout: aiohttp.ClientTimeout,
    ) -> Handler:
        attempt = _ATTEMPT.get()
        exchange = attempt.hop.exchange
        pin = await attempt.pin()
        wanted = _seconds(timeout.sock_connect) or exchange.spending.budget.connect
        opened = await exchange.aopen(pin, wanted)
        opened.setblocking(False)
        async with asyncio.timeout(wanted):
            handler = await self._wrapped(req, opened)
        handler.link = attempt.link = opened.link
        return handler

    async def _wrapped(self, request: aiohttp.ClientRequest, opened: socket.socket) -> Handler:
        """TLS for the name of the URL, as aiohttp does it."""
        try:
            options = self._tls(request)
        except BaseException:
            # From here on the loop closes it.
            opened.close()
            raise
        with tls_errors(request):
            handler: Any
            transport, handler = await self._loop.create_connection(self._factory, sock=opened, **options)
        self._check_fingerprint(request, transport)
        made: Handler = handler
        return made

    def _tls(self, request: aiohttp.ClientRequest) -> dict[str, Any]:
        context = self._get_ssl_context(request)
        if context is None:
            return {}
        options: dict[str, Any] = {"ssl": context, "server_hostname": (request.url.raw_host or "").rstrip(".")}
        # aiohttp has it since 3.12.4.
        if shutdown := getattr(self, "_ssl_shutdown_timeout", None):
            options["ssl_shutdown_timeout"] = shutdown
        return options

    def _check_fingerprint(self, request: aiohttp.ClientRequest, transport: asyncio.Transport) -> None:
        fingerprint = self._get_fingerprint(request) if request.is_ssl() else None
        if fingerprint is None:
            return
        try:
            fingerprint.check(transport)
        except aiohttp.ServerFingerprintMismatch:
            transport.close()
            raise


# aiohttp warns whoever inherits from its session that its inside may change: it is pinned below 4 and tested for it.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class ClientSession(aiohttp.ClientSession):
        """A session of aiohttp that judges each URL and each redirect, under one budget.

        `guard`, `subject`, `labels` and `budget` are for the connector that it makes; a `connector` that is given is
        a `TCPConnector` of this module, and has its own. Without `timeout` the times of the budget hold.
        """

        ATTRS = aiohttp.ClientSession.ATTRS | {"_judged"}

        def __init__(
            self,
            base_url: str | URL | None = None,
            *,
            guard: Guard | None = None,
            subject: str | None = None,
            labels: Mapping[str, str] | None = None,
            budget: Budget | None = None,
            connector: TCPConnector | None = None,
            **options: Any,
        ) -> None:
            # A session that was not made is asked whether it is closed when it is collected.
            self._connector = None
            if options.get("trust_env") or options.get("proxy") is not None:
                raise no_proxy()
            if connector is None:
                connector = TCPConnector(guard=guard, subject=subject, labels=labels, budget=budget)
            elif not isinstance(connector, TCPConnector) or (guard, subject, labels, budget) != (None,) * 4:
                raise refused("a connector that is given is a `pinfold.aiohttp.TCPConnector` with its own guard", _HINT)
            self._judged = connector
            options.setdefault("timeout", aiohttp.ClientTimeout())
            super().__init__(base_url, connector=connector, **options)

        async def _request(
            self,
            method: str,
            str_or_url: str | URL,
            *,
            middlewares: Sequence[Any] | None = None,
            **options: Any,
        ) -> aiohttp.ClientResponse:
            if self._connector is not None and self._connector is not self._judged:
                raise refused("the connector of this session was put in the place of a judged one", _HINT)
            exchange = self._judged.begin()
            with told(exchange):
                chain = Chain(exchange, self._target(str_or_url), self.cookie_jar)
            given = self._middlewares if middlewares is None else middlewares
            inner = [chain.at_home(each) for each in given]
            with words(), told(exchange), _set(current, chain):
                async with within(exchange.spending):
                    return await super()._request(method, str_or_url, middlewares=(chain.middleware, *inner), **options)

        def _target(self, url: str | URL) -> _native.Target:
            """What is judged: the text as it was given."""
            if self._base_url is None or URL(url).absolute:
                return read(str(url))
            with words():
                return read(str(self._base_url)).join(str(url))


@asynccontextmanager
async def request(
    method: str,
    url: str | URL,
    *,
    guard: Guard | None = None,
    subject: str | None = None,
    labels: Mapping[str, str] | None = None,
    budget: Budget | None = None,
    **options: Any,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """One request with a session of its own, for `async with`. Options are those of `ClientSession.request`."""
    for_session = {name: options.pop(name) for name in ("cookies", "timeout", "version") if name in options}
    connector = TCPConnector(guard=guard, subject=subject, labels=labels, budget=budget, force_close=True)
    async with (
        ClientSession(connector=connector, **for_session) as session,
        session.request(method, url, **options) as response,
    ):
        yield response


class _Attempt:
    """One request on its way to a connection."""

    def __init__(self, request: aiohttp.ClientRequest, hop: Hop) -> None:
        self.hop = hop
        self.link: _native.Link | None = None
        self._request = request
        self._pin: _native.Pin | None = None

    async def pin(self) -> _native.Pin:
        """Judges, unless that was done a moment ago."""
        if self._pin is None:
            self._pin = await self.hop.pin(self._request)
        return self._pin

    def forget(self) -> None:
        """Judges anew next time."""
        self._pin = None


_ATTEMPT: ContextVar[_Attempt] = ContextVar("pinfold.aiohttp.attempt")
# What would choose sockets or addresses in place of the guard.
_BYPASSES = {"family", "local_addr", "resolver", "socket_factory"}
_HINT = "give the guard what it needs: `Guard(resolver=..., grants=...)`"


class _NoResolver(AbstractResolver):
    """Nothing asks it: names are looked up by the guard."""

    async def resolve(self, *_: Any, **__: Any) -> list[ResolveResult]:
        raise refused("no name is looked up here", _HINT)

    async def close(self) -> None:
        """It holds nothing."""


@contextmanager
def _set(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _accepts(pin: _native.Pin, handler: Any) -> bool:
    try:
        return pin.accepts(handler.link)
    except errors.ForkError:
        # Its peer belongs to the parent: nothing is said to it.
        handler.abort()
        return False


def _reuse(connection: Connection, attempt: _Attempt, pin: _native.Pin) -> None:
    handler: Any = connection.protocol
    attempt.forget()
    try:
        attempt.link = pin.reuse(handler.link)
    except errors.PinfoldError:
        connection.close()
        raise


def _begin_use(connection: Connection, attempt: _Attempt) -> None:
    handler: Any = connection.protocol
    exchange = attempt.hop.exchange
    if attempt.link is None:
        # It came by another way than through this connector's methods: nobody has judged it for this request.
        connection.close()
        raise refused("a connection that was not judged for this request is not used", _HINT)
    handler.begin(Use(exchange.guard, exchange.spending, attempt.link))


def _is_host(name: str | None, url: URL) -> bool:
    return name is None or name.rstrip(".").lower() == (url.raw_host or "").rstrip(".").lower()


def _seconds(timeout: float | None) -> float | None:
    """A timeout as aiohttp reads it: none when it is not positive."""
    return timeout if timeout and timeout > 0 else None


check()

# What people see of an exception is where it can be had from.
for _name in __all__:
    globals()[_name].__module__ = __name__
