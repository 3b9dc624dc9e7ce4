"""What a web application answers when a fetch was refused or failed: the same in each framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pinfold import errors

# `opaque` tells nothing about why: codes and statuses tell a stranger which internal names exist.
Style = Literal["reasons", "opaque"]

# What a handler is registered for. Other exceptions of ours are faults of the program or the operator: a 500.
ANSWERED: tuple[type[errors.PinfoldError], ...] = (errors.Denied, errors.NetworkError, errors.BudgetExceeded)

# Stages that judge what the client wrote, and nothing else: the hints of others are for who writes the policy.
_CLIENT = ("parse", "request")

# A refusal is true of this moment only, and its text must never be taken for markup.
HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer. No address and no detail is in it."""

    status: int
    error: dict[str, str]

    @property
    def body(self) -> dict[str, dict[str, str]]:
        """The JSON of the answer: `{"error": {"code", "stage", "hint"?, "field"?, "correlation_id"}}`."""
        return {"error": self.error}

    @property
    def text(self) -> str:
        """The same for people: one line, plain text."""
        where = f" (in {self.error['field']})" if "field" in self.error else ""
        return f"{self.error['code']}{where}, correlation id {self.error['correlation_id']}\n"


def answer(error: errors.PinfoldError, style: Style = "reasons") -> Answer:
    """What is told to the client. What the client wrote wrongly is told in each style: it tells nothing about us."""
    if style == "opaque" and error.status != 400:
        return Answer(502, {"code": "fetch-failed", "correlation_id": _correlation(error)})
    hint = error.hint if error.stage in _CLIENT else None
    told = {"code": error.code, "stage": error.stage, "hint": hint, "field": field_of(error)}
    present = {name: text for name, text in told.items() if text}
    return Answer(error.status, {**present, "correlation_id": _correlation(error)})


def network(code: Literal["exchange-failed", "exchange-timeout"], correlation_id: str, style: Style) -> Answer:
    """What is told when a library failed by itself, on a connection that was allowed: TLS, a reset, silence."""
    if style == "opaque":
        return Answer(502, {"code": "fetch-failed", "correlation_id": correlation_id})
    status = 504 if code == "exchange-timeout" else 502
    return Answer(status, {"code": code, "stage": "exchange", "correlation_id": correlation_id})


def field_of(error: errors.PinfoldError) -> str | None:
    """The declared field that a URL was refused in."""
    field: str | None = getattr(error, "field", None)
    return field


def _correlation(error: errors.PinfoldError) -> str:
    return error.correlation_id or "-"
