"""`pinfold.httpx` and what callers choose: certificates, timeouts, retries, options, encodings."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import anyio
import httpx as plain
import pytest

from pinfold import httpx
from pinfold._httpx import errors as words
from support.server import Server


def _context(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


@pytest.mark.parametrize("backend", ["threads", "asyncio", "trio"])
def test_tls_is_verified_for_the_name(guard: Any, answers: Any, tls_server: Server, backend: str) -> None:
    for name in ("public.lab.example.com", "other.example"):
        answers.set(name, ["127.0.0.2"])

    async def main() -> list[Any]:
        outcomes: list[Any] = []
        for verify in (_context(tls_server), True, False):
            async with httpx.AsyncClient(guard=guard, verify=verify) as client:
                for host in ("public.lab.example.com", "public.lab.example.com.", "other.example", None):
                    try:
                        outcomes.append((await client.get(tls_server.url(host=host))).status_code)
                    except plain.ConnectError as error:
                        outcomes.append("CERTIFICATE_VERIFY_FAILED" in str(error))
        return outcomes

    def threads() -> list[Any]:
        outcomes: list[Any] = []
        for verify in (_context(tls_server), True, False):
            with httpx.Client(guard=guard, verify=verify) as client:
                for host in ("public.lab.example.com", "public.lab.example.com.", "other.example", None):
                    try:
                        outcomes.append(client.get(tls_server.url(host=host)).status_code)
                    except plain.ConnectError as error:
                        outcomes.append("CERTIFICATE_VERIFY_FAILED" in str(error))
        return outcomes

    outcomes = threads() if backend == "threads" else anyio.run(main, backend=backend)
    assert outcomes == [200, 200, True, 200, True, True, True, True, 200, 200, 200, 200]
    assert {seen.sni for seen in tls_server.seen} == {"public.lab.example.com", "other.example", None}


@pytest.mark.parametrize("backend", ["threads", "asyncio", "trio"])
def test_connect_timeout(guard: Any, backend: str) -> None:
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        for filling in (one, two):
            filling.setblocking(False)
            filling.connect_ex(full.getsockname())
        url = f"http://127.0.0.2:{full.getsockname()[1]}/"

        async def main() -> None:
            async with httpx.AsyncClient(guard=guard) as client:
                await client.get(url, timeout=plain.Timeout(5, connect=0.2))

        def threads() -> None:
            httpx.get(url, guard=guard, timeout=plain.Timeout(5, connect=0.2))

        with pytest.raises(plain.ConnectTimeout) as raised:
            threads() if backend == "threads" else anyio.run(main, backend=backend)
        assert isinstance(raised.value, words.ConnectTimeout)
        assert raised.value.request.url == url


def test_connection_refused_and_retries(guard: Any, server: Server) -> None:
    told: list[Any] = []
    guard.on_decision(told.append)
    server.stop()
    with pytest.raises(plain.ConnectError):
        httpx.get(server.url(), guard=guard)
    told.clear()
    transport = httpx.Transport(guard=guard, retries=2)
    with plain.Client(transport=transport) as client, pytest.raises(plain.ConnectError) as raised:
        client.get(server.url())
    assert isinstance(raised.value, words.ConnectError)
    assert raised.value.request.url.port == server.port
    assert [decision.hop for decision in told] == [0, 0, 0]


def test_client_options(guard: Any, server: Server) -> None:
    hooked: list[str] = []
    hooks: dict[str, list[Any]] = {
        "request": [lambda request: hooked.append(request.method)],
        "response": [lambda response: hooked.append(str(response.status_code))],
    }
    with httpx.Client(
        guard=guard,
        base_url=server.url("/api"),
        params={"p": "1"},
        headers={"X-All": "1"},
        cookies={"c": "1"},
        auth=("me", "secret"),
        event_hooks=hooks,
    ) as client:
        client.get("/items", params={"q": "2"})
        client.get("items")
        traced: list[str] = []
        client.get("x", extensions={"trace": lambda name, _: traced.append(name)})
    assert [seen.target for seen in server.seen] == ["/api/items?p=1&q=2", "/api/items?p=1", "/api/x?p=1"]
    assert hooked == ["GET", "200"] * 3
    assert {seen.headers["x-all"] for seen in server.seen} == {"1"}
    assert "http11.send_request_headers.started" in traced
    assert {seen.connection for seen in server.seen} == {1}


def test_policy_is_told_the_query(guard: Any, server: Server) -> None:
    with httpx.Client(guard=guard) as client:
        made = client.build_request("GET", server.url("/p?a=1#f"), params={"b": "2"})
        target: Any = made.extensions["pinfold"].target
        assert (target.path, target.query) == ("/p", made.url.query.decode())


def test_upgrade_gives_the_stream(guard: Any, server: Server) -> None:
    @server.route("/upgrade")
    def page(request: Any) -> Any:
        request.raw.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello")

    with httpx.Client(guard=guard) as client:
        headers = {"connection": "upgrade", "upgrade": "x"}
        with client.stream("GET", server.url("/upgrade"), headers=headers) as response:
            assert response.status_code == 101
            assert response.extensions["network_stream"].read(100) == b"hello"
        assert client.get(server.url()).status_code == 200
    assert {seen.connection for seen in server.seen} == {1, 2}
