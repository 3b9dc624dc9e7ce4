"""What adapters of libraries on top of `http.client` share: bounds below the library's own reading.

`Response` is a `response_class` for a connection. It reads through `Meter`, which keeps the deadline, counts bytes as
they come, and asks the policy of now. What ends the exchange is raised as `Ended`, because libraries take every
`OSError` for something to wrap or to try again; whoever is outermost raises `Ended.error` in the words of the library.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from pinfold import errors
from pinfold._native import Target
from pinfold._redirects import to_drop
from pinfold._translate import Translator
from pinfold.budget import Spending, exceeded

if TYPE_CHECKING:
    from pinfold._native import Link, Pin
    from pinfold.exchange import Exchange

# Bytes of status lines and headers of one answer, interim ones included. Libraries allow some megabytes.
HEAD_BYTES = 256 << 10
# Two origins, whichever.
_STRANGERS = Target.of("https", "one.invalid", 443), Target.of("https", "other.invalid", 443)
# What is asked for at once, whatever length a server claims.
STEP = 64 << 10


class Ended(Exception):
    """Carries what ends an exchange past the handlers of a library."""

    def __init__(self, error: errors.PinfoldError) -> None:
        super().__init__(error.message)
        self.error = error


@contextmanager
def ending() -> Iterator[None]:
    """Raises what is ours as `Ended`."""
    try:
        yield
    except errors.PinfoldError as error:
        raise Ended(error) from error


@contextmanager
def telling(exchange: Exchange, target: Target | None = None) -> Iterator[None]:
    """Makes a decision of what is refused before the policy is asked, for the log and whoever listens."""
    try:
        yield
    except errors.PinfoldError as error:
        exchange.refused(error, target)
        raise


@contextmanager
def ended(words: Translator, **more: Any) -> Iterator[None]:
    """Raises what was `Ended` in the words of a library."""
    try:
        yield
    except Ended as end:
        # Without the chain: it repeats the same.
        raise words.exception(end.error, **more) from None


class Meter:
    """Measures one response on one connection. Its calls raise `Ended`."""

    def __init__(self, spending: Spending, link: Link) -> None:
        self._spending = spending
        self._link = link
        self._in_head = True
        self._received = 0
        spending.next_response()

    @property
    def spending(self) -> Spending:
        """What the exchange has used."""
        return self._spending

    @contextmanager
    def sending(self, sock: socket.socket, wanted: float | None) -> Iterator[None]:
        """Sends a piece, `wanted` seconds at most."""
        with ending():
            left = self._spending.left()
        sock.settimeout(left if wanted is None else min(wanted, left))
        try:
            yield
        except TimeoutError:
            if wanted is None or left <= wanted:
                raise Ended(self._late()) from None
            raise

    def receive(self, file: io.RawIOBase, sock: socket.socket, wanted: float | None, buffer: memoryview) -> int:
        """Reads once, `wanted` seconds at most."""
        with ending():
            self._link.confirm()
            left = self._spending.left()
        usual = self._spending.budget.read if wanted is None else wanted
        sock.settimeout(min(usual, left))
        try:
            count = cast(int, file.readinto(buffer))
        except TimeoutError:
            if left <= usual:
                raise Ended(self._late()) from None
            raise
        self._came(count)
        return count

    def head_is_over(self, head: int, length: int | None) -> None:
        """The body begins, after `head` bytes; `length` is what the server claims it will send."""
        self._in_head = False
        with ending():
            self._spending.received(self._received - head)
            if length is not None and length > self._spending.budget.response_bytes:
                self._spending.received(length)

    def _came(self, count: int) -> None:
        self._received += count
        if not self._in_head:
            with ending():
                self._spending.received(count)
        elif self._received > HEAD_BYTES + STEP:
            raise Ended(exceeded("response-too-large", f"{HEAD_BYTES} bytes of headers were allowed"))

    def _late(self) -> errors.BudgetExceeded:
        return exceeded("deadline-exceeded", f"{self._spending.budget.total} s were allowed")


class Response(http.client.HTTPResponse):
    """A response that is read through a meter."""

    def __init__(self, meter: Meter, sock: socket.socket, *more: Any, **named: Any) -> None:
        self._meter = meter
        super().__init__(cast(socket.socket, _Files(sock, meter)), *more, **named)

    def begin(self) -> None:
        """Reads the head."""
        is_first = getattr(self, "headers", None) is None
        file = cast(_Buffered, self.fp)
        super().begin()
        if is_first:
            self._meter.head_is_over(file.lines, self.length)


class _Files:
    """What `http.client` needs of a socket: the file to read from."""

    def __init__(self, sock: socket.socket, meter: Meter) -> None:
        self._sock = sock
        self._meter = meter

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Buffered(_Raw(self._sock, self._meter))


class _Raw(io.RawIOBase):
    """A socket, read through a meter."""

    def __init__(self, sock: socket.socket, meter: Meter) -> None:
        self._sock = sock
        self._file = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._wanted = sock.gettimeout()
        self._meter = meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._meter.receive(self._file, self._sock, self._wanted, buffer)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Buffered(io.BufferedReader):
    """Reads in steps: what a server claims it will send is no reason to make room for it."""

    def __init__(self, raw: _Raw) -> None:
        super().__init__(raw)
        # Bytes that were read as lines; at the end of the head, its size.
        self.lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        self.lines += len(line)
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and 0 <= size <= STEP:
            return super().read(size)
        wanted = -1 if size is None or size < 0 else size
        gathered = bytearray()
        while len(gathered) != wanted:
            step = STEP if wanted < 0 else min(STEP, wanted - len(gathered))
            piece = super().read(step)
            gathered += piece
            if len(piece) < step:
                break
        return bytes(gathered)


def acceptable(pin: Pin, link: Link | None) -> bool:
    """Whether a kept connection may be used. One of a parent process may not."""
    try:
        return link is not None and pin.accepts(link)
    except errors.ForkError:
        return False


def not_taken(option: str, why: str, hint: str) -> errors.PolicyError:
    """The exception for an option of a library that cannot be honoured."""
    return errors.PolicyError(f"`{option}` is not taken: {why}", stage="", code="", hint=hint)


def secrets(names: Iterable[str]) -> list[str]:
    """Of these headers, those that go along to no other origin."""
    return to_drop(names, *_STRANGERS)


def public(module: str, names: Iterable[str], made: Mapping[str, Any]) -> None:
    """Makes the classes of a module say, in tracebacks and pickles, that they are of the one that programs import."""
    for name in names:
        thing = made[name]
        if isinstance(thing, type) and thing.__module__.startswith("pinfold._"):
            thing.__module__ = module
