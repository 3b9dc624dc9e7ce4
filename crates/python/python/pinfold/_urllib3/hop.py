"""The way of one request through urllib3: its hops, and who is in the middle of which.

urllib3 follows redirects and tries again by calling itself. A `Hop` says which of these calls belong together. What is
judged is the text that the caller or the server wrote; what urllib3 made of it must lead to the same place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pinfold import errors
from pinfold._asking import check_asking
from pinfold._http import Ended, ending, telling
from pinfold._native import Target
from pinfold._redirects import to_drop
from pinfold.decision import new_correlation_id
from pinfold.guard import default_guard

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

    from pinfold._native import Pin
    from pinfold.budget import Budget
    from pinfold.exchange import Exchange
    from pinfold.guard import Guard


@dataclass(frozen=True, slots=True)
class Door:
    """Who asks, and whom: what exchanges begin with."""

    guard: Guard | None = None
    subject: str | None = None
    labels: Mapping[str, str] | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        check_asking(self.guard, self.subject, self.labels, self.budget)

    def exchange(self) -> Exchange:
        """Begins a request."""
        guard = default_guard() if self.guard is None else self.guard
        return guard.exchange(subject=self.subject, labels=self.labels, budget=self.budget)

    def parse(self, url: str) -> Target:
        """Reads a URL; that it is none is told as a refusal."""
        try:
            return Target.parse(url)
        except errors.PinfoldError as error:
            self.exchange().refused(error)
            raise


@dataclass(slots=True)
class Hop:
    """One URL of an exchange, tried once or more often."""

    exchange: Exchange
    asked: str | Target
    target: Target
    is_redirect: bool = False
    # Whether an earlier hop was of another origin.
    crossed: bool = False
    # The manager, or the pool without a manager, that follows redirects; None when somebody else does.
    follower: Any = None
    # The pool that it goes through, once there is one.
    pool: Any = None
    response: BaseHTTPResponse | None = None
    is_busy: bool = field(default=False, repr=False)

    @classmethod
    def begin(cls, door: Door, asked: str) -> Hop:
        """The first hop."""
        with ending():
            target = door.parse(asked)
            exchange = door.exchange()
            if target.scheme not in _SPOKEN:
                # The library would refuse it first, and nobody would be told.
                exchange.pin(asked)
            return cls(exchange, asked, target)

    def follow(self, location: str) -> Hop:
        """The hop that a server wants, and that is gone to now."""
        with ending(), telling(self.exchange):
            return self.leading(location)

    def leading(self, location: str) -> Hop:
        """The hop that a server names. Raises `PinfoldError`, of which nobody is told: it may not be gone to."""
        after = self.target.join(location)
        crossed = self.crossed or not self.target.same_origin(after)
        return Hop(self.exchange, after, after, is_redirect=True, crossed=crossed, follower=self.follower)

    def without_secrets(self, headers: Any, after: Hop) -> Any:
        """Headers that may go along to another hop."""
        dropped = to_drop(list(headers or ()), self.target, after.target)
        if not dropped:
            return headers
        kept = headers.copy()
        for name in dropped:
            kept.pop(name, None)
        return kept

    def pin(self, method: str, scheme: str, host: str, port: int) -> Pin:
        """Judges an attempt of a library that speaks to this scheme, host and port."""
        if not self.target.goes_to(scheme, host, port):
            error = _ambiguous(self.target, f"{scheme}://{host}:{port}")
            raise Ended(self.exchange.refused(error, self.target, method))
        with ending():
            pin = self.exchange.pin(self.asked, method, redirect=self.is_redirect)
        # What comes after it is the same hop, tried again.
        self.is_redirect = False
        return pin

    def next_location(self, follower: object) -> str | None:
        """Where the last response leads, if `follower` is the one who follows it now."""
        if self.is_busy or self.response is None or self.follower is not follower:
            return None
        return self.response.get_redirect_location() or None


_SPOKEN = ("http", "https")
_current: ContextVar[Hop | None] = ContextVar("pinfold.urllib3.hop", default=None)


def current() -> Hop | None:
    """The hop that a library above is in the middle of."""
    return _current.get()


@contextmanager
def on_the_way(hop: Hop) -> Iterator[Hop]:
    """Makes it the hop that calls below belong to."""
    token = _current.set(hop)
    try:
        yield hop
    finally:
        _current.reset(token)


def _ambiguous(target: Target, other: str) -> errors.Denied:
    return errors.Denied(
        "denied at stage `parse`: url-ambiguous",
        stage="parse",
        code="url-ambiguous",
        detail=f"judged as {target.origin}, understood by the library as {other}",
        hint="write the URL so that every parser reads the same",
        correlation_id=new_correlation_id(),
    )
