"""Decisions: what was judged, how, by which policy."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from pinfold import _explain, _native

Verdict: TypeAlias = Literal["allow", "deny", "failed"]


class Code(NamedTuple):
    """A reason code of the registry."""

    code: str
    stage: str
    summary: str
    hint: str


def codes() -> list[Code]:
    """All reason codes, in the order of the way of a request."""
    return [Code(*row) for row in _native.codes()]


@dataclass(frozen=True, slots=True)
class JudgedAddress:
    """One address of the answer, and what became of it. For the operator."""

    address: str
    address_class: str
    embedded: tuple[tuple[str, str, str], ...]
    granted: bool
    denied_by: str | None
    detail: str | None

    @property
    def allowed(self) -> bool:
        """Whether it may be dialled."""
        return self.denied_by is None

    @property
    def kind(self) -> str:
        """Its class, what it carries, and whether an operator granted it."""
        inner = "".join(f", {form} of {address} ({kind})" for form, address, kind in self.embedded)
        return f"{self.address_class}{inner}{', granted' if self.granted else ''}"

    @property
    def verdict(self) -> str:
        """What became of it."""
        return "allowed" if self.denied_by is None else f"denied {_explain.rule(self.denied_by, self.detail)}"

    def __str__(self) -> str:
        return f"{self.address}  {self.kind}  {self.verdict}"


class Decision:
    """The record of one hop.

    It may name internal addresses: it is for the operator, never for a client. Path, query and credentials of the URL
    are not in it; only where `check` made it, `url` is what was asked. It is true when the hop was allowed.
    """

    def __init__(
        self, native: _native.Decision | None, record: dict[str, Any] | None = None, *, url: str | None = None
    ) -> None:
        self.url = url if url is None else _explain.redacted(url)
        self.native = native
        self._process = _PROCESS.key
        if record is not None:
            self.__dict__["record"] = record

    @cached_property
    def record(self) -> dict[str, Any]:
        """All of it, as the JSON of every host has it."""
        read: dict[str, Any] = json.loads(self.native.json()) if self.native else {}
        return read

    @property
    def id(self) -> int:
        """Unique within the process."""
        return self.native.id if self.native else int(self.record["id"])

    @property
    def correlation_id(self) -> str:
        """Unique among processes. It names nothing: a client may be told."""
        given = None if self.native else self.record.get("correlation_id")
        return str(given or _number(self._process, "decision", self.id))

    @property
    def verdict(self) -> Verdict:
        """`allow`, `deny` or `failed`."""
        if self.native:
            return self.native.verdict
        verdict: Verdict = self.record["verdict"]
        return verdict

    @property
    def allowed(self) -> bool:
        """Whether the hop was allowed."""
        return self.verdict == "allow"

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def code(self) -> str | None:
        """The reason code; none when it was allowed."""
        return self.native.code if self.native else self.record.get("code")

    @property
    def hint(self) -> str | None:
        """What to do about a refusal."""
        return self.native.hint if self.native else self.record.get("hint")

    @property
    def stage(self) -> str | None:
        """Where it was refused, or failed."""
        return self.record.get("stage")

    @property
    def detail(self) -> str | None:
        """What exactly was refused."""
        return self.record.get("detail")

    @property
    def target(self) -> str:
        """`scheme://host:port`."""
        return str(self.record["target"])

    @property
    def method(self) -> str | None:
        """The HTTP method."""
        return self.record.get("method")

    @property
    def subject(self) -> str | None:
        """Who asked."""
        return self.record.get("subject")

    @property
    def hop(self) -> int:
        """0 for the first request, 1 for the first redirect."""
        return int(self.record.get("hop", 0))

    @property
    def aliases(self) -> tuple[str, ...]:
        """The names that the answer came through."""
        return tuple(self.record.get("chain", ()))

    @property
    def addresses(self) -> tuple[JudgedAddress, ...]:
        """Every address of the answer, refused ones included."""
        return tuple(_address(judged) for judged in self.record.get("addresses", ()))

    @property
    def peer(self) -> str | None:
        """`address:port` that was dialled; none when nothing was."""
        return self.record.get("dialed")

    @property
    def reused(self) -> bool:
        """Whether a kept connection was used."""
        return bool(self.record.get("reused", False))

    @property
    def generation(self) -> int:
        """Generation of the policy that decided; 0 when none was asked."""
        return int(self.record.get("policy", {}).get("generation", 0))

    @property
    def policy(self) -> dict[str, Any]:
        """Name, digest, digest of the settings, and generation of the policy that decided."""
        return dict(self.record.get("policy", {}))

    @property
    def layers(self) -> tuple[dict[str, Any], ...]:
        """All policies of the chain, where there are several."""
        return tuple(self.record.get("layers", ()))

    @property
    def would_deny(self) -> str | None:
        """What would have been denied, where a policy is only tried out: the reason code."""
        if self.native:
            return self.native.would_deny
        denial = self.record.get("would_deny")
        return denial["code"] if denial else None

    def explain(self) -> str:
        """The way of the request, stage by stage, as `pinfold check` shows it. For the operator."""
        return "\n".join(_explain.lines(self))

    def __str__(self) -> str:
        outcome = {"allow": "allowed", "deny": "denied", "failed": "failed"}[self.verdict]
        reason = f" at stage `{self.stage}` by `{self.code}`" if self.code else ""
        if self.would_deny:
            reason = f", would be denied by `{self.would_deny}`"
        peer = f", {'kept connection to' if self.reused else 'connected to'} {self.peer}" if self.peer else ""
        return f"{outcome} {self.target}{reason}{peer}"

    def line(self) -> str:
        """As the log has it: with the correlation id, what was refused, and who asked. For the operator."""
        refused = [f"{judged.address} {judged.kind}" for judged in self.addresses if not judged.allowed]
        # Of what came to no policy there is no more than that.
        what = "; ".join(refused[:_SHOWN]) if self.policy else self.detail or ""
        who = f"subject {self.subject}" if self.subject else ""
        more = ", ".join(part for part in (what, who) if part)
        return _explain.printable(f"{self} [{self.correlation_id}] {more}".rstrip())

    def __repr__(self) -> str:
        return f"<Decision {self.correlation_id}: {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        record = {**self.record, "correlation_id": self.correlation_id, "hint": self.hint}
        return _restored, (record, self.url)


def _restored(record: dict[str, Any], url: str | None) -> Decision:
    return Decision(None, record, url=url)


def unrecorded(refusal: dict[str, Any], *, url: str | None, target: str | None) -> Decision:
    """The record of a hop that came to no policy, or of which there is no record."""
    record = {
        "id": 0,
        "correlation_id": new_correlation_id(),
        "target": target or "(no URL)",
        "verdict": "deny",
        "hop": 0,
        **refusal,
    }
    return Decision(None, record, url=url)


# Addresses that a line of the log shows.
_SHOWN = 3


class _Process:
    """A key that only this process has; another one after a fork."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.key = secrets.token_bytes(16)
        self.count = itertools.count(1)


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.renew)


def new_correlation_id() -> str:
    """For what has no decision."""
    return _number(_PROCESS.key, "other", next(_PROCESS.count))


def _number(key: bytes, kind: str, count: int) -> str:
    """It tells a stranger neither the count nor the kind nor the process: none of them is his business."""
    return hashlib.blake2b(f"{kind}{count}".encode(), key=key, digest_size=8).hexdigest()


def _address(judged: dict[str, Any]) -> JudgedAddress:
    denial = judged.get("denial") or {}
    embedded = tuple(
        (str(inner["form"]), str(inner["address"]), str(inner["class"])) for inner in judged.get("embedded", ())
    )
    return JudgedAddress(
        address=judged["address"],
        address_class=judged["class"],
        embedded=embedded,
        granted=bool(judged.get("granted")),
        denied_by=denial.get("code"),
        detail=denial.get("detail"),
    )
