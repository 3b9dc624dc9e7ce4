"""The session of an application."""

from __future__ import annotations

from typing import Any

import requests

from pinfold import errors
from pinfold._flask_errors import Failed, TimedOut
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
                error.__class__ = _marked(type(error))
            raise


def _marked(kind: type[requests.RequestException]) -> type[requests.RequestException]:
    """A class that is also `Failed`. After all of `requests`: handlers for those come first."""
    if kind not in _MARKED:
        mark = TimedOut if issubclass(kind, requests.Timeout) else Failed
        _MARKED[kind] = type(kind.__name__, (kind, mark), {"__doc__": kind.__doc__, "__module__": kind.__module__})
    return _MARKED[kind]


# As many as `requests` has kinds.
_MARKED: dict[type[requests.RequestException], type[requests.RequestException]] = {}
