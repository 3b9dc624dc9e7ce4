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
        self.is_default = _web.switch(options, PREFIX, "DEFAULT")
        self.request_id_header = _header(options.get("REQUEST_ID_HEADER"))
        self.guard: AppGuard = _web.guard_of(options, PREFIX)
        self.watch: Watch | None = None
        self._read: dict[str, Any] = {}
        self._making = threading.Lock()
        self._session: tuple[int, Session] | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> State:
        """Reads the configuration of an application. Raises `PolicyError`."""
        state = cls(_web.known(config, PREFIX, KEYS))
        state._read = _snapshot(config)
        return state

    def require_same(self, config: Mapping[str, Any]) -> None:
        """Raises `PolicyError` when the configuration is not what the guard was made from: it would be ignored."""
        now = _snapshot(config)
        if now == self._read:
            return
        changed = next(name for name in {**now, **self._read} if (name in now, now.get(name)) != self._had(name))
        hint = "set it before `init_app`; make the application in a function that is given the configuration of tests"
        raise _web.mistake(f"`{changed}` was changed after the extension had read it", hint)

    def _had(self, name: str) -> tuple[bool, Any]:
        return name in self._read, self._read.get(name)

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
    state.require_same(flask.current_app.config)
    return state


def _snapshot(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the extension reads, as it is now: lists and tables may be changed in place."""
    return {name: _copied(value) for name, value in config.items() if name.startswith(PREFIX)}


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def _header(name: Any) -> str | None:
    if name is None or isinstance(name, str):
        return name
    raise _web.mistake(f"`{PREFIX}REQUEST_ID_HEADER` is `{name!r}`", "give the name of a header")


def _session(guard: AppGuard) -> Session:
    # Not at the top: an application without `requests` uses the guard with another library.
    from pinfold._flask.session import AppSession

    session = AppSession(guard=guard)
    # Kept cookies would go from what one stranger fetched to what the next one fetches.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session
