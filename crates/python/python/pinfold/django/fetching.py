"""The sessions of an application."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

from pinfold._extras import needed

with needed("django"):
    import requests

from pinfold.decision import new_correlation_id
from pinfold.errors import PinfoldError
from pinfold.requests import Session

_MARK = "pinfold_correlation_id"


class AppSession(Session):
    """Keeps no cookies: those that one user's URL set are not for the next.

    It marks what the library itself fails with, so that the middleware can answer for it: what the application's other
    sessions fail with stays what it was.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As `requests.Session.send`."""
        try:
            return super().send(request, **options)
        except requests.RequestException as error:
            if not isinstance(error, PinfoldError):
                error.__dict__.setdefault(_MARK, new_correlation_id())
            raise


def marked(error: Exception) -> str | None:
    """The correlation id of a failure of the library, on a connection that was allowed: TLS, a reset, silence."""
    mark: str | None = getattr(error, _MARK, None)
    return mark


def late(error: Exception) -> bool:
    """Whether it was silence."""
    return isinstance(error, requests.Timeout)
