"""Kept connections. A kept one is used only for a pin that accepts it, never by its origin alone.

httpcore's own pool gives out connections by origin; here each connection knows what it was opened for, and each request
asks anew.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import Any, Generic, Protocol, TypeVar

import anyio
import httpcore
import httpx

from pinfold import _native
from pinfold.budget import Spending


class Connection(Protocol):
    """A connection that can be kept."""

    @property
    def link(self) -> _native.Link | None:
        """What it was opened for; none while it is not open."""

    def usable(self) -> bool:
        """Whether it is idle, not expired, and the server has not closed it."""

    def drop(self) -> None:
        """Closes the file descriptor. Waits for nothing."""


C = TypeVar("C", bound=Connection)


class Slot:
    """The right to one connection."""

    keep = True


class Shelf(Generic[C]):
    """Who has a connection, and which are idle; the oldest first. Not locked: its owners do that."""

    def __init__(self, limits: httpx.Limits) -> None:
        self._most = limits.max_connections
        kept = limits.max_keepalive_connections
        self._most_kept = self._most if kept is None else kept
        self._active: set[Slot] = set()
        self._idle: list[C] = []

    @property
    def full(self) -> bool:
        """Whether all connections that are allowed are in use."""
        return self._most is not None and len(self._active) >= self._most

    def enter(self) -> Slot:
        """Takes a place."""
        slot = Slot()
        self._active.add(slot)
        return slot

    def pick(self, pin: _native.Pin) -> C | None:
        """The newest idle connection that this pin accepts. Drops what is of no more use."""
        chosen: C | None = None
        for connection in reversed(self._idle[:]):
            if chosen is None and connection.usable() and _accepts(pin, connection):
                chosen = connection
                self._idle.remove(connection)
            elif not connection.usable() or _outdated(pin, connection):
                self._discard(connection)
        if chosen is None:
            self._trim(self._most, len(self._active))
        return chosen

    def put(self, slot: Slot, connection: C | None) -> None:
        """Gives a place back, and keeps the connection if it may be used again."""
        known = slot in self._active
        self._active.discard(slot)
        if connection is None:
            return
        if not (known and slot.keep and connection.usable()):
            connection.drop()
            return
        self._idle.append(connection)
        self._trim(self._most_kept, 0)

    def clear(self) -> None:
        """Drops what is idle, and what is in use as soon as it is given back."""
        for slot in self._active:
            slot.keep = False
        for connection in self._idle[:]:
            self._discard(connection)

    def forget(self) -> None:
        """After a fork: those who had places are in another process."""
        self.clear()
        self._active = set()

    def _trim(self, most: int | None, besides: int) -> None:
        while most is not None and self._idle and len(self._idle) + besides > most:
            self._discard(self._idle[0])

    def _discard(self, connection: C) -> None:
        self._idle.remove(connection)
        connection.drop()


def _accepts(pin: _native.Pin, connection: Connection) -> bool:
    return connection.link is not None and pin.accepts(connection.link)


def _outdated(pin: _native.Pin, connection: Connection) -> bool:
    """Whether the policy of another generation opened it, or the name has other addresses now."""
    link = connection.link
    if link is None or link.generation < pin.generation:
        return True
    return link.generation == pin.generation and link.target.same_origin(pin.target) and not pin.accepts(link)


class Pool(Generic[C]):
    """For threads."""

    def __init__(self, limits: httpx.Limits) -> None:
        self._shelf: Shelf[C] = Shelf(limits)
        self._turn = threading.Condition()
        _POOLS.add(self)

    def enter(self, spending: Spending, timeout: float | None) -> Slot:
        """Waits for a place. Raises `httpcore.PoolTimeout`."""
        with self._turn:
            if not self._turn.wait_for(lambda: not self._shelf.full, spending.wait(timeout, spending.left())):
                spending.left()
                raise httpcore.PoolTimeout
            return self._shelf.enter()

    def pick(self, pin: _native.Pin) -> C | None:
        """A kept connection for this pin."""
        with self._turn:
            return self._shelf.pick(pin)

    def put(self, slot: Slot, connection: C | None) -> None:
        """Gives a place back."""
        with self._turn:
            self._shelf.put(slot, connection)
            self._turn.notify()

    def clear(self) -> None:
        """Closes what is idle."""
        with self._turn:
            self._shelf.clear()

    def forked(self) -> None:
        """Begins anew in a child: another thread of the parent may have held the lock."""
        self._turn = threading.Condition()
        self._shelf.forget()


class AsyncPool(Generic[C]):
    """For the tasks of one event loop, of asyncio or trio."""

    def __init__(self, limits: httpx.Limits) -> None:
        self._shelf: Shelf[C] = Shelf(limits)
        self._waiting: deque[anyio.Event] = deque()
        _POOLS.add(self)

    async def enter(self, spending: Spending, timeout: float | None) -> Slot:
        """Waits for a place, behind those who wait. Raises `httpcore.PoolTimeout`."""
        end = time.monotonic() + spending.wait(timeout, spending.left())
        late = bool(self._waiting)
        while late or self._shelf.full:
            await self._wait(spending, end)
            late = False
        return self._shelf.enter()

    def pick(self, pin: _native.Pin) -> C | None:
        """A kept connection for this pin."""
        return self._shelf.pick(pin)

    def put(self, slot: Slot, connection: C | None) -> None:
        """Gives a place back."""
        self._shelf.put(slot, connection)
        self._wake()

    def clear(self) -> None:
        """Closes what is idle."""
        self._shelf.clear()

    def forked(self) -> None:
        """Begins anew in a child."""
        self._waiting.clear()
        self._shelf.forget()

    async def _wait(self, spending: Spending, end: float) -> None:
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            with anyio.fail_after(max(0.0, end - time.monotonic())):
                await turn.wait()
        except TimeoutError:
            self._pass_on(turn)
            spending.left()
            raise httpcore.PoolTimeout from None
        except BaseException:
            self._pass_on(turn)
            raise

    def _pass_on(self, turn: anyio.Event) -> None:
        """A turn that comes to one who has given up is the next one's."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.is_set():
            self._wake()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()


_POOLS: weakref.WeakSet[Pool[Any] | AsyncPool[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pool in list(_POOLS):
        pool.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
