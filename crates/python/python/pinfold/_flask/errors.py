"""Answers for what was refused or failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import flask

from pinfold import _answers, errors
from pinfold._fields import FieldError
from pinfold.decision import new_correlation_id

if TYPE_CHECKING:
    from pinfold._answers import Answer, Style
    from pinfold._flask.state import State

_LOG = logging.getLogger("pinfold.flask")


class Failed(Exception):
    """Marks what a library failed with on a connection that was allowed: TLS, a reset, half an answer."""


class TimedOut(Failed):
    """The same, and it was silence."""


def register(app: flask.Flask, state: State) -> None:
    """Registers the handlers, unless the application answers for itself (`PINFOLD_ERRORS = False`)."""
    style = state.errors
    if style is None:
        return
    for kind in (*_answers.ANSWERED, FieldError):
        app.register_error_handler(kind, lambda error: _refused(error, style))
    app.register_error_handler(Failed, lambda error: _failed(error, style))


def _refused(error: errors.PinfoldError, style: Style) -> flask.Response:
    if error.decision is None:
        # What has a decision is in the log already.
        _LOG.warning("%s", error, extra={"correlation_id": error.correlation_id, "detail": error.detail})
    return _response(_answers.answer(error, style))


def _failed(error: Failed, style: Style) -> flask.Response:
    correlation_id = new_correlation_id()
    _LOG.warning("failed at stage `exchange`", extra={"correlation_id": correlation_id}, exc_info=error)
    code: Literal["exchange-failed", "exchange-timeout"] = "exchange-failed"
    if isinstance(error, TimedOut):
        code = "exchange-timeout"
    return _response(_answers.network(code, correlation_id, style))


def _response(answer: Answer) -> flask.Response:
    """JSON; plain text for a client that asks for HTML and not for JSON."""
    best = flask.request.accept_mimetypes.best_match(["application/json", "text/html"], default="application/json")
    people = best == "text/html"
    response = flask.Response(answer.text, mimetype="text/plain") if people else flask.jsonify(answer.body)
    response.status_code = answer.status
    response.headers.extend(_answers.HEADERS)
    return response
