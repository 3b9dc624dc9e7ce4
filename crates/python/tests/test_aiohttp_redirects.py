"""`pinfold.aiohttp`: redirects, what goes along with them, and middlewares."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from yarl import URL

import pinfold
import pinfold.aiohttp
from pinfold import Budget
from pinfold.aiohttp import ClientSession
from support.aiohttp_asking import (
    HOST,
    OTHER,
    MakeGuard,
    fetch,
    leads,
    names,
    refusal,
    run,
)
from support.server import Server

__all__ = ["names"]  # A fixture.

SECRETS = {
    "Authorization": "Bearer s",
    "X-Api-Key": "s",
    "Cookie": "given=s",
    "Proxy-Authorization": "s",
    "Referer": "s",
}


def crossed(guard: Any, server: Server, location: str, **options: Any) -> Any:
    """The request that arrives after a redirect from one origin to another."""
    fetch(guard, leads(server, "/r", location), headers={**SECRETS, "User-Agent": "mine"}, **options)
    return server.seen[-1]


def test_secrets_do_not_cross_origins(guard: Any, names: Any, server: Server) -> None:
    arrived = crossed(guard, server, server.url("/there", OTHER), cookies={"more": "s"})
    assert arrived.path == "/there"
    assert not SECRETS.keys() & set(arrived.headers)
    assert arrived.headers["user-agent"] == "mine"
    assert arrived.headers["host"] == f"{OTHER}:{server.port}"


def test_host_header_does_not_cross_origins(guard: Any, names: Any, server: Server) -> None:
    url = leads(server, "/r", server.url("/there", OTHER))
    fetch(guard, url, headers={"Host": "virtual.example.com"})
    assert [request.headers["host"] for request in server.seen] == ["virtual.example.com", f"{OTHER}:{server.port}"]


def test_secrets_stay_dropped_when_a_redirect_leads_back(guard: Any, names: Any, server: Server) -> None:
    leads(server, "/back", server.url("/home", HOST))
    arrived = crossed(guard, server, server.url("/back", OTHER))
    assert arrived.path == "/home"
    assert arrived.headers["host"] == f"{HOST}:{server.port}"
    assert not SECRETS.keys() & set(arrived.headers)


def test_headers_stay_within_an_origin(guard: Any, names: Any, server: Server) -> None:
    arrived = crossed(guard, server, "/there")
    assert SECRETS.keys() <= set(arrived.headers)


def test_cookies_are_the_jars(guard: Any, names: Any, server: Server) -> None:
    @server.route("/set")
    def page(_: Any) -> Any:
        return 302, {"location": server.url("/there", OTHER), "set-cookie": "own=1; Path=/"}, b""

    async def work() -> None:
        async with ClientSession(guard=guard, cookies={}) as session:
            for _ in range(2):
                await (await session.get(server.url("/set", HOST))).read()

    run(work())
    cookies = [request.headers["cookie"] for request in server.seen]
    assert cookies == [None, None, "own=1", None]


def test_redirects_are_counted(guard: Any, names: Any, server: Server) -> None:
    url = leads(server, "/loop", "/loop")
    error = refusal(guard, url, budget=Budget(redirects=3))
    assert isinstance(error, aiohttp.TooManyRedirects)
    assert isinstance(error, pinfold.BudgetExceeded)
    assert len(server.seen) == 4
    assert error.status == 502
    with pytest.raises(aiohttp.TooManyRedirects):
        fetch(guard, url, max_redirects=2)


def test_base_url(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    base = server.url("/base/", HOST)
    assert fetch(guard, "x?q=1", base_url=base)[1] == b"/base/x"
    for elsewhere in (f"//127.0.0.3:{internal_server.port}/", internal_server.url("/"), "\\\\127.0.0.3/"):
        with pytest.raises(pinfold.Denied):
            fetch(guard, elsewhere, base_url=base)
    assert internal_server.connections == 0


def test_each_attempt_of_a_middleware_is_judged(make_guard: MakeGuard, names: Any, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard = make_guard(on_decision=seen.append)

    async def thrice(request: Any, handler: Any) -> Any:
        for _ in range(2):
            (await handler(request)).release()
        return await handler(request)

    fetch(guard, server.url("/x", HOST), middlewares=(thrice,))
    assert [(decision.hop, decision.allowed) for decision in seen] == [(0, True)] * 3
    assert len(server.seen) == 3


def test_middleware_that_changes_the_url(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    def to(url: str) -> Any:
        async def change(request: Any, handler: Any) -> Any:
            request.url = URL(url)
            return await handler(request)

        return change

    assert fetch(guard, server.url("/x", HOST), middlewares=(to(server.url("/y", OTHER)),))[1] == b"/y"
    assert isinstance(refusal(guard, server.url("/x", HOST), middlewares=(to(internal_server.url()),)), pinfold.Denied)
    assert internal_server.connections == 0


def test_digest_auth(guard: Any, names: Any, server: Server) -> None:
    @server.route("/digest")
    def page(request: Any) -> Any:
        if "authorization" in request.headers:
            return 200, {}, "in"
        return 401, {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}, b""

    digest = aiohttp.DigestAuthMiddleware("u", "p")
    assert fetch(guard, server.url("/digest", HOST), middlewares=(digest,))[1] == b"in"


def test_broken_kept_connection_is_tried_again_and_judged(make_guard: MakeGuard, names: Any, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard = make_guard(on_decision=seen.append)

    @server.route("/x")
    def page(request: Any) -> Any:
        # The second request on a connection finds it closed.
        return (200, {}, b"ok") if request.turn == 1 else None

    async def work() -> None:
        async with ClientSession(guard=guard) as session:
            for _ in range(2):
                async with session.get(server.url("/x", HOST)) as response:
                    assert await response.read() == b"ok"

    run(work())
    assert [decision.reused for decision in seen] == [False, True, False]


def test_shared_cookies_do_not_cross_origins(guard: Any, names: Any, server: Server) -> None:
    leads(server, "/there", "/again")
    leads(server, "/again", server.url("/home", HOST))

    async def work() -> None:
        async with ClientSession(guard=guard, cookies={"sid": "s"}) as session:
            session.cookie_jar.update_cookies({"own": "1"}, URL(server.url("/", OTHER)))
            await (await session.get(leads(server, "/r", server.url("/there", OTHER)))).read()

    run(work())
    cookies = [request.headers["cookie"] for request in server.seen]
    assert cookies == ["sid=s", "own=1", "own=1", None]


def test_digest_answers_no_challenge_of_another_origin(guard: Any, names: Any, server: Server) -> None:
    class Eager(aiohttp.DigestAuthMiddleware):
        """As aiohttp's of some versions: it answers whoever asks."""

        async def __call__(self, request: Any, handler: Any) -> Any:
            request.headers["Authorization"] = "Digest s"
            return await handler(request)

    url = leads(server, "/r", server.url("/there", OTHER))
    fetch(guard, url, middlewares=(Eager("u", "p"),))
    assert [request.headers["authorization"] for request in server.seen] == ["Digest s", None]


def test_what_is_no_url_is_a_decision(make_guard: MakeGuard, names: Any, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard = make_guard(on_decision=seen.append)
    for url in (
        "http://127.0.0.2\\@127.0.0.3/",
        "gopher://127.0.0.2/",
        leads(server, "/r", "\\\\127.0.0.3/"),
    ):
        seen.clear()
        error = refusal(guard, url)
        assert [(each.code, each.correlation_id) for each in seen if not each.allowed] == [
            (error.code, error.correlation_id)
        ]
