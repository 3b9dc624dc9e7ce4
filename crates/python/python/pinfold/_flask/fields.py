"""Declared fields in a request of Flask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import current_app, request


class CurrentRequest:
    """The current request, as declared fields are looked for in it."""

    def json(self) -> Any:
        """The body as JSON. `request.get_json` is not asked: it would keep what a view must judge by media type."""
        try:
            return current_app.json.loads(request.get_data(cache=True))
        except (ValueError, RecursionError):
            return None

    def form(self, name: str) -> Sequence[Any]:
        """All values of a form field."""
        return request.form.getlist(name)

    def query(self, name: str) -> Sequence[str]:
        """All values of a parameter of the query."""
        return request.args.getlist(name)

    def path(self, name: str) -> Any:
        """An argument of the route."""
        return (request.view_args or {}).get(name)
