"""`pinfold.aiohttp`: what an attacker tries. That it is aiohttp otherwise is for `test_aiohttp_compat`."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import pickle
import socket
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from yarl import URL

import pinfold
import pinfold.aiohttp
from pinfold import Budget, errors
from pinfold.aiohttp import ClientSession, TCPConnector
from support.lab import INTERNAL, LOCAL, PUBLIC, Lab
from support.server import Server

# Longer than anything here takes, on any machine.
LIMIT = 30.0
HOST = "public.example.com"
OTHER = "other.example.com"
MakeGuard = Callable[..., pinfold.Guard]


def run(work: Awaitable[Any]) -> Any:
    """Runs a test in a loop of its own."""

    async def bounded() -> Any:
        return await asyncio.wait_for(work, LIMIT)

    return asyncio.run(bounded())


def fetch(guard: pinfold.Guard, url: Any, method: str = "GET", **options: Any) -> tuple[aiohttp.ClientResponse, bytes]:
    """One request with a session of its own."""

    async def work() -> Any:
        for_session = {name: options.pop(name) for name in ("budget", "base_url") if name in options}
        async with (
            ClientSession(guard=guard, **for_session) as session,
            session.request(method, url, **options) as response,
        ):
            return response, await response.read()

    return run(work())  # type: ignore[no-any-return]  # it is what `work` returns


def refusal(guard: pinfold.Guard, url: Any, **options: Any) -> Any:
    """What a request raises: always one of ours and one of aiohttp's, with no address in its text."""
    with pytest.raises(pinfold.PinfoldError) as caught:
        fetch(guard, url, **options)
    assert isinstance(caught.value, aiohttp.ClientError)
    assert INTERNAL not in str(caught.value)
    return caught.value


@pytest.fixture
def names(answers: pinfold.FixedAnswers) -> pinfold.FixedAnswers:
    """Two public names, and one inside."""
    answers.set(HOST, [PUBLIC])
    answers.set(OTHER, [PUBLIC])
    answers.set("inside.example.com", [INTERNAL])
    return answers


def leads(server: Server, path: str, location: str, status: int = 302) -> str:
    """A redirect; returns its URL."""

    @server.route(path)
    def page(_: Any) -> Any:
        return status, {"location": location}, b""

    return server.url(path, HOST)


# --- one test each ---


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


@pytest.fixture
def numbered(server: Server) -> Server:
    """A server that tells the number of the connection."""

    @server.route("/n")
    def page(request: Any) -> Any:
        return 200, {}, str(request.connection)

    return server


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
    with _at("127.0.0.4", numbered.port, b"77"):
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


# --- what goes along with a redirect ---

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


# --- attempts and middlewares ---


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


# --- budgets ---


def test_deadline_before_the_head(guard: Any, names: Any, server: Server) -> None:
    @server.route("/slow")
    def page(request: Any) -> Any:
        request.over.wait(LIMIT)
        return 200, {}, b""

    error = refusal(guard, server.url("/slow", HOST), budget=Budget(total=0.3))
    assert isinstance(error, pinfold.DeadlineExceeded)
    assert isinstance(error, aiohttp.ServerTimeoutError)


def test_deadline_within_the_body(guard: Any, names: Any, server: Server) -> None:
    @server.route("/drip")
    def page(request: Any) -> Any:
        return 200, {}, _drips(request)

    error = refusal(guard, server.url("/drip", HOST), budget=Budget(total=0.5))
    assert isinstance(error, pinfold.DeadlineExceeded)


def test_read_of_the_budget(guard: Any, names: Any, server: Server) -> None:
    @server.route("/slow")
    def page(request: Any) -> Any:
        request.over.wait(LIMIT)
        return 200, {}, b""

    with pytest.raises(aiohttp.SocketTimeoutError):
        fetch(guard, server.url("/slow", HOST), budget=Budget(read=0.2))


READERS: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[Any]]] = {}


def reader(read: Callable[[aiohttp.ClientResponse], Awaitable[Any]]) -> None:
    READERS[read.__name__] = read


@reader
async def read(response: aiohttp.ClientResponse) -> int:
    return len(await response.read())


@reader
async def text(response: aiohttp.ClientResponse) -> int:
    return len(await response.text())


@reader
async def iter_chunked(response: aiohttp.ClientResponse) -> int:
    return sum([len(piece) async for piece in response.content.iter_chunked(1 << 20)])


@reader
async def iter_any(response: aiohttp.ClientResponse) -> int:
    return sum([len(piece) async for piece in response.content.iter_any()])


