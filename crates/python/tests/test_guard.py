"""`Guard`: what is asked of it, how it is made, and what it does with what is wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pinfold
from pinfold import exchange as exchanges

Make = Callable[..., pinfold.Guard]


@pytest.fixture
def public() -> Any:
    """A port at 127.0.0.2 that accepts."""
    with socket.create_server(("127.0.0.2", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://\ud800/", "url-invalid"),
        ("http://a.example/\udfff", "url-invalid"),
        ("http://a.example\0.example/", "url-invalid"),
        ("http://a.example/" + "a" * (1 << 20), "url-too-long"),
        ("http://" + "a" * (1 << 20), "url-too-long"),
        ("", "url-invalid"),
        ("gopher://a.example/", "scheme-unsupported"),
        ("/only/a/path", "url-invalid"),
    ],
)
def test_what_is_no_url_is_a_refusal(guard: pinfold.Guard, url: str, code: str) -> None:
    decision = guard.check(url)
    assert (decision.verdict, decision.code) == ("deny", code)
    assert decision.hint
    assert decision.explain()
    with pytest.raises(pinfold.InvalidURL) as raised:
        guard.resolve(url)
    assert (raised.value.code, raised.value.status) == (code, 400)


@pytest.mark.parametrize("url", [b"http://a.example/", None, 7, ["http://a.example/"], Path("/x")])
def test_what_is_no_text_is_a_type_error(guard: pinfold.Guard, url: Any) -> None:
    with pytest.raises(TypeError, match="a URL is text"):
        guard.check(url)


def test_texts_of_other_types_are_text(guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> None:
    class Text(str):
        __slots__ = ()

    answers["a.example"] = "127.0.0.2"
    assert guard.check(Text("http://a.example/"))
    assert guard.check(pinfold.Target.parse("http://a.example/"))


@pytest.mark.parametrize(
    "who",
    [
        {"subject": "s" * (1 << 20)},
        {"labels": {"k" * (1 << 20): "v"}},
        {"labels": {str(number): "v" for number in range(1000)}},
        {"method": "M" * (1 << 20)},
    ],
)
def test_whoever_asks_with_too_much_is_refused(guard: pinfold.Guard, who: dict[str, Any]) -> None:
    decision = guard.check("http://127.0.0.2/", **who)
    assert decision.verdict == "deny"
    assert decision.code == "request-oversized"


def test_a_subject_that_is_no_unicode(guard: pinfold.Guard) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        guard.check("http://127.0.0.2/", subject="\ud800")


@pytest.mark.parametrize(
    "options",
    [
        {"grants": ["nowhere"]},
        {"grants": ["::ffff:127.0.0.1"]},
        {"grants": ["169.254.169.254"]},
        {"listeners": ["127.0.0.1"]},
        {"nat64": ["2001:db8::/95"]},
        {"nat64": ["10.0.0.0/8"]},
        {"resolver": ["name.example"]},
        {"mode": "audit"},
        {"limits": {"decision": -1}},
        {"limits": {"decision": float("nan")}},
        {"limits": {"decision": 1e300}},
        {"limits": {"answers": -1}},
        {"limits": {"answers": 1 << 200}},
        {"limits": {"nonsense": 1}},
        {"settings": {"ports": [0]}},
        {"settings": {"ports": {1}}},
        {"settings": {"ports": float("nan")}},
        {"settings": "/nowhere/settings.json"},
        {"settings": "nul\0"},
        {"policy": "/nowhere/policy.wasm"},
        {"policy": b"no component"},
        {"layers": [pinfold.Layer("No Name")]},
        {"layers": [pinfold.Layer("twice"), pinfold.Layer("twice")]},
    ],
)
def test_options_that_are_wrong(make_guard: Make, options: dict[str, Any]) -> None:
    with pytest.raises(pinfold.PolicyError) as raised:
        make_guard(**options)
    assert raised.value.hint
    assert raised.value.code
    assert str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"grants": "127.0.0.2"},
        {"grants": [2]},
        {"limits": {"decision": "1"}},
        {"settings": 7},
        {"policy": 7},
        {"resolver": "127.0.0.1"},
    ],
)
def test_options_of_a_wrong_type(make_guard: Make, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        make_guard(**options)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '{"ports": [80], "ports": [81]}', "ports"),
        ("a.json", "{", "EOF"),
        ("a.json", "[]", "no object|not an object|expected"),
        ("a.toml", "ports = ", "TOML"),
        ("a.toml", "ports = 2024-01-01", "date"),
        ("a.toml", "ports = [80]\nports = [81]", "TOML"),
    ],
)
def test_settings_files_that_are_wrong(make_guard: Make, tmp_path: Path, name: str, text: str, says: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    for use in (lambda: make_guard(settings=file), lambda: make_guard(settings=str(file))):
        with pytest.raises(pinfold.PolicyError, match=says) as raised:
            use()
        assert raised.value.hint
    file.write_bytes(b"\xff")
    with pytest.raises(pinfold.PolicyError):
        make_guard(settings=file)


@pytest.mark.parametrize(("name", "text"), [("a.json", '{"ports": [81]}'), ("a.toml", "ports = [81]")])
def test_settings_files(make_guard: Make, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    guard = make_guard(settings=tmp_path / name)
    assert guard.check("http://127.0.0.2/").code == "port-denied"
    assert guard.check("http://127.0.0.2:81/")


def test_a_swap(make_guard: Make) -> None:
    guard = make_guard(layers=[pinfold.Layer("organisation"), pinfold.Layer("team")])
    assert guard.swap(settings={"ports": [81]}, layer="team") == guard.generation == 2
    assert guard.check("http://127.0.0.2/").record["denied_by"] == "team"
    assert guard.swap(settings={"schemes": ["https"]}) == 3
    refused = guard.check("http://127.0.0.2:81/")
    assert (refused.code, refused.record["denied_by"]) == ("scheme-denied", "organisation")
    for bad in (
        lambda: guard.swap(layer="nobody"),
        lambda: guard.swap(settings={"ports": [0]}),
        lambda: guard.swap_layers([]),
    ):
        with pytest.raises(pinfold.PolicyError) as raised:
            bad()
        assert raised.value.hint
    assert guard.generation == 3
    assert guard.swap_layers([pinfold.Layer("one")]) == 4
    assert [policy["layer"] for policy in guard.policies] == ["one"]
    assert guard.check("http://127.0.0.2/")


def test_a_request_stays_under_one_generation(guard: pinfold.Guard) -> None:
    exchange = guard.exchange()
    assert exchange.check("http://127.0.0.2/")
    guard.swap(settings={"ports": [81]})
    assert exchange.check("/again", redirect=True).generation == 1
    assert guard.check("http://127.0.0.2/").code == "port-denied"


def test_a_listener_that_fails_changes_nothing(guard: pinfold.Guard, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[pinfold.Decision] = []

    def fails(decision: pinfold.Decision) -> None:
        raise ValueError(decision.correlation_id)

    guard.on_decision(fails)
    guard.on_decision(heard.append)
    decision = guard.check("http://127.0.0.2/")
    assert decision.allowed
    assert [one.correlation_id for one in heard] == [decision.correlation_id]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert decision.correlation_id in record.getMessage()


def test_a_listener_that_asks_is_told_so(guard: pinfold.Guard, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[object] = []

    def asks(decision: pinfold.Decision) -> None:
        asked.append(decision)
        guard.check("http://127.0.0.2/")

    guard.on_decision(asks)
    assert guard.check("http://127.0.0.2/")
    assert "must not ask a guard" in caplog.text
    assert len(asked) == 1


NO_URLS = ["gopher://127.0.0.1:6379/_SET", "http://127.0.0.1\\@api.example/", "nope", "http://u:secret@[::1/", "\ud800"]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_is_told_once(guard: pinfold.Guard, caplog: pytest.LogCaptureFixture, url: str) -> None:
    """These are what an operator wants to hear of first."""
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    caplog.set_level(logging.INFO, "pinfold.decision")

    def refused(work: Callable[[], object]) -> pinfold.PinfoldError:
        with pytest.raises(pinfold.Denied) as raised:
            work()
        return raised.value

    checked = guard.check(url)
    first = refused(lambda: guard.resolve(url))
    second = refused(lambda: asyncio.run(guard.aresolve(url)))
    third = refused(lambda: guard.exchange(subject="who").pin(url, "POST"))
    ids = [checked.correlation_id, *(error.correlation_id for error in (first, second, third))]
    assert [decision.correlation_id for decision in heard] == ids
    assert len(set(ids)) == 4
    assert {(decision.verdict, decision.code, decision.target) for decision in heard} == {
        ("deny", first.code, "(no URL)")
    }
    assert (heard[3].subject, heard[3].method) == ("who", "POST")
    logged = [record.getMessage() for record in caplog.records]
    assert [id_ for id_, line in zip(ids, logged, strict=True) if id_ in line] == ids
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "secret" not in caplog.text + "".join(json.dumps(decision.record) for decision in heard)


def test_what_an_adapter_refuses_is_told_once(guard: pinfold.Guard) -> None:
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    target = pinfold.Target.parse("http://127.0.0.2/")
    error = pinfold.InvalidURL("refused", stage="parse", code="url-ambiguous", detail="two", correlation_id="none yet")
    assert exchanges.refused(guard, error, target=target, subject="who") is error
    assert guard.exchange().refused(error) is error
    (decision,) = heard
    assert error.decision is decision
    assert error.correlation_id == decision.correlation_id != "none yet"
    assert (decision.code, decision.target, decision.subject) == ("url-ambiguous", "http://127.0.0.2:80", "who")
    # What is no refusal is none.
    exchanges.refused(guard, pinfold.PolicyError("no"))
    assert len(heard) == 1


def test_a_listener_that_asks_what_is_no_url_is_not_told_again(guard: pinfold.Guard) -> None:
    asked: list[str | None] = []

    def asks(decision: pinfold.Decision) -> None:
        asked.append(decision.code)
        guard.check("nope")

    guard.on_decision(asks)
    guard.check("nope")
    guard.check("http://127.0.0.2/")
    assert len(asked) == 2


def test_a_url_for_a_host(guard: pinfold.Guard) -> None:
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    for work in (
        lambda: guard.connect("http://127.0.0.2", 80),
        lambda: asyncio.run(guard.aconnect("http://127.0.0.2", 80)),
    ):
        with pytest.raises(pinfold.InvalidURL) as raised:
            work()
        assert "`resolve`" in str(raised.value.hint)
        assert raised.value.__notes__ == [f"hint: {raised.value.hint}"]
    assert len(heard) == 2


def test_a_report_is_seen(make_guard: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever turns it on looks at the log of a week, as it is by default."""
    guard = make_guard(mode="report", settings={"ports": [81]})
    assert guard.check("http://127.0.0.2:81/")
    assert guard.check("http://127.0.0.2/")
    enforcing = make_guard(settings={"ports": [81]})
    assert enforcing.exchange(mode="report").check("http://127.0.0.2/")
    lines = [(record.levelno, record.getMessage()) for record in caplog.records if record.levelno > logging.DEBUG]
    assert [level for level, _ in lines] == [logging.WARNING] * 2
    for _, line in lines:
        assert line.startswith("allowed http://127.0.0.2:80, would be denied by `port-denied` [")


