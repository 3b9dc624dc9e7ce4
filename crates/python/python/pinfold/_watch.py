"""Swaps when files change."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Self, TypeAlias

from pinfold import _native

if TYPE_CHECKING:
    from pinfold.guard import Guard

_LOG = logging.getLogger("pinfold.policy")

File: TypeAlias = str | PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Swap:
    """What a look at changed files came to: a new generation, or an error, and then the old policy stays."""

    generation: int | None
    error: Exception | None


class Watch:
    """Watches files, until it is stopped or its guard is gone. `Guard.watch` makes it."""

    def __init__(
        self,
        guard: Guard,
        layer: str | None,
        policy: File,
        settings: File,
        interval: float,
        on_swap: Callable[[Swap], object] | None,
    ) -> None:
        self._guard = weakref.ref(guard)
        self._layer = layer
        self._files = tuple(None if file is None else os.fspath(file) for file in (policy, settings))
        self._interval = interval
        self._on_swap = on_swap
        self._native: _native.Watcher | None = None
        self._start(guard.native(), again=False)
        guard.watches.add(self)

    def restart(self, native: _native.Guard) -> None:
        """Begins anew after a fork, for the guard of this process. A file that is bad now is reported."""
        self._start(native, again=True)

    def stop(self) -> None:
        """Stops, and waits for a swap that is under way, unless it is called by `on_swap`."""
        guard = self._guard()
        if guard is not None:
            guard.watches.discard(self)
        if self._native is not None:
            self._native.stop()

    def _start(self, native: _native.Guard, *, again: bool) -> None:
        policy, settings = self._files
        told = weakref.WeakMethod(self._told)
        self._native = native.watch(
            self._layer, policy, settings, self._interval, lambda *event: _tell(told, *event), again
        )

    def _told(self, generation: int | None, error: Exception | None) -> None:
        if error is not None:
            _LOG.error("the policy stays as it was: %s", error)
        else:
            _LOG.info("the policy was replaced: generation %s", generation)
        if self._on_swap is not None:
            self._on_swap(Swap(generation, error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _tell(
    told: Callable[[], Callable[[int | None, Exception | None], None] | None],
    generation: int | None,
    error: Exception | None,
) -> None:
    # The thread that watches must not keep alive what it watches for.
    tell = told()
    if tell is None:
        return
    try:
        tell(generation, error)
    except Exception:  # noqa: BLE001 - the files are watched on, whatever the program makes of it
        _LOG.exception("`on_swap` failed")
