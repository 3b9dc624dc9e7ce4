"""`Guard`: judges, resolves once, connects to what was judged."""

from __future__ import annotations

import json
import logging
import os
import threading
import tomllib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

from pinfold import _native
from pinfold.budget import Budget
from pinfold.decision import Decision
from pinfold.exchange import Exchange, PinnedSocket
from pinfold.settings import Settings

__all__ = ["Guard", "Layer", "PinnedSocket", "Resolved", "Swap", "Watch", "default_guard", "set_default_guard"]

Policy = bytes | str | PathLike[str] | None
Document = Settings | Mapping[str, Any] | str | PathLike[str] | None
Mode = Literal["enforce", "report", "report-names"]
Listener = Callable[[Decision], object]

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


@dataclass(frozen=True, slots=True)
class Swap:
    """What a look at changed files came to: a new generation, or an error, and then the old policy stays."""

    generation: int | None
    error: Exception | None


class Guard:
    """Judges URLs and addresses, and connects. Make one for a service, and share it between threads.

    A guard that was made before a fork (gunicorn's `preload_app`, `multiprocessing`) loads its policy anew when the
    child first uses it.
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
        self.budget = budget or (settings.budget() if isinstance(settings, Settings) else Budget())
        self._layers = _chain(policy, settings, layers)
        self._options: dict[str, Any] = {
            "grants": list(grants),
            "listeners": list(listeners),
            "nat64": list(nat64),
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
            self._options["dns"] = [_with_port(server) for server in resolver]
        self._listeners: list[Listener] = [on_decision] if on_decision else []
        self._building = threading.Lock()
        self._watches: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._native: _native.Guard | None = self._build()
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
        pin = exchange.pin(_native.Target.of(scheme, host, port), "CONNECT")
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
        pin = await exchange.apin(_native.Target.of(scheme, host, port), "CONNECT")
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
        return Exchange(self, session, budget or self.budget)

    def swap(self, policy: Policy = None, settings: Document = None, *, layer: str | None = None) -> int:
        """Replaces the policy (of one layer), and returns the new generation. A bad one is left: `PolicyError`.

        `None` is the shipped policy, and no settings.
        """
        name = self._layers[0][0] if layer is None else layer
        fresh = _part(Layer(name, policy, settings))
        return self._swap([fresh if part[0] == name else part for part in self._layers])

    def swap_layers(self, layers: Sequence[Layer]) -> int:
        """Replaces all policies."""
        return self._swap([_part(layer) for layer in layers])

    def watch(
        self,
        policy: str | PathLike[str] | None = None,
        settings: str | PathLike[str] | None = None,
        *,
        layer: str | None = None,
        interval: float = 1.0,
        on_swap: Callable[[Swap], object] | None = None,
    ) -> Watch:
        """Replaces the policy (of one layer) whenever these files change, until the watch is stopped."""
        name = self._layers[0][0] if layer is None else layer
        return Watch(self, name, policy, settings, interval, on_swap)

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
        """Adds a listener. It is called on the thread that decided, and must not block. Of use as a decorator."""
        self._listeners.append(listener)
        return listener

    def native(self) -> _native.Guard:
        """The native guard of this process."""
        native = self._native
        if native is not None:
            return native
        with self._building:
            if self._native is None:
                self._native = self._build()
                for watch in self._watches:
                    watch.restart()
            return self._native

    def tell(self, decision: Decision) -> None:
        """Hands a decision to the log and to all listeners."""
        level = logging.DEBUG if decision.allowed else logging.WARNING
        if _LOG.isEnabledFor(level):
            _LOG.log(level, "%s", decision, extra={"decision": decision, "correlation_id": decision.correlation_id})
        for listener in self._listeners:
            listener(decision)

    def _build(self) -> _native.Guard:
        guard = weakref.ref(self)
        return _native.Guard(self._layers, self._options, lambda native: _told(guard, native))

    def _swap(self, layers: list[_native.Part]) -> int:
        generation = self.native().swap(layers)
        self._layers = layers
        return generation

    def _forked(self) -> None:
        _LEFT.append(self._native)
        self._native = None
        self._building = threading.Lock()

    def __repr__(self) -> str:
        names = ", ".join(policy["name"] for policy in self.policies)
        return f"<Guard {names} generation {self.generation}>"


class Watch:
    """Watches files while it lives."""

    def __init__(
        self,
        guard: Guard,
        layer: str,
        policy: str | PathLike[str] | None,
        settings: str | PathLike[str] | None,
        interval: float,
        on_swap: Callable[[Swap], object] | None,
    ) -> None:
        self._guard = guard
        self._layer = layer
        self._files = (policy, settings)
        self._interval = interval
        self._on_swap = on_swap
        self._native: _native.Watcher | None = None
        self.restart()
        guard._watches.add(self)

    def restart(self) -> None:
        """Begins anew; after a fork, for the guard of this process."""
        policy, settings = (None if file is None else os.fspath(file) for file in self._files)
        fixed = next(part[2] for part in self._guard._layers if part[0] == self._layer)
        native = self._guard._native or self._guard.native()
        self._native = native.watch(self._layer, policy, settings, fixed, self._interval, self._told)

    def stop(self) -> None:
        """Stops, and waits for a swap that is under way."""
        self._guard._watches.discard(self)
        if self._native is not None:
            self._native.stop()

    def _told(
        self, generation: int | None, error: Exception | None, component: bytes | None, settings: str | None
    ) -> None:
        if generation is not None and settings is not None:
            loaded = (self._layer, component, settings)
            parts = self._guard._layers
            self._guard._layers = [loaded if part[0] == self._layer else part for part in parts]
        if self._on_swap is not None:
            self._on_swap(Swap(generation, error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _told(guard: weakref.ref[Guard], native: _native.Decision) -> None:
    listens = guard()
    if listens is not None:
        listens.tell(Decision(native))


def _chain(policy: Policy, settings: Document, layers: Sequence[Layer]) -> list[_native.Part]:
    if policy is None and settings is None and layers:
        return [_part(layer) for layer in layers]
    return [_part(layer) for layer in (Layer(_POLICY, policy, settings), *layers)]


def _part(layer: Layer) -> _native.Part:
    component = layer.policy if isinstance(layer.policy, bytes | None) else Path(layer.policy).read_bytes()
    return layer.name, component, _json(layer.settings)


def _json(settings: Document) -> str:
    if settings is None:
        return "{}"
    if isinstance(settings, Settings):
        return json.dumps(settings.document())
    if isinstance(settings, Mapping):
        return json.dumps(settings)
    path = Path(settings)
    text = path.read_text(encoding="utf-8")
    return json.dumps(tomllib.loads(text)) if path.suffix == ".toml" else text


def _with_port(server: str) -> str:
    """A DNS server as the native half reads it: port 53 unless it has one."""
    if server.startswith("["):
        return server if "]:" in server else f"{server}:53"
    if server.count(":") > 1:
        return f"[{server}]:53"
    return server if ":" in server else f"{server}:53"


_GUARDS: weakref.WeakSet[Guard] = weakref.WeakSet()
# What the parent made is never torn down in a child: the threads that would have to help are not there.
_LEFT: list[_native.Guard | None] = []


def _after_fork_in_child() -> None:
    _native.after_fork()
    for guard in list(_GUARDS):
        guard._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_native.before_fork,
        after_in_parent=_native.after_fork,
        after_in_child=_after_fork_in_child,
    )


_default: Guard | None = None
_DEFAULT = threading.Lock()


def default_guard() -> Guard:
    """The guard of functions that are given none: the shipped policy without settings, unless another one was set."""
    global _default
    with _DEFAULT:
        if _default is None:
            _default = Guard()
        return _default


def set_default_guard(guard: Guard | None) -> None:
    """Sets the guard of functions that are given none; `None` is the shipped policy again."""
    global _default
    with _DEFAULT:
        _default = guard
