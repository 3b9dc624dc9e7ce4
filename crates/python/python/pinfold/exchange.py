"""`Exchange`: one request with its redirects. Adapters of HTTP libraries are made from it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from pinfold import _native, errors
from pinfold.budget import Budget, Spending, exceeded
from pinfold.decision import Decision, unread

if TYPE_CHECKING:
    from pinfold.guard import Guard, Resolved


class PinnedSocket(socket.socket):
    """A connected socket whose peer was judged."""

    link: _native.Link

    @classmethod
    def take(cls, fd: int, link: _native.Link) -> Self:
        """Takes over a file descriptor, and blocks."""
        opened = cls(fileno=fd)
        opened.link = link
        opened.settimeout(None)
        return opened

    @property
    def decision(self) -> Decision:
        """The record of the hop that it was opened for."""
        return Decision(self.link.decision)

    def confirm(self) -> None:
        """Raises `Denied` when the policy of now refuses what it was opened for. Of use while it is open for long."""
        self.link.confirm()


class Exchange:
    """One request with its redirects, under one generation of the policy and one budget.

    A hop begins with `pin`, which judges and looks up once. It goes on with `open`, or with `reuse` of a kept
    connection
    that `accepts`. A `Location` is a hop of its own: `pin(..., redirect=True)`.
    """

    def __init__(self, guard: Guard, session: _native.Session, budget: Budget) -> None:
        self.guard = guard
        self.spending = Spending(budget)
        self._session = session
        self._hops = 0
        self.decisions: list[Decision] = []

    def check(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> Decision:
        """Judges a hop without connecting. Raises nothing about the URL."""
        try:
            return Decision(self.pin(url, method, redirect=redirect).hand_over())
        except errors.PinfoldError as error:
            return _told(error)

    async def acheck(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> Decision:
        """As `check`, for asyncio."""
        try:
            return Decision((await self.apin(url, method, redirect=redirect)).hand_over())
        except errors.PinfoldError as error:
            return _told(error)

    def pin(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> _native.Pin:
        """Judges a hop and looks it up once."""
        self._count(redirect)
        return self._pinned(self._session.pin(url, method, redirect, self.spending.left()))

    async def apin(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> _native.Pin:
        """As `pin`, for asyncio."""
        self._count(redirect)
        left = self.spending.left()
        pin: _native.Pin = await soon(lambda done: self._session.pin_soon(done, url, method, redirect, left))
        return self._pinned(pin)

    def open(self, pin: _native.Pin, timeout: float | None = None) -> PinnedSocket:
        """Connects to a judged address."""
        return PinnedSocket.take(*pin.connect(self._connect_time(timeout)))

    async def aopen(self, pin: _native.Pin, timeout: float | None = None) -> PinnedSocket:
        """As `open`, for asyncio."""
        time = self._connect_time(timeout)
        fd, link = await soon(lambda done: pin.connect_soon(done, time))
        return PinnedSocket.take(fd, link)

    def handed_over(self, pin: _native.Pin) -> Resolved:
        """Spends a pin on addresses that somebody else dials."""
        from pinfold.guard import Resolved

        addresses = tuple(pin.addresses)
        return Resolved(pin.target, addresses, Decision(pin.hand_over()))

    def _connect_time(self, timeout: float | None) -> float:
        return self.spending.wait(timeout, self.spending.budget.connect)

    def _count(self, redirect: bool) -> None:
        self._hops += redirect
        if self._hops > self.spending.budget.redirects:
            raise exceeded("redirect-too-many", f"{self.spending.budget.redirects} were allowed")

    def _pinned(self, pin: _native.Pin) -> _native.Pin:
        self.spending.tighten(pin.terms)
        return pin


# The exchange that the library above is in the middle of: what ties its redirects together.
current: ContextVar[Exchange | None] = ContextVar("pinfold.exchange", default=None)


async def soon(start: Callable[[Callable[[Any, BaseException | None], None]], _native.Task]) -> Any:
    """Waits for native work; ends it when the task that waits is cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            _close(result)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    task = start(lambda result, error: _call(loop, settle, result, error))
    try:
        return await future
    except asyncio.CancelledError:
        task.cancel()
        raise


def _call(
    loop: asyncio.AbstractEventLoop, settle: Callable[..., None], result: Any, error: BaseException | None
) -> None:
    try:
        loop.call_soon_threadsafe(settle, result, error)
    except RuntimeError:
        # The loop is closed: nobody waits, and what came must not stay open.
        _close(result)


def _close(result: Any) -> None:
    """Closes a socket that nobody takes any more."""
    if isinstance(result, tuple):
        socket.socket(fileno=result[0]).close()


def _told(error: errors.PinfoldError) -> Decision:
    if error.decision is not None:
        return error.decision
    refusal = {name: getattr(error, name) for name in ("stage", "code", "detail", "hint")}
    return unread({**refusal, "correlation_id": error.correlation_id})
