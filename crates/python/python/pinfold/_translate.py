"""Exceptions in the words of a library: each is one of ours and one of the library's, so that handlers keep working."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pinfold.errors import PinfoldError


class Translator:
    """Picks, of an adapter's exceptions, the one that is nearest to one of ours."""

    def __init__(self, *classes: type[PinfoldError]) -> None:
        self._classes = classes

    def exception(self, error: PinfoldError, **more: Any) -> PinfoldError:
        """The same in the words of the library; what it has no word for stays as it is."""
        if isinstance(error, self._classes):
            return error
        for ours in type(error).__mro__:
            for theirs in self._classes:
                if ours in theirs.__bases__:
                    return theirs.of(error, **more)
        return error

    @contextmanager
    def __call__(self, more: Callable[[], dict[str, Any]] = dict) -> Iterator[None]:
        """Raises what is raised inside in the words of the library."""
        try:
            yield
        except PinfoldError as error:
            translated = self.exception(error, **more())
            if translated is error:
                raise
            raise translated from error
