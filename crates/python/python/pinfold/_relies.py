"""What an adapter relies on below the public names of a library.

A method that a library has renamed would not fail: it would no longer be called, and a bound would be gone without a
word. So it is looked at when the adapter is imported, and an adapter that would not hold is not imported.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType


def relied(library: str, owner: type, name: str, *parameters: str, caller: type | None = None) -> None:
    """Raises `ImportError` unless `owner` has this method with these parameters, and a method of `caller` (of `owner`
    itself, when none is given) uses it.
    """
    method = getattr(owner, name, None)
    if method is None or not set(parameters) <= set(inspect.signature(method).parameters):
        raise _replaced(library, owner) or outgrown(library, f"{owner.__name__}.{name}")
    if not any(name in used for used in _used(caller or owner)):
        raise _replaced(library, caller or owner) or outgrown(library, f"{owner.__name__}.{name}")


def uses(library: str, owner: type, method: str, name: str) -> None:
    """Raises `ImportError` unless this method of `owner` uses this name."""
    if name not in getattr(getattr(inspect.unwrap(getattr(owner, method)), "__code__", None), "co_names", ()):
        raise _replaced(library, owner) or outgrown(library, f"{owner.__name__}.{name}")


def outgrown(library: str, what: str) -> ImportError:
    """The exception for a library that has changed inside."""
    return ImportError(
        f"this version of `{library}` has no `{what}` as `pinfold.{library}` needs it, which would not be safe: "
        f"install one that `pip install 'pinfold[{library}]'` chooses",
        name=library,
    )


def _replaced(library: str, owner: type) -> ImportError | None:
    """The exception for a method that somebody put into the place of the library's own, if there is one."""
    package = os.path.dirname(str(getattr(sys.modules.get(library), "__file__", None)))
    own = [base for base in owner.__mro__ if base.__module__.partition(".")[0] == library]
    strange = [f"{base.__name__}.{name}" for base in own for name, it in vars(base).items() if _is_strange(package, it)]
    if not strange:
        return None
    return ImportError(
        f"`{strange[0]}` is not the one of `{library}` (a mock, or an agent?), so that what it does is not known: "
        f"import `pinfold.{library}` before it is replaced",
        name=library,
    )


def _is_strange(package: str, member: object) -> bool:
    """Whether it is a method that was not written in this folder."""
    if isinstance(member, type) or not callable(member):
        return False
    function = inspect.unwrap(member)
    written = getattr(getattr(function, "__code__", None), "co_filename", "")
    return not inspect.isbuiltin(function) and not os.path.dirname(written).startswith(package)


def _used(owner: type) -> Iterator[tuple[str, ...]]:
    for base in owner.__mro__:
        for member in vars(base).values():
            function = inspect.unwrap(member) if callable(member) else None
            if isinstance(function, FunctionType):
                yield from _names(function.__code__)


def _names(code: CodeType) -> Iterator[tuple[str, ...]]:
    yield code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
