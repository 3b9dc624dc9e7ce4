"""Declared fields: where in a request strangers' URLs are, so that a bad one is refused at the door.

This is early feedback, no protection: whatever is fetched later is judged again when it is fetched, because a name may
have another address by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pinfold import errors
from pinfold.decision import Decision, new_correlation_id

if TYPE_CHECKING:
    from pinfold.guard import Guard

# URLs of one request that are checked; each may be a lookup.
MOST_URLS = 20

Source = Literal["json", "form", "query", "path"]
Names = str | Sequence[str]


class FieldError(errors.PinfoldError):
    """A declared field is missing, holds no text, or there are too many of it. The client's fault."""

    @property
    def status(self) -> int:
        """400."""
        return 400


@dataclass(frozen=True, slots=True)
class Field:
    """One place of a request.

    `name` is a JSON pointer (RFC 6901), in which `*` stands for each element of an array, or the name of a form field,
    of a parameter of the query, or of an argument of the route.
    """

    source: Source
    name: str

    def __post_init__(self) -> None:
        if self.source == "json" and self.name and not self.name.startswith("/"):
            raise _mistake(f"`{self.name}` is no JSON pointer", f"it begins with `/`: `/{self.name}`")

    def __str__(self) -> str:
        return f"{self.source} `{self.name}`"


class Request(Protocol):
    """What a framework has of a request."""

    def json(self) -> Any:
        """The body as JSON, whatever its media type says; `None` when it is none."""

    def form(self, name: str) -> Sequence[Any]:
        """All values of a form field."""

    def query(self, name: str) -> Sequence[str]:
        """All values of a parameter of the query."""

    def path(self, name: str) -> Any:
        """An argument of the route; `None` when there is none."""


@dataclass(frozen=True, slots=True)
class Fields:
    """All declared fields of an endpoint."""

    fields: tuple[Field, ...]
    required: bool
    method: str
    most: int

    def urls(self, request: Request) -> list[tuple[str, str]]:
        """Each URL with the name of its field. Raises `FieldError`."""
        found = [pair for field in self.fields for pair in self._of(field, request)]
        if len(found) > self.most:
            raise _refused("field-too-many", found[self.most][0], f"at most {self.most} URLs may be in one request")
        return found

    def check(self, guard: Guard, request: Request) -> list[Decision]:
        """Judges them all. Raises the refusal of the first that is refused, with its field."""
        return [_resolved(guard, self.method, where, url) for where, url in self.urls(request)]

    async def acheck(self, guard: Guard, request: Request) -> list[Decision]:
        """As `check`, for asyncio, and all at once."""
        found = self.urls(request)
        return list(await asyncio.gather(*(_aresolved(guard, self.method, where, url) for where, url in found)))

    def _of(self, field: Field, request: Request) -> Iterator[tuple[str, str]]:
        values = list(_values(field, request))
        if not values and self.required:
            raise _refused("field-missing", str(field), "the request must have this field")
        for where, value in values:
            if not isinstance(value, str):
                raise _refused("field-not-text", where, "this field must be a string with a URL")
            yield where, value


def declared(
    *,
    json: Names = (),
    form: Names = (),
    query: Names = (),
    path: Names = (),
    required: bool = True,
    method: str = "GET",
    most: int = MOST_URLS,
) -> Fields:
    """Declares fields. `method` is the HTTP method that they will be fetched with."""
    sources: tuple[tuple[Source, Names], ...] = (("json", json), ("form", form), ("query", query), ("path", path))
    fields = tuple(Field(source, name) for source, names in sources for name in _each(names))
    if not fields:
        raise _mistake("no field is declared", "name at least one: `json=`, `form=`, `query=` or `path=`")
    return Fields(fields, required, method, most)


def _each(names: Names) -> Iterable[str]:
    return (names,) if isinstance(names, str) else names


def _values(field: Field, request: Request) -> Iterator[tuple[str, Any]]:
    """Each value with the name of its place. A field that is given several times has several: none goes unchecked."""
    if field.source == "json":
        yield from ((f"json `{at}`", value) for at, value in _pointed(request.json(), field.name))
    elif field.source == "path":
        value = request.path(field.name)
        yield from () if value is None else ((str(field), value),)
    else:
        values = request.form(field.name) if field.source == "form" else request.query(field.name)
        yield from ((str(field), value) for value in values)


def _pointed(document: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """What a pointer points at, with the pointer to each. `null` is missing."""
    places = [("", document)]
    for token in pointer.split("/")[1:]:
        places = [step for at, value in places for step in _steps(at, value, token)]
    return ((at, value) for at, value in places if value is not None)


def _steps(at: str, value: Any, token: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        if token == "*":  # noqa: S105 - a token of a pointer
            yield from ((f"{at}/{index}", element) for index, element in enumerate(value))
        elif token.isascii() and token.isdigit() and int(token) < len(value) and str(int(token)) == token:
            yield f"{at}/{token}", value[int(token)]
    elif isinstance(value, dict):
        key = token.replace("~1", "/").replace("~0", "~")
        if key in value:
            yield f"{at}/{token}", value[key]


def _resolved(guard: Guard, method: str, where: str, url: str) -> Decision:
    try:
        return guard.resolve(url, method=method).decision
    except errors.PinfoldError as error:
        raise _at(error, where) from None


async def _aresolved(guard: Guard, method: str, where: str, url: str) -> Decision:
    try:
        return (await guard.aresolve(url, method=method)).decision
    except errors.PinfoldError as error:
        raise _at(error, where) from None


def _at(error: errors.PinfoldError, where: str) -> errors.PinfoldError:
    error.__dict__["field"] = where
    return error


def _refused(code: str, where: str, hint: str) -> errors.PinfoldError:
    message = f"refused at stage `request`: {code} ({where})"
    made = FieldError(message, stage="request", code=code, hint=hint, correlation_id=new_correlation_id())
    return _at(made, where)


def _mistake(message: str, hint: str) -> errors.PolicyError:
    return errors.PolicyError(message, code="field-not-declared", hint=hint)