def test_a_line_of_the_log_says_what_one_searches_for(
    guard: pinfold.Guard, answers: pinfold.FixedAnswers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pinfold.decision")
    answers["in.example.com"] = ["10.0.0.7", "fd00::1"]
    decision = guard.check("http://in.example.com/", subject="webhooks/a\ncme")
    guard.check("http://nowhere.example.com/")
    denied, failed = caplog.records
    assert denied.getMessage() == (
        "denied http://in.example.com:80 at stage `resolve` by `address-not-public` "
        f"[{decision.correlation_id}] 10.0.0.7 private; fd00::1 unique-local, subject webhooks/a\\u{{a}}cme"
    )
    assert (denied.levelno, failed.levelno) == (logging.WARNING, logging.INFO)


def test_a_table_in_the_words_of_settings(make_guard: Make) -> None:
    with pytest.raises(pinfold.PolicyError) as raised:
        make_guard(settings={"partners": ["api.example.com"]})
    assert str(raised.value.hint).startswith("`partners` is an argument of `pinfold.Settings`; ")


@pytest.mark.parametrize("wrong", [{"budget": 5}, {"on_decision": 5}, {"layers": ["x"]}])
def test_arguments_of_the_wrong_kind(make_guard: Make, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(wrong))):
        make_guard(**wrong)


