"""The vectors of the repository, judged by the command line and by Python: the same, case by case."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pinfold
from pinfold.exchange import Exchange

ROOT = Path(__file__).parents[3]
VECTORS = {name: ROOT / "tests" / "vectors" / f"{name}.jsonl" for name in ("corpus", "more")}
COMMAND = Path(os.environ.get("PINFOLD_CLI", ROOT / "target" / "debug" / "pinfold"))

Case = dict[str, Any]


@pytest.fixture(autouse=True)
def command() -> None:
    """Without it nothing is compared, and nothing may look as if it were."""
    if not COMMAND.exists():
        pytest.fail(f"no command line at {COMMAND}: `cargo build -p pinfold-cli`, or name one in `PINFOLD_CLI`")


class Judged(NamedTuple):
    """What both sides say of a case."""

    verdict: str
    stage: str | None
    code: str | None
    addresses: list[Any]


@pytest.mark.parametrize("name", VECTORS)
def test_every_case_is_judged_as_by_the_command_line(name: str, make_guard: Callable[..., pinfold.Guard]) -> None:
    cases = [json.loads(line) for line in VECTORS[name].read_text().splitlines()]
    answers = pinfold.FixedAnswers()
    guard = make_guard(resolver=answers, grants=[])
    theirs = _by_command(VECTORS[name])
    ours = [_Walk(guard, answers, case).judge() for case in cases]
    assert len(theirs) == len(ours) == len(cases)
    different = {
        case["id"]: (left, right) for case, left, right in zip(cases, theirs, ours, strict=True) if left != right
    }
    assert different == {}
    sys.stdout.write(f"{name}: {len(cases)} cases, all the same\n")
    # It would be the same for both if neither judged.
    assert len(cases) > 300
    assert {judged.verdict for judged in ours} == {"allow", "deny", "invalid"}
    assert len({judged.code for judged in ours}) >= 20


@pytest.mark.parametrize("name", VECTORS)
def test_every_explanation_is_that_of_the_command_line(name: str, make_guard: Callable[..., pinfold.Guard]) -> None:
    """Names are not looked up here (literals, and names that do not exist), and the hint has words of its own."""
    guard = make_guard(resolver=pinfold.FixedAnswers(), grants=[])
    cases = [json.loads(line) for line in VECTORS[name].read_text().splitlines()]
    urls = {url for case in cases if (url := case.get("url")) and _is_argument(url) and _is_without_lookup(guard, url)}
    shown = _explained_by_command(sorted(urls))
    assert len(shown) == len(urls) > 100
    for url, theirs in zip(sorted(urls), shown, strict=True):
        assert _without_hint(guard.check(url).explain()) == _without_hint(theirs), url


def test_a_name_is_explained_as_by_the_command_line(make_guard: Callable[..., pinfold.Guard]) -> None:
    rules = {"a.example": ["93.184.216.34"], "b.example": ["93.184.216.34", "10.0.0.1", "64:ff9b::7f00:1"]}
    guard = make_guard(resolver=pinfold.FixedAnswers(rules), grants=[])
    flags = [f"--resolve={name}={','.join(addresses)}" for name, addresses in rules.items()]
    for url in ("https://u:p@a.example/x?y", "http://a.example:8080/", "http://b.example/", "http://b.example./"):
        (theirs,) = _explained_by_command([url], *flags)
        assert _without_hint(guard.check(url).explain()) == _without_hint(theirs)


class _Walk:
    """A case, hop by hop, as `crates/cli/src/vectors` reads it."""

    def __init__(self, guard: pinfold.Guard, answers: pinfold.FixedAnswers, case: Case) -> None:
        self._exchange: Exchange = guard.exchange(subject=case.get("subject"), labels=case.get("labels"))
        self._answers = answers
        self._case = case
        self._hosts: list[str | None] = []
        self._target: pinfold.Target | None = None

    def judge(self) -> Judged:
        if "%" in self._case.get("ip", ""):
            return _scoped(self._case["ip"])
        for hop, url in enumerate(self._urls()):
            target = self._read(url, hop)
            self._hosts.append(target and target.host)
            self._answer(target, hop)
            decision = self._exchange.check(url, self._case.get("method", "GET"), redirect=hop > 0)
            if not decision:
                return _judged(decision, hop)
            self._target = target
        return _judged(decision, 0)

    def _urls(self) -> Iterator[str]:
        yield self._case["url"] if "url" in self._case else _literal(self._case["ip"])
        locations = self._case.get("redirects_to", [])
        yield from [locations] if isinstance(locations, str) else locations

    def _read(self, url: str, hop: int) -> pinfold.Target | None:
        try:
            return self._target.join(url) if hop and self._target else pinfold.Target.parse(url)
        except pinfold.Denied:
            return None

    def _answer(self, target: pinfold.Target | None, hop: int) -> None:
        self._answers.clear()
        if target is not None and not target.is_literal:
            addresses, aliases = self._answers_of(hop)
            self._answers.set(target.host, addresses, aliases)

    def _answers_of(self, hop: int) -> tuple[list[str], list[str]]:
        first, aliases = self._case.get("resolves_to", []), self._case.get("cname", [])
        if hop == 0:
            return first, aliases
        redirected = self._case.get("redirect_resolves_to")
        if redirected and isinstance(redirected[0], str):
            redirected = [redirected]
        if redirected and hop <= len(redirected):
            return redirected[hop - 1], []
        before = self._hosts[:-1].count(self._hosts[-1])
        if before == 0:
            return [], []
        later = self._case.get("then_resolves_to", [])
        return ((later[min(before, len(later)) - 1]) if later else first), aliases


def _literal(ip: str) -> str:
    try:
        parsed = ipaddress.ip_address(ip)
    except ValueError:
        return f"http://[{ip}]/" if ":" in ip else f"http://{ip}/"
    return f"http://[{parsed}]/" if parsed.version == 6 else f"http://{parsed}/"


def _scoped(ip: str) -> Judged:
    """An address with a zone: no URL can be written for it, but a program can ask for it."""
    with pytest.raises(pinfold.Denied) as raised:
        pinfold.Target.of("http", ip, 80)
    return Judged("deny", raised.value.stage, raised.value.code, [])


def _judged(decision: pinfold.Decision, hop: int) -> Judged:
    """What a later hop is refused for is, for the command line, a refused redirect."""
    verdict = "allow" if decision else "invalid" if decision.code == "url-invalid" else "deny"
    stage = "redirect" if hop and decision.stage else decision.stage
    return Judged(verdict, stage, decision.code, [_address(judged) for judged in decision.addresses])


def _address(judged: pinfold.JudgedAddress) -> dict[str, Any]:
    """As the command line writes one."""
    verdict = "allow" if judged.allowed else "deny"
    return {"address": judged.address, "class": judged.address_class, "verdict": verdict, "code": judged.denied_by}


def _by_command(vectors: Path) -> list[Judged]:
    done = subprocess.run([COMMAND, "check", "--batch", vectors], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [Judged(row["verdict"], row["stage"], row["code"], row["addresses"]) for row in rows]


def _explained_by_command(urls: list[str], *options: str) -> list[str]:
    """One run for all: explanations are apart by an empty line, and so are hints."""
    options = (*options, "--dns=127.0.0.1:9")
    done = subprocess.run([COMMAND, "check", *options, "--", *urls], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    parts = done.stdout.rstrip("\n").split("\n\n")
    return [part for part in parts if not part.startswith("hint: ")]


def _without_hint(text: str) -> str:
    return text.split("\n\nhint: ")[0].rstrip("\n")


def _is_argument(url: str) -> bool:
    return bool(url) and "\0" not in url


def _is_without_lookup(guard: pinfold.Guard, url: str) -> bool:
    return guard.check(url).stage != "resolve"
