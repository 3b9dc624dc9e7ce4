"""`Guard`: judges, resolves once, connects to what was judged."""

from __future__ import annotations

import _thread
import json
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, TypeAlias

from pinfold import _lasting, _native, errors
from pinfold._arguments import listed, require, with_port
from pinfold._documents import Document, Policy, component, json_of
from pinfold._watch import File, Swap, Watch
from pinfold.budget import Budget
from pinfold.decision import Decision
from pinfold.exchange import Exchange, PinnedSocket
from pinfold.settings import Settings

__all__ = ["Guard", "Layer", "PinnedSocket", "Resolved", "Swap", "Watch", "default_guard", "set_default_guard"]

Mode: TypeAlias = Literal["enforce", "report", "report-names"]
Listener: TypeAlias = Callable[[Decision], object]

_LOG = logging.getLogger("pinfold.decision")
# Silent unless the application configures logging.
logging.getLogger("pinfold").addHandler(logging.NullHandler())
_POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Layer:
    """One policy of a chain: the organisation's, the team's, the service's."""

    name: str
    policy: Policy = None
    settings: Document = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Judged addresses of a URL, for code that connects itself: to these and to no others, and soon."""

    target: _native.Target
    addresses: tuple[tuple[str, int], ...]
    decision: Decision


class Guard:
    """Judges URLs and addresses, and connects. Make one for a service, and share it between threads.

    A guard that was made before a fork (gunicorn's `preload_app`, `multiprocessing`) loads its policy anew when the
    child first uses it.

    - `policy`, `settings`: a component (path or bytes; the shipped one without) and what it is told; `layers`: more of
      them, asked one after the other.
    - `resolver`: DNS servers by address, or `FixedAnswers`; the system's without. `nat64`: prefixes of the network.
    - `grants`: addresses that the floor would refuse, with or without a port; `listeners`: sockets of this service.
    - `budget`: bounds of each fetch; `limits`: bounds of lookups and policies, in seconds and counts.
    - `code_cache`: a folder for compiled policies, to begin faster. `inert_wasi`, `configure_each`: for components that
      import WASI, or that are configured anew for each decision.
    - `mode`: `"report"` allows what the policy would deny, and tells it, at WARNING; `"report-names"` does so for names
      only. The floor is never lifted.
    - `on_decision`: hears of each decision.
    """

    def __init__(
        self,
        policy: Policy = None,
        settings: Document = None,
        *,
        layers: Sequence[Layer] = (),
        resolver: _native.FixedAnswers | Sequence[str] | None = None,
        grants: Iterable[str] = (),
        listeners: Iterable[str] = (),
        nat64: Iterable[str] = (),
        limits: Mapping[str, float] | None = None,
        budget: Budget | None = None,
        code_cache: str | PathLike[str] | None = None,
        inert_wasi: bool = False,
        configure_each: bool = False,
        mode: Mode = "enforce",
        on_decision: Listener | None = None,
    ) -> None:
        require("budget", budget, Budget)
        require("on_decision", on_decision, Callable)
        for layer in layers:
            require("layers", layer, Layer)
        self._has_own_budget = budget is not None
        self.budget = budget or (settings.budget() if isinstance(settings, Settings) else Budget())
        self.watches: set[Watch] = set()
        self._options: dict[str, Any] = {
            "grants": listed("grants", grants),
            "listeners": listed("listeners", listeners),
            "nat64": listed("nat64", nat64),
            "limits": dict(limits or {}),
            "inert_wasi": inert_wasi,
            "configure_each": configure_each,
            "mode": mode,
        }
        if code_cache is not None:
            self._options["code_cache"] = os.fspath(code_cache)
        if isinstance(resolver, _native.FixedAnswers):
            self._options["answers"] = resolver
        elif resolver is not None:
            self._options["dns"] = [with_port(server) for server in listed("resolver", resolver)]
        self._listeners: list[Listener] = [on_decision] if on_decision else []
        self._building = threading.Lock()
        self._native = self._build(_chain(policy, settings, layers))
        # Only a thread that builds it anew finds it unset.
        self._is_here = True
        _GUARDS.add(self)

    def check(
        self,
        url: str | _native.Target,
        *,
        method: str = "GET",
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Decision:
        """Judges a URL without connecting. What is no URL is a refusal, too: nothing is raised about the URL."""
        return self.exchange(subject=subject, labels=labels).check(url, method)

    async def acheck(
        self,
        url: str | _native.Target,
        *,
        method: str = "GET",
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Decision:
        """As `check`, for asyncio."""
        return await self.exchange(subject=subject, labels=labels).acheck(url, method)

    def resolve(
        self,
        url: str | _native.Target,
        *,
        method: str = "GET",
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Resolved:
        """Judges a URL and gives its addresses, for code that connects itself.

        Raises `Denied` or `NetworkError`.
        """
        exchange = self.exchange(subject=subject, labels=labels)
        return exchange.handed_over(exchange.pin(url, method))

    async def aresolve(
        self,
        url: str | _native.Target,
        *,
        method: str = "GET",
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Resolved:
        """As `resolve`, for asyncio."""
        exchange = self.exchange(subject=subject, labels=labels)
        return exchange.handed_over(await exchange.apin(url, method))

    def connect(
        self,
        host: str,
        port: int,
        *,
        scheme: str = "https",
        timeout: float | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> PinnedSocket:
        """A connected socket to a judged address of `host`. `scheme` is what the policy is told; TLS is yours to add.

        Raises `Denied` or `NetworkError`.
        """
        exchange = self.exchange(subject=subject, labels=labels)
        pin = exchange.pin(_target(exchange, scheme, host, port), "CONNECT")
        return exchange.open(pin, timeout)

    async def aconnect(
        self,
        host: str,
        port: int,
        *,
        scheme: str = "https",
        timeout: float | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> PinnedSocket:
        """As `connect`, for asyncio: the socket does not block."""
        exchange = self.exchange(subject=subject, labels=labels)
        pin = await exchange.apin(_target(exchange, scheme, host, port), "CONNECT")
        opened = await exchange.aopen(pin, timeout)
        opened.setblocking(False)
        return opened

    def exchange(
        self,
        *,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        mode: Mode | None = None,
    ) -> Exchange:
        """Begins a request with its redirects, under the policy of now: what adapters are made from."""
        pairs = list((labels or {}).items())
        session = self.native().session(subject, pairs, mode)
        return Exchange(self, session, budget or self.budget, subject=subject)

    def swap(self, policy: Policy = None, settings: Document = None, *, layer: str | None = None) -> int:
        """Replaces the policy (of one layer), and returns the new generation. A bad one is left: `PolicyError`.

        `None` is the shipped policy, and no settings. The bounds of fetches stay those of the guard, unless it has them
        from its `Settings`, and these are others.
        """
        generation = self.native().swap(layer, component(policy), json_of(settings))
        if isinstance(settings, Settings) and not self._has_own_budget:
            self.budget = settings.budget()
        return generation

    def swap_layers(self, layers: Sequence[Layer]) -> int:
        """Replaces all policies."""
        return self.native().swap_layers([_part(layer) for layer in layers])

    def watch(
        self,
        policy: File = None,
        settings: File = None,
        *,
        layer: str | None = None,
        interval: float = 1.0,
        on_swap: Callable[[Swap], object] | None = None,
    ) -> Watch:
        """Replaces the policy (of one layer) whenever these files change, until the watch is stopped.

        What the files hold is loaded at once, if it is not yet. What is not watched stays as it is. `interval` is in
        seconds; a change is active after two looks. `on_swap` is called on a thread of its own.

        Raises `PolicyError` when the files are bad now; later, the policy stays and `on_swap` hears of it.
        """
        return Watch(self, layer, policy, settings, interval, on_swap)

    @property
    def generation(self) -> int:
        """Counts swaps; begins at 1."""
        return self.native().generation

    @property
    def policies(self) -> list[dict[str, Any]]:
        """The active policies, in the order in which they are asked."""
        read: list[dict[str, Any]] = json.loads(self.native().policies())
        return read

    def on_decision(self, listener: Listener) -> Listener:
        """Adds a listener. Of use as a decorator.

        It is called on the thread that decided, after the log was told, and must neither block nor ask a guard. What it
        raises is logged, and changes nothing for the request.
        """
        self._listeners.append(listener)
        return listener

    def native(self) -> _native.Guard:
        """The native guard of this process."""
        if self._is_here:
            return self._native
        with self._building:
            if not self._is_here:
                self._native = self._build(self._native.layers())
                self._is_here = True
                for watch in list(self.watches):
                    watch.restart(self._native)
            return self._native

    def tell(self, decision: Decision) -> None:
        """Hands a decision to the log and to all listeners."""
        level = _level(decision)
        if _LOG.isEnabledFor(level):
            extra = {"decision": decision, "correlation_id": decision.correlation_id}
            _LOG.log(level, "%s", decision.line(), extra=extra)
        if getattr(_INSIDE, "telling", False):
            # A listener asks what is no URL: told of that, it would ask again.
            return
        _INSIDE.telling = True
        try:
            self._hand_to_listeners(decision)
        finally:
            _INSIDE.telling = False

    def _hand_to_listeners(self, decision: Decision) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(decision)
            except Exception:  # noqa: BLE001 - what a listener raises is no matter of the request
                _LOG.exception("a listener failed at %s", decision.correlation_id)

    def _build(self, layers: list[_native.Part]) -> _native.Guard:
        guard = weakref.ref(self)
        return _native.Guard(layers, self._options, lambda native: _told(guard, native))

    def _forked(self) -> None:
        # What the parent made is never torn down here: the threads that would have to help are not there.
        self._is_here = False
        self._building = threading.Lock()

    def __repr__(self) -> str:
        names = ", ".join(policy["name"] for policy in self.policies)
        return f"<Guard {names} generation {self.generation}>"


def _told(guard: weakref.ref[Guard], native: _native.Decision) -> None:
    listens = guard()
    if listens is None:
        return
    try:
        listens.tell(Decision(native))
    except KeyboardInterrupt:
        # Nobody above takes it: it comes again where somebody does.
        _thread.interrupt_main()


def _level(decision: Decision) -> int:
    """A policy that is tried out is looked at before it is enforced; a name that does not exist is nothing to mend."""
    if decision.verdict == "deny" or decision.would_deny:
        return logging.WARNING
    return logging.DEBUG if decision.allowed else logging.INFO


def _target(exchange: Exchange, scheme: str, host: str, port: int) -> _native.Target:
    try:
        return _native.Target.of(scheme, host, port)
    except errors.Denied as error:
        if "://" in host:
            error = type(error).of(error)
            error.hint = "give a host and a port here; for a URL there is `resolve`"
            error.__notes__ = [f"hint: {error.hint}"]
        raise exchange.refused(error, method="CONNECT") from None


def _chain(policy: Policy, settings: Document, layers: Sequence[Layer]) -> list[_native.Part]:
    if policy is None and settings is None and layers:
        return [_part(layer) for layer in layers]
    return [_part(layer) for layer in (Layer(_POLICY, policy, settings), *layers)]


def _part(layer: Layer) -> _native.Part:
    return layer.name, component(layer.policy), json_of(layer.settings)


# Whether this thread tells listeners of a decision.
_INSIDE = threading.local()
_GUARDS: weakref.WeakSet[Guard] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    global _setting
    _setting = threading.Lock()
    for guard in list(_GUARDS):
        guard._forked()


_lasting.begin(_after_fork_in_child)


_default: Guard | None = None
_setting = threading.Lock()


def default_guard() -> Guard:
    """The guard of functions that are given none: the shipped policy without settings, unless another one was set."""
    global _default
    with _setting:
        if _default is None:
            _default = Guard()
        return _default


def set_default_guard(guard: Guard | None) -> None:
    """Sets the guard of functions that are given none; `None` is the shipped policy again."""
    global _default
    with _setting:
        _default = guard
