"""The session of an application."""

from __future__ import annotations

from typing import Any

from pinfold._extras import needed

with needed("flask"):
    import requests
    import urllib3

from pinfold import errors
from pinfold._flask.errors import Failed, TimedOut
from pinfold.requests import Session


class AppSession(Session):
    """Marks what the library itself fails with, so that the application can answer for it.

    An application may use `requests` for other things as well: those failures stay what they were.
    """

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As `requests.Session.send`."""
        try:
            return super().send(request, **kwargs)
        except requests.RequestException as error:
            if not isinstance(error, errors.PinfoldError | Failed):
                error.__class__ = _marked(type(error), TimedOut if _is_silence(error) else Failed)
            raise


def _is_silence(error: requests.RequestException) -> bool:
    """Silence within a body is a `ConnectionError` of `requests`, with what it was inside."""
    inner = error.args[0] if error.args else None
    return isinstance(error, requests.Timeout) or isinstance(inner, urllib3.exceptions.TimeoutError)


def _marked(kind: type[requests.RequestException], mark: type[Failed]) -> type[requests.RequestException]:
    """A class that is also `mark`. After all of `requests`: handlers for those come first."""
    if (kind, mark) not in _MARKED:
        words = {"__doc__": kind.__doc__, "__module__": kind.__module__}
        _MARKED[kind, mark] = type(kind.__name__, (kind, mark), words)
    return _MARKED[kind, mark]


# As many as `requests` has kinds, twice.
_MARKED: dict[tuple[type[requests.RequestException], type[Failed]], type[requests.RequestException]] = {}