@reader
async def iter_chunks(response: aiohttp.ClientResponse) -> int:
    return sum([len(piece) async for piece, _ in response.content.iter_chunks()])


@reader
async def readexactly(response: aiohttp.ClientResponse) -> int:
    return len(await response.content.readexactly(2_000_000))


def consume(guard: Any, url: str, how: str, **options: Any) -> Any:
    async def work() -> Any:
        async with ClientSession(guard=guard, **options) as session, session.get(url) as response:
            return await READERS[how](response)

    return run(work())


@pytest.mark.parametrize("how", READERS)
def test_received_bytes(guard: Any, names: Any, server: Server, how: str) -> None:
    server.route("/big")(lambda _: (200, {}, (b"x" * 10_000 for _ in range(200))))
    assert consume(guard, server.url("/big", HOST), how) == 2_000_000
    with pytest.raises(pinfold.BudgetExceeded) as caught:
        consume(guard, server.url("/big", HOST), how, budget=Budget(response_bytes=1_000_000))
    assert caught.value.code == "response-too-large"
    assert isinstance(caught.value, aiohttp.ClientPayloadError)


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "gzip members"])
def test_decoded_bytes(guard: Any, names: Any, server: Server, how: str, encoding: str) -> None:
    bomb = b"\0" * 2_000_000
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "raw deflate": lambda data: zlib.compress(data, wbits=-15),
        "gzip members": lambda data: b"".join([gzip.compress(data[:1000])] * (len(data) // 1000))[:],
    }
    kind = "deflate" if "deflate" in encoding else "gzip"
    size = 1_000_000 if encoding == "gzip members" else len(bomb)
    body = pack[encoding](bomb[:size])
    server.route("/bomb")(lambda _: (200, {"content-encoding": kind}, body))
    if how != "readexactly":
        assert consume(guard, server.url("/bomb", HOST), how) == size
    with pytest.raises(pinfold.BudgetExceeded) as caught:
        consume(guard, server.url("/bomb", HOST), how, budget=Budget(decoded_bytes=900_000))
    assert caught.value.code == "response-inflated"


def test_a_bomb_is_never_in_memory(guard: Any, names: Any, server: Server) -> None:
    import tracemalloc

    inflate = zlib.compressobj(wbits=31)
    zeros = b"\0" * (1 << 20)
    body = b"".join(inflate.compress(zeros) for _ in range(300)) + inflate.flush()
    server.route("/bomb")(lambda _: (200, {"content-encoding": "gzip"}, body))
    tracemalloc.start()
    try:
        with pytest.raises(pinfold.BudgetExceeded):
            consume(guard, server.url("/bomb", HOST), "read", budget=Budget(decoded_bytes=4 << 20))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_after_a_budget_the_connection_is_not_kept(guard: Any, names: Any, server: Server) -> None:
    server.route("/endless")(lambda request: (200, {}, _until_over(request)))

    async def work() -> None:
        async with ClientSession(guard=guard, budget=Budget(response_bytes=10_000)) as session:
            response = await session.get(server.url("/endless", HOST))
            for _ in range(2):
                with pytest.raises(pinfold.BudgetExceeded):
                    await response.read()
            response.release()
            async with session.get(server.url("/x", HOST)) as response:
                assert response.status == 200

    run(work())
    assert server.seen[-1].connection == 2


# --- revocation ---


def test_a_policy_ends_a_body_that_streams(guard: Any, names: Any, server: Server) -> None:
    more = threading.Event()

    @server.route("/stream")
    def page(_: Any) -> Any:
        def pieces() -> Iterator[bytes]:
            yield b"first"
            more.wait(LIMIT)
            yield b"second"

        return 200, {}, pieces()

    async def work() -> None:
        async with ClientSession(guard=guard) as session, session.get(server.url("/stream", HOST)) as response:
            assert await response.content.readany() == b"first"
            await asyncio.to_thread(guard.swap, settings={"hosts": {"deny": [HOST]}})
            more.set()
            with pytest.raises(pinfold.Denied):
                await response.content.readany()
            with pytest.raises(aiohttp.ClientConnectionError):
                await response.content.read()

    run(work())


def test_a_policy_that_still_allows_it_ends_nothing(guard: Any, names: Any, server: Server) -> None:
    more = threading.Event()

    @server.route("/stream")
    def page(_: Any) -> Any:
        def pieces() -> Iterator[bytes]:
            yield b"first"
            more.wait(LIMIT)
            yield b"second"

        return 200, {}, pieces()

    async def work() -> None:
        async with ClientSession(guard=guard) as session, session.get(server.url("/stream", HOST)) as response:
            assert await response.content.readany() == b"first"
            await asyncio.to_thread(guard.swap, settings={"hosts": {"deny": [OTHER]}})
            more.set()
            assert await response.read() == b"second"

    run(work())


# --- websockets ---


@contextlib.asynccontextmanager
async def echoing() -> Any:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, PUBLIC, 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_websockets_need_a_setting(guard: Any, make_guard: MakeGuard, names: Any) -> None:
    able = make_guard(settings={"schemes": ["http", "https", "ws", "wss"]})

    async def work() -> None:
        async with echoing() as port, ClientSession(guard=guard) as session, ClientSession(guard=able) as other:
            with pytest.raises(pinfold.InvalidURL) as caught:
                await session.ws_connect(f"ws://{HOST}:{port}/ws")
            assert caught.value.code == "scheme-denied"
            for opener, scheme in ((session, "http"), (other, "ws")):
                async with opener.ws_connect(f"{scheme}://{HOST}:{port}/ws") as ws:
                    await ws.send_str("hello")
                    assert await ws.receive_str() == "hello"
            with pytest.raises(pinfold.Denied):
                await other.ws_connect("ws://inside.example.com/ws")

    run(work())


def test_a_policy_ends_a_websocket(guard: Any, names: Any) -> None:
    async def work() -> None:
        async with (
            echoing() as port,
            ClientSession(guard=guard) as session,
            session.ws_connect(f"http://{HOST}:{port}/ws") as ws,
        ):
            await ws.send_str("hello")
            assert await ws.receive_str() == "hello"
            await asyncio.to_thread(guard.swap, settings={"hosts": {"deny": [HOST]}})
            await ws.send_str("again")
            message = await ws.receive()
            # What aiohttp makes of any error of the connection.
            assert message.type is aiohttp.WSMsgType.CLOSED
            assert ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    run(work())


# --- exceptions ---


def test_exceptions_are_those_of_aiohttp_too(guard: Any, names: Any, server: Server) -> None:
    with socket.socket() as closed:
        closed.bind((PUBLIC, 0))
        refused = refusal(guard, f"http://{HOST}:{closed.getsockname()[1]}/")
    assert isinstance(refused, aiohttp.ClientConnectorError)
    assert isinstance(refused, pinfold.NetworkError)
    assert refused.host == HOST
    assert PUBLIC not in f"{refused} {refused.os_error}"
    missing = refusal(guard, "http://missing.example.com/")
    assert isinstance(missing, aiohttp.ClientConnectorDNSError)
    broken = refusal(guard, "http://[::1/")
    assert isinstance(broken, aiohttp.InvalidURL)
    for error in (refused, missing, broken):
        again = pickle.loads(pickle.dumps(error))  # made a line ago
        assert (type(again), again.code, str(again)) == (type(error), error.code, str(error))


def test_connect_timeout(guard: Any, answers: Any) -> None:
    with _full_backlog() as port:
        answers.set(HOST, [PUBLIC])
        error = refusal(
            guard, f"http://{HOST}:{port}/", timeout=aiohttp.ClientTimeout(sock_connect=0.2), budget=Budget()
        )
    assert isinstance(error, aiohttp.ConnectionTimeoutError)
    assert isinstance(error, pinfold.Timeout)


# --- many, and given up ---


def test_many_tasks(guard: Any, names: Any, numbered: Server) -> None:
    async def work() -> set[int]:
        async with ClientSession(guard=guard, connector=None) as session:

            async def one() -> int:
                async with session.get(numbered.url("/n", HOST)) as response:
                    return int(await response.text())

            return set(await asyncio.gather(*(one() for _ in range(100))))

    assert len(run(work())) <= 100
    assert len(numbered.seen) == 100


def test_limit_of_the_connector(guard: Any, names: Any, numbered: Server) -> None:
    async def work() -> set[int]:
        connector = TCPConnector(guard=guard, limit=4)
        async with ClientSession(connector=connector) as session:

            async def one() -> int:
                async with session.get(numbered.url("/n", HOST)) as response:
                    return int(await response.text())

            return set(await asyncio.gather(*(one() for _ in range(60))))

    assert run(work()) == {1, 2, 3, 4}


@pytest.mark.parametrize("phase", ["connect", "tls", "head", "body"])
def test_cancelled(guard: Any, names: Any, server: Server, phase: str) -> None:
    server.route("/stream")(lambda request: (200, {}, _until_over(request)))
    server.route("/slow")(lambda request: (request.over.wait(LIMIT), None)[1])

    async def fetched(session: ClientSession, url: str) -> None:
        async with session.get(url) as response:
            while await response.content.readany():
                await asyncio.sleep(0.01)

    async def work(url: str) -> None:
        async with ClientSession(guard=guard) as session:
            for _ in range(10):
                await cancel(session)
            port = URL(url).port or 0
            while _open_to(port) > own:
                # Closing takes some turns of the loop. The test has a limit.
                await asyncio.sleep(0.01)

    async def cancel(session: ClientSession) -> None:
        task = asyncio.create_task(fetched(session, url))
        while _open_to(URL(url).port or 0) <= own:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with _full_backlog() as full, _silent() as silent:
        url = {
            "connect": f"http://{HOST}:{full}/",
            "tls": f"https://{HOST}:{silent}/",
            "head": server.url("/slow", HOST),
            "body": server.url("/stream", HOST),
        }[phase]
        own = _open_to(URL(url).port or 0)
        run(work(url))


def test_uvloop(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    url = leads(server, "/r", internal_server.url("/secret"))

    async def work() -> None:
        async with ClientSession(guard=guard) as session:
            for _ in range(3):
                async with session.get(server.url("/x", HOST)) as response:
                    assert await response.text() == "/x"
            with pytest.raises(pinfold.Denied):
                await session.get(url)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
    assert server.connections == 1
    assert internal_server.connections == 0


def test_stock_session(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    url = leads(server, "/r", internal_server.url("/secret"))
    body = gzip.compress(b"\0" * 100_000)
    server.route("/bomb")(lambda _: (200, {"content-encoding": "gzip"}, body))

    async def work() -> None:
        connector = TCPConnector(guard=guard, budget=Budget(decoded_bytes=50_000))
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(server.url("/x", HOST)) as response:
                assert await response.text() == "/x"
            with pytest.raises(pinfold.Denied):
                await session.get(url)
            with pytest.raises(pinfold.BudgetExceeded):
                await (await session.get(server.url("/bomb", HOST))).read()

    run(work())
    assert internal_server.connections == 0


def test_request_of_the_module(guard: Any, names: Any, server: Server) -> None:
    async def work() -> None:
        async with pinfold.aiohttp.request("POST", server.url("/x", HOST), guard=guard, data=b"1") as response:
            assert (response.status, server.seen[0].body) == (200, b"1")
        pinfold.set_default_guard(guard)
        try:
            async with pinfold.aiohttp.request("GET", server.url("/x", HOST)) as response:
                assert response.status == 200
        finally:
            pinfold.set_default_guard(None)

    run(work())


def test_subject_and_labels(make_guard: MakeGuard, names: Any, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard = make_guard(on_decision=seen.append)

    async def work() -> None:
        async with ClientSession(guard=guard, subject="somebody", labels={"a": "b"}) as session:
            await (await session.get(server.url("/x", HOST))).read()

    run(work())
    assert [decision.subject for decision in seen] == ["somebody"]


def test_rebinding(lab_guard: Any, lab: Lab) -> None:
    before = lab.leaks()

    async def work() -> None:
        async with ClientSession(guard=lab_guard) as session:
            for attack in lab.attacks:
                for turn in range(4):
                    with contextlib.suppress(pinfold.PinfoldError, aiohttp.ClientError):
                        async with session.get(lab.url(f"aiohttp{turn % 2}.{attack}")) as response:
                            assert lab.secret not in await response.text()

    asyncio.run(work())
    assert len(lab.attacks) >= 20
    assert lab.leaks() == before


# --- helpers ---


def _drips(request: Any) -> Iterator[bytes]:
    while not request.over.wait(0.02):
        yield b"x"


def _until_over(request: Any) -> Iterator[bytes]:
    while not request.over.wait(0.001):
        yield b"x" * 10_000


def _open_to(port: int) -> int:
    """How many sockets of this process are connected, or being connected, to a port."""
    with open("/proc/self/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) == port}
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return len(inodes & set(links))


@contextlib.contextmanager
def _at(address: str, port: int, body: bytes) -> Iterator[None]:
    """A server at an address and a port, which answers everything with `body`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((address, port), Page) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown()
            thread.join(LIMIT)


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with socket.create_server((PUBLIC, 0), backlog=100) as listening:
        yield listening.getsockname()[1]


@contextlib.contextmanager
def _full_backlog() -> Iterator[int]:
    """A port where connections are neither accepted nor refused."""
    with socket.create_server((PUBLIC, 0), backlog=0) as listening, contextlib.ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        yield listening.getsockname()[1]
