"""`pinfold.aiohttp`: what an attacker tries. That it is aiohttp otherwise is for `test_aiohttp_compat`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import types
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

import pinfold
import pinfold.aiohttp
from pinfold import errors
from pinfold._aiohttp.library import check
from pinfold._relies import relied
from pinfold.aiohttp import ClientSession, TCPConnector
from support.aiohttp_asking import (
    HOST,
    OTHER,
    MakeGuard,
    fetch,
    leads,
    names,
    numbered,
    open_to,
    refusal,
    run,
    served_at,
)
from support.lab import INTERNAL, LOCAL, PUBLIC, Lab
from support.server import Server

__all__ = ["names", "numbered"]  # Fixtures.


def test_redirect_to_an_internal_address(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    error = refusal(guard, leads(server, "/r", internal_server.url("/secret")))
    assert isinstance(error, pinfold.Denied)
    assert error.decision.hop == 1
    assert internal_server.connections == 0


def test_redirect_to_an_internal_name(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    error = refusal(guard, leads(server, "/r", internal_server.url("/secret", "inside.example.com")))
    assert error.code == "address-not-public"
    assert internal_server.connections == 0


def test_redirect_to_a_rebound_name(lab_guard: Any, lab: Lab) -> None:
    name = lab.name("aiohttp-redirect", [PUBLIC], [INTERNAL])
    lab.route("/aiohttp-there", 302, {"location": f"http://{name}:{lab.port}/again"})
    before = lab.leaks()
    fetch(lab_guard, f"http://{name}:{lab.port}/")
    error = refusal(lab_guard, lab.url("public", "/aiohttp-there"))
    assert isinstance(error, pinfold.Denied)
    assert lab.leaks() == before


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_proxy_of_the_environment(
    guard: Any, names: Any, server: Server, internal_server: Server, variable: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv(variable, internal_server.origin)
    assert fetch(guard, server.url("/x", HOST))[0].status == 200
    assert internal_server.connections == 0


@pytest.mark.parametrize("options", [{"trust_env": True}, {"proxy": "http://127.0.0.2:1"}])
def test_session_with_a_proxy(guard: Any, options: dict[str, Any]) -> None:
    async def work() -> None:
        with pytest.raises(pinfold.PolicyError, match="proxy is not used"):
            ClientSession(guard=guard, **options)

    run(work())


def test_request_with_a_proxy(guard: Any, names: Any, server: Server) -> None:
    error = refusal(guard, server.url("/x", HOST), proxy=server.origin)
    assert isinstance(error, pinfold.aiohttp.Refused)
    assert server.connections == 0


def test_stock_session_with_a_proxy_of_the_environment(
    guard: Any, names: Any, server: Server, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.origin)

    async def work() -> None:
        async with aiohttp.ClientSession(connector=TCPConnector(guard=guard), trust_env=True) as session:
            with pytest.raises(pinfold.aiohttp.Refused):
                await session.get(server.url("/x", HOST))

    run(work())
    assert server.connections == 0


@pytest.mark.parametrize("option", ["resolver", "local_addr", "socket_factory", "family"])
def test_options_that_would_go_around_the_guard(guard: Any, option: str) -> None:
    async def work() -> None:
        with pytest.raises(pinfold.PolicyError, match=option):
            TCPConnector(guard=guard, **{option: None})
        with pytest.raises(pinfold.PolicyError, match="TCPConnector"):
            async with aiohttp.TCPConnector() as plain:
                ClientSession(guard=guard, connector=plain)  # type: ignore[arg-type]  # what is tested

    run(work())


def two_in_a_session(guard: Any, first: str, second: str, between: Callable[[], object]) -> list[int]:
    """The numbers of the connections of two requests."""

    async def work() -> list[int]:
        async with ClientSession(guard=guard) as session:
            seen = []
            for url in (first, second):
                async with session.get(url) as response:
                    seen.append(int((await response.read()).decode()))
                await asyncio.to_thread(between)
        return seen

    return run(work())  # type: ignore[no-any-return]  # it is what `work` returns


def test_pool_keeps_a_connection(guard: Any, names: Any, numbered: Server) -> None:
    url = numbered.url("/n", HOST)
    assert two_in_a_session(guard, url, url, lambda: None) == [1, 1]


def test_pool_does_not_cross_generations(guard: Any, names: Any, numbered: Server) -> None:
    url = numbered.url("/n", HOST)
    assert two_in_a_session(guard, url, url, guard.swap) == [1, 2]


def test_pool_does_not_cross_names(guard: Any, names: Any, numbered: Server) -> None:
    assert two_in_a_session(guard, numbered.url("/n", HOST), numbered.url("/n", OTHER), lambda: None) == [1, 2]


def test_pool_does_not_cross_addresses(make_guard: MakeGuard, names: Any, numbered: Server) -> None:
    guard = make_guard(grants=[PUBLIC, "127.0.0.4"])
    with served_at("127.0.0.4", numbered.port, b"77"):
        url = numbered.url("/n", HOST)
        move = lambda: names.set(HOST, ["127.0.0.4"])  # noqa: E731
        assert two_in_a_session(guard, url, url, move) == [1, 77]


def test_kept_connection_of_a_name_that_is_now_refused(guard: Any, names: Any, numbered: Server) -> None:
    url = numbered.url("/n", HOST)
    with pytest.raises(pinfold.Denied):
        two_in_a_session(guard, url, url, lambda: guard.swap(settings={"hosts": {"deny": [HOST]}}))
    assert numbered.connections == 1


def test_kept_connection_of_a_parent_process(guard: Any, names: Any, server: Server) -> None:
    class Parent:
        def accepts(self, _: object) -> bool:
            raise errors.ForkError("made before a fork, and used after it")

    class Kept:
        link = None
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    kept = Kept()
    assert not pinfold.aiohttp._accepts(Parent(), kept)  # type: ignore[arg-type]  # the part that is used
    assert kept.aborted


def test_trailing_dot(guard: Any, names: Any, server: Server) -> None:
    response, _ = fetch(guard, server.url("/x", HOST + "."))
    assert response.status == 200
    assert refusal(guard, "http://inside.example.com.:80/").code == "address-not-public"


@pytest.mark.parametrize(
    "host", [INTERNAL, LOCAL, "169.254.169.254", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "0"]
)
def test_literals(guard: Any, internal_server: Server, host: str) -> None:
    assert isinstance(refusal(guard, f"http://{host}:{internal_server.port}/"), pinfold.Denied)
    assert internal_server.connections == 0


def test_literal_that_is_granted(guard: Any, server: Server) -> None:
    assert fetch(guard, server.url("/x"))[0].status == 200


def test_ipv6(guard: Any, server_v6: Server) -> None:
    assert fetch(guard, server_v6.url("/x"))[0].status == 200


@pytest.mark.parametrize(
    "host", ["[::ffff:127.0.0.3]", "[::ffff:7f00:3]", "[64:ff9b::7f00:3]", "[::]", "[fe80::1%25lo]"]
)
def test_ipv6_that_wraps(guard: Any, internal_server: Server, host: str) -> None:
    assert isinstance(refusal(guard, f"http://{host}:{internal_server.port}/"), pinfold.Denied)
    assert internal_server.connections == 0


@pytest.mark.parametrize("start", [f"{HOST}@", "user:pass@", ":@"])
def test_userinfo(guard: Any, names: Any, server: Server, start: str) -> None:
    assert refusal(guard, f"http://{start}127.0.0.2:{server.port}/").code == "userinfo-denied"
    assert server.connections == 0


def test_mixed_answers(guard: Any, answers: Any, server: Server, internal_server: Server) -> None:
    answers.set("mixed.example.com", [PUBLIC, INTERNAL])
    assert refusal(guard, server.url("/", "mixed.example.com")).stage in {"address", "resolve"}
    assert server.connections == internal_server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2\\@127.0.0.3/",
        "http://127.0.0.2\t/",
        " http://127.0.0.2/",
        "http://127.0.0.2#@127.0.0.3/",
        "http:127.0.0.3/",
        "http:///127.0.0.3/",
        "//127.0.0.3/",
        "http://[::1/",
        "http://127.0.0.2:0/",
        "http://127.0.0.2:99999/",
        "http://inside。example.com/",
        "http://%31%32%37.0.0.3/",
        "file:///etc/passwd",
        "gopher://127.0.0.2/",
        "mailto:somebody",
        "",
    ],
)
def test_text_that_parsers_read_differently(guard: Any, names: Any, internal_server: Server, url: str) -> None:
    with pytest.raises((pinfold.PinfoldError, aiohttp.ClientConnectionError)):
        fetch(guard, url)
    assert internal_server.connections == 0


@pytest.mark.parametrize("text", ["http://127.0.0.3/", "http://0x7f.3/", "http://user@127.0.0.2/"])
def test_url_object_is_judged_as_it_is(guard: Any, internal_server: Server, text: str) -> None:
    assert isinstance(refusal(guard, URL(text, encoded=True)), pinfold.Denied)
    assert internal_server.connections == 0


def test_library_that_would_go_elsewhere(guard: Any, names: Any, server: Server) -> None:
    from pinfold._aiohttp.chain import agree, read

    for url in ("http://other.example.com/", "https://public.example.com/", "http://public.example.com:81/", "/x"):
        with pytest.raises(pinfold.InvalidURL) as caught:
            agree(read("http://public.example.com/"), URL(url))
        assert caught.value.code == "url-ambiguous"


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.3\\@127.0.0.2:{port}/", "\\\\127.0.0.3:{port}/", "//127.0.0.3:{port}/", "http:127.0.0.3:{port}/x",
     "http://user:p@127.0.0.2:{port}/", "ftp://127.0.0.2/", "http://\tx/", "http://127.0.0.3:{port}/", "http://%00/"],
)  # fmt: skip
def test_location_as_the_server_wrote_it(
    guard: Any, names: Any, server: Server, internal_server: Server, location: str
) -> None:
    url = leads(server, "/r", location.format(port=internal_server.port))
    with contextlib.suppress(aiohttp.ClientError):
        # What leads back to where it came from may be followed.
        fetch(guard, url)
    assert internal_server.connections == 0
    assert server.paths()[0] == "/r"


def test_location_that_is_relative(guard: Any, names: Any, server: Server) -> None:
    response, body = fetch(guard, leads(server, "/a/r", "../b?q=1#f"))
    assert (response.url.path_qs, body) == ("/b?q=1", b"/b")


def test_location_with_bytes(guard: Any, names: Any, server: Server) -> None:
    @server.route("/r")
    def page(request: Any) -> None:
        request.raw.write(b"HTTP/1.1 302 Found\r\nlocation: /\xff\xfe\r\ncontent-length: 0\r\n\r\n")

    with contextlib.suppress(aiohttp.ClientError):
        fetch(guard, server.url("/r", HOST))
    assert {request.headers["host"] for request in server.seen} == {f"{HOST}:{server.port}"}


def test_server_hostname(guard: Any, names: Any, server: Server) -> None:
    assert isinstance(refusal(guard, server.url("/", HOST), server_hostname=OTHER), pinfold.aiohttp.Refused)
    assert fetch(guard, server.url("/", HOST), server_hostname=HOST)[0].status == 200


def test_connection_that_another_way_has_given_is_not_used(guard: Any, names: Any, server: Server) -> None:
    async def work() -> None:
        async with ClientSession(guard=guard) as session:
            await (await session.get(server.url("/0", HOST))).read()
            with pytest.MonkeyPatch.context() as patch:
                # As if aiohttp had renamed it.
                patch.delattr(TCPConnector, "_get")
                with pytest.raises(pinfold.aiohttp.Refused):
                    await session.get(server.url("/1", HOST))

    run(work())
    assert server.paths() == ["/0"]


def test_connector_that_is_put_in_the_place_of_a_judged_one(guard: Any, internal_server: Server) -> None:
    async def work() -> None:
        async with ClientSession(guard=guard) as session, aiohttp.TCPConnector() as plain:
            judged, session._connector = session._connector, plain
            try:
                with pytest.raises(pinfold.aiohttp.Refused):
                    await session.get(internal_server.url("/"))
            finally:
                session._connector = judged

    run(work())
    assert internal_server.connections == 0


def test_aiohttp_without_a_time_for_the_end_of_tls() -> None:
    """As before 3.12.4."""
    context = ssl.create_default_context()
    connector: Any = types.SimpleNamespace(_get_ssl_context=lambda _: context)
    request: Any = types.SimpleNamespace(url=URL("https://a.example./"))
    assert TCPConnector._tls(connector, request) == {"ssl": context, "server_hostname": "a.example"}
    connector._ssl_shutdown_timeout = 1
    assert TCPConnector._tls(connector, request)["ssl_shutdown_timeout"] == 1


def test_socket_is_closed_when_there_can_be_no_tls(guard: Any, tls_server: Server, monkeypatch: Any) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("renamed")

    monkeypatch.setattr(aiohttp.TCPConnector, "_get_ssl_context", broken)
    own = open_to(tls_server.port)

    async def work() -> None:
        async with ClientSession(guard=guard) as session:
            with pytest.raises(AttributeError):
                await session.get(tls_server.url("/x"))
            assert open_to(tls_server.port) == own

    run(work())


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (aiohttp.connector.BaseConnector, "_get"),
        (aiohttp.TCPConnector, "_create_connection"),
        (aiohttp.StreamReader, "_wait"),
        (aiohttp.ClientSession, "_request"),
    ],
)
def test_aiohttp_that_has_other_parameters_inside_is_not_taken(owner: Any, name: str, monkeypatch: Any) -> None:
    check()
    monkeypatch.setattr(owner, name, lambda _: None)
    with pytest.raises(ImportError, match=name):
        check()


def test_aiohttp_that_has_other_names_inside_is_not_taken(monkeypatch: Any) -> None:
    monkeypatch.delattr(aiohttp.connector.BaseConnector, "_get")
    with pytest.raises(ImportError, match="_get"):
        check()


def test_library_that_calls_something_else_is_not_taken() -> None:
    class Library:
        def public(self) -> None:
            self._used(1)

        def _used(self, one: int) -> None: ...

        def _kept(self, one: int) -> None: ...

    relied("x", Library, "_used", "one")
    for name, parameter in (("_kept", "one"), ("_used", "two"), ("_gone", "one")):
        with pytest.raises(ImportError, match=name):
            relied("x", Library, name, parameter)