def test_decisions_are_told_in_order_and_once(guard: pinfold.Guard, answers: pinfold.FixedAnswers, public: int) -> None:
    answers["a.example"] = "127.0.0.2"
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    exchange = guard.exchange()
    exchange.pin(f"http://a.example:{public}/")  # Dropped: it leaves its record all the same.
    assert [(decision.verdict, decision.peer) for decision in heard] == [("allow", None)]
    pin = exchange.pin(f"http://a.example:{public}/")
    opened = exchange.open(pin)
    again = exchange.pin(f"http://a.example:{public}/")
    assert again.accepts(opened.link)
    again.reuse(opened.link)
    exchange.check("http://b.example/", redirect=True)
    opened.close()
    assert [(decision.hop, decision.reused, decision.code) for decision in heard[1:]] == [
        (0, False, None),
        (0, True, None),
        (1, False, "resolve-no-answer"),
    ]
    assert heard[1].peer == f"127.0.0.2:{public}"
    assert len({decision.correlation_id for decision in heard}) == 4


def test_a_pin_that_is_dropped_in_an_exception(guard: pinfold.Guard) -> None:
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    with pytest.raises(ValueError, match="positive"):
        guard.exchange().pin("http://127.0.0.2/").connect(-1)
    assert [decision.verdict for decision in heard] == ["allow"]


