"""Settings in the words of a service: each does what it says, and contradictions are refused."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import pytest

import pinfold
import pinfold.settings
from pinfold import Budget, Settings

Make = Callable[..., pinfold.Guard]

NAMES = {
    "api.example.com": "93.184.216.34",
    "www.example.net": "93.184.216.34",
    "example.net": "93.184.216.34",
    "other.example.org": "93.184.216.34",
    "trusted.example.org": "10.20.0.9",
    "inside.example.org": "10.0.0.9",
    "billing.internal": "10.0.0.7",
    "wiki.corp.internal": "10.0.0.8",
    "metadata.google.internal": "169.254.169.254",
}


@pytest.fixture
def judge(make_guard: Make) -> Callable[..., str]:
    """Makes a guard from settings, and says what becomes of a URL: `allow`, or the code."""

    def judged(settings: Settings, url: str, **who: Any) -> str:
        guard = make_guard(settings=settings, resolver=pinfold.FixedAnswers(NAMES), grants=[])
        return guard.check(url, **who).code or "allow"

    return judged


def test_the_examples_run() -> None:
    assert doctest.testmod(pinfold.settings).attempted >= 4
    assert doctest.testmod(pinfold.settings).failed == 0


INTERNAL = Settings(
    internal_names={"*.internal": ["discovery"], "*.corp.internal": ["discovery", "wiki/*"]},
    internal_networks=["10.0.0.0/8"],
)


@pytest.mark.parametrize(
    ("settings", "url", "expected"),
    [
        (Settings(), "http://api.example.com/", "allow"),
        (Settings(), "http://trusted.example.org/", "address-not-public"),
        (Settings(trusted_networks=["10.20.0.0/16"]), "http://trusted.example.org/", "allow"),
        (Settings(trusted_networks=["10.20.0.0/16"]), "http://10.20.0.9/", "allow"),
        (Settings(trusted_networks=["10.20.0.0/16"]), "http://inside.example.org/", "address-not-public"),
        (Settings(partners=["api.example.com"]), "http://api.example.com/", "allow"),
        (Settings(partners=["api.example.com"]), "http://other.example.org/", "host-not-allowed"),
        (Settings(partners=["*.example.net"]), "http://www.example.net/", "allow"),
        (Settings(partners=["*.example.net"]), "http://example.net/", "host-not-allowed"),
        (Settings(partners=["**.example.net"]), "http://example.net/", "allow"),
        (Settings(partners=["api.example.com:8443"]), "http://api.example.com/", "host-not-allowed"),
        (Settings(partners=["api.example.com:8443"]), "https://api.example.com:8443/", "allow"),
        (Settings(denied_hosts=["other.example.org"]), "http://other.example.org/", "host-denied"),
        (Settings(denied_hosts=["other.example.org"]), "http://api.example.com/", "allow"),
        (Settings(ports=[443, "8000-8999"]), "http://api.example.com/", "port-denied"),
        (Settings(ports=[443, "8000-8999"]), "http://api.example.com:8080/", "allow"),
        (Settings(https_only=True), "http://api.example.com/", "scheme-denied"),
        (Settings(https_only=True), "https://api.example.com/", "allow"),
        (Settings(more={"literals": "normalise"}), "http://134744072/", "allow"),
        (
            Settings(more={"hosts": {"deny": ["other.example.org"]}}, partners=["**.example.org"]),
            "http://other.example.org/",
            "host-denied",
        ),
    ],
)
def test_everybody(judge: Callable[..., str], settings: Settings, url: str, expected: str) -> None:
    assert judge(settings, url) == expected


@pytest.mark.parametrize(
    ("subject", "url", "expected"),
    [
        ("discovery", "http://billing.internal/", "allow"),
        ("discovery", "http://wiki.corp.internal/", "allow"),
        ("wiki/7", "http://wiki.corp.internal/", "allow"),
        ("wiki/7", "http://billing.internal/", "name-special-use"),
        ("webhooks", "http://billing.internal/", "name-special-use"),
        (None, "http://billing.internal/", "name-special-use"),
        # Neither by a name of somebody else's that leads there, nor by number.
        ("discovery", "http://inside.example.org/", "host-not-allowed"),
        ("discovery", "http://10.0.0.7/", "literal-denied"),
        ("discovery", "http://metadata.google.internal/", "name-metadata"),
        ("webhooks", "http://inside.example.org/", "address-not-public"),
        ("webhooks", "http://api.example.com/", "allow"),
        (None, "http://api.example.com/", "allow"),
    ],
)
def test_internal_names_are_for_named_subjects(
    judge: Callable[..., str], subject: str | None, url: str, expected: str
) -> None:
    assert judge(INTERNAL, url, subject=subject) == expected


def test_partners_are_for_the_subjects_of_internal_names_too(judge: Callable[..., str]) -> None:
    settings = Settings(
        partners=["api.example.com"], internal_names={"*.internal": ["discovery"]}, internal_networks=["10.0.0.0/8"]
    )
    assert judge(settings, "http://api.example.com/", subject="discovery") == "allow"
    assert judge(settings, "http://billing.internal/", subject="discovery") == "allow"
    assert judge(settings, "http://billing.internal/", subject="other") != "allow"
    assert judge(settings, "http://other.example.org/", subject="discovery") == "host-not-allowed"


def test_the_internal_names_of_a_guide(judge: Callable[..., str]) -> None:
    """Internal services behind a trusted network, without a network of their own."""
    settings = Settings(trusted_networks=["10.0.0.0/8"], internal_names={"*.internal": ["discovery"]})
    assert judge(settings, "http://billing.internal/", subject="discovery") == "allow"
    assert judge(settings, "http://billing.internal/", subject="other") == "name-special-use"
    assert judge(settings, "http://inside.example.org/", subject="other") == "allow"


def test_bounds_are_those_of_each_fetch(make_guard: Make) -> None:
    settings = Settings(timeout=(3, 7.5), total_timeout=20, max_bytes=1000, max_decoded_bytes=2000, redirects=0)
    guard = make_guard(settings=settings)
    expected = Budget(connect=3, read=7.5, total=20, response_bytes=1000, decoded_bytes=2000, redirects=0)
    assert guard.budget == settings.budget() == expected
    assert guard.exchange().spending.budget == expected
    assert Settings(timeout=4).budget() == Budget(connect=4, read=4)
    assert Settings(timeout=(None, 4)).budget() == Budget(read=4)
    assert Settings(timeout=[3, 4]).budget() == Budget(connect=3, read=4)
    guard.swap(settings=Settings(redirects=2))
    assert guard.budget == Budget(redirects=2)
    own = make_guard(settings=settings, budget=Budget(total=1))
    own.swap(settings=Settings(redirects=2))
    assert own.budget == Budget(total=1)


def test_a_list_that_adds_may_be_empty(judge: Callable[..., str]) -> None:
    settings = Settings(trusted_networks=[], denied_hosts=[], internal_names={})
    assert judge(settings, "http://api.example.com/") == "allow"
    assert judge(settings, "http://trusted.example.org/") == "address-not-public"


def test_who_is_none_of_the_subjects(judge: Callable[..., str]) -> None:
    settings = Settings(internal_names={"*.internal": ["*"]}, internal_networks=["10.0.0.0/8"])
    assert judge(settings, "http://billing.internal/", subject="anybody") == "allow"
    assert judge(settings, "http://billing.internal/", subject=None) == "name-special-use"


def test_special_names_in_a_trusted_network(judge: Callable[..., str]) -> None:
    assert judge(Settings(trusted_networks=["10.0.0.0/8"]), "http://billing.internal/") == "name-special-use"
    everybody = Settings(trusted_networks=["10.0.0.0/8"], more={"names": {"allow": ["*.internal"]}})
    assert judge(everybody, "http://billing.internal/") == "allow"


def test_no_redirects(make_guard: Make) -> None:
    exchange = make_guard(settings=Settings(redirects=0), resolver=pinfold.FixedAnswers(NAMES)).exchange()
    assert exchange.check("http://api.example.com/")
    refused = exchange.check("/elsewhere", redirect=True)
    assert (refused.verdict, refused.code, refused.stage) == ("failed", "redirect-too-many", "redirect")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(partners=["api.example.com:443"], denied_hosts=["api.example.com"], ports=[443]), "/hosts"),
        (Settings(trusted_networks=["127.0.0.0/8"]), "/networks/allow/0"),
        (Settings(trusted_networks=["0.0.0.0/0"]), "/networks/allow/0"),
        (Settings(trusted_networks=["10.0.0.0/33"]), "/networks/allow/0"),
        (Settings(ports=[0]), "/ports/0"),
        (Settings(partners=["http://api.example.com/"]), "/hosts/allow/0"),
        (Settings(https_only=True, partners=["api.example.com"], more={"limits": {"https_only": "yes"}}), "/limits"),
        (Settings(more={"portz": [1]}), "portz"),
        (Settings(internal_names={"not a name": ["x"]}), "/subjects/0"),
    ],
)
def test_what_cannot_be_meant_is_the_error_of_the_policy(
    make_guard: Make, settings: Settings, says: str | None
) -> None:
    with pytest.raises(pinfold.PolicyError) as raised:
        make_guard(settings=settings)
    assert says in str(raised.value)
    assert raised.value.problems
    assert raised.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"partners": "api.example.com"},
        {"trusted_networks": "10.0.0.0/8"},
        {"ports": 443},
        {"internal_names": {"*.internal": "discovery"}},
        {"internal_networks": ["10.0.0.0/8"]},
        {"timeout": -1},
        {"timeout": (0, 1)},
        {"total_timeout": float("inf")},
        {"total_timeout": float("nan")},
        {"max_bytes": -1},
        {"redirects": -1},
        {"timeout": True},
        {"timeout": (1, 2, 3)},
        {"https_only": "no"},
        {"internal_names": ["*.internal"]},
        {"more": []},
        # A list that somebody fills from elsewhere: on the day on which it is empty, it must not allow everything.
        {"partners": []},
        {"ports": ()},
        {"internal_names": {"*.internal": []}},
    ],
)
def test_what_is_no_setting_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(pinfold.PolicyError) as raised:
        Settings(**wrong)
    assert raised.value.hint


def test_what_is_written_twice_is_refused() -> None:
    with pytest.raises(pinfold.PolicyError, match=r"hosts\.allow"):
        Settings(partners=["a.example"], more={"hosts": {"allow": ["b.example"]}}).document()


def test_more_is_not_changed() -> None:
    more: dict[str, Any] = {"hosts": {"deny": ["b.example"]}}
    Settings(partners=["a.example"], more=more).document()
    assert more == {"hosts": {"deny": ["b.example"]}}
