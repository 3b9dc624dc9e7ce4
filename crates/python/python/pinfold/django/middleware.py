"""The middleware: answers what was refused, and knows the request that asks."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from pinfold._answers import ANSWERED, HEADERS, Answer, Style, answer, network
from pinfold._fields import FieldError
from pinfold.django import ready
from pinfold.errors import PinfoldError

_LOG = logging.getLogger("pinfold.django")


class PinfoldMiddleware:
    """For `MIDDLEWARE`, at its end. Plain and async.

    The guard is made with it, so a server with a wrong `PINFOLD` does not start.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._style = ready.ready().style
        if inspect.iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serves a request."""
        if inspect.iscoroutinefunction(self._get_response):
            return self._serve(request)
        token = ready.current_request.set(request)
        try:
            response: HttpResponseBase = self._get_response(request)
            return response
        finally:
            ready.current_request.reset(token)

    async def _serve(self, request: HttpRequest) -> HttpResponseBase:
        token = ready.current_request.set(request)
        try:
            response: HttpResponseBase = await self._get_response(request)
            return response
        finally:
            ready.current_request.reset(token)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answers a refusal; Django calls it for what a view raises."""
        del request
        if isinstance(exception, PinfoldError) and isinstance(exception, (*ANSWERED, FieldError)):
            return _refused(exception, self._style)
        return _failed(exception, self._style)


def _refused(error: PinfoldError, style: Style) -> HttpResponse:
    if error.decision is None:
        # What has a decision is in the log already.
        extra = {"correlation_id": error.correlation_id, "detail": error.detail}
        _LOG.warning("%s", error, extra=extra)
    return _response(answer(error, style))


def _failed(error: Exception, style: Style) -> HttpResponse | None:
    fetching = sys.modules.get("pinfold.django.fetching")
    correlation_id = fetching.marked(error) if fetching else None
    if fetching is None or correlation_id is None:
        return None
    _LOG.warning("failed at stage `exchange`", extra={"correlation_id": correlation_id}, exc_info=error)
    code: Literal["exchange-failed", "exchange-timeout"]
    code = "exchange-timeout" if fetching.late(error) else "exchange-failed"
    return _response(network(code, correlation_id, style))


def _response(told: Answer) -> HttpResponse:
    return JsonResponse(told.body, status=told.status, headers=dict(HEADERS))
