"""`guard_process`: the last line of defence, for what forgot to use a guard.

CPython tells audit hooks of each connection that Python code opens through its `socket` module. The hook that is set
here refuses those that go neither to an address that a guard handed out nor to what the application lists. What
connects in C by itself is not seen: `docs/python-process.md` says what that is.
"""

from __future__ import annotations

# `getaddrinfo` imports it: a child of a fork that another thread does meanwhile would wait for that import for ever.
import encodings.idna  # noqa: F401 # for what it does when it is imported
import errno
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pinfold import errors, exchange
from pinfold._process.addresses import read, text
from pinfold._process.allowed import Allowed
from pinfold._process.callers import caller
from pinfold.decision import new_correlation_id

if TYPE_CHECKING:
    from pinfold.guard import Guard

__all__ = ["ConnectRefused", "Connecting", "ProcessGuard", "Refusals", "guard_process"]

Mode = Literal["enforce", "report"]
Lookups = Literal["allow", "refuse"]

_LOG = logging.getLogger("pinfold.process")
_PROBE = "pinfold.process.probe"
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_SEEN = _CONNECTS | _LOOKUPS | {_PROBE}
# Most groups that a report holds: a caller that tries many addresses must not fill the memory.
MOST_GROUPS = 1000


class ConnectRefused(errors.Denied, PermissionError):
    """This process connects to a place that no guard handed out and that is not listed.

    Its code is `process-connect-refused`, or `process-lookup-refused` for a lookup. The text names no address, `detail`
    does.
    """


@dataclass(frozen=True, slots=True)
class Connecting:
    """What `on_event` is told: a connection, a datagram or a lookup that is refused, or would be."""

    # `10.0.0.5:5432`, `unix:/run/x.sock`, `lookup:db.internal`
    destination: str
    # The audit event: `socket.connect`, ...
    event: str
    # False in report mode.
    refused: bool
    # `file:line` of the application; of a library where the application is not on the stack.
    caller: str


@dataclass(frozen=True, slots=True)
class Refusals:
    """One line of a report: how often a place of the program tried a destination."""

    destination: str
    caller: str
    count: int


