"""What an application has at hand: its guard and its sessions, made from `settings.PINFOLD` when first used."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from pinfold import _web
from pinfold._answers import Style
from pinfold.decision import Decision
from pinfold.django.signals import decision_made
from pinfold.guard import Guard, Swap, Watch

if TYPE_CHECKING:
    from pinfold.budget import Budget
    from pinfold.requests import Session

_LOG = logging.getLogger("pinfold.django")
_PREFIX = "PINFOLD."
_KEYS = _web.GUARD_KEYS | {"ANSWERS"}

# The request that is being handled: who asks is asked of it.
current_request: ContextVar[HttpRequest | None] = ContextVar("pinfold.django.request", default=None)


@dataclass(frozen=True)
class Ready:
    """What was made from the settings."""

    guard: Guard
    style: Style
    watch: Watch | None


def guard() -> Guard:
    """The guard of the application. Raises `PolicyError` when `PINFOLD` is wrong."""
    return ready().guard


def new_session(
    *, subject: str | None = None, labels: Mapping[str, str] | None = None, budget: Budget | None = None
) -> Session:
    """A session with a subject, labels or a budget of its own. Close it. It keeps no cookies."""
    # Here, because an application that fetches in another way need not have `requests`.
    from pinfold.django.fetching import AppSession

    return AppSession(guard=guard(), subject=subject, labels=labels, budget=budget)


def ready() -> Ready:
    """Guard and style."""
    global _ready
    with _making:
        if _ready is None:
            _ready = _made()
        return _ready


def forget(*, setting: str, **_: Any) -> None:
    """Makes all of it anew when `PINFOLD` has changed, as tests do."""
    global _ready
    if setting == "PINFOLD":
        with _making:
            gone, _ready = _ready, None
        if gone is not None and gone.watch is not None:
            gone.watch.stop()


def _made() -> Ready:
    given = getattr(settings, "PINFOLD", {})
    if not isinstance(given, Mapping):
        raise _web.mistake("`PINFOLD` is no dictionary", "write `PINFOLD = {}` for the shipped policy without settings")
    options = _web.known({f"{_PREFIX}{name}": value for name, value in given.items()}, _PREFIX, _KEYS)
    style = _web.one_of(options, _PREFIX, "ANSWERS", ("reasons", "opaque"))
    if "SUBJECT" in options:
        options["SUBJECT"] = _asker(options["SUBJECT"])
    made = _web.guard_of(options, _PREFIX)
    made.on_decision(_tell)
    return Ready(made, style, _web.watch_of(made, options, _PREFIX, _swapped))


def _asker(given: Any) -> Callable[[], str | None]:
    """`SUBJECT` is a function of the request, or where it is: `accounts.egress.subject`."""
    try:
        function = import_string(given) if isinstance(given, str) else given
    except ImportError as error:
        raise _web.mistake(f"`{_PREFIX}SUBJECT`: {error}", "name a function that is given the request") from None
    if not callable(function):
        raise _web.mistake(f"`{_PREFIX}SUBJECT` is no function", "it is given the request, and says who asks")

    def asks() -> str | None:
        request = current_request.get()
        return None if request is None else function(request)

    return asks


def _tell(decision: Decision) -> None:
    # A receiver that fails does not fail the fetch.
    decision_made.send_robust(sender=Guard, decision=decision)


def _swapped(swap: Swap) -> None:
    if swap.error is None:
        _LOG.info("policy generation %s is active", swap.generation)
    else:
        _LOG.error("the policy was not replaced: %s", swap.error)


class _Here(threading.local):
    """The session of a thread: connections are not shared between threads, nor with a child process."""

    made: tuple[int, Guard, Session] | None = None


class _ReadySession:
    """Each thread's own session, under one name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Whoever looks at it (a debugger, a test runner) must not make a guard.
            raise AttributeError(name)
        return getattr(_session(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"`{name}` would be set for one thread only: take `pinfold.django.new_session()`")


def _session() -> Session:
    process, here = os.getpid(), guard()
    if _here.made is None or _here.made[:2] != (process, here):
        _here.made = (process, here, new_session())
    return _here.made[2]


def _renew() -> None:
    """A thread that is not in the child may have held the lock."""
    global _making
    _making = threading.Lock()


_making = threading.Lock()
_here = _Here()
_ready: Ready | None = None
session = cast("Session", _ReadySession())

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
