"""The transports: each request that they are given is judged."""

from __future__ import annotations

import ssl
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import httpcore
import httpx

from pinfold import _native, errors
from pinfold._asking import check_asking
from pinfold._httpx.bodies import AsyncBody, Body, response
from pinfold._httpx.dial import AsyncConnection, Connection, Hop, Option
from pinfold._httpx.errors import option_refused, translated
from pinfold._httpx.hops import checked, core_request, exchange_of, is_redirect_in, told
from pinfold._httpx.pool import AsyncPool, Pool, Slot
from pinfold.budget import Budget
from pinfold.exchange import Exchange
from pinfold.guard import Guard, default_guard

LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
Verify = ssl.SSLContext | str | bool
Cert = str | tuple[str, str] | tuple[str, str, str]


P = TypeVar("P")


class _Guarded(Generic[P]):
    """What both transports have in common."""

    def __init__(
        self,
        verify: Verify = True,
        cert: Cert | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: httpx.Limits = LIMITS,
        proxy: object = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[Option] | None = None,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        refuse(http1=http1, http2=http2, proxy=proxy, uds=uds, local_address=local_address)
        check_asking(guard, subject, labels, budget)
        self.guard = default_guard() if guard is None else guard
        self._asking: dict[str, Any] = {"subject": subject, "labels": labels, "budget": budget}
        self._limits = limits
        self._sockets = tuple(socket_options or ())
        context = httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        self._options: dict[str, Any] = {"ssl_context": context, "retries": retries}
        self._pool = self._new_pool()

    @abstractmethod
    def _new_pool(self) -> P: ...

    def exchange(self) -> Exchange:
        """Begins a request with its redirects, for the subject of this transport."""
        return self.guard.exchange(**self._asking)

    def _hop(self, request: httpx.Request) -> tuple[Hop, httpcore.Request]:
        exchange = exchange_of(self) or self.exchange()
        with told(exchange):
            target = checked(request)
        exchange.spending.next_response()
        hop = Hop(exchange, target, request.method, is_redirect_in(request, exchange))
        return hop, core_request(request, target)


class Transport(_Guarded[Pool[Connection]], httpx.BaseTransport):
    """A guarded transport, also for a `httpx.Client`. That one does not tie redirects to one exchange: each is judged
    as a request of its own, and what goes along is what httpx lets go along.

    Takes what `httpx.HTTPTransport` takes. What would go around the guard (`proxy`, `uds`, `local_address`, `http2`) is
    refused: `PolicyError`. `trust_env` is for certificates only.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Judges, and sends. Raises one of `pinfold.httpx`'s exceptions, or one of httpx's own."""
        with translated():
            hop, sent = self._hop(request)
            timeouts = request.extensions.get("timeout", {})
            slot = self._pool.enter(hop.exchange.spending, timeouts.get("pool"))
            return self._held(hop, sent, slot)

    def close(self) -> None:
        """Closes the kept connections."""
        self._pool.clear()

    def _new_pool(self) -> Pool[Connection]:
        return Pool(self._limits)

    def _held(self, hop: Hop, sent: httpcore.Request, slot: Slot) -> httpx.Response:
        connection: Connection | None = None
        try:
            connection = self._connection(hop)
            answer = connection.http.handle_request(sent)
            body = Body(answer.stream, hop.exchange.spending, self._giving_back(slot, connection))
            return response(answer, body, connection, hop.exchange.spending)
        except BaseException:
            self._pool.put(slot, connection)
            raise

    def _connection(self, hop: Hop) -> Connection:
        kept = self._pool.pick(hop.pin())
        if kept is None:
            return Connection(hop, self._limits, self._options, self._sockets)
        with _dropping(kept):
            kept.serve(hop.reuse(_link(kept)))
        return kept

    def _giving_back(self, slot: Slot, connection: Connection) -> Callable[[], None]:
        return _once(lambda: self._pool.put(slot, connection))


class AsyncTransport(_Guarded[AsyncPool[AsyncConnection]], httpx.AsyncBaseTransport):
    """As `Transport`, for asyncio and trio. On trio, lookups and connections are made by a thread."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Judges, and sends. Raises one of `pinfold.httpx`'s exceptions, or one of httpx's own."""
        with translated():
            hop, sent = self._hop(request)
            timeouts = request.extensions.get("timeout", {})
            slot = await self._pool.enter(hop.exchange.spending, timeouts.get("pool"))
            return await self._held(hop, sent, slot)

    async def aclose(self) -> None:
        """Closes the kept connections."""
        self._pool.clear()

    def _new_pool(self) -> AsyncPool[AsyncConnection]:
        return AsyncPool(self._limits)

    async def _held(self, hop: Hop, sent: httpcore.Request, slot: Slot) -> httpx.Response:
        connection: AsyncConnection | None = None
        try:
            connection = await self._connection(hop)
            answer = await connection.http.handle_async_request(sent)
            body = AsyncBody(answer.stream, hop.exchange.spending, self._giving_back(slot, connection))
            return response(answer, body, connection, hop.exchange.spending)
        except BaseException:
            self._pool.put(slot, connection)
            raise

    async def _connection(self, hop: Hop) -> AsyncConnection:
        kept = self._pool.pick(await hop.apin())
        if kept is None:
            return AsyncConnection(hop, self._limits, self._options, self._sockets)
        with _dropping(kept):
            kept.serve(hop.reuse(_link(kept)))
        return kept

    def _giving_back(self, slot: Slot, connection: AsyncConnection) -> Callable[[], None]:
        return _once(lambda: self._pool.put(slot, connection))


def refuse(
    *,
    http1: bool = True,
    http2: bool = False,
    proxy: object = None,
    mounts: object = None,
    uds: str | None = None,
    local_address: str | None = None,
) -> None:
    """Raises `PolicyError` about an option that would go around the guard."""
    if proxy is not None:
        raise option_refused(
            "proxy",
            "a proxy looks the name up again, and goes where the guard has not looked",
            "run `pinfold proxy` as the egress proxy instead, or use plain httpx for hosts that no stranger names",
        )
    if mounts:
        raise option_refused("mounts", "a mounted transport is not guarded", "use a client of plain httpx for it")
    if uds is not None:
        raise option_refused("uds", "a unix socket has no address to judge", "use plain httpx for local services")
    if local_address is not None:
        raise option_refused("local_address", "the guard opens the sockets", "choose the route in the system")
    if http2 or not http1:
        raise option_refused(
            "http2", "one HTTP/2 connection carries requests to many names", "leave it out: HTTP/1.1 is spoken"
        )


class _dropping:  # noqa: N801 # Used as a function.
    """Closes a kept connection when it cannot be used after all."""

    def __init__(self, connection: Connection | AsyncConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._connection.drop()


def _link(connection: Connection | AsyncConnection) -> _native.Link:
    link = connection.link
    if link is None:
        raise errors.PinfoldError("a connection that is not open was kept")
    return link


def _once(act: Callable[[], None]) -> Callable[[], None]:
    rest = [act]
    return lambda: rest.pop()() if rest else None
