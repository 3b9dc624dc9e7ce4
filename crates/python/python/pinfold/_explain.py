"""The way of a request, stage by stage: the lines of `pinfold check`."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from pinfold import _native, errors

if TYPE_CHECKING:
    from pinfold.decision import Decision, JudgedAddress

# The floor refuses a literal before the policy is asked.
_FLOOR = {"address-floor", "address-metadata", "address-own"}
# Marks that turn the direction of the text around them.
_TURNS = {0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)}


def lines(decision: Decision) -> list[str]:
    """What `Decision.explain` shows."""
    url = decision.url or decision.target
    # Without a record there was no target: what is left of the URL without its credentials may be one.
    target = _parsed(url) if decision.policy else None
    shown = [url]
    if target is not None:
        shown.append(_row("parse", _parse(target)))
        shown += _stages(decision, target)
    shown += [_row("address", line) for line in _addresses(decision.addresses)]
    if decision.policy and decision.layers and decision.record.get("denied_by"):
        shown.append(_row("policy", f"denied by layer `{decision.record['denied_by']}`, policy `{_name(decision)}`"))
    if decision.would_deny:
        shown.append(_row("report", f"would be denied by `{decision.would_deny}`"))
    shown.append(_row("verdict", _verdict(decision)))
    if decision.hint:
        shown += ["", f"hint: {decision.hint}"]
    return [printable(line) for line in shown]


def redacted(url: str) -> str:
    """A URL without its credentials, also when it does not parse."""
    scheme, colon, rest = url.partition(":")
    if not colon or re.search(r"[/\\?#@]", scheme):
        rest = url
    rest = rest.lstrip("/\\")
    start = len(url) - len(rest)
    end = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rfind("@")
    return f"{url[:start]}***{rest[end:]}" if end > 0 else url


def printable(text: str) -> str:
    """Escapes what would move the cursor of whoever reads it."""
    return "".join(f"\\u{{{ord(char):x}}}" if _is_harmful(char) else char for char in text)


def _is_harmful(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or ord(char) in _TURNS


def _parsed(url: str) -> _native.Target | None:
    try:
        return _native.Target.parse(url)
    except errors.PinfoldError:
        return None


def _parse(target: _native.Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    userinfo = ", user information dropped" if target.has_userinfo else ""
    literal = ", literal not canonical" if target.has_unusual_literal else ""
    return f"{target.scheme}, {host}, port {target.port}{userinfo}{literal}"


def _stages(decision: Decision, target: _native.Target) -> list[str]:
    if not _passed_target(decision):
        return []
    names = ", ".join(f"`{layer['layer']}`" for layer in decision.layers)
    rows = [_row("target", f"allowed by {f'layers {names}' if names else f'policy `{_name(decision)}`'}")]
    if not target.is_literal:
        rows.append(_row("resolve", _resolved(decision)))
    return rows


def _passed_target(decision: Decision) -> bool:
    """Whether stage one allowed: everything that comes later says so."""
    if decision.code is None or decision.stage in ("resolve", "connect"):
        return True
    return decision.code not in _FLOOR if decision.stage == "address" else bool(decision.addresses)


def _resolved(decision: Decision) -> str:
    count = len(decision.addresses)
    through = f" through {', '.join(decision.aliases)}" if decision.aliases else ""
    return f"{count} {'address' if count == 1 else 'addresses'}{through}"


def _addresses(addresses: tuple[JudgedAddress, ...]) -> list[str]:
    cells = [(judged, judged.address, judged.kind) for judged in addresses]
    first = max((len(address) for _, address, _ in cells), default=0)
    second = max((len(kind) for _, _, kind in cells), default=0)
    return [f"{address:{first}}  {kind:{second}}  {judged.verdict}" for judged, address, kind in cells]


def _verdict(decision: Decision) -> str:
    if decision.code is None:
        return "allowed"
    denial: dict[str, Any] = {"stage": decision.stage, "code": decision.code, "detail": decision.detail}
    # What is wrong with an address stands beside it already.
    is_shown = any(judged.get("denial") == denial for judged in decision.record.get("addresses", ()))
    return f"denied at stage `{decision.stage}` {rule(decision.code, None if is_shown else decision.detail)}"


def rule(code: str, detail: str | None) -> str:
    """The rule that refused, and what exactly it refused."""
    detail = (detail or "").rstrip(".")
    return f"by `{code}`: {detail}" if detail else f"by `{code}`"


def _name(decision: Decision) -> str:
    return str(decision.policy.get("name", ""))


def _row(label: str, value: str) -> str:
    return f"  {label:7}  {value}"
