"""`pinfold.httpx`: what stays at home, what is counted before a body, and a guard that cannot be lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import SimpleNamespace
from typing import Any, cast

import httpx as plain
import pytest

import pinfold
from pinfold import aiohttp, httpx
from pinfold._httpx import decode, library
from pinfold._httpx import errors as words
from pinfold._httpx.streams import Usage
from support.httpx_asking import Ask, ask
from support.server import Server

__all__ = ["ask"]  # A fixture.

HOME = "one.example"
AWAY = "two.example"


@pytest.fixture
def away(answers: Any, server: Server) -> str:
    """A URL that leads from one origin to another, and from there back."""
    answers.set(HOME, ["127.0.0.2"])
    answers.set(AWAY, ["127.0.0.2"])
    for path, to in (("/go", server.url("/a", AWAY)), ("/a", "/b"), ("/b", server.url("/home", HOME))):
        server.route(path)(lambda _, to=to: (302, {"location": to}, b""))
    return server.url("/go", HOME)


def _arrived(server: Server) -> list[tuple[str, Any, Any]]:
    return [(seen.path, seen.headers["authorization"], seen.headers["cookie"]) for seen in server.seen]


@pytest.mark.parametrize("own", [False, True])
def test_auth_of_a_client_stays_at_home_by_either_way_of_following(
    guard: Any, server: Server, away: str, own: bool
) -> None:
    auth = plain.BasicAuth("a", "b") if own else plain.USE_CLIENT_DEFAULT
    with httpx.Client(guard=guard, auth=("a", "b"), cookies={"sid": "s"}) as client:
        response = client.get(away)
        while response.next_request:
            response = client.send(response.next_request, auth=auth)
    mine = "Basic YTpi" if own else None
    assert _arrived(server) == [
        ("/go", "Basic YTpi", "sid=s"),
        # What is given with a request is meant for it.
        *[(path, mine, None) for path in ("/a", "/b", "/home")],
    ]


def test_auth_of_a_client_of_tasks_stays_at_home(guard: Any, server: Server, away: str) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(guard=guard, auth=("a", "b")) as client:
            response = await client.get(away)
            while response.next_request:
                response = await client.send(response.next_request)

    asyncio.run(main())
    assert [authorization for _, authorization, _ in _arrived(server)] == ["Basic YTpi", None, None, None]


def test_interim_responses_are_counted(ask: Ask, guard: Any, server: Server) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"

    @server.route("/hints")
    def page(request: Any) -> Any:
        with contextlib.suppress(OSError):
            for _ in range(100):
                request.raw.write(interim * 200)
            return 200, {}, b"ok"
        return None

    server.route("/some")(lambda request: (request.raw.write(interim * 200), (200, {}, b"ok" * 200_000))[1])
    *some, error = ask(guard, *[server.url("/some")] * 50, server.url("/hints"))
    # On one connection: each request has its own count.
    assert {len(response.content) for response in some} == {400_000}
    assert server.connections == 1
    assert isinstance(error, words.TooLarge)
    assert error.code == "response-too-large"


@pytest.mark.parametrize("option", [{"subject": "x"}, {"labels": {}}, {"budget": pinfold.Budget()}, {"guard": 1}])
@pytest.mark.parametrize(
    ("client", "transport"), [(httpx.Client, httpx.Transport), (httpx.AsyncClient, httpx.AsyncTransport)]
)
def test_a_transport_that_is_given_has_its_own_guard(
    client: Any, transport: Any, guard: Any, option: dict[str, Any]
) -> None:
    option = {"guard": guard} if "guard" in option else option
    with pytest.raises(pinfold.PolicyError, match=next(iter(option))):
        client(transport=transport(guard=guard), **option)


def test_a_transport_is_not_put_in_the_place_of_a_guarded_one(guard: Any, internal_server: Server) -> None:
    with httpx.Client(guard=guard) as client:
        client._transport = plain.HTTPTransport(trust_env=False)
        with pytest.raises(pinfold.PolicyError):
            client.get(internal_server.url("/"))
    with httpx.Client(guard=guard) as client:
        client._mounts = {plain._utils.URLPattern("all://"): plain.HTTPTransport(trust_env=False)}
        with pytest.raises(pinfold.PolicyError):
            client.get(internal_server.url("/"))

    async def main() -> None:
        async with httpx.AsyncClient(guard=guard) as client:
            client._transport = plain.AsyncHTTPTransport(trust_env=False)
            with pytest.raises(pinfold.PolicyError):
                await client.get(internal_server.url("/"))

    asyncio.run(main())
    assert internal_server.connections == 0


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://127.0.0.2/", "scheme-denied"),
        ("gopher://127.0.0.2:6379/_SET", "scheme-unsupported"),
        ("http://8.8.8.8\\@127.0.0.2/", "url-backslash"),
        ("http://127.0.0.2:x/", None),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_what_is_refused_before_the_policy_is_a_decision(
    ask: Ask, make_guard: Any, server: Server, url: str, code: str | None, redirected: bool
) -> None:
    told: list[pinfold.Decision] = []
    guard = make_guard(on_decision=told.append)
    server.route("/go")(lambda _: (302, {"location": url}, b""))
    [error] = ask(guard, server.url("/go") if redirected else url, follow_redirects=True)
    if redirected and isinstance(error, plain.RemoteProtocolError):
        # httpx does not read it at all.
        return
    assert isinstance(error, pinfold.Denied)
    assert code is None or error.code == code
    refused = [decision for decision in told if not decision.allowed]
    assert [(decision.code, decision.correlation_id) for decision in refused] == [(error.code, error.correlation_id)]


def test_a_scheme_that_a_policy_allows_is_not_spoken_all_the_same(ask: Ask, make_guard: Any, server: Server) -> None:
    guard = make_guard(settings={"schemes": ["http", "ws"]})
    [error] = ask(guard, server.url("/").replace("http:", "ws:"))
    assert isinstance(error, words.InvalidURL)
    assert error.code == "url-ambiguous"
    assert server.connections == 0


@pytest.mark.parametrize("client", [plain.Client, plain.AsyncClient])
@pytest.mark.parametrize("name", ["_build_redirect_request", "_transport_for_url"])
def test_httpx_that_has_other_parameters_inside_is_not_taken(client: Any, name: str, monkeypatch: Any) -> None:
    library.check()
    monkeypatch.setattr(client, name, lambda _: None)
    with pytest.raises(ImportError, match=name):
        library.check()


def test_httpx_that_decodes_otherwise_is_not_taken(monkeypatch: Any) -> None:
    monkeypatch.setattr(plain.Response, "_get_content_decoder", lambda _: plain._decoders.GZipDecoder())
    with pytest.raises(ImportError, match="_decoder"):
        library.check()


def test_exceptions_are_named_as_they_are_imported() -> None:
    for made in (words.Denied, words.TooLarge, words.DeadlineExceeded):
        assert made.__module__ == "pinfold.httpx"
        assert getattr(httpx, made.__name__) is made


@pytest.mark.parametrize("wrong", [{"guard": "x"}, {"subject": 5}, {"labels": ["a"]}, {"budget": 5}])
def test_what_is_no_guard_or_budget_is_told_at_once(wrong: dict[str, Any]) -> None:
    for made in (httpx.Client, httpx.AsyncClient, httpx.Transport, httpx.AsyncTransport):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            made(**wrong)

    async def main() -> None:
        for made in (aiohttp.TCPConnector, aiohttp.ClientSession):
            with pytest.raises(TypeError, match=next(iter(wrong))):
                made(**wrong)

    asyncio.run(main())


def test_a_policy_is_asked_on_another_thread() -> None:
    asked: list[int] = []
    guard = SimpleNamespace(generation=1)
    link: Any = SimpleNamespace(generation=1, confirm=lambda: asked.append(threading.get_ident()))
    usage = Usage(link, cast(Any, SimpleNamespace(guard=guard, spending=None)))

    async def main() -> None:
        await usage.confirm()
        guard.generation = 2
        await usage.confirm()
        await usage.confirm()

    asyncio.run(main())
    assert len(asked) == 1
    assert asked != [threading.get_ident()]


def test_brotli_that_cannot_stop_is_not_taken() -> None:
    old: Any = SimpleNamespace(Decompressor=type("Decompressor", (), {"process": None}))
    new: Any = SimpleNamespace(Decompressor=type("Decompressor", (), {"process": None, "can_accept_more_data": None}))
    assert decode._bounded(old) is None
    assert decode._bounded(new) is new
