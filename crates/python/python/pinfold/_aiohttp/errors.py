"""Exceptions of `pinfold.aiohttp`: each is one of ours and one of aiohttp's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiohttp.client_exceptions import cert_errors, ssl_errors

from pinfold import _failures, errors
from pinfold._translate import Translator


class Denied(errors.Denied, aiohttp.ClientConnectionError):
    """Refused by the parser, the policy or the floor."""


class InvalidURL(errors.InvalidURL, aiohttp.InvalidUrlClientError, aiohttp.NonHttpUrlClientError):
    """What was given is no URL that can be fetched. `url` is what was given."""

    def about(self, request: aiohttp.ClientRequest) -> None:
        """Fills in what aiohttp has in this exception."""
        self._url = request.url


class NetworkError(errors.NetworkError, aiohttp.ClientConnectorError):
    """There is no connection."""

    def __init__(self, message: str, **state: Any) -> None:
        super().__init__(message, **state)
        self._os_error = OSError(message)

    def about(self, request: aiohttp.ClientRequest) -> None:
        """Fills in what aiohttp has in this exception."""
        self._conn_key = request.connection_key


class DNSError(NetworkError, aiohttp.ClientConnectorDNSError):
    """The name does not exist, or DNS failed."""


class Timeout(errors.Timeout, aiohttp.ConnectionTimeoutError):
    """A lookup or a connection took too long."""


class BudgetExceeded(errors.BudgetExceeded, aiohttp.ClientPayloadError):
    """The answer is larger than it may be, as it came or when it is decoded."""


class DeadlineExceeded(errors.DeadlineExceeded, aiohttp.ServerTimeoutError):
    """The whole exchange took longer than it may."""


class TooManyRedirects(errors.BudgetExceeded, aiohttp.TooManyRedirects):
    """More redirects than the budget. `history` is empty."""

    # aiohttp assigns to both, and has a setter for `code` that warns.
    code = "redirect-too-many"  # type: ignore[assignment]  # aiohttp's is a number, and deprecated
    status = 502

    def __init__(self, message: str, **state: Any) -> None:
        super().__init__(message, history=(), **state)
        self.status = 502

    def about(self, request: aiohttp.ClientRequest) -> None:
        """Fills in what aiohttp has in this exception."""
        self.request_info = request.request_info


class Refused(errors.PolicyError, aiohttp.ClientConnectionError):
    """A choice of the program that would go around the guard."""


_TRANSLATE = Translator(Denied, InvalidURL, NetworkError, Timeout, BudgetExceeded, DeadlineExceeded, Refused)


def in_words(error: errors.PinfoldError, request: aiohttp.ClientRequest | None = None) -> errors.PinfoldError:
    """The same in the words of aiohttp."""
    made = _made(error)
    if request is not None and isinstance(made, InvalidURL | NetworkError | TooManyRedirects):
        made.about(request)
    return made


@contextmanager
def words(request: aiohttp.ClientRequest | None = None) -> Iterator[None]:
    """Raises what is raised inside in the words of aiohttp."""
    try:
        yield
    except errors.PinfoldError as error:
        translated = in_words(error, request)
        if translated is error:
            raise
        raise translated from error


@contextmanager
def tls_errors(request: aiohttp.ClientRequest) -> Iterator[None]:
    """Raises what opening a connection raises in the words of aiohttp."""
    try:
        yield
    except cert_errors as error:
        raise aiohttp.ClientConnectorCertificateError(request.connection_key, error) from error
    except ssl_errors as error:
        raise aiohttp.ClientConnectorSSLError(request.connection_key, error) from error
    except TimeoutError:
        raise
    except OSError as error:
        raise aiohttp.ClientConnectorError(request.connection_key, error) from error


def ambiguous(detail: str) -> errors.PinfoldError:
    """aiohttp would go somewhere else than where the judged text leads."""
    denial = {"stage": "parse", "code": "url-ambiguous", "detail": detail, "hint": "write the URL in its plain form"}
    return _failures.failure("denied", denial, None)


def refused(what: str, hint: str) -> Refused:
    """A choice of the program that would go around the guard."""
    return Refused(what, stage="connect", code="option-refused", detail=what, hint=hint)


def no_proxy() -> Refused:
    """A proxy looks names up itself, after they were judged."""
    return refused(
        "a proxy is not used: it looks names up itself, after they were judged",
        "leave out `proxy` and `trust_env`, and let the network route what must leave through a gateway",
    )


def _made(error: errors.PinfoldError) -> errors.PinfoldError:
    if error.code == "redirect-too-many":
        return TooManyRedirects.of(error)
    if type(error) is errors.NetworkError and error.stage == "resolve":
        return DNSError.of(error)
    return _TRANSLATE.exception(error)
