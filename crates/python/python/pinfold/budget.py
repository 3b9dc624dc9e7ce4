"""Bounds of one fetch: time, bytes as received, bytes as decoded, redirects."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pinfold import errors
from pinfold.decision import new_correlation_id

_HINTS = {
    "deadline-exceeded": "raise `total` of the budget",
    "response-too-large": "raise `response_bytes` of the budget",
    "response-inflated": "the response is a decompression bomb, or raise `decoded_bytes` of the budget",
    "redirect-too-many": "raise `redirects` of the budget, or fetch the final URL",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one fetch. The terms of the policy only tighten them.

    `connect` and `read` are seconds for a connection and for each wait for bytes, where the caller gives no timeout of
    its own; a caller's own is never longer than what `total` leaves. `total` is for the whole exchange, lookups,
    redirects and the last byte of the body. `redirects` is the most that is followed; 0 refuses the first.
    """

    connect: float = 10.0
    read: float = 20.0
    total: float = 30.0
    response_bytes: int = 16 << 20
    decoded_bytes: int = 16 << 20
    redirects: int = 5

    def __post_init__(self) -> None:
        for name in ("connect", "read", "total"):
            _require(name, getattr(self, name), lambda time: 0 < time < math.inf, "a positive number of seconds")
        for name in ("response_bytes", "decoded_bytes", "redirects"):
            _require(name, getattr(self, name), lambda count: count >= 0, "a number that is not negative")

    def tightened(self, terms: dict[str, Any]) -> Budget:
        """Under the terms of a policy as well."""
        octets = terms.get("response_bytes")
        return replace(
            self,
            connect=_smaller(self.connect, terms.get("connect_timeout")),
            total=_smaller(self.total, terms.get("total_timeout")),
            response_bytes=self.response_bytes if octets is None else min(self.response_bytes, octets),
            decoded_bytes=self.decoded_bytes if octets is None else min(self.decoded_bytes, octets),
            redirects=int(_smaller(self.redirects, terms.get("redirects"))),
        )


class Spending:
    """What one exchange has used of its budget. Counted by one thread or task at a time."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.began = time.monotonic()
        self.received_bytes = 0
        self.decoded_bytes = 0

    def tighten(self, terms: dict[str, Any]) -> None:
        """Obeys the terms of one more hop."""
        self.budget = self.budget.tightened(terms)

    def left(self) -> float:
        """Seconds that are left, more than 0.

        Raises `DeadlineExceeded` when there are none.
        """
        left = self.budget.total - (time.monotonic() - self.began)
        if left <= 0:
            raise exceeded("deadline-exceeded", f"{self.budget.total} s were allowed")
        return left

    def wait(self, wanted: float | None, usual: float) -> float:
        """How long to wait for one step: what the caller wants, or what is usual; never longer than is left."""
        return min(usual if wanted is None else wanted, self.left())

    def received(self, count: int) -> None:
        """Counts bytes of the body as they come. Raises `BudgetExceeded`."""
        self.received_bytes += count
        if self.received_bytes > self.budget.response_bytes:
            raise exceeded("response-too-large", f"{self.budget.response_bytes} bytes were allowed")

    def decoded(self, count: int) -> None:
        """Counts bytes of the body as they are decoded. Raises `BudgetExceeded`."""
        self.decoded_bytes += count
        if self.decoded_bytes > self.budget.decoded_bytes:
            raise exceeded("response-inflated", f"{self.budget.decoded_bytes} bytes were allowed")

    def next_response(self) -> None:
        """Begins counting anew: the body of a redirect is none of the answer."""
        self.received_bytes = 0
        self.decoded_bytes = 0


def exceeded(code: str, detail: str) -> errors.BudgetExceeded:
    """The exception for a budget that is used up."""
    late = code == "deadline-exceeded"
    stage = "redirect" if code == "redirect-too-many" else "exchange"
    made = errors.DeadlineExceeded if late else errors.BudgetExceeded
    return made(
        f"failed at stage `{stage}`: {code}",
        stage=stage,
        code=code,
        detail=detail,
        hint=_HINTS[code],
        correlation_id=new_correlation_id(),
    )


def _require(name: str, value: float, is_good: Callable[[float], bool], what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_good(value):
        raise errors.PolicyError(f"`{name}` is {value!r}", hint=f"give {what}", code="budget-invalid")


def _smaller(one: float, other: float | None) -> float:
    return one if other is None else min(one, other)
