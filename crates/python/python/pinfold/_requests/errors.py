"""Exceptions that are ours and requests'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from requests import exceptions as theirs

from pinfold import errors
from pinfold._http import Ended
from pinfold._translate import Translator
from pinfold._urllib3.errors import remembered


class _OfRequest:
    """What requests' exceptions have."""

    def __init__(self, message: str, *, request: Any = None, response: Any = None, **more: Any) -> None:
        # What comes next is one of ours.
        cast(Any, super()).__init__(message, **more)
        self.request = request
        self.response = response


class Denied(_OfRequest, errors.Denied, theirs.ConnectionError):
    """Refused. Nothing is wrong with the network."""


class InvalidURL(_OfRequest, errors.InvalidURL, theirs.InvalidURL):
    """No URL that can be fetched."""


class InvalidSchema(_OfRequest, errors.InvalidURL, theirs.InvalidSchema):
    """A scheme that is not fetched."""


class NetworkError(_OfRequest, errors.NetworkError, theirs.ConnectionError):
    """No connection, as often as was tried."""


class NetworkTimeout(_OfRequest, errors.Timeout, theirs.ConnectTimeout):
    """No connection in time, as often as was tried."""


class BudgetExceeded(_OfRequest, errors.BudgetExceeded, theirs.ConnectionError):
    """The answer is larger than it may be."""


class RedirectsExceeded(_OfRequest, errors.BudgetExceeded, theirs.TooManyRedirects):
    """More redirects than the budget allows."""


class DeadlineExceeded(_OfRequest, errors.DeadlineExceeded, theirs.ReadTimeout):
    """The whole exchange took longer than it may."""


class _Words(Translator):
    """As others, and knows two classes by their reason code."""

    def exception(self, error: errors.PinfoldError, **more: Any) -> errors.PinfoldError:
        if error.code == "redirect-too-many" and not isinstance(error, RedirectsExceeded):
            return RedirectsExceeded.of(error, **more)
        if error.stage == "scheme" and type(error) is errors.InvalidURL:
            return InvalidSchema.of(error, **more)
        return super().exception(error, **more)


WORDS = _Words(
    Denied,
    InvalidURL,
    InvalidSchema,
    NetworkError,
    NetworkTimeout,
    BudgetExceeded,
    RedirectsExceeded,
    DeadlineExceeded,
)


@contextmanager
def in_words(request: Callable[[], Any]) -> Iterator[None]:
    """Raises what ended an exchange, and what ended all attempts to connect, as ours and requests'."""
    try:
        yield
    except Ended as end:
        raise WORDS.exception(end.error, request=request()) from None
    except theirs.RequestException as error:
        ours = _inside(error)
        if ours is None or isinstance(error, errors.PinfoldError):
            raise
        raise WORDS.exception(ours, request=request()) from error


def _inside(error: theirs.RequestException) -> errors.PinfoldError | None:
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, errors.PinfoldError) else remembered(inner)
