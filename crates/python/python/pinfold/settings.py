"""Settings in the words of a service; the document of the shipped policy is made from them.

    >>> import pinfold
    >>> settings = pinfold.Settings(partners=["api.example.com", "**.example.net"], https_only=True, redirects=0)
    >>> guard = pinfold.Guard(settings=settings)
    >>> print(guard.check("https://elsewhere.example.org/").code)
    host-not-allowed
    >>> print(guard.check("http://api.example.com/").code)
    scheme-denied

Whatever is written here, metadata endpoints stay refused, and so is this machine itself: an operator grants it to the
guard (`Guard(grants=...)`) where that is meant. Rules of which nothing can come are refused with `PolicyError` when the
guard is made.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pinfold import errors
from pinfold.budget import Budget

Timeout: TypeAlias = float | tuple[float | None, float | None] | list[float | None] | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a service lets strangers' URLs reach, and how much of it.

    Without any, `http` and `https` may be fetched from any port of any public address, and nothing else.

    - `trusted_networks`: networks that may be fetched from in addition to public addresses, by anybody and under any
      public name: `["10.20.0.0/16"]`. Names that are special (`*.internal`, `*.local`, names without a dot) stay
      refused: list them in `internal_names`, or for everybody in `more={"names": {"allow": ["*.internal"]}}`.
    - `partners`: names that may be fetched from, and no others: `["api.example.com", "**.example.net"]`. `name` is that
      name alone, `*.name` every name below it, `**.name` both; a port may follow. An empty list is refused: leave
      it out if any name is allowed.
    - `denied_hosts`: names that are refused, written in the same way.
    - `internal_names`: names inside, each with the subjects that may reach it: `{"*.internal": ["discovery"]}`.
      `prefix/*` is every subject that begins so, `*` every subject; who asks without one is none of them. Such a
      subject reaches its internal names and the partners, and nothing else: otherwise any name could be pointed into
      the internal network. For others the names stay refused.
    - `internal_networks`: where the internal names are: `["10.0.0.0/8"]`. They are allowed to the same subjects only.
    - `ports`: ports that may be fetched from, and ranges of them: `[443, "8000-8999"]`; not empty.
    - `https_only`: whether `http` is refused, redirects included.
    - `timeout`: seconds for a connection and for each wait for bytes, as one number or as a pair `(connect, read)`;
      `None` is the usual.
    - `total_timeout`: seconds for a whole fetch, redirects and body included.
    - `max_bytes`, `max_decoded_bytes`: the most that a body has, as received and as decoded.
    - `redirects`: the most that is followed; 0 refuses the first.
    - `more`: other settings of the shipped policy, as its document has them: `{"literals": "normalise"}`.
    """

    trusted_networks: Sequence[str] = ()
    partners: Sequence[str] | None = None
    denied_hosts: Sequence[str] = ()
    internal_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    internal_networks: Sequence[str] = ()
    ports: Sequence[int | str] | None = None
    https_only: bool = False
    timeout: Timeout = None
    total_timeout: float | None = None
    max_bytes: int | None = None
    max_decoded_bytes: int | None = None
    redirects: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lists = ("trusted_networks", "partners", "denied_hosts", "internal_networks", "ports")
        for name in lists:
            _require_list(name, getattr(self, name))
        for name in ("partners", "ports"):
            _require_not_empty(name, getattr(self, name))
        _require_kind("internal_names", self.internal_names, Mapping, "a table of names, each with a list of subjects")
        _require_kind("more", self.more, Mapping, "a table of the policy's settings")
        _require_kind("https_only", self.https_only, bool, "`True` or `False`")
        for pattern, subjects in self.internal_names.items():
            _require_list(f"internal_names[{pattern!r}]", subjects)
            _require_not_empty(f"internal_names[{pattern!r}]", subjects)
        if self.internal_networks and not self.internal_names:
            raise _wrong("`internal_networks` are for `internal_names`", "name those, or use `trusted_networks`")
        self.budget()

    def document(self) -> dict[str, Any]:
        """The settings of the shipped policy."""
        document: dict[str, Any] = copy.deepcopy(dict(self.more))
        _put(document, "hosts", "allow", self.partners)
        _put(document, "hosts", "deny", self.denied_hosts)
        _put(document, "networks", "allow", self.trusted_networks)
        _put(document, None, "ports", self.ports)
        _put(document, None, "schemes", ["https"] if self.https_only else [])
        if self.internal_names:
            document["subjects"] = [*self._insiders(), *document.get("subjects", ())]
        return document

    def budget(self) -> Budget:
        """The bounds of each fetch."""
        connect, read = _pair(self.timeout)
        given: dict[str, Any] = {
            "connect": connect,
            "read": read,
            "total": self.total_timeout,
            "response_bytes": self.max_bytes,
            "decoded_bytes": self.max_decoded_bytes,
            "redirects": self.redirects,
        }
        return Budget(**{name: value for name, value in given.items() if value is not None})

    def _insiders(self) -> list[dict[str, Any]]:
        """The rules for subjects of internal names: those with the same names have one together."""
        names: dict[str, list[str]] = {}
        for pattern, subjects in self.internal_names.items():
            for subject in subjects:
                names.setdefault(subject, []).append(pattern)
        together: dict[tuple[str, ...], list[str]] = {}
        for subject, patterns in names.items():
            together.setdefault(tuple(patterns), []).append(subject)
        return [self._insider(subjects, patterns) for patterns, subjects in together.items()]

    def _insider(self, subjects: list[str], patterns: Sequence[str]) -> dict[str, Any]:
        hosts: dict[str, Any] = {"allow": [*(self.partners or ()), *patterns]}
        if self.denied_hosts:
            hosts["deny"] = list(self.denied_hosts)
        rules: dict[str, Any] = {"match": subjects, "names": {"allow": list(patterns)}, "hosts": hosts}
        networks = [*self.trusted_networks, *self.internal_networks]
        if networks:
            # Not by a number: what is inside has a name here.
            rules |= {"networks": {"allow": networks}, "ip_literals": "deny"}
        return rules


def _put(document: dict[str, Any], section: str | None, name: str, value: Sequence[object] | None) -> None:
    if not value:
        return
    table = document if section is None else document.setdefault(section, {})
    if name in table:
        path = name if section is None else f"{section}.{name}"
        raise _wrong(f"`more` has `{path}` as well", "write it in one place")
    table[name] = list(value)


def _pair(timeout: Timeout) -> tuple[float | None, float | None]:
    if not isinstance(timeout, tuple | list):
        return timeout, timeout
    if len(timeout) != 2:
        raise _wrong(f"`timeout` is {timeout!r}", "write one number, or a pair `(connect, read)`")
    connect, read = timeout
    return connect, read


def _require_not_empty(name: str, value: object) -> None:
    """A list that somebody filled from elsewhere must not allow everything on the day on which it is empty."""
    if value is not None and not value:
        raise _wrong(f"`{name}` is empty: it allows nothing at all", "leave it out if there is no such rule")


def _require_kind(name: str, value: object, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise _wrong(f"`{name}` is {value!r}", f"write {what}")


def _require_list(name: str, value: object) -> None:
    if value is None and name in ("partners", "ports"):
        return
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _wrong(f"`{name}` is {value!r}", "write a list")


def _wrong(message: str, hint: str) -> errors.PolicyError:
    return errors.PolicyError(message, hint=hint, code="settings-invalid")
