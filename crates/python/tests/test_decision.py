"""Decisions and exceptions as objects: what they say, that they can be stored, and that they tell a client nothing."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import pinfold
from pinfold import errors

Make = Callable[..., pinfold.Guard]


@pytest.fixture
def decisions(guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> list[pinfold.Decision]:
    """One of each verdict, and one of what is no URL."""
    answers["a.example"] = "127.0.0.2"
    answers["mixed.example"] = ["127.0.0.2", "10.0.0.1", "64:ff9b::7f00:1"]
    urls = (
        "http://u.example/",
        "http://a.example/x?y",
        "http://mixed.example/",
        "http://u:secret@a.example/",
        "no url",
    )
    return [guard.check(url, subject="tenant", method="POST") for url in urls]


def test_what_they_say(decisions: list[pinfold.Decision]) -> None:
    assert [decision.verdict for decision in decisions] == ["failed", "allow", "deny", "deny", "deny"]
    failed, allowed, mixed, userinfo, no_url = decisions
    assert bool(allowed)
    assert not mixed
    assert not failed
    assert (allowed.method, allowed.subject, allowed.hop, allowed.peer, allowed.reused) == (
        "POST",
        "tenant",
        0,
        None,
        False,
    )
    assert allowed.policy["name"] == "egress"
    assert allowed.generation == 1
    assert no_url.generation == 0
    # One that is refused refuses all.
    assert [address.allowed for address in mixed.addresses] == [False, False, False]
    assert "64:ff9b::7f00:1" in str(mixed.addresses[2])
    assert mixed.addresses[2].embedded
    assert userinfo.code == "userinfo-denied"
    numbers = {decision.correlation_id for decision in decisions}
    assert len(numbers) == 5
    # A stranger who is told them learns neither how many there were nor what became of each.
    assert all(re.fullmatch("[0-9a-f]{16}", number) for number in numbers)


def test_path_query_and_credentials_are_not_in_the_record(decisions: list[pinfold.Decision]) -> None:
    for decision in decisions:
        for text in (str(decision), repr(decision), json.dumps(decision.record), decision.explain()):
            assert "secret" not in text
    assert "x?y" not in str(decisions[1]) + json.dumps(decisions[1].record)
    assert decisions[1].explain().startswith("http://a.example/x?y\n")
    assert decisions[3].explain().startswith("http://***@a.example/\n")


def test_an_explanation(decisions: list[pinfold.Decision]) -> None:
    assert decisions[1].explain() == "\n".join(
        [
            "http://a.example/x?y",
            "  parse    http, a.example, port 80",
            "  target   allowed by policy `egress`",
            "  resolve  1 address",
            "  address  127.0.0.2  loopback, granted  allowed",
            "  verdict  allowed",
        ]
    )


def test_an_explanation_of_layers_and_of_a_report(make_guard: Make) -> None:
    layers = [pinfold.Layer("organisation"), pinfold.Layer("team", settings={"ports": [81]})]
    refused = make_guard(layers=layers).check("http://127.0.0.2/").explain()
    assert "  policy   denied by layer `team`, policy `egress`\n" in refused
    reported = make_guard(layers=layers, mode="report").check("http://127.0.0.2/")
    assert reported
    assert reported.would_deny == "port-denied"
    assert "  report   would be denied by `port-denied`\n" in reported.explain()


def test_an_explanation_moves_no_cursor(guard: pinfold.Guard) -> None:
    text = guard.check("http://a.example/\x1b[2J\r\n\u202eevil").explain()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\\u{1b}[2J\\u{d}\\u{a}\\u{202e}evil" in text


def test_decisions_are_copied_and_stored(decisions: list[pinfold.Decision]) -> None:
    for decision in decisions:
        for again in (copy.copy(decision), copy.deepcopy(decision), pickle.loads(pickle.dumps(decision))):
            for name in ("verdict", "code", "stage", "detail", "hint", "correlation_id", "target", "addresses", "url"):
                assert getattr(again, name) == getattr(decision, name), name
            assert again.explain() == decision.explain()
            assert bool(again) == bool(decision)


ERRORS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.PinfoldError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_exceptions_are_copied_and_stored(kind: type[errors.PinfoldError], guard: pinfold.Guard) -> None:
    decision = guard.check("http://10.0.0.1/")
    more: dict[str, Any] = {"problems": [("/ports", "no")]} if kind is errors.PolicyError else {}
    error = kind(
        "text", stage="s", code="c", detail="10.0.0.1", hint="h", decision=decision, correlation_id="i", **more
    )
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert str(again) == "text"
        assert (again.stage, again.code, again.detail, again.hint) == ("s", "c", "10.0.0.1", "h")
        assert again.correlation_id == "i"
        assert again.decision is not None
        assert again.decision.correlation_id == decision.correlation_id
        assert getattr(again, "problems", None) == getattr(error, "problems", None)
        assert again.__notes__ == ["hint: h"]


def test_exceptions_tell_a_client_no_address(guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> None:
    answers["inside.example"] = "10.1.2.3"
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    with pytest.raises(pinfold.Denied) as raised:
        guard.resolve("http://inside.example/")
    assert "10.1.2.3" not in str(raised.value) + repr(raised.value) + "".join(raised.value.__notes__)
    assert "10.1.2.3" in raised.value.detail
    assert raised.value.status == 403
    # The number that a client is told is that of the log.
    assert raised.value.correlation_id == heard[0].correlation_id
    with pytest.raises(pinfold.NetworkError) as failed:
        guard.resolve("http://nowhere.example/")
    assert isinstance(failed.value, ConnectionError)
    assert (failed.value.status, failed.value.code) == (502, "resolve-no-answer")


def test_codes() -> None:
    codes = {code.code: code for code in pinfold.codes()}
    assert codes["address-floor"].stage
    assert all(code.summary and code.hint for code in codes.values())
