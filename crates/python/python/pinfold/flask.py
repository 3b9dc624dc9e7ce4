"""Flask: a guard for each application, a session that is safe, and a refusal at the door.

    >>> from flask import Flask
    >>> from pinfold.flask import Pinfold
    >>> outside = Pinfold()
    >>> def create_app() -> Flask:
    ...     app = Flask(__name__)
    ...     outside.init_app(app)
    ...     return app

`outside.session` is a `requests.Session` whose every request is judged by the guard of the current application. What it
refuses becomes an answer: 400, 403, 502 or 504, with a reason code and a correlation id.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from pinfold import _fields, _web
from pinfold._extras import needed
from pinfold._fields import FieldError
from pinfold._web import acting_as
from pinfold.guard import set_default_guard

with needed("flask"):
    import flask
    from werkzeug.local import LocalProxy

    from pinfold._flask import errors as _errors
    from pinfold._flask import events as _events
    from pinfold._flask.cli import commands
    from pinfold._flask.events import decision_made, policy_swapped
    from pinfold._flask.fields import CurrentRequest
    from pinfold._flask.state import KEY, State, current_state

if TYPE_CHECKING:
    from pinfold._web import AppGuard
    from pinfold.requests import Session

__all__ = [
    "FieldError",
    "Pinfold",
    "acting_as",
    "check_fields",
    "commands",
    "current_guard",
    "decision_made",
    "policy_swapped",
    "session",
]

P = ParamSpec("P")
R = TypeVar("R")

current_guard: AppGuard = cast("AppGuard", LocalProxy(lambda: current_state().guard))
"""The guard of the current application: what `guard=` of every adapter takes."""

session: Session = cast("Session", LocalProxy(lambda: current_state().session))
"""The session of the current application. It keeps no cookies: strangers would share them."""


class Pinfold:
    """The extension. One object serves any number of applications.

    The guard is made when the application is: what is wrong with its configuration is a `PolicyError` then.
    """

    def __init__(self, app: flask.Flask | None = None) -> None:
        self._doors: dict[str, _fields.Fields] = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Makes the guard of an application from its `PINFOLD_*` configuration. Raises `PolicyError`."""
        if KEY in app.extensions:
            raise _web.mistake("this application has the extension already", "call `init_app` once")
        state = State.of(app.config)
        app.extensions[KEY] = state
        _events.connect(app, state)
        _errors.register(app, state)
        app.before_request(functools.partial(self._judge_at_door, app))
        app.cli.add_command(commands)
        if state.is_default:
            set_default_guard(state.guard)

    @property
    def guard(self) -> AppGuard:
        """The guard of the current application."""
        return current_state().guard

    @property
    def session(self) -> Session:
        """The session of the current application: one for each process, for all its threads."""
        return current_state().session

    acting_as = staticmethod(acting_as)

    def check(
        self,
        endpoint: str,
        *,
        json: _fields.Names = (),
        form: _fields.Names = (),
        query: _fields.Names = (),
        path: _fields.Names = (),
        required: bool = True,
        method: str = "GET",
        most: int = _fields.MOST_URLS,
    ) -> None:
        """As `check_fields`, for a view that is written elsewhere, by its endpoint (`"hooks.create"`)."""
        if endpoint in self._doors:
            raise _web.mistake(f"fields of `{endpoint}` are declared twice", "declare them in one call")
        self._doors[endpoint] = _fields.declared(
            json=json, form=form, query=query, path=path, required=required, method=method, most=most
        )

    def check_fields(
        self,
        *,
        json: _fields.Names = (),
        form: _fields.Names = (),
        query: _fields.Names = (),
        path: _fields.Names = (),
        required: bool = True,
        method: str = "GET",
        most: int = _fields.MOST_URLS,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """As the function of this name."""
        return check_fields(json=json, form=form, query=query, path=path, required=required, method=method, most=most)

    def _judge_at_door(self, app: flask.Flask) -> None:
        current_state()
        unknown = sorted(set(self._doors) - set(app.view_functions))
        if unknown:
            # A door that nobody comes through is a mistake, and the view it was meant for is unchecked.
            raise _web.mistake(f"fields are declared for `{unknown[0]}`, which is no endpoint", "see `flask routes`")
        fields = self._doors.get(flask.request.endpoint or "")
        if fields is not None and not _is_preflight():
            fields.check(current_guard, CurrentRequest())


def _is_preflight() -> bool:
    """Whether Flask answers by itself: the view that the fields are for does not run."""
    automatic: bool | None = getattr(flask.request.url_rule, "provide_automatic_options", False)
    return flask.request.method == "OPTIONS" and bool(automatic)


def check_fields(
    *,
    json: _fields.Names = (),
    form: _fields.Names = (),
    query: _fields.Names = (),
    path: _fields.Names = (),
    required: bool = True,
    method: str = "GET",
    most: int = _fields.MOST_URLS,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuses a request whose declared fields hold a URL that is refused now, before the view runs.

    Written below the route. `json` takes JSON pointers (RFC 6901), `*` for each element of an array: `"/hooks/*/url"`;
    `form`, `query` and `path` take names. With `required=False` a field may be missing. `method` is what the URL will
    be fetched with, `most` how many URLs one request may have; each may be a lookup.

    It is early feedback: what is fetched later is judged when it is fetched.
    """
    fields = _fields.declared(json=json, form=form, query=query, path=path, required=required, method=method, most=most)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            fields.check(current_guard, CurrentRequest())
            return view(*args, **kwargs)

        @functools.wraps(view)
        async def acheck(*args: P.args, **kwargs: P.kwargs) -> Any:
            await fields.acheck(current_guard, CurrentRequest())
            return await cast("Any", view(*args, **kwargs))

        return cast("Callable[P, R]", acheck) if inspect.iscoroutinefunction(view) else checked

    return decorate
