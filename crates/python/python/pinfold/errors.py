"""What goes wrong, sorted by who is at fault.

The text of an exception names stage and reason code only: it may be shown to whoever wrote the URL. What exactly was
refused, addresses included, is in `detail` and `decision`, for the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pinfold.decision import Decision


class PinfoldError(Exception):
    """The base of all exceptions of this package.

    `stage` and `code` say where and why, `hint` what to do about it. `detail` and `decision` are for the operator:
    they may name internal addresses. `correlation_id` is what a client may be told, and what the log has, too.
    """

    stage: str
    code: str
    detail: str
    hint: str | None
    decision: Decision | None
    correlation_id: str | None

    def __init__(
        self,
        message: str,
        *,
        stage: str = "",
        code: str = "",
        detail: str = "",
        hint: str | None = None,
        decision: Decision | None = None,
        correlation_id: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message, **more)
        self.message = message
        self.stage = stage
        self.code = code
        self.detail = detail
        self.hint = hint
        self.decision = decision
        self.correlation_id = correlation_id
        if hint:
            self.add_note(f"hint: {hint}")

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """The HTTP status that a service answers with which was asked to fetch this URL."""
        return 500

    @classmethod
    def of(cls, error: PinfoldError, **more: Any) -> Self:
        """The same in the words of another library: `more` is for its exception."""
        return cls(error.message, **error._state(), **more)

    def _state(self) -> dict[str, Any]:
        names = ("stage", "code", "detail", "hint", "decision", "correlation_id")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.message, self._state())


class Denied(PinfoldError):
    """Refused by the parser, the policy or the floor. Nothing is wrong with the network."""

    @property
    def status(self) -> int:
        """403."""
        return 403


class InvalidURL(Denied, ValueError):
    """What was given is no URL that can be fetched: it does not parse, or its scheme is none that is allowed."""

    @property
    def status(self) -> int:
        """400."""
        return 400


class NetworkError(PinfoldError, ConnectionError):
    """Not refused, but there is no connection: no answer from DNS, no judged address that accepts."""

    @property
    def status(self) -> int:
        """502."""
        return 502


class Timeout(NetworkError, TimeoutError):
    """A lookup or a connection took too long."""

    @property
    def status(self) -> int:
        """504."""
        return 504


class BudgetExceeded(PinfoldError):
    """The answer is larger than it may be, as it came or when it is decoded; or there were too many redirects."""

    @property
    def status(self) -> int:
        """502."""
        return 502


class DeadlineExceeded(BudgetExceeded, Timeout):
    """The whole exchange took longer than it may."""

    @property
    def status(self) -> int:
        """504."""
        return 504


class PolicyError(PinfoldError, ValueError):
    """A policy, its settings or another choice of the operator was not taken. What was active before stays active.

    `problems` are those of the settings, each with its path (RFC 6901).
    """

    problems: list[tuple[str, str]]

    def __init__(self, message: str, *, problems: list[tuple[str, str]] | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.problems = problems or []

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "problems": self.problems}


class ForkError(PinfoldError, RuntimeError):
    """A session, a pin or a connection of the parent was used after a fork. A `Guard` itself may be: it begins anew."""


def _restored(cls: type[PinfoldError], message: str, state: dict[str, Any]) -> PinfoldError:
    return cls(message, **state)
