"""How httpcore gets its sockets: from the pin of the request, never by a lookup of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import anyio
import anyio.to_thread
import httpcore
import httpx

from pinfold import _native, errors
from pinfold._httpx.errors import Unconnected, ambiguous
from pinfold._httpx.hops import PORTS
from pinfold._httpx.streams import AsyncStream, Stream, Usage
from pinfold.exchange import Exchange, PinnedSocket

T = TypeVar("T")
Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
# A caller's timeout of 0 is none for the native half: the shortest that it takes.
_SHORTEST = 0.001


class Hop:
    """One request: its exchange, its target, and the pin until it is spent."""

    def __init__(self, exchange: Exchange, target: _native.Target, method: str, redirect: bool) -> None:
        self.exchange = exchange
        self.target = target
        self._method = method
        self._redirect = redirect
        self._pin: _native.Pin | None = None

    def pin(self) -> _native.Pin:
        """Judges and looks up once; again when it was spent, which is the same hop."""
        if self._pin is None:
            self._pin = self._spoken(self.exchange.pin(self.target, self._method, redirect=self._first()))
        return self._pin

    async def apin(self) -> _native.Pin:
        """As `pin`, on any event loop."""
        if self._pin is None:
            if on_asyncio():
                pin = await self.exchange.apin(self.target, self._method, redirect=self._first())
            else:
                pin = await in_thread(
                    lambda: self.exchange.pin(self.target, self._method, redirect=self._first()), _nothing
                )
            self._pin = self._spoken(pin)
        return self._pin

    def open(self, timeout: float | None) -> PinnedSocket:
        """Connects."""
        pin, self._pin = self.pin(), None
        return self.exchange.open(pin, _possible(timeout))

    async def aopen(self, timeout: float | None) -> PinnedSocket:
        """As `open`, on any event loop."""
        pin, self._pin = await self.apin(), None
        if on_asyncio():
            return await self.exchange.aopen(pin, _possible(timeout))
        return await in_thread(lambda: self.exchange.open(pin, _possible(timeout)), PinnedSocket.close)

    def reuse(self, link: _native.Link) -> Usage:
        """Spends the pin on a kept connection."""
        pin, self._pin = self._pin, None
        assert pin is not None
        return Usage(pin.reuse(link), self.exchange)

    def _spoken(self, pin: _native.Pin) -> _native.Pin:
        """A policy may allow a scheme that is not spoken here."""
        if pin.target.scheme not in PORTS:
            raise self.exchange.refused(ambiguous(f"httpx does not speak {pin.target.scheme}"), pin.target)
        return pin

    def _first(self) -> bool:
        first, self._redirect = self._redirect, False
        return first


class Opened:
    """What a dial has opened, and for which request it is used now."""

    link: _native.Link | None = None
    usage: Usage | None = None

    def __init__(self, hop: Hop, options: Iterable[Option]) -> None:
        self.hop = hop
        self._options = list(options)

    def take(self, opened: PinnedSocket) -> Usage:
        """Remembers what was opened."""
        for option in (_NODELAY, *self._options):
            opened.setsockopt(*option)
        self.link = opened.link
        self.usage = Usage(opened.link, self.hop.exchange)
        return self.usage

    def serve(self, usage: Usage) -> None:
        """From now on used for another request."""
        assert self.usage is not None
        self.usage.serve(usage)


class Dial(httpcore.NetworkBackend, Opened):
    """Opens the connection of one hop, for threads."""

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 # It is that of the hop.
        port: int,  # noqa: ARG002
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 # Refused before.
        socket_options: Iterable[Option] | None = None,  # noqa: ARG002 # Ours has them.
    ) -> Stream:
        """A stream to a judged address."""
        try:
            opened = self.hop.open(timeout)
        except errors.NetworkError as error:
            raise _carried(error) from None
        return Stream(opened, self.take(opened))

    def connect_unix_socket(self, *_: Any, **__: Any) -> NoReturn:
        """Never."""
        raise NotImplementedError


class AsyncDial(httpcore.AsyncNetworkBackend, Opened):
    """Opens the connection of one hop, for asyncio and trio."""

    stream: AsyncStream | None = None

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 # It is that of the hop.
        port: int,  # noqa: ARG002
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 # Refused before.
        socket_options: Iterable[Option] | None = None,  # noqa: ARG002 # Ours has them.
    ) -> AsyncStream:
        """A stream to a judged address."""
        try:
            opened = await self.hop.aopen(timeout)
        except errors.NetworkError as error:
            raise _carried(error) from None
        self.stream = AsyncStream(opened, self.take(opened))
        return self.stream

    async def connect_unix_socket(self, *_: Any, **__: Any) -> NoReturn:
        """Never."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Between attempts."""
        await anyio.sleep(seconds)


