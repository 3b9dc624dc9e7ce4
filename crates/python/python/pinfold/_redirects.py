"""What goes along with a redirect.

Across origins (scheme, host, port) only headers that are known to hold no secret go along: a list of what to drop could
never be complete, because every service invents its own key header. What was dropped once stays dropped, even when a
later redirect leads back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinfold._native import Target

STATUSES = frozenset({301, 302, 303, 307, 308})

_HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})
# What describes a body goes where the body goes.
_BODY = frozenset(
    {"content-encoding", "content-language", "content-length", "content-location", "content-type", "transfer-encoding"}
)


def to_drop(names: Iterable[str], before: Target, after: Target) -> list[str]:
    """Of these headers, those that must not go along from one target to the next."""
    if before.same_origin(after):
        return []
    return [name for name in names if name.lower() not in _HARMLESS | _BODY]
