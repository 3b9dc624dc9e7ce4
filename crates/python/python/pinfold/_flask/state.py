"""What the extension keeps for one application."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import flask

from pinfold import _web

if TYPE_CHECKING:
    from pinfold import Watch
    from pinfold._answers import Style
    from pinfold._web import AppGuard
    from pinfold.requests import Session

KEY = "pinfold"
PREFIX = "PINFOLD_"
KEYS = _web.GUARD_KEYS | {"DEFAULT", "ERRORS", "REQUEST_ID_HEADER"}


class State:
    """The guard, the session of this process, and choices, of one application."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.errors: Style | None = _web.one_of(options, PREFIX, "ERRORS", ("reasons", "opaque", False)) or None
        self.request_id_header: str | None = options.get("REQUEST_ID_HEADER")
        self.guard: AppGuard = _web.guard_of(options, PREFIX)
        self.watch: Watch | None = None
        self._making = threading.Lock()
        self._session: tuple[int, Session] | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> State:
        """Reads the configuration of an application. Raises `PolicyError`."""
        return cls(_web.known(config, PREFIX, KEYS))

    @property
    def session(self) -> Session:
        """The session of this process. Its connections are of no use in another one."""
        made = self._session
        if made is not None and made[0] == os.getpid():
            return made[1]
        return self._make_session()

    def _make_session(self) -> Session:
        with self._making:
            if self._session is None or self._session[0] != os.getpid():
                self._session = (os.getpid(), _session(self.guard))
            return self._session[1]


def current_state() -> State:
    """That of the current application."""
    state: State | None = flask.current_app.extensions.get(KEY)
    if state is None:
        raise _web.mistake("this application does not have the extension", "call `Pinfold().init_app(app)`")
    return state


def _session(guard: AppGuard) -> Session:
    # Not at the top: an application without `requests` uses the guard with another library.
    from pinfold._flask.session import AppSession

    session = AppSession(guard=guard)
    # Kept cookies would go from what one stranger fetched to what the next one fetches.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session
