"""Who connects: the line of the application, or what comes nearest to it."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType

import pinfold

# The package, wherever its modules are in it.
_HERE = os.path.dirname(os.path.abspath(pinfold.__file__)) + os.sep
_STDLIB = tuple(
    os.path.join(path, "") for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} if path
)
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# Frames that are looked at: a recursion that is deep must not make each connection slow.
MOST_FRAMES = 200


def caller() -> str:
    """`file:line` of the innermost frame of the application; else of a library; else of whatever is there."""
    innermost = library = None
    frame: FrameType | None = sys._getframe(1)
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        kind = _kind(frame.f_code.co_filename)
        if kind == "application":
            return _line(frame)
        if kind != "here":
            innermost = innermost or frame
            library = library or (frame if kind == "library" else None)
        frame = frame.f_back
    found = library or innermost
    return "unknown" if found is None else _line(found)


def _kind(path: str) -> str:
    if path.startswith(_HERE):
        return "here"
    if any(part in path for part in _LIBRARIES):
        return "library"
    return "stdlib" if path.startswith("<frozen ") or path.startswith(_STDLIB) else "application"


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
