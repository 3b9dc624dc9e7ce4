"""Exceptions that are ours and urllib3's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from urllib3 import exceptions as theirs

from pinfold import errors
from pinfold._http import Ended
from pinfold._translate import Translator


class _OfPool:
    """What urllib3's exceptions have."""

    def __init__(self, message: str, *, pool: Any = None, url: Any = None, reason: Any = None, **more: Any) -> None:
        # What comes next is one of ours.
        cast(Any, super()).__init__(message, **more)
        self.pool = pool
        self.url = url
        self.reason = reason


class Denied(errors.Denied, theirs.HTTPError):
    """Refused. It is never tried again."""


class InvalidURL(errors.InvalidURL, theirs.LocationValueError):
    """No URL that can be fetched."""


class NetworkError(_OfPool, errors.NetworkError, theirs.MaxRetryError):
    """No connection, as often as was tried."""


class NetworkTimeout(_OfPool, errors.Timeout, theirs.MaxRetryError):
    """No connection in time, as often as was tried."""


class ConnectError(errors.NetworkError, theirs.NewConnectionError):
    """No connection, where nothing is to be tried again."""

    conn: Any = None


class ConnectTimeout(errors.Timeout, theirs.ConnectTimeoutError):
    """No connection in time, where nothing is to be tried again."""


class BudgetExceeded(errors.BudgetExceeded, theirs.HTTPError):
    """The answer is larger than it may be, or there were too many redirects."""


class DeadlineExceeded(_OfPool, errors.DeadlineExceeded, theirs.ReadTimeoutError):
    """The whole exchange took longer than it may."""


WORDS = Translator(Denied, InvalidURL, NetworkError, NetworkTimeout, BudgetExceeded, DeadlineExceeded)
_AT_ONCE = Translator(ConnectError, ConnectTimeout)


@contextmanager
def in_words(words: Translator) -> Iterator[None]:
    """Raises what ended an exchange, and what ended all attempts to connect, as ours and urllib3's."""
    try:
        yield
    except Ended as end:
        raise words.exception(end.error) from None
    except theirs.MaxRetryError as error:
        ours = remembered(error)
        if ours is None:
            raise
        raise words.exception(ours, pool=error.pool, url=error.url, reason=error.reason) from error
    except (theirs.NewConnectionError, theirs.ConnectTimeoutError) as error:
        ours = remembered(error)
        if ours is None:
            raise
        raise _AT_ONCE.exception(ours) from error


def remembered(error: Any) -> errors.PinfoldError | None:
    """What one of urllib3's exceptions was made of."""
    found = getattr(error, "pinfold", None) or getattr(getattr(error, "reason", None), "pinfold", None)
    return found if isinstance(found, errors.PinfoldError) else None
