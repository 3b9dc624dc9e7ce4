"""Decisions and swaps, as signals and in the log."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import flask
from blinker import Namespace

from pinfold import _web
from pinfold._flask.state import KEY, PREFIX

if TYPE_CHECKING:
    from pinfold import Decision, Swap
    from pinfold._flask.state import State

_signals = Namespace()

decision_made = _signals.signal("pinfold-decision-made")
"""Sent for each decision, by the application: `decision`. On the thread that decided; a receiver must not block."""

policy_swapped = _signals.signal("pinfold-policy-swapped")
"""Sent when watched files changed, by the application: `swap`. On a thread of its own, outside of any request."""

_LOG = logging.getLogger("pinfold.flask")
# What comes from a client is in the log only when it cannot be taken for anything else.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def connect(app: flask.Flask, state: State) -> None:
    """Begins to send, to log, and to watch."""
    state.guard.on_decision(lambda decision: _decided(app, decision))
    state.watch = _web.watch_of(state.guard, state.options, PREFIX, lambda swap: _swapped(app, swap))
    # A logger keeps a filter once, however often it is added.
    logging.getLogger("pinfold.decision").addFilter(with_request)
    _LOG.addFilter(with_request)


def with_request(record: logging.LogRecord) -> bool:
    """Adds `app`, `endpoint` and `request_id` to a record; outside of a request, `-`."""
    record.app, record.endpoint, record.request_id = _context()
    return True


def _context() -> tuple[str, str, str]:
    if not flask.has_request_context():
        return (flask.current_app.name if flask.has_app_context() else "-"), "-", "-"
    return flask.current_app.name, flask.request.endpoint or "-", _request_id() or "-"


def _request_id() -> str | None:
    state: State | None = flask.current_app.extensions.get(KEY)
    if state is None or state.request_id_header is None:
        return None
    given = flask.request.headers.get(state.request_id_header, "")
    return given if _REQUEST_ID.fullmatch(given) else None


def _decided(app: flask.Flask, decision: Decision) -> None:
    decision_made.send(app, decision=decision)


def _swapped(app: flask.Flask, swap: Swap) -> None:
    if swap.error is None:
        _LOG.info("policy of `%s` replaced: generation %s", app.name, swap.generation)
    else:
        _LOG.error("policy of `%s` not replaced, the old one stays: %s", app.name, swap.error)
    policy_swapped.send(app, swap=swap)
