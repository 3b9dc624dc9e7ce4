"""Fixtures of all tests. See `support` for what they give."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pinfold
from support.lab import Lab
from support.server import Server, context

# What plays the public internet, on all ports.
GRANTS = ("127.0.0.2", "::1")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A hostile internet on loopback, one for all tests: compare its counts before and after."""
    running = Lab(tmp_path_factory.mktemp("lab"))
    yield running
    running.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    """A public server at 127.0.0.2."""
    yield from _served(Server())


@pytest.fixture
def internal_server() -> Iterator[Server]:
    """A server at 127.0.0.3, where nothing may arrive."""
    yield from _served(Server("127.0.0.3"))


@pytest.fixture
def server_v6() -> Iterator[Server]:
    """A public server at ::1."""
    try:
        running = Server("::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    yield from _served(running)


@pytest.fixture
def tls_server(lab: Lab, certificate: tuple[str, str]) -> Iterator[Server]:
    """A public server at 127.0.0.2 with TLS, for `*.lab.example.com` and its address, signed for `ca_file`."""
    yield from _served(Server(tls=context(*certificate), ca_file=lab.ca_file))


@pytest.fixture(scope="session")
def certificate(lab: Lab) -> tuple[str, str]:
    """The files of a certificate for `*.lab.example.com` and 127.0.0.2, and of its key."""
    return lab.issue("lab.example.com", "*.lab.example.com", "127.0.0.2")


@pytest.fixture
def answers() -> pinfold.FixedAnswers:
    """What the guards of this test are told about names."""
    return pinfold.FixedAnswers()


@pytest.fixture(scope="session")
def code_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled policies are kept, so that a guard is made in milliseconds."""
    return tmp_path_factory.mktemp("code-cache")


@pytest.fixture
def make_guard(answers: pinfold.FixedAnswers, code_cache: Path) -> Callable[..., pinfold.Guard]:
    """Makes guards as `guard`, with other options: `make_guard(settings=..., mode="report")`."""

    def make(policy: Any = None, settings: Any = None, **options: Any) -> pinfold.Guard:
        options = {"resolver": answers, "grants": GRANTS, "code_cache": code_cache, **options}
        return pinfold.Guard(policy, settings, **options)

    return make


@pytest.fixture
def guard(make_guard: Callable[..., pinfold.Guard]) -> pinfold.Guard:
    """A guard with the shipped policy, for which 127.0.0.2 and ::1 are public, and names are those of `answers`."""
    return make_guard()


@pytest.fixture
def lab_guard(make_guard: Callable[..., pinfold.Guard], lab: Lab) -> pinfold.Guard:
    """The same, with the name server of the lab."""
    return make_guard(resolver=[lab.dns])


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies and authorities of whoever runs the tests are none of theirs."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in AUTHORITIES:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_lookups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody but the guard resolves names. A test that is about lookups says `@pytest.mark.looks_up`."""
    if request.node.get_closest_marker("looks_up"):
        yield
        return
    real, asked = socket.getaddrinfo, []

    def only_literals(host: Any, *args: Any, **more: Any) -> Any:
        if not _is_loopback(host):
            asked.append(host)
            raise AssertionError(f"a lookup that is not the guard's: {host!r}")
        return real(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", only_literals)
    yield
    assert not asked, f"lookups that are not the guard's: {asked}"


def _served(running: Server) -> Iterator[Server]:
    yield running
    running.stop()


def _is_loopback(host: Any) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


AUTHORITIES = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"}
