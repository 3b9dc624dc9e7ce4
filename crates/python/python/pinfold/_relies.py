"""What an adapter relies on below the public names of a library.

A method that a library has renamed would not fail: it would no longer be called, and a bound would be gone without a
word. So it is looked at when the adapter is imported, and an adapter that would not hold is not imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType


def relied(library: str, owner: type, name: str, *parameters: str, caller: type | None = None) -> None:
    """Raises `ImportError` unless `owner` has this method with these parameters, and a method of `caller` (of `owner`
    itself, when none is given) uses it.
    """
    method = getattr(owner, name, None)
    if method is None or not set(parameters) <= set(inspect.signature(method).parameters):
        raise outgrown(library, f"{owner.__name__}.{name}")
    if not any(name in used for used in _used(caller or owner)):
        raise outgrown(library, f"{owner.__name__}.{name}")


def outgrown(library: str, what: str) -> ImportError:
    """The exception for a library that has changed inside."""
    return ImportError(
        f"this version of `{library}` has no `{what}` as `pinfold.{library}` needs it, which would not be safe: "
        f"install one that `pip install 'pinfold[{library}]'` chooses",
        name=library,
    )


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
