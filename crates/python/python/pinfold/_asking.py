"""What classes of adapters take beside what those of their libraries take."""

from __future__ import annotations

from collections.abc import Mapping

from pinfold.budget import Budget


def check_asking(guard: object, subject: object, labels: object, budget: object) -> None:
    """Raises `TypeError` for what would fail at the first request only."""
    # It may stand for a guard that is not there yet, and is not asked.
    if guard is not None and not any(hasattr(type(guard), name) for name in ("exchange", "__getattr__")):
        raise TypeError(f"`guard` is {guard!r}: give a `pinfold.Guard`")
    for name, value, kind in (("subject", subject, str), ("labels", labels, Mapping), ("budget", budget, Budget)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"`{name}` is {value!r}: give a `{kind.__name__}`")
