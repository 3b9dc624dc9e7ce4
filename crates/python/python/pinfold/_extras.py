"""What an import says when the library that a module is for is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Around the first import of a library: raises `ImportError` with the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        says = f"`pinfold.{extra}` needs `{error.name}`: pip install 'pinfold[{extra}]'"
        raise ModuleNotFoundError(says, name=error.name, path=error.path) from None