class ProcessGuard:
    """What `guard_process` set. There is one for a process; a child of `fork` has a copy."""

    def __init__(
        self, allowed: Allowed, guard: Guard | None, mode: Mode, lookups: Lookups, on_event: Callable[..., Any] | None
    ) -> None:
        self.mode: Mode = mode
        self.lookups: Lookups = lookups
        self._allowed = allowed
        self._guard = guard
        self._on_event = on_event
        # A signal or a finaliser may connect while its own thread counts.
        self._turn = threading.RLock()
        self._counts = {"allowed": 0, "approved": 0, "refused": 0, "reported": 0}
        self._groups: dict[tuple[str, str], int] = {}
        self._more = 0

    def allow(self, *entries: str) -> None:
        """Adds to the list. Raises `PolicyError` for an entry that cannot be read, and then adds none."""
        self._allowed.add(entries)

    @property
    def counts(self) -> dict[str, int]:
        """How many were `allowed` by the list, `approved` by a guard, `refused`, `reported` (not refused)."""
        with self._turn:
            return dict(self._counts)

    def report(self) -> list[Refusals]:
        """What was refused, or would have been, the most frequent first: at most 1,000 groups and one `(more)`."""
        with self._turn:
            groups = [Refusals(*key, count) for key, count in self._groups.items()]
            more = self._more
        groups.sort(key=lambda group: (-group.count, group.destination, group.caller))
        return [*groups, Refusals("(more)", "", more)] if more else groups

    def judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raises `ConnectRefused`. Called by the hook."""
        if event in _LOOKUPS:
            if self.lookups == "allow" or self._allowed.may_ask(arguments[0]):
                return
            self._refuse(event, f"lookup:{text(arguments[0])}")
            return
        # `sendmsg` on a socket that is connected was judged when it connected.
        if event == "socket.sendmsg" and arguments[1] is None:
            return
        destination = read(arguments[0], arguments[1])
        if self._allowed.holds(destination):
            self._count("allowed")
        elif destination.address and exchange.approved(destination.address, destination.port, self._guard):
            self._count("approved")
        else:
            self._refuse(event, str(destination))

    def forked(self) -> None:
        """A lock that another thread of the parent held would be held for ever."""
        self._turn = threading.RLock()
        self._allowed.forked()

    def _count(self, what: str) -> None:
        with self._turn:
            self._counts[what] += 1

    def _refuse(self, event: str, destination: str) -> None:
        refused = self.mode != "report"
        try:
            self._tell(Connecting(destination, event, refused, caller()))
        finally:
            if refused:
                raise refusal(event, destination)

    def _tell(self, connecting: Connecting) -> None:
        # A database that is not listed yet is written to the log once, and counted from then on.
        is_logged = not self._group(connecting) or connecting.refused
        if getattr(_INSIDE, "telling", False):
            # What tells connects, too: a log that goes over the network.
            return
        _INSIDE.telling = True
        try:
            self._hand_over(connecting, is_logged)
        finally:
            _INSIDE.telling = False

    def _group(self, connecting: Connecting) -> bool:
        """Counts it. Whether the same was there before."""
        key = (connecting.destination, connecting.caller)
        with self._turn:
            self._counts["refused" if connecting.refused else "reported"] += 1
            is_known = key in self._groups
            if is_known or len(self._groups) < MOST_GROUPS:
                self._groups[key] = self._groups.get(key, 0) + 1
            else:
                self._more += 1
        return is_known

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return f"<ProcessGuard {self.mode}: {counts}>"

    def _hand_over(self, connecting: Connecting, is_logged: bool) -> None:
        word = "refused" if connecting.refused else "would be refused"
        try:
            if is_logged:
                _LOG.warning(
                    "%s: %s at %s", word, connecting.destination, connecting.caller, extra={"connecting": connecting}
                )
            if self._on_event is not None:
                self._on_event(connecting)
        except Exception:  # noqa: BLE001 # A listener that fails must neither end the program nor let a connection pass.
            _quietly("a listener of guard_process failed")


def guard_process(
    *,
    allow: Iterable[str] = (),
    guard: Guard | None = None,
    mode: Mode = "enforce",
    lookups: Lookups = "allow",
    on_event: Callable[[Connecting], object] | None = None,
) -> ProcessGuard:
    """Refuses each connection of this process that no guard handed out and that is not in `allow`.

    Entries of `allow`: `10.0.0.5:5432`, `10.1.0.0/16:6379`, `[fd00::1]:5432`, `db.internal:5432` (looked up by the
    system when an address is not known), `10.0.0.5:*`, `10.0.0.5:8000-8099`, `unix:/run/x.sock`, `unix:*`,
    `family:netlink`. With `guard`, only what this one handed out counts. `mode="report"` refuses nothing, counts and
    logs. `lookups="refuse"` also refuses to look up names that are not listed. `on_event` is called on the thread that
    connects, and must not block.

    The hook stays until the process ends. A second call replaces what the first one set. Raises `PolicyError` when an
    entry cannot be read, or when another audit hook does not let this one in.
    """
    global _active
    if mode not in ("enforce", "report") or lookups not in ("allow", "refuse"):
        raise errors.PolicyError(
            f"no such mode: mode={mode!r}, lookups={lookups!r}",
            hint='mode is "enforce" or "report", lookups is "allow" or "refuse"',
            code="option-invalid",
        )
    made = ProcessGuard(Allowed(allow), guard, mode, lookups, on_event)
    with _SETTING:
        if not _hooked():
            sys.addaudithook(_hook)
            if not _hooked():
                raise errors.PolicyError(
                    "the audit hook was not taken",
                    hint="another audit hook of this process refuses new ones: call `guard_process` before it is set",
                    code="hook-refused",
                )
        _active = made
    return made


def refusal(event: str, destination: str) -> ConnectRefused:
    """The exception for one destination."""
    code = "process-lookup-refused" if event in _LOOKUPS else "process-connect-refused"
    made = ConnectRefused(
        f"refused at stage `process`: {code}",
        stage="process",
        code=code,
        detail=destination,
        hint="fetch with a guard; if this is a service of your own, add what `detail` says to "
        '`guard_process(allow=["<address>:<port>"])`',
        correlation_id=new_correlation_id(),
    )
    made.errno = errno.EACCES
    return made


def _hook(event: str, arguments: tuple[Any, ...], seen: frozenset[str] = _SEEN) -> None:
    # Called for each import, each file and much more: what is not about sockets ends here.
    if event not in seen:
        return
    if event == _PROBE:
        arguments[0].append(True)
        return
    active = _active
    if active is None:
        return
    try:
        active.judge(event, arguments)
    except ConnectRefused:
        raise
    except Exception as error:  # noqa: BLE001 # A fault here: closed when it enforces, invisible when it reports.
        if active.mode != "report":
            raise refusal(event, f"unknown ({type(error).__name__})") from None
        _quietly("guard_process failed")


def _hooked() -> bool:
    answers: list[bool] = []
    sys.audit(_PROBE, answers)
    return bool(answers)


def _quietly(message: str) -> None:
    try:
        _LOG.debug(message, exc_info=True)
    except Exception:  # noqa: BLE001 # There is nobody left to tell.
        return


def _after_fork_in_child() -> None:
    global _SETTING
    _SETTING = threading.Lock()
    if _active is not None:
        _active.forked()


_INSIDE = threading.local()
_SETTING = threading.Lock()
_active: ProcessGuard | None = None

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
