"""Arguments of a guard: what is of the wrong kind is noticed where it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def require(name: str, given: object, kind: Any) -> None:
    if given is not None and not isinstance(given, kind):
        raise TypeError(f"`{name}` takes a `{kind.__name__}`, and not {given!r}")


def listed(name: str, texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(f"`{name}` is a list of texts: `[{texts!r}]`")
    return list(texts)


def with_port(server: str) -> str:
    """A DNS server as the native half reads it: port 53 unless it has one."""
    if server.startswith("["):
        return server if "]:" in server else f"{server}:53"
    if server.count(":") > 1:
        return f"[{server}]:53"
    return server if ":" in server else f"{server}:53"
