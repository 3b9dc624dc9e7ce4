"""Exceptions of `pinfold.httpx`: each is one of ours and one of httpx's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from pinfold import errors
from pinfold._translate import Translator
from pinfold.decision import new_correlation_id

# `_request` is what httpx's own constructors would set; the client sets it anew, to the request that failed.


class Denied(errors.Denied, httpx.ConnectError):
    """Refused by the policy or the floor: no connection was made, or the open one was ended."""

    _request: httpx.Request | None = None


class InvalidURL(errors.InvalidURL, httpx.UnsupportedProtocol, httpx.InvalidURL):
    """No URL that can be fetched. httpx raises either of its two, depending on what is wrong: this is both."""

    _request: httpx.Request | None = None


class ConnectError(errors.NetworkError, httpx.ConnectError):
    """No answer from DNS, or no judged address that accepts."""

    _request: httpx.Request | None = None


class ConnectTimeout(errors.Timeout, httpx.ConnectTimeout):
    """A lookup or a connection took too long."""

    _request: httpx.Request | None = None


class TooManyRedirects(errors.BudgetExceeded, httpx.TooManyRedirects):
    """More redirects than the budget allows."""

    _request: httpx.Request | None = None


class TooLarge(errors.BudgetExceeded, httpx.ReadError):
    """The answer is larger than it may be, as it came or when it is decoded."""

    _request: httpx.Request | None = None


class DeadlineExceeded(errors.DeadlineExceeded, httpx.ReadTimeout):
    """The whole exchange took longer than it may."""

    _request: httpx.Request | None = None


class Unconnected(httpcore.ConnectError):
    """Carries one of our failures through httpcore, which tries again after a failure of its own only."""

    def __init__(self, error: errors.NetworkError) -> None:
        super().__init__(error.message)
        self.error = error


@contextmanager
def translated() -> Iterator[None]:
    """Raises what is raised inside, by us or by httpcore, in the words of httpx."""
    try:
        yield
    except Unconnected as error:
        raise worded(error.error) from None
    except errors.PinfoldError as error:
        words = worded(error)
        if words is error:
            raise
        raise words from error
    except _HTTPCORE as error:
        raise _of_httpx(error)(str(error)) from error


def worded(error: errors.PinfoldError) -> errors.PinfoldError:
    """One of ours as one of httpx's as well."""
    if error.code == "redirect-too-many":
        return TooManyRedirects.of(error)
    return _WORDS.exception(error)


def option_refused(option: str, why: str, hint: str) -> errors.PolicyError:
    """The exception for an option that would go around the guard."""
    return errors.PolicyError(f"`{option}` is refused: {why}", code="option-refused", hint=hint)


def ambiguous(detail: str, stage: str = "parse", code: str = "url-ambiguous") -> errors.InvalidURL:
    """The exception for what httpx would read differently from what was judged."""
    return InvalidURL(
        f"refused at stage `{stage}`: {code}",
        stage=stage,
        code=code,
        detail=detail,
        hint="write the URL as scheme, `://`, host, optional port, path",
        correlation_id=new_correlation_id(),
    )


def _of_httpx(error: Exception) -> type[httpx.TransportError]:
    """The class of httpx that has the name of this one, or of the nearest of its bases."""
    for base in type(error).__mro__:
        named: Any = getattr(httpx, base.__name__, None)
        if named is not None and issubclass(named, httpx.TransportError):
            return named  # type: ignore[no-any-return] # mypy does not narrow `Any`
    return httpx.TransportError


_WORDS = Translator(Denied, InvalidURL, ConnectError, ConnectTimeout, TooLarge, DeadlineExceeded)
_HTTPCORE = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