class _Kept:
    """What a connection of httpcore is used for, and whether it can be used again."""

    _dial: Dial | AsyncDial
    http: httpcore.HTTPConnection | httpcore.AsyncHTTPConnection

    @property
    def link(self) -> _native.Link | None:
        """What it was opened for."""
        return self._dial.link

    @property
    def usage(self) -> Usage | None:
        """What it is used for now."""
        return self._dial.usage

    def serve(self, usage: Usage) -> None:
        """From now on used for another request."""
        self._dial.serve(usage)

    def usable(self) -> bool:
        """Whether it is idle, not expired, and the server has not closed it."""
        return self.link is not None and self.http.is_idle() and not self.http.has_expired()


class Connection(_Kept):
    """One connection of httpcore, for threads."""

    _dial: Dial
    http: httpcore.HTTPConnection

    def __init__(self, hop: Hop, limits: httpx.Limits, options: dict[str, Any], sockets: Iterable[Option]) -> None:
        self._dial = Dial(hop, sockets)
        self.http = httpcore.HTTPConnection(
            _origin(hop.target), keepalive_expiry=limits.keepalive_expiry, network_backend=self._dial, **options
        )

    def drop(self) -> None:
        """Closes it."""
        self.http.close()


class AsyncConnection(_Kept):
    """One connection of httpcore, for asyncio and trio."""

    _dial: AsyncDial
    http: httpcore.AsyncHTTPConnection

    def __init__(self, hop: Hop, limits: httpx.Limits, options: dict[str, Any], sockets: Iterable[Option]) -> None:
        self._dial = AsyncDial(hop, sockets)
        self.http = httpcore.AsyncHTTPConnection(
            _origin(hop.target), keepalive_expiry=limits.keepalive_expiry, network_backend=self._dial, **options
        )

    def drop(self) -> None:
        """Closes the file descriptor; waits for nothing, so that a cancelled task can do it."""
        if self._dial.stream is not None:
            self._dial.stream.close()


def on_asyncio() -> bool:
    """Whether the event loop is one of asyncio's; otherwise it is trio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def in_thread(work: Callable[[], T], unwanted: Callable[[T], object]) -> T:
    """Does what blocks in a thread. When the task is cancelled meanwhile, `unwanted` gets what comes of it."""
    waiting = _Waiting(work, unwanted)
    try:
        return await anyio.to_thread.run_sync(waiting.run, abandon_on_cancel=True)
    except BaseException:
        waiting.give_up()
        raise


class _Waiting:
    """A result that somebody waits for, or nobody any more."""

    def __init__(self, work: Callable[[], Any], unwanted: Callable[[Any], object]) -> None:
        self._work = work
        self._unwanted = unwanted
        self._lock = threading.Lock()
        self._given_up = False
        self._results: list[Any] = []

    def run(self) -> Any:
        result = self._work()
        with self._lock:
            self._results.append(result)
            if self._given_up:
                self._throw_away()
        return result

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            self._throw_away()

    def _throw_away(self) -> None:
        while self._results:
            self._unwanted(self._results.pop())


_NODELAY: Option = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _origin(target: _native.Target) -> httpcore.Origin:
    return httpcore.Origin(target.scheme.encode("ascii"), target.host.encode("ascii"), target.port)


def _possible(timeout: float | None) -> float | None:
    return None if timeout is None else max(timeout, _SHORTEST)


def _carried(error: errors.NetworkError) -> httpcore.ConnectError:
    """A deadline ends it, whatever the number of attempts."""
    if isinstance(error, errors.DeadlineExceeded):
        raise error
    return Unconnected(error)


def _nothing(_: object) -> None:
    return
