"""`Exchange`: one request with its redirects. Adapters of HTTP libraries are made from it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from pinfold import _native, errors
from pinfold.budget import Budget, Spending, exceeded
from pinfold.decision import Decision, new_correlation_id, unrecorded

if TYPE_CHECKING:
    from pinfold.guard import Guard, Resolved


class PinnedSocket(socket.socket):
    """A connected socket whose peer was judged."""

    link: _native.Link

    @classmethod
    def take(cls, fd: int, link: _native.Link) -> Self:
        """Takes over a file descriptor, and blocks."""
        try:
            opened = cls(fileno=fd)
        except BaseException:
            socket.close(fd)
            raise
        opened.link = link
        opened.settimeout(None)
        return opened

    def dup(self) -> Self:
        """As that of a socket; it is the same connection."""
        copy = super().dup()
        copy.link = self.link
        return copy

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
    connection that the pin `accepts`. A redirect is a hop of its own: `pin(location, redirect=True)`, where a text is
    the `Location` as the server wrote it.
    """

    def __init__(self, guard: Guard, session: _native.Session, budget: Budget, *, subject: str | None = None) -> None:
        self.guard = guard
        self._subject = subject
        self.spending = Spending(budget)
        self._session = session
        self._hops = 0

    def check(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> Decision:
        """Judges a hop without connecting. Raises nothing about the URL."""
        asked = _asked(url, redirect)
        try:
            return Decision(self.pin(url, method, redirect=redirect).hand_over(), url=asked)
        except errors.PinfoldError as error:
            return _told(error, url, asked)

    async def acheck(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> Decision:
        """As `check`, for asyncio."""
        asked = _asked(url, redirect)
        try:
            return Decision((await self.apin(url, method, redirect=redirect)).hand_over(), url=asked)
        except errors.PinfoldError as error:
            return _told(error, url, asked)

    def pin(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> _native.Pin:
        """Judges a hop and looks it up once."""
        self._count(redirect)
        try:
            return self._pinned(self._session.pin(url, method, redirect, self.spending.left()))
        except errors.Denied as error:
            self.refused(error, url, method)
            raise

    async def apin(self, url: str | _native.Target, method: str = "GET", *, redirect: bool = False) -> _native.Pin:
        """As `pin`, for asyncio."""
        self._count(redirect)
        left = self.spending.left()
        try:
            pin: _native.Pin = await soon(lambda done: self._session.pin_soon(done, url, method, redirect, left))
        except errors.Denied as error:
            self.refused(error, url, method)
            raise
        return self._pinned(pin)

    def open(self, pin: _native.Pin, timeout: float | None = None) -> PinnedSocket:
        """Connects to a judged address."""
        return PinnedSocket.take(*pin.connect(self._connect_time(timeout)))

    async def aopen(self, pin: _native.Pin, timeout: float | None = None) -> PinnedSocket:
        """As `open`, for asyncio."""
        within = self._connect_time(timeout)
        fd, link = await soon(lambda done: pin.connect_soon(done, within))
        return PinnedSocket.take(fd, link)

    def refused(
        self, error: errors.PinfoldError, url: str | _native.Target | None = None, method: str | None = None
    ) -> errors.PinfoldError:
        """As the function `refused`, for a hop of this exchange."""
        target = url if isinstance(url, _native.Target) else None
        return refused(self.guard, error, target=target, method=method, subject=self._subject, hop=self._hops)

    def handed_over(self, pin: _native.Pin) -> Resolved:
        """Spends a pin on addresses that somebody else dials."""
        from pinfold.guard import Resolved

        addresses = tuple(pin.addresses)
        decision = Decision(pin.hand_over())
        _APPROVED.add(addresses, self.guard)
        return Resolved(pin.target, addresses, decision)

    def _connect_time(self, timeout: float | None) -> float:
        # Libraries know a timeout of 0; here it is the shortest that there is.
        return max(self.spending.wait(timeout, self.spending.budget.connect), 0.001)

    def _count(self, redirect: bool) -> None:
        self._hops += redirect
        if self._hops > self.spending.budget.redirects:
            raise exceeded("redirect-too-many", f"{self.spending.budget.redirects} were allowed")

    def _pinned(self, pin: _native.Pin) -> _native.Pin:
        self.spending.tighten(pin.terms)
        return pin


def refused(
    guard: Guard,
    error: errors.PinfoldError,
    *,
    target: _native.Target | None = None,
    method: str | None = None,
    subject: str | None = None,
    hop: int = 0,
) -> errors.PinfoldError:
    """Makes a refusal that came before the policy was asked a decision; tells the log and the listeners of it, once.

    Gives the error back, with the decision.
    """
    if error.decision is not None or not isinstance(error, errors.Denied):
        return error
    more = {"method": method, "subject": subject, "hop": hop, "correlation_id": new_correlation_id()}
    decision = unrecorded(_refusal(error) | more, url=None, target=None if target is None else target.origin)
    error.decision, error.correlation_id = decision, decision.correlation_id
    guard.tell(decision)
    return error


# The exchange that the library above is in the middle of: what ties its redirects together.
current: ContextVar[Exchange | None] = ContextVar("pinfold.exchange", default=None)


async def soon(start: Callable[[Callable[[Any, BaseException | None], None]], _native.Task]) -> Any:
    """Waits for native work; ends it when the task that waits is cancelled."""
    loop = _loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            _close(result)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    caller = threading.get_ident()

    def done(result: Any, error: BaseException | None) -> None:
        if threading.get_ident() == caller:
            # It was done at once, before `start` returns.
            settle(result, error)
        else:
            _call(loop, settle, result, error)

    task = start(done)
    try:
        if future.done():
            # It was there at once: others have their turn, and a timeout its chance.
            await asyncio.sleep(0)
        return await future
    except BaseException:
        task.cancel()
        # Cancelled in the moment in which it was done: nobody takes what came.
        if not future.cancel() and not future.cancelled() and future.exception() is None:
            _close(future.result())
        raise


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "this needs a running asyncio loop (trio has none: call the blocking function in a thread there)"
        ) from None


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


def _asked(url: str | _native.Target, redirect: bool) -> str | None:
    return None if redirect else str(url)


def _told(error: errors.PinfoldError, url: str | _native.Target, asked: str | None) -> Decision:
    if isinstance(error, errors.ForkError | errors.PolicyError):
        raise error
    if error.decision is not None:
        native = error.decision.native
        return Decision(native, None if native else error.decision.record, url=asked)
    target = url.origin if isinstance(url, _native.Target) else None
    return unrecorded(_refusal(error), url=asked, target=target)


def _refusal(error: errors.PinfoldError) -> dict[str, Any]:
    refusal = {name: getattr(error, name) for name in ("stage", "code", "detail", "hint", "correlation_id")}
    return {**refusal, "verdict": "deny" if isinstance(error, errors.Denied) else "failed"}


class _Approved:
    """Addresses that were handed over to be dialled, for as long as a pin lives."""

    LIFE = 30.0
    MOST = 4096

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._until: dict[tuple[str, int, weakref.ref[Guard] | None], float] = {}
        self._lock = threading.RLock()

    def add(self, addresses: Iterable[tuple[str, int]], guard: Guard) -> None:
        until = time.monotonic() + self.LIFE
        with self._lock:
            for address, port in addresses:
                for key in ((address, port, None), (address, port, weakref.ref(guard))):
                    # The oldest stay in front.
                    self._until.pop(key, None)
                    self._until[key] = until
            while len(self._until) > 2 * self.MOST:
                del self._until[next(iter(self._until))]

    def holds(self, address: str, port: int, guard: Guard | None) -> bool:
        until = self._until.get((address, port, guard if guard is None else weakref.ref(guard)))
        return until is not None and time.monotonic() < until


_APPROVED = _Approved()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_APPROVED.renew)


def approved(address: str, port: int, guard: Guard | None = None) -> bool:
    """Whether `resolve` or `aresolve` of this guard, or of any, handed this address over in the last 30 seconds.

    `address` is written as Python's `ipaddress` writes it. The last 4,096 of this process are remembered. It takes no
    lock.
    """
    return _APPROVED.holds(address, port, guard)
