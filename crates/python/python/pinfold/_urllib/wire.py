"""What an answer is read through: each wait is bounded, each byte counted, each read allowed by the policy of now."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import URLError

from pinfold import errors
from pinfold._http import HEAD_BYTES
from pinfold._translate import Translator
from pinfold.decision import new_correlation_id

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pinfold import _native
    from pinfold.budget import Spending


class _Words(URLError):
    """Gives one of our exceptions the `reason` of a `URLError`."""

    @property
    def reason(self) -> str:
        """What the text of the exception is."""
        return str(self)

    @reason.setter
    def reason(self, _: str) -> None:
        """`URLError` sets it, where its constructor is called; that of `ConnectionError` does not call it."""


class Denied(errors.Denied, _Words):
    """Refused by the parser, the policy or the floor."""


class InvalidURL(errors.InvalidURL, _Words):
    """What was given is no URL that can be fetched, or its scheme is none that is allowed."""


class NetworkError(errors.NetworkError, _Words):
    """Not refused, but there is no connection."""


class Timeout(errors.Timeout, _Words):
    """A lookup or a connection took too long."""


class BudgetExceeded(errors.BudgetExceeded, _Words):
    """The answer is too large, or there were too many redirects."""


class DeadlineExceeded(errors.DeadlineExceeded, _Words):
    """The whole exchange took longer than it may."""


translated = Translator(Denied, InvalidURL, NetworkError, Timeout, BudgetExceeded, DeadlineExceeded)


@contextmanager
def timely(spending: Spending) -> Iterator[None]:
    """Says `DeadlineExceeded` where a wait was cut short because the time for everything is used up."""
    try:
        yield
    except TimeoutError:
        spending.left()
        raise


class Wire:
    """Stands for the socket of an answer, where http.client makes its reader from it."""

    def __init__(self, sock: socket.socket, link: _native.Link, spending: Spending, timeout: float | None) -> None:
        self.sock = sock
        self.link = link
        self.spending = spending
        self.timeout = timeout

    def makefile(self, _: str) -> Reader:
        """A reader of what comes."""
        return Reader(_Metered(self, self.sock.makefile("rb", buffering=0)))


class Reader(io.BufferedReader):
    """Asks for no more than the budget leaves, however large a server says that its answer is."""

    raw: _Metered

    def read(self, size: int | None = -1, /) -> bytes:
        """As of `BufferedReader`."""
        if size is not None and size >= 0:
            size = min(size, self.raw.most)
        return super().read(size)

    def body_begins(self) -> None:
        """What was read ahead is of the body already; what came before it is not."""
        self.raw.body_begins(self.raw.come - self.tell())


class _Metered(io.RawIOBase):
    def __init__(self, wire: Wire, inner: io.RawIOBase) -> None:
        self._wire = wire
        self._inner = inner
        self._head = True
        self.come = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.come

    @property
    def most(self) -> int:
        """One byte more than is allowed: enough to see that it is too much."""
        spending = self._wire.spending
        return max(HEAD_BYTES, spending.budget.response_bytes - spending.received_bytes) + 1

    def body_begins(self, ahead: int) -> None:
        self._head = False
        with translated():
            self._wire.spending.next_response()
            self._wire.spending.received(ahead)

    def readinto(self, buffer: Buffer, /) -> int | None:
        with translated():
            count = self._read(buffer)
            self._count(count or 0)
            return count

    def _read(self, buffer: Buffer) -> int | None:
        wire = self._wire
        wire.link.confirm()
        with timely(wire.spending):
            wire.sock.settimeout(wire.spending.wait(wire.timeout, wire.spending.budget.read))
            count: int | None = self._inner.readinto(buffer)
        # A server that sends a byte now and then makes no wait long.
        wire.spending.left()
        return count

    def _count(self, count: int) -> None:
        self.come += count
        if not self._head:
            self._wire.spending.received(count)
        elif self.come > HEAD_BYTES:
            raise too_large("response-head-too-large", f"{HEAD_BYTES} bytes were allowed")

    def close(self) -> None:
        self._inner.close()
        super().close()


class HTTPResponse(http.client.HTTPResponse):
    """As of http.client, within a budget."""

    fp: Reader

    def begin(self) -> None:
        """As of http.client. Raises `BudgetExceeded` when the server says that its answer is too large."""
        super().begin()
        allowed = self.fp.raw._wire.spending.budget.response_bytes
        self.fp.body_begins()
        if self.length is not None and self.length > allowed:
            with translated():
                raise too_large("response-too-large", f"{allowed} bytes were allowed")


def too_large(code: str, detail: str) -> errors.BudgetExceeded:
    """An answer that is larger than it may be."""
    return errors.BudgetExceeded(
        f"failed at stage `exchange`: {code}",
        stage="exchange",
        code=code,
        detail=detail,
        hint="raise `response_bytes` of the budget",
        correlation_id=new_correlation_id(),
    )