def test_a_pin_is_spent_once(guard: pinfold.Guard, answers: pinfold.FixedAnswers, public: int) -> None:
    answers["a.example"] = "127.0.0.2"
    exchange = guard.exchange()
    pin = exchange.pin(f"http://a.example:{public}/")
    with exchange.open(pin) as opened:
        for again in (pin.connect, pin.hand_over, lambda: pin.reuse(opened.link)):
            with pytest.raises(RuntimeError, match="spent"):
                again()


def test_a_connection_for_something_else(make_guard: Make, answers: pinfold.FixedAnswers, public: int) -> None:
    answers["a.example"] = answers["b.example"] = "127.0.0.2"
    guard, other = make_guard(), make_guard()
    with guard.connect("a.example", public, scheme="http") as opened:
        elsewhere = [
            other.exchange().pin(f"http://a.example:{public}/"),
            guard.exchange().pin(f"http://b.example:{public}/"),
            guard.exchange().pin(f"https://a.example:{public}/"),
        ]
        same = guard.exchange().pin(f"http://a.example:{public}/")
        assert same.accepts(opened.link)
        guard.swap()
        elsewhere.append(guard.exchange().pin(f"http://a.example:{public}/"))
        for pin in elsewhere:
            assert not pin.accepts(opened.link)
            with pytest.raises(RuntimeError, match="something else"):
                pin.reuse(opened.link)
            # It is not spent by that.
            assert pin.hand_over().verdict == "allow"


def test_a_swap_that_refuses_an_open_connection(guard: pinfold.Guard, public: int) -> None:
    with guard.connect("127.0.0.2", public, scheme="http") as opened:
        opened.confirm()
        guard.swap(settings={"schemes": ["http", "https"]})
        opened.confirm()
        guard.swap(settings={"schemes": ["https"]})
        with opened.dup() as copy, pytest.raises(pinfold.Denied) as raised:
            copy.confirm()
        assert raised.value.code == "scheme-denied"


def test_a_connection_is_one(guard: pinfold.Guard, public: int) -> None:
    with guard.connect("127.0.0.2", public) as opened:
        assert opened.getpeername() == ("127.0.0.2", public)
        assert opened.getblocking()
        assert opened.decision.peer == f"127.0.0.2:{public}"
    with pytest.raises(pinfold.Denied) as raised:
        guard.connect("127.0.0.3", public)
    assert "127.0.0.3" not in str(raised.value)
    assert raised.value.decision is not None
    assert raised.value.correlation_id == raised.value.decision.correlation_id
    with pytest.raises(pinfold.Denied) as raised:
        guard.connect("fe80::1%eth0", 80)
    assert raised.value.code == "address-scoped"


