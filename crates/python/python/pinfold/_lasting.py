"""What the native half must be told: that the process forks, and that the interpreter ends."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from typing import Any

from pinfold import _native


def begin(after_fork_in_child: Callable[[], None]) -> None:
    """Tells it from now on; after a fork `after_fork_in_child` follows."""

    def in_child() -> None:
        _native.after_fork_in_child()
        after_fork_in_child()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=in_child)
    # Nothing else may keep it.
    atexit.register(_Last().begin)


# A fork takes it as well, but after our gates; whoever configures logging has it, and may make a guard meanwhile, which
# waits for our gates. So it is taken before them here. In a child logging makes it anew.
_LOGGING: Any = getattr(logging, "_lock", None)


def _before_fork() -> None:
    if _LOGGING is not None:
        _LOGGING.acquire()
    _native.before_fork()


def _after_fork_in_parent() -> None:
    _native.after_fork_in_parent()
    if _LOGGING is not None:
        _LOGGING.release()


class _Last:
    """Ends the native half after the last exit handler: one of them may wait for a thread that uses a guard.

    They run in reverse order, so those of whoever was imported before come after ours; but all are let go of only when
    all have run.
    """

    ends = False

    def begin(self) -> None:
        self.ends = True

    def __del__(self, end: Callable[[], None] = _native.end) -> None:
        # Not if the handlers were only forgotten (`multiprocessing` does that in a child): then the program goes on.
        if self.ends:
            end()
