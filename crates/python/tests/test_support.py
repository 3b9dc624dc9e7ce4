"""The fixtures do what other tests take for granted."""

from __future__ import annotations

import json
import os
import socket
import ssl
import urllib.error
import urllib.request

import pytest

import pinfold
from support.lab import Lab
from support.server import Request, Server


def fetch(url: str, **more: object) -> bytes:
    with urllib.request.urlopen(url, timeout=10, **more) as response:  # type: ignore[arg-type]  # options of urlopen
        body: bytes = response.read()
        return body


def test_the_lab_counts_connections_to_canaries(lab: Lab) -> None:
    before = lab.leaks()
    socket.create_connection(("127.0.0.3", lab.port), 10).close()
    socket.create_connection(("127.0.0.1", lab.port), 10).close()
    assert lab.leaks() == before + 2
    assert fetch(f"http://127.0.0.2:{lab.port}/") == b"a public page\n"
    assert lab.leaks() == before + 2
    lab.clear()
    assert lab.leaks() == 0


def test_a_name_of_the_lab_is_rebound(lab: Lab, lab_guard: pinfold.Guard) -> None:
    name = lab.name("once.support", ["127.0.0.2"], ["127.0.0.3"])
    url = f"http://{name}:{lab.port}/"
    assert lab_guard.check(url)
    assert not lab_guard.check(url)
    assert sorted(lab.questions("once.support")) == ["A", "A", "AAAA", "AAAA"]
    lab.name("once.support", ["127.0.0.2"])
    assert lab_guard.check(url), "it begins anew"


def test_the_lab_shows_what_it_served(lab: Lab) -> None:
    lab.route("/support", status=418, headers={"x-one": "1"}, body="tea")
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"http://127.0.0.2:{lab.port}/support")
    assert (caught.value.status, caught.value.headers["x-one"], caught.value.read()) == (418, "1", b"tea")
    caught.value.close()
    assert lab.requests()[-1]["target"] == "/support"


def test_a_mistake_is_told(lab: Lab) -> None:
    with pytest.raises(ValueError, match="invalid IP address"):
        lab.name("wrong", ["not an address"])


def test_the_server_serves_pages_and_remembers(server: Server) -> None:
    @server.route("/json")
    def page(request: Request) -> tuple[int, dict[str, str], str]:
        return 201, {"x-method": request.method}, json.dumps({"got": request.body.decode()})

    @server.route("/chunks")
    def chunks(_: Request) -> tuple[int, dict[str, str], list[bytes]]:
        return 200, {}, [b"one ", b"two"]

    assert fetch(urllib.request.Request(server.url("/json?a=1"), b"hello")) == b'{"got": "hello"}'  # type: ignore[arg-type]  # urlopen takes both
    assert fetch(server.url("/chunks")) == b"one two"
    assert fetch(server.url("/other")) == b"/other"
    first = server.seen[0]
    assert (first.method, first.path, first.query, first.body) == ("POST", "/json", "a=1", b"hello")
    assert server.paths() == ["/json", "/chunks", "/other"]
    assert server.connections == 3


def test_the_server_speaks_tls(tls_server: Server) -> None:
    trusted = ssl.create_default_context(cafile=tls_server.ca_file)
    assert fetch(tls_server.url("/x"), context=trusted) == b"/x"
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(tls_server.url("/x"), context=ssl.create_default_context())
    with (
        socket.create_connection(("127.0.0.2", tls_server.port), 10) as plain,
        trusted.wrap_socket(plain, server_hostname="shop.lab.example.com") as stream,
    ):
        stream.sendall(b"GET /sni HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while stream.recv(1000):
            pass
    assert tls_server.seen[-1].sni == "shop.lab.example.com"


def test_the_server_of_ipv6_serves(server_v6: Server) -> None:
    assert fetch(server_v6.url("/six")) == b"/six"


def test_names_are_not_looked_up_by_accident() -> None:
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]
    assert socket.getaddrinfo("127.0.0.2", 80)
    assert socket.getaddrinfo.__module__ == "conftest"


@pytest.mark.looks_up
def test_a_test_about_lookups_has_the_real_one() -> None:
    assert socket.getaddrinfo.__module__ == "socket"


def test_the_guard_of_a_test_knows_the_answers(guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> None:
    answers.set("shop.example", ["127.0.0.2"])
    assert guard.check("http://shop.example:8080/")
    assert guard.check("http://[::1]:8080/")
    assert not guard.check("http://127.0.0.3/")
    assert not guard.check("http://other.example/")