def test_what_was_handed_over_is_remembered(make_guard: Make, public: int, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, other = make_guard(), make_guard()
    assert not exchanges.approved("127.0.0.2", public)
    resolved = guard.resolve(f"http://127.0.0.2:{public}/")
    assert resolved.addresses == (("127.0.0.2", public),)
    assert exchanges.approved("127.0.0.2", public)
    assert exchanges.approved("127.0.0.2", public, guard)
    assert not exchanges.approved("127.0.0.2", public, other)
    assert not exchanges.approved("127.0.0.2", public + 1)
    for port in range(1, 5000):
        exchanges._APPROVED.add([("192.0.2.1", port)], guard)
    assert not exchanges.approved("127.0.0.2", public)
    assert len(exchanges._APPROVED._until) == 2 * exchanges._APPROVED.MOST
    monkeypatch.setattr(exchanges._APPROVED, "LIFE", -1.0)
    guard.resolve(f"http://127.0.0.2:{public}/")
    assert not exchanges.approved("127.0.0.2", public)
    exchanges._APPROVED.renew()


def test_a_redirect_is_read_as_the_server_wrote_it(guard: pinfold.Guard) -> None:
    for location, code in [
        ("/b", None),
        ("//127.0.0.3/", "address-floor"),
        ("\\\\127.0.0.3/", "url-backslash"),
        ("http://[", "redirect-invalid"),
        ("http://u:p@127.0.0.2/", "userinfo-denied"),
        ("file:///etc/passwd", "scheme-unsupported"),
    ]:
        exchange = guard.exchange()
        assert exchange.check("http://127.0.0.2/a")
        assert exchange.check(location, redirect=True).code == code, location


def test_whether_a_library_means_the_same_place() -> None:
    target = pinfold.Target.parse("http://A.example.:80/x")
    assert target.goes_to("http", "a.example", 80)
    for other in [
        ("https", "a.example", 80),
        ("http", "b.example", 80),
        ("http", "a.example", 81),
        ("http", "a.example", 65616),
        ("http", "a.example", -1),
        ("http", "a.example\udc80", 80),
        ("http", "a.example/", 80),
        ("", "a.example", 80),
        ("http", "", 80),
    ]:
        assert not target.goes_to(*other), other
    assert pinfold.Target.parse("http://[::1]/").goes_to("http", "::1", 80)
    assert pinfold.Target.parse("http://[::1]/").goes_to("http", "[::1]", 80)


def test_the_sixth_redirect_is_refused(guard: pinfold.Guard) -> None:
    exchange = guard.exchange()
    assert exchange.check("http://127.0.0.2/")
    assert all(exchange.check("/", redirect=True) for _ in range(5))
    assert exchange.check("/", redirect=True).code == "redirect-too-many"


def test_answers_that_a_program_writes_down() -> None:
    answers = pinfold.FixedAnswers({"a.example": "192.0.2.1", "b.example": ["192.0.2.2", "2001:db8::1"]})
    assert "A.example." in answers
    assert len(answers) == 2
    del answers["a.example"]
    assert "a.example" not in answers
    for name, address in [("a.example", "no address"), ("not a name", "192.0.2.1")]:
        with pytest.raises(ValueError, match=r"."):
            answers[name] = address
    answers.clear()
    assert len(answers) == 0


def test_the_default_guard(guard: pinfold.Guard) -> None:
    pinfold.set_default_guard(guard)
    try:
        assert pinfold.default_guard() is guard
    finally:
        pinfold.set_default_guard(None)
    made: list[pinfold.Guard] = []
    threads = [threading.Thread(target=lambda: made.append(pinfold.default_guard())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in made}) == 1
    assert made[0].check("http://127.0.0.1/").code == "address-floor"
    pinfold.set_default_guard(None)
