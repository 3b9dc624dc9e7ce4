"""Makes exceptions for the native half."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from pinfold import errors
from pinfold.decision import Decision, new_correlation_id
from pinfold.settings import Settings

if TYPE_CHECKING:
    from pinfold import _native

# Not a refusal of a target that could be meant: what was given is no URL to fetch.
_NO_URL = {"scheme-unsupported", "scheme-denied", "host-invalid", "port-zero"}
_UNKNOWN = re.compile("unknown field `([a-z_]+)`")
# What somebody writes into a table who has read of `Settings`.
_WORDS_OF_SETTINGS = {field.name for field in dataclasses.fields(Settings)} - {"ports", "more"}
_TIMEOUTS = {"resolve-timeout", "connect-timeout", "policy-timeout"}


def failure(kind: str, denial: dict[str, Any], native: _native.Decision | None) -> errors.PinfoldError:
    """A refusal (`denied`) or a failure of the network (`network`)."""
    decision = None if native is None else Decision(native)
    word = "refused" if kind == "denied" else "failed"
    return _class(kind, denial["code"])(
        f"{word} at stage `{denial['stage']}`: {denial['code']}",
        decision=decision,
        correlation_id=new_correlation_id() if decision is None else decision.correlation_id,
        **denial,
    )


def _class(kind: str, code: str) -> type[errors.PinfoldError]:
    if code == "deadline-exceeded":
        return errors.DeadlineExceeded
    if kind == "network":
        return errors.Timeout if code in _TIMEOUTS else errors.NetworkError
    return errors.InvalidURL if code in _NO_URL or code.startswith("url-") else errors.Denied


def not_loaded(message: str, hint: str, problems: list[tuple[str, str]]) -> errors.PolicyError:
    """A policy that was not loaded."""
    for _, problem in problems:
        for word in _WORDS_OF_SETTINGS.intersection(_UNKNOWN.findall(problem)):
            hint = f"`{word}` is an argument of `pinfold.Settings`; {hint}"
    lines = [message, *(f"  {path or '/'}: {problem}" for path, problem in problems)]
    return errors.PolicyError("\n".join(lines), hint=hint, problems=problems, code="policy-not-loaded")


def no_option(name: str, why: str, hint: str) -> errors.PolicyError:
    """An option of a guard that was not taken."""
    return errors.PolicyError(f"`{name}`: {why}", hint=hint, code="option-invalid")


def forked() -> errors.ForkError:
    """What was made before a fork is used after it."""
    return errors.ForkError(
        "made before a fork, and used after it",
        hint="make sessions and sockets in the process that uses them; a `Guard` itself may be made before",
        code="forked",
    )
