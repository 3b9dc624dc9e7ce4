"""System checks: what `manage.py check` says about `PINFOLD`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from pinfold.django import ready
from pinfold.errors import PolicyError

_MIDDLEWARE = "pinfold.django.middleware.PinfoldMiddleware"


def check_settings(**_: Any) -> list[CheckMessage]:
    """`pinfold.E001`: `PINFOLD` is wrong. `pinfold.E002`: its policy, or the settings of the policy, are not taken."""
    try:
        ready.guard()
    except PolicyError as error:
        return list(_problems(error))
    return []


def check_middleware(**_: Any) -> list[CheckMessage]:
    """`pinfold.W001`: refusals would be answered with 500."""
    if _MIDDLEWARE in settings.MIDDLEWARE:
        return []
    hint = f"add `{_MIDDLEWARE}` at the end of `MIDDLEWARE`"
    return [checks.Warning("`MIDDLEWARE` has not what answers refusals", hint=hint, id="pinfold.W001")]


def check_session(**_: Any) -> list[CheckMessage]:
    """`pinfold.W003`: what the ready session is made of is not installed."""
    if importlib.util.find_spec("requests") is not None:
        return []
    hint = "pip install 'pinfold[django]', or silence this where another library fetches"
    return [checks.Warning("`pinfold.django.session` has no `requests`", hint=hint, id="pinfold.W003")]


def check_mode(**_: Any) -> list[CheckMessage]:
    """`pinfold.W002`, with `--deploy`: a policy is only tried out."""
    given = getattr(settings, "PINFOLD", None)
    mode = given.get("MODE", "enforce") if isinstance(given, dict) else "enforce"
    if mode == "enforce":
        return []
    hint = "set it to `enforce` when the log has no refusals that are not meant"
    return [
        checks.Warning(f"`PINFOLD.MODE` is `{mode}`: what the policy refuses may pass", hint=hint, id="pinfold.W002")
    ]


def _problems(error: PolicyError) -> Iterator[CheckMessage]:
    """One message for each problem of the settings, or one for all."""
    number = "pinfold.E001" if error.code == "config-invalid" else "pinfold.E002"
    if not error.problems:
        yield Error(str(error), hint=error.hint, id=number)
    for path, problem in error.problems:
        yield Error(f"{path or '/'}: {problem}", hint=error.hint, id=number, obj="PINFOLD.SETTINGS")
