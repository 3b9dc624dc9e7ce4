"""The streams that httpcore reads and writes: sockets of a pin, within a budget."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpcore

from pinfold import _native
from pinfold._http import HEAD_BYTES, STEP
from pinfold.budget import exceeded
from pinfold.exchange import Exchange, PinnedSocket

# Bytes of a TLS record, and how much is read at once.
_PIECE = 64 << 10

Failures = tuple[type[Exception], type[Exception]]
_CONNECT: Failures = (httpcore.ConnectTimeout, httpcore.ConnectError)
_READ: Failures = (httpcore.ReadTimeout, httpcore.ReadError)
_WRITE: Failures = (httpcore.WriteTimeout, httpcore.WriteError)


class Usage:
    """Which request a connection serves: its link, and its budget."""

    def __init__(self, link: _native.Link, exchange: Exchange) -> None:
        self.link = link
        self.spending = exchange.spending
        self._guard = exchange.guard
        self._confirmed = link.generation
        # Bytes of the response that came before its body; none once the body has begun.
        self.head: int | None = 0

    def serve(self, other: Usage) -> None:
        """From now on this is for another request."""
        vars(self).update(vars(other))

    async def confirm(self) -> None:
        """Raises `Denied` when the policy of now refuses it. A policy is asked on another thread."""
        generation = self._guard.generation
        if generation != self._confirmed:
            await anyio.to_thread.run_sync(self.link.confirm)
            self._confirmed = generation

    def came(self, data: bytes) -> bytes:
        """Counts what comes before a body: interim responses may be sent without end."""
        if self.head is not None:
            self.head += len(data)
            if self.head > HEAD_BYTES + STEP:
                raise exceeded("response-too-large", f"{HEAD_BYTES} bytes of headers were allowed")
        return data

    def wait(self, timeout: float | None) -> float:
        """Seconds for one wait."""
        return self.spending.wait(timeout, self.spending.budget.read)


class Stream(httpcore.NetworkStream):
    """A socket of a pin. Each read asks whether the policy of now still allows it."""

    def __init__(self, opened: socket.socket, usage: Usage) -> None:
        self._socket = opened
        self._usage = usage

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes; none at the end."""
        self._usage.link.confirm()
        with self._waiting(timeout, _READ):
            data = self._socket.recv(max_bytes)
        return self._usage.came(data)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of these bytes."""
        rest = memoryview(buffer)
        while rest:
            with self._waiting(timeout, _WRITE):
                rest = rest[self._socket.send(rest) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        """The same connection with TLS, verified for this name."""
        try:
            with self._waiting(timeout, _CONNECT):
                return Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname), self._usage)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file descriptor."""
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore and the application ask for."""
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        return _extra(self._socket, info)

    @contextmanager
    def _waiting(self, timeout: float | None, failures: Failures) -> Iterator[None]:
        late, broken = failures
        self._socket.settimeout(self._usage.wait(timeout))
        try:
            yield
        except TimeoutError as error:
            self._usage.spending.left()
            raise late(str(error)) from error
        except OSError as error:
            raise broken(str(error)) from error


class AsyncStream(httpcore.AsyncNetworkStream):
    """As `Stream`, for asyncio and trio."""

    def __init__(self, opened: PinnedSocket, usage: Usage) -> None:
        opened.setblocking(False)
        self._socket = opened
        self._usage = usage
        self._tls: _Tls | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes; none at the end."""
        await self._usage.confirm()
        async with self._waiting(timeout, _READ):
            if self._tls is None:
                data = await self._receive(max_bytes)
            else:
                data = await self._encrypted(self._tls.reading(max_bytes))
        return self._usage.came(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of these bytes."""
        for begin in range(0, len(buffer), _PIECE):
            piece = memoryview(buffer)[begin : begin + _PIECE]
            async with self._waiting(timeout, _WRITE):
                if self._tls is None:
                    await self._send(piece)
                else:
                    await self._encrypted(self._tls.writing(piece))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncStream:
        """The same connection with TLS, verified for this name."""
        try:
            async with self._waiting(timeout, _CONNECT):
                self._tls = _Tls(ssl_context, server_hostname)
                await self._encrypted(self._tls.session.do_handshake)
        except BaseException:
            self.close()
            raise
        return self

    async def aclose(self) -> None:
        """Closes the file descriptor."""
        self.close()

    def close(self) -> None:
        """As `aclose`; waits for nothing."""
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore and the application ask for."""
        if info == "ssl_object":
            return self._tls and self._tls.session
        return _extra(self._socket, info)

    @asynccontextmanager
    async def _waiting(self, timeout: float | None, failures: Failures) -> AsyncIterator[None]:
        late, broken = failures
        try:
            with anyio.fail_after(self._usage.wait(timeout)):
                yield
        except TimeoutError as error:
            self._usage.spending.left()
            raise late(str(error)) from error
        except (OSError, anyio.BusyResourceError, anyio.ClosedResourceError) as error:
            raise broken(str(error)) from error

    async def _encrypted(self, step: Callable[[], Any]) -> Any:
        """Does a step of TLS, with as much reading and writing as it needs."""
        assert self._tls is not None
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._send(self._tls.outgoing.read())
                self._tls.feed(await self._receive(_PIECE))
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                if self._tls.established:
                    return b""
                raise OSError(str(error)) from error
            except ssl.SSLError:
                # What the server is told of the failure.
                await self._send(self._tls.outgoing.read())
                raise
            else:
                self._tls.established = True
                await self._send(self._tls.outgoing.read())
                return done

    async def _receive(self, most: int) -> bytes:
        while True:
            try:
                return self._socket.recv(most)
            except (BlockingIOError, InterruptedError):
                await anyio.wait_readable(self._socket)

    async def _send(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await anyio.wait_writable(self._socket)


class _Tls:
    """TLS between two buffers."""

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self.outgoing = ssl.MemoryBIO()
        self.established = False
        self._incoming = ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self.outgoing, server_hostname=name)

    def feed(self, data: bytes) -> None:
        """Bytes from the server; none at the end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def reading(self, most: int) -> Callable[[], bytes]:
        return lambda: self.session.read(most)

    def writing(self, data: memoryview) -> Callable[[], int]:
        return lambda: self.session.write(data)


def _extra(opened: socket.socket, info: str) -> Any:
    if info == "client_addr":
        return opened.getsockname()
    if info == "server_addr":
        return opened.getpeername()
    if info == "socket":
        return opened
    if info == "is_readable":
        return _is_readable(opened)
    return None


def _is_readable(opened: socket.socket) -> bool:
    """Whether there is something to read: on an idle connection, that the server has closed it."""
    if opened.fileno() < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([opened], [], [], 0)[0])
    asked = select.poll()
    asked.register(opened, select.POLLIN)
    return bool(asked.poll(0))
