"""Declared fields: where in a request strangers' URLs are, so that a bad one is refused at the door."""

from __future__ import annotations

import functools
import inspect
import json as jsons
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from django.http import HttpRequest

from pinfold._fields import MOST_URLS, Fields, Names, declared
from pinfold.decision import Decision
from pinfold.django import ready

View = TypeVar("View", bound=Callable[..., Any])


def fields_checked(
    *,
    json: Names = (),
    form: Names = (),
    query: Names = (),
    path: Names = (),
    required: bool = True,
    method: str = "GET",
    most: int = MOST_URLS,
) -> Callable[[View], View]:
    """A decorator for views, plain and async: judges the URLs in these fields before the view is called.

    A field of JSON is a pointer (RFC 6901), in which `*` stands for each element; one of `path` is an argument of the
    route. Refusals are raised, for the middleware to answer. This is early feedback: whoever fetches has to use the
    session all the same. For the methods of a class there is Django's `method_decorator`.
    """
    fields = declared(json=json, form=form, query=query, path=path, required=required, method=method, most=most)

    def decorate(view: View) -> View:
        return cast(
            "View", _checking_soon(view, fields) if inspect.iscoroutinefunction(view) else _checking(view, fields)
        )

    return decorate


def check_fields(request: HttpRequest, **fields: Any) -> list[Decision]:
    """The same for a view that decides itself when: takes what `fields_checked` takes."""
    arguments = request.resolver_match.kwargs if request.resolver_match else {}
    return declared(**fields).check(ready.guard(), _Fields(request, arguments))


def _checking(view: Callable[..., Any], fields: Fields) -> Callable[..., Any]:
    @functools.wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        fields.check(ready.guard(), _Fields(request, kwargs))
        return view(request, *args, **kwargs)

    return checked


def _checking_soon(view: Callable[..., Any], fields: Fields) -> Callable[..., Any]:
    @functools.wraps(view)
    async def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        await fields.acheck(ready.guard(), _Fields(request, kwargs))
        return await view(request, *args, **kwargs)

    return checked


class _Fields:
    """What Django has of a request."""

    def __init__(self, request: HttpRequest, arguments: Mapping[str, Any]) -> None:
        self._request = request
        self._arguments = arguments

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return jsons.loads(self._request.body)
        except (ValueError, RecursionError):
            return None

    def form(self, name: str) -> Sequence[Any]:
        """All values of a form field."""
        return self._request.POST.getlist(name)

    def query(self, name: str) -> Sequence[str]:
        """All values of a parameter."""
        return self._request.GET.getlist(name)

    def path(self, name: str) -> Any:
        """An argument of the route."""
        return self._arguments.get(name)
