"""What the extensions of web frameworks share: the guard of an application, made from its configuration."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from pinfold import errors
from pinfold.budget import Budget
from pinfold.guard import Guard, Layer, Swap, Watch
from pinfold.settings import Settings

if TYPE_CHECKING:
    from pinfold.exchange import Exchange
    from pinfold.guard import Mode

Asker = Callable[[], str | None]

# Options of `Guard` that an application gives as they are.
_PLAIN = ("CODE_CACHE", "CONFIGURE_EACH", "INERT_WASI", "LIMITS", "MODE", "POLICY", "SETTINGS")
# Lists of text; the environment and INI files have them with commas.
_LISTS = ("DNS", "GRANTS", "LISTENERS", "NAT64")
# Bounds of each fetch, on top of `BUDGET`, or of those of `SETTINGS`.
_BOUNDS = {
    "MAX_BYTES": "response_bytes",
    "MAX_DECODED_BYTES": "decoded_bytes",
    "REDIRECTS": "redirects",
    "TOTAL_TIMEOUT": "total",
}
GUARD_KEYS = frozenset({*_PLAIN, *_LISTS, *_BOUNDS, "BUDGET", "LAYERS", "RESOLVER", "SUBJECT", "TIMEOUT", "WATCH"})

_acting: ContextVar[str | None] = ContextVar("pinfold.subject", default=None)


@contextmanager
def acting_as(subject: str) -> Iterator[None]:
    """What is fetched inside is asked for by this subject, whoever the request is from."""
    token = _acting.set(subject)
    try:
        yield
    finally:
        _acting.reset(token)


class AppGuard(Guard):
    """The guard of an application: it asks the application who asks, wherever no subject is given."""

    def __init__(self, *, subject: Asker | str | None = None, **options: Any) -> None:
        self.asker = subject
        super().__init__(**options)

    def exchange(
        self,
        *,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        mode: Mode | None = None,
    ) -> Exchange:
        """As `Guard.exchange`."""
        asks = self.subject() if subject is None else subject
        return super().exchange(subject=asks, labels=labels, budget=budget, mode=mode)

    def subject(self) -> str | None:
        """Who asks now."""
        acting = _acting.get()
        if acting is not None:
            return acting
        return self.asker() if callable(self.asker) else self.asker


def known(config: Mapping[str, Any], prefix: str, keys: Iterable[str]) -> dict[str, Any]:
    """The options of an application, without the prefix. Raises `PolicyError` for a name that is none."""
    given = {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}
    keys = sorted(keys)
    for name in given:
        if name not in keys:
            near = difflib.get_close_matches(name, keys, n=1)
            hint = f"did you mean `{prefix}{near[0]}`?" if near else _elsewhere(name, prefix, keys)
            raise mistake(f"`{prefix}{name}` is no setting", hint)
    return {name: value for name, value in given.items() if value is not None}


def _elsewhere(name: str, prefix: str, keys: list[str]) -> str:
    argument = name.lower()
    if argument in {field.name for field in fields(Settings)}:
        return f"it is an argument of `pinfold.Settings`: `{prefix}SETTINGS = pinfold.Settings({argument}=...)`"
    return f"it is one of {', '.join(prefix + key for key in keys)}"


def guard_of(options: Mapping[str, Any], prefix: str) -> AppGuard:
    """Makes the guard. Raises `PolicyError`."""
    asker = options.get("SUBJECT")
    if not (asker is None or isinstance(asker, str) or callable(asker)):
        raise mistake(f"`{prefix}SUBJECT` is `{asker!r}`", "give a function that says who asks, or a text")
    if "DNS" in options and "RESOLVER" in options:
        raise mistake(f"`{prefix}DNS` and `{prefix}RESOLVER` are both given", "only one can be asked: drop the other")
    try:
        return AppGuard(subject=asker, budget=_budget(options), **_chosen(options))
    except (ValueError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, errors.PolicyError):
            raise
        raise mistake(f"the guard could not be made from `{prefix}*`: {error}", "see the table of settings") from error


def watch_of(guard: Guard, options: Mapping[str, Any], prefix: str, told: Callable[[Swap], object]) -> Watch | None:
    """Watches the files that the guard was made from, when `WATCH` is on: true, or seconds between looks."""
    wanted = options.get("WATCH", False)
    if wanted is False:
        return None
    files = {name.lower(): options[name] for name in ("POLICY", "SETTINGS") if _is_path(options.get(name))}
    if not files:
        hint = f"give `{prefix}POLICY` or `{prefix}SETTINGS` as a path"
        raise mistake(f"`{prefix}WATCH` is on, but there is no file to watch", hint)
    if isinstance(wanted, bool):
        wanted = 1.0
    elif not isinstance(wanted, int | float) or wanted <= 0:
        raise mistake(f"`{prefix}WATCH` is `{wanted!r}`", "give true, or seconds between looks")
    return guard.watch(**files, interval=float(wanted), on_swap=told)


def mistake(message: str, hint: str) -> errors.PolicyError:
    """An error of whoever configured the application."""
    return errors.PolicyError(message, code="config-invalid", hint=hint)


def one_of(options: Mapping[str, Any], prefix: str, name: str, choices: tuple[Any, ...]) -> Any:
    """An option with a few possible values; the first is the default."""
    value = options.get(name, choices[0])
    if value not in choices:
        raise mistake(f"`{prefix}{name}` is `{value}`", f"it is one of {', '.join(map(repr, choices))}")
    return value


def switch(options: Mapping[str, Any], prefix: str, name: str) -> bool:
    """An option that is on or off; off is the default."""
    return bool(one_of(options, prefix, name, (False, True)))


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {name.lower(): options[name] for name in _PLAIN if name in options}
    chosen |= {name.lower(): _texts(options[name]) for name in _LISTS if name in options}
    chosen["layers"] = [Layer(**layer) if isinstance(layer, Mapping) else layer for layer in options.get("LAYERS", ())]
    resolver = options.get("RESOLVER", chosen.pop("dns", None))
    return {**chosen, "resolver": resolver}


def _texts(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()]


def _budget(options: Mapping[str, Any]) -> Budget:
    settings = options.get("SETTINGS")
    budget = settings.budget() if isinstance(settings, Settings) else Budget()
    given = options.get("BUDGET", budget)
    budget = Budget(**given) if isinstance(given, Mapping) else given
    changes = {field: options[name] for name, field in _BOUNDS.items() if name in options}
    if "TIMEOUT" in options:
        changes["connect"], changes["read"] = _pair(options["TIMEOUT"])
    return replace(budget, **{field: value for field, value in changes.items() if value is not None})


def _pair(timeout: Any) -> tuple[float | None, float | None]:
    """Seconds for a connection and for each wait for bytes, or one number for both, as `requests` has it."""
    if not isinstance(timeout, list | tuple):
        return timeout, timeout
    if len(timeout) != 2:
        raise ValueError(f"`TIMEOUT` is {timeout!r}: a number, or a pair of numbers")
    return timeout[0], timeout[1]


def _is_path(value: object) -> bool:
    return isinstance(value, str | PathLike)
