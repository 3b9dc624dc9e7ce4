"""`pinfold.httpx`: what it refuses, with threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import pickle
import ssl
import threading
import zlib
from collections.abc import Callable
from typing import Any

import anyio
import httpx as plain
import pytest

import pinfold
from pinfold import httpx
from support.lab import Lab
from support.server import Server

Ask = Callable[..., list[Any]]


@pytest.fixture(params=["threads", "asyncio", "trio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes requests with one client, one after the other: each a URL, or a method and a URL, or something to do in
    between. Gives what came of each: a response that was read, or an exception.
    """

    def with_threads(guard: Any, *steps: Any, **options: Any) -> list[Any]:
        with httpx.Client(guard=guard, **options) as client:
            return [_outcome(client, step) for step in steps]

    async def with_tasks(guard: Any, steps: Any, options: Any) -> list[Any]:
        async with httpx.AsyncClient(guard=guard, **options) as client:
            return [await _aoutcome(client, step) for step in steps]

    if request.param == "threads":
        return with_threads
    return lambda guard, *steps, **options: anyio.run(with_tasks, guard, steps, options, backend=request.param)


def _outcome(client: plain.Client, step: Any) -> Any:
    if callable(step):
        return step()
    method, url, more = _request(step)
    try:
        return client.request(method, url, **more)
    except Exception as error:  # noqa: BLE001 # It is what is tested.
        return error


async def _aoutcome(client: plain.AsyncClient, step: Any) -> Any:
    if callable(step):
        return step()
    method, url, more = _request(step)
    try:
        return await client.request(method, url, **more)
    except Exception as error:  # noqa: BLE001 # It is what is tested.
        return error


def _request(step: Any) -> tuple[str, Any, dict[str, Any]]:
    if isinstance(step, str | plain.URL):
        return "GET", step, {}
    method, url, *more = step
    return method, url, more[0] if more else {}


def _codes(outcomes: list[Any]) -> list[Any]:
    return [getattr(outcome, "code", None) or getattr(outcome, "status_code", outcome) for outcome in outcomes]


def _connections(server: Server) -> list[int]:
    return [seen.connection for seen in server.seen]


def _open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _redirecting(server: Server, path: str, location: str, status: int = 302) -> None:
    @server.route(path)
    def page(_: Any) -> Any:
        return status, {"location": location}, b"gone"


# --- What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.3/", "address-floor"),
        ("http://169.254.169.254/latest/meta-data/", "address-metadata"),
        ("http://2130706435/", None),
        ("http://0x7f.0.0.3/", None),
        ("http://127.3/", None),
        ("http://[::ffff:127.0.0.2]/", None),
        ("http://[::ffff:7f00:1]/", None),
        ("http://user@127.0.0.2/", "userinfo-denied"),
        ("http://user:secret@public.example/", "userinfo-denied"),
        ("http://8.8.8.8\\@127.0.0.2/", "url-backslash"),
        (" http://127.0.0.2/", "url-control-character"),
        ("http:127.0.0.2/", None),
        ("//127.0.0.2/", None),
        ("127.0.0.2", None),
        ("file:///etc/passwd", None),
        ("ftp://127.0.0.2/", None),
        ("http://localhost/", None),
        ("http://127.0.0.2:0/", None),
        ("http://127.0.0.2/a b", None),
        ("http://\uff11\uff12\uff17.0.0.3/", None),
    ],
)
def test_refused_before_anything_is_opened(ask: Ask, guard: Any, url: str, code: str | None) -> None:
    [error] = ask(guard, url)
    assert isinstance(error, pinfold.Denied), error
    assert isinstance(error, plain.HTTPError)
    assert isinstance(error, plain.InvalidURL) or error.request.url.host
    assert "127.0.0" not in str(error)
    if code and code in {listed.code for listed in pinfold.codes()}:
        assert error.code == code


def test_refusals_are_of_both_libraries(ask: Ask, guard: Any, answers: Any) -> None:
    answers.set("inside.example", ["127.0.0.3"])
    denied, unread, unknown = ask(guard, "http://inside.example/", "gopher://x/", "http://nobody.example/")
    assert isinstance(denied, httpx.Denied)
    assert isinstance(denied, plain.ConnectError)
    assert denied.request.url.host == "inside.example"
    assert isinstance(unread, httpx.InvalidURL)
    assert isinstance(unread, plain.UnsupportedProtocol)
    assert isinstance(unread, plain.InvalidURL)
    assert isinstance(unread, ValueError)
    assert isinstance(unknown, httpx.ConnectError)
    assert isinstance(unknown, pinfold.NetworkError)
    assert pickle.loads(pickle.dumps(denied)).code == denied.code  # Ours.


def test_mixed_answers_are_refused(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("mixed.example", ["127.0.0.2", "127.0.0.3"])
    [error] = ask(guard, server.url(host="mixed.example"))
    assert isinstance(error, httpx.Denied)
    assert server.connections == 0


def test_trailing_dot_is_the_same_name(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("public.example", ["127.0.0.2"])
    answers.set("inside.example", ["127.0.0.3"])
    allowed, refused = ask(guard, server.url(host="public.example."), server.url(host="inside.example."))
    assert allowed.status_code == 200
    assert isinstance(refused, httpx.Denied)


def test_ipv6_literal(ask: Ask, guard: Any, server_v6: Server) -> None:
    [response] = ask(guard, server_v6.url())
    assert response.status_code == 200


def test_proxies_of_the_environment_are_not_used(
    ask: Ask, guard: Any, server: Server, internal_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, internal_server.origin)
    [response] = ask(guard, server.url("/direct"))
    assert response.status_code == 200
    assert server.paths() == ["/direct"]
    assert internal_server.connections == 0


@pytest.mark.parametrize(
    "option",
    [
        {"proxy": "http://127.0.0.2:1"},
        {"mounts": {"http://": plain.HTTPTransport(trust_env=False)}},
        {"http2": True},
        {"http1": False},
        {"transport": plain.HTTPTransport(trust_env=False)},
    ],
)
@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_options_that_go_around_the_guard_are_refused(kind: Any, option: dict[str, Any], guard: Any) -> None:
    with pytest.raises(pinfold.PolicyError, match=next(iter(option)).replace("http1", "http2")) as raised:
        kind(guard=guard, **option)
    assert raised.value.hint


@pytest.mark.parametrize("kind", [httpx.Transport, httpx.AsyncTransport])
@pytest.mark.parametrize("option", [{"uds": "/run/x"}, {"local_address": "127.0.0.1"}, {"proxy": "http://127.0.0.2"}])
def test_a_transport_refuses_as_well(kind: Any, option: dict[str, Any], guard: Any) -> None:
    with pytest.raises(pinfold.PolicyError):
        kind(guard=guard, **option)


def test_extensions_do_not_change_where_it_goes(ask: Ask, guard: Any, server: Server) -> None:
    outcomes = ask(
        guard,
        ("GET", server.url(), {"extensions": {"sni_hostname": "other.example"}}),
        ("GET", server.url(), {"extensions": {"target": b"http://other.example/"}}),
        ("GET", server.url(), {"extensions": {"target": b"/other", "sni_hostname": "127.0.0.2"}}),
    )
    assert _codes(outcomes) == ["option-refused", "option-refused", 200]
    assert server.paths() == ["/other"]


# --- Redirects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.3:{port}/",
        "//127.0.0.3:{port}/",
        "http://2130706435:{port}/",
        "http:/\\127.0.0.3:{port}/",
        "http://8.8.8.8\\@127.0.0.3:{port}/",
        "http://inside.example:{port}/",
    ],
)
def test_a_redirect_inside_is_refused(
    ask: Ask, guard: Any, answers: Any, server: Server, internal_server: Server, location: str
) -> None:
    answers.set("inside.example", ["127.0.0.3"])
    _redirecting(server, "/go", location.format(port=internal_server.port))
    [error] = ask(guard, server.url("/go"), follow_redirects=True)
    assert isinstance(error, pinfold.Denied | plain.RemoteProtocolError), error
    assert internal_server.connections == 0
    assert server.paths() == ["/go"]


def test_a_redirect_to_a_rebound_name_is_refused(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("turning.example", ["127.0.0.2"])

    @server.route("/go")
    def page(_: Any) -> Any:
        answers.set("turning.example", ["127.0.0.3"])
        return 302, {"location": "/again"}, b""

    [error] = ask(guard, server.url("/go", host="turning.example"), follow_redirects=True)
    assert isinstance(error, httpx.Denied)
    assert server.paths() == ["/go"]


def test_redirects_are_not_followed_unasked_and_then_judged(ask: Ask, guard: Any, server: Server) -> None:
    _redirecting(server, "/go", "http://127.0.0.3/")
    [response] = ask(guard, server.url("/go"))
    assert response.status_code == 302
    with httpx.Client(guard=guard) as client, pytest.raises(httpx.Denied):
        client.send(client.get(server.url("/go")).next_request)


def test_too_many_redirects(ask: Ask, guard: Any, server: Server) -> None:
    _redirecting(server, "/loop", "/loop")
    [error] = ask(guard, server.url("/loop"), follow_redirects=True)
    assert isinstance(error, httpx.TooManyRedirects)
    assert isinstance(error, plain.TooManyRedirects)
    assert isinstance(error, pinfold.BudgetExceeded)
    assert len(server.seen) == 6


def test_no_secrets_across_origins_not_even_back(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("one.example", ["127.0.0.2"])
    answers.set("two.example", ["127.0.0.2"])
    _redirecting(server, "/go", server.url("/there", host="two.example"))
    _redirecting(server, "/there", server.url("/back", host="one.example"))
    secrets = {"authorization": "Bearer s", "x-api-key": "s", "accept": "text/x"}
    [response] = ask(
        guard,
        ("GET", server.url("/go", host="one.example"), {"headers": secrets}),
        follow_redirects=True,
        cookies={"session": "s"},
    )
    assert response.status_code == 200
    first, *others = server.seen
    assert {first.headers["authorization"], first.headers["cookie"]} == {"Bearer s", "session=s"}
    for seen in others:
        assert seen.headers["accept"] == "text/x"
        assert not {"authorization", "x-api-key", "cookie"} & {name.lower() for name in seen.headers}
        assert seen.headers["host"].startswith(("one.example", "two.example"))


def test_the_decisions_of_an_exchange_are_hops(ask: Ask, make_guard: Any, server: Server) -> None:
    told: list[pinfold.Decision] = []
    guard = make_guard(on_decision=told.append)
    _redirecting(server, "/go", "/end")
    [response] = ask(guard, server.url("/go"), follow_redirects=True, subject="mail")
    assert [decision.hop for decision in told] == [0, 1]
    assert {decision.subject for decision in told} == {"mail"}
    assert response.extensions["pinfold"].reused
    assert len(response.history) == 1


def test_each_request_of_an_authentication_is_judged(ask: Ask, guard: Any, server: Server) -> None:
    class Elsewhere(plain.Auth):
        def auth_flow(self, request: plain.Request) -> Any:
            yield plain.Request("POST", "http://127.0.0.3/token", extensions=request.extensions)
            yield request

    [error] = ask(guard, ("GET", server.url(), {"auth": Elsewhere()}))
    assert isinstance(error, httpx.Denied)
    assert server.connections == 0


def test_a_hook_that_changes_the_url_changes_what_is_judged(guard: Any, server: Server) -> None:
    def elsewhere(request: plain.Request) -> None:
        request.url = plain.URL("http://127.0.0.3/")

    with httpx.Client(guard=guard, event_hooks={"request": [elsewhere]}) as client, pytest.raises(httpx.Denied):
        client.get(server.url())


# --- Kept connections --------------------------------------------------------------------------------------------


def test_a_kept_connection_is_used_again(ask: Ask, guard: Any, server: Server) -> None:
    ask(guard, server.url(), server.url(), server.url())
    assert _connections(server) == [1, 1, 1]


def test_not_for_another_generation(ask: Ask, guard: Any, server: Server) -> None:
    ask(guard, server.url(), guard.swap, server.url(), server.url())
    assert _connections(server) == [1, 2, 2]


def test_not_for_another_name(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("one.example", ["127.0.0.2"])
    answers.set("two.example", ["127.0.0.2"])
    ask(guard, server.url(host="one.example"), server.url(host="two.example"), server.url(host="one.example"))
    assert _connections(server) == [1, 2, 1]


def test_not_for_another_address(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    url = server.url(host="turning.example")
    answers.set("turning.example", ["127.0.0.2"])
    outcomes = ask(
        guard,
        url,
        lambda: answers.set("turning.example", ["127.0.0.3"]),
        url,
        lambda: answers.set("turning.example", ["::1"]),
        url,
        lambda: answers.set("turning.example", ["127.0.0.2"]),
        url,
    )
    assert outcomes[0].status_code == 200
    assert isinstance(outcomes[2], httpx.Denied)
    assert isinstance(outcomes[4], httpx.ConnectError)
    assert outcomes[6].status_code == 200
    assert _connections(server) == [1, 2]


def test_a_policy_that_refuses_it_now_is_asked(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    url = server.url(host="one.example")
    answers.set("one.example", ["127.0.0.2"])
    outcomes = ask(guard, url, lambda: guard.swap(settings={"hosts": {"deny": ["one.example"]}}), url)
    assert isinstance(outcomes[2], httpx.Denied)
    assert len(server.seen) == 1


def test_a_connection_that_the_server_closed_is_not_used(ask: Ask, guard: Any, server: Server) -> None:
    outcomes = ask(guard, server.url(), server.drop_connections, lambda: threading.Event().wait(0.2), server.url())
    assert outcomes[-1].status_code == 200
    assert _connections(server) == [1, 2]


def test_all_rebinding_attacks_come_to_nothing(ask: Ask, lab_guard: Any, lab: Lab) -> None:
    before = lab.leaks()
    urls = [lab.url(f"httpx{turn}.{attack}") for attack in lab.attacks for turn in range(2)]
    ask(lab_guard, *[url for url in urls for _ in range(3)])
    assert len(lab.attacks) >= 20
    assert lab.leaks() == before
    [response] = ask(lab_guard, lab.url("public"))
    assert response.status_code == 200


# --- Budgets -----------------------------------------------------------------------------------------------------


def _bomb(encoding: str) -> bytes:
    megabytes = b"\0" * (64 << 20)
    if encoding == "deflate":
        return zlib.compress(megabytes, 9)
    if encoding == "raw":
        made = zlib.compressobj(9, wbits=-15)
        return made.compress(megabytes) + made.flush()
    once = gzip.compress(megabytes, 9)
    return gzip.compress(once, 9) if encoding == "gzip, gzip" else once


# httpx leaves its generators to the collector when decoding fails, and trio says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw", "gzip, gzip"])
def test_a_bomb_is_stopped(ask: Ask, guard: Any, server: Server, encoding: str) -> None:
    bomb = _bomb(encoding)

    @server.route("/bomb")
    def page(_: Any) -> Any:
        return 200, {"content-encoding": encoding.replace("raw", "deflate"), "content-length": str(len(bomb))}, bomb

    [error] = ask(guard, server.url("/bomb"), budget=pinfold.Budget(decoded_bytes=1 << 20))
    assert isinstance(error, httpx.TooLarge)
    assert error.code == "response-inflated"


def test_a_bomb_is_not_in_memory(guard: Any, server: Server) -> None:
    import tracemalloc

    bomb = _bomb("gzip")

    @server.route("/bomb")
    def page(_: Any) -> Any:
        return 200, {"content-encoding": "gzip", "content-length": str(len(bomb))}, bomb

    with httpx.Client(guard=guard, budget=pinfold.Budget(decoded_bytes=1 << 20)) as client:
        client.get(server.url("/"))
        tracemalloc.start()
        with pytest.raises(httpx.TooLarge), client.stream("GET", server.url("/bomb")) as response:
            for _ in response.iter_bytes():
                pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 << 20


# httpcore leaves its generators to the collector when a body is not read to its end, and trio says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1])
def test_bytes_are_counted(ask: Ask, guard: Any, server: Server, size: int) -> None:
    @server.route("/large")
    def page(_: Any) -> Any:
        return 200, {}, (b"x" * 4096 for _ in range(size // 4096 + bool(size % 4096)))

    [outcome] = ask(guard, server.url("/large"), budget=pinfold.Budget(response_bytes=1 << 20))
    if size == 1 << 20:
        assert len(outcome.content) == size
    else:
        assert outcome.code == "response-too-large"
        assert isinstance(outcome, plain.ReadError)


def test_the_deadline_is_for_all_of_it(ask: Ask, guard: Any, server: Server) -> None:
    @server.route("/slow")
    def page(request: Any) -> Any:
        def drops() -> Any:
            while not request.over.wait(0.1):
                yield b"."

        return 200, {}, drops()

    [error] = ask(guard, server.url("/slow"), budget=pinfold.Budget(total=1.0), timeout=5)
    assert isinstance(error, httpx.DeadlineExceeded)
    assert isinstance(error, plain.TimeoutException)


# --- While it runs -----------------------------------------------------------------------------------------------


def _forever(server: Server) -> None:
    @server.route("/forever")
    def page(request: Any) -> Any:
        def drops() -> Any:
            while not request.over.wait(0.02):
                yield b"." * 1000

        return 200, {}, drops()


def test_a_swapped_policy_ends_a_stream(guard: Any, answers: Any, server: Server) -> None:
    answers.set("one.example", ["127.0.0.2"])
    _forever(server)
    with httpx.Client(guard=guard) as client, client.stream("GET", server.url("/forever", "one.example")) as response:
        chunks = response.iter_bytes()
        next(chunks)
        guard.swap(settings={"hosts": {"deny": ["other.example"]}})
        next(chunks)
        guard.swap(settings={"hosts": {"deny": ["one.example"]}})
        with pytest.raises(httpx.Denied):
            for _ in chunks:
                pass


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_swapped_policy_ends_a_stream_of_a_task(guard: Any, answers: Any, server: Server, backend: str) -> None:
    answers.set("one.example", ["127.0.0.2"])
    _forever(server)

    async def main() -> None:
        async with (
            httpx.AsyncClient(guard=guard) as client,
            client.stream("GET", server.url("/forever", "one.example")) as response,
        ):
            chunks = response.aiter_bytes()
            await anext(chunks)
            guard.swap(settings={"hosts": {"deny": ["one.example"]}})
            with pytest.raises(httpx.Denied):
                async for _ in chunks:
                    pass

    anyio.run(main, backend=backend)


# The server is surprised by half an upload.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("path", ["/head", "/forever", "/upload"])
def test_a_cancelled_task_leaves_nothing_open(guard: Any, server: Server, path: str, backend: str) -> None:
    _forever(server)

    @server.route("/head")
    def page(request: Any) -> Any:
        request.over.wait(10)
        return 200, {}, b""

    async def endless() -> Any:
        while True:
            yield b"x" * 1000
            await anyio.sleep(0.01)

    async def cancelled(client: plain.AsyncClient) -> None:
        content = endless() if path == "/upload" else None
        with anyio.move_on_after(0.3) as scope:
            await client.request("POST", server.url(path), content=content)
        assert scope.cancelled_caught

    async def main() -> tuple[int, int]:
        async with httpx.AsyncClient(guard=guard, limits=plain.Limits(max_connections=1)) as client:
            await client.get(server.url("/"))
            before = _open_files()
            for _ in range(3):
                await cancelled(client)
            # The place was given back, and the connection was not kept.
            assert (await client.get(server.url("/"))).status_code == 200
            return before, _open_files()

    before, after = anyio.run(main, backend=backend)
    server.stop()
    assert after <= before + 6  # At most the server's own ends of them.


def test_cancelled_at_any_step_nothing_stays_open(guard: Any, tls_server: Server) -> None:
    async def at(steps: int) -> None:
        async with httpx.AsyncClient(
            guard=guard, verify=ssl.create_default_context(cafile=tls_server.ca_file)
        ) as client:
            task = asyncio.ensure_future(client.get(tls_server.url("/")))
            for _ in range(steps):
                await asyncio.sleep(0)
            await asyncio.sleep(steps / 5000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not client._guarded._pool._shelf._active
        await asyncio.sleep(0.01)

    async def main() -> None:
        for steps in range(60):
            await at(steps)

    with pytest.MonkeyPatch.context() as patch:
        opened: list[Any] = []
        take = pinfold.PinnedSocket.take.__func__  # type: ignore[attr-defined] # A class method.
        patch.setattr(
            pinfold.PinnedSocket, "take", classmethod(lambda cls, *of: (opened.append(take(cls, *of)), opened[-1])[1])
        )
        asyncio.run(main())
        assert opened
        assert all(each.fileno() == -1 for each in opened)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_hundred_tasks(guard: Any, server: Server, backend: str) -> None:
    results: list[int] = []

    async def main() -> None:
        async with httpx.AsyncClient(guard=guard, limits=plain.Limits(max_connections=10)) as client:

            async def one(turn: int) -> None:
                response = await client.post(server.url(f"/{turn}"), content=str(turn), timeout=20)
                results.append(response.status_code)

            async with anyio.create_task_group() as group:
                for turn in range(100):
                    group.start_soon(one, turn)

    anyio.run(main, backend=backend)
    assert results == [200] * 100
    assert server.connections <= 10


def test_eight_threads(guard: Any, server: Server) -> None:
    with httpx.Client(guard=guard, limits=plain.Limits(max_connections=4), timeout=20) as client:
        results: list[int] = []
        work = lambda: results.extend(client.get(server.url()).status_code for _ in range(20))  # noqa: E731
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == [200] * 160
    assert server.connections <= 4


def test_pool_timeout_and_live_limit(guard: Any, server: Server) -> None:
    _forever(server)
    with httpx.Client(guard=guard, limits=plain.Limits(max_connections=1)) as client:
        with client.stream("GET", server.url("/forever")), pytest.raises(plain.PoolTimeout):
            client.get(server.url(), timeout=plain.Timeout(5, pool=0.1))
        assert client.get(server.url()).status_code == 200


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pool_timeout_of_tasks(guard: Any, server: Server, backend: str) -> None:
    _forever(server)

    async def main() -> None:
        async with httpx.AsyncClient(guard=guard, limits=plain.Limits(max_connections=1)) as client:
            async with client.stream("GET", server.url("/forever")):
                with pytest.raises(plain.PoolTimeout):
                    await client.get(server.url(), timeout=plain.Timeout(5, pool=0.1))
            assert (await client.get(server.url())).status_code == 200

    anyio.run(main, backend=backend)


def test_kept_connections_are_limited_and_expire(guard: Any, answers: Any, server: Server) -> None:
    for name in ("one", "two", "three"):
        answers.set(f"{name}.example", ["127.0.0.2"])
    with httpx.Client(guard=guard, limits=plain.Limits(max_keepalive_connections=2)) as client:
        for name in ("one", "two", "three"):
            client.get(server.url(host=f"{name}.example"))
        assert len(client._guarded._pool._shelf._idle) == 2
    with httpx.Client(guard=guard, limits=plain.Limits(keepalive_expiry=0)) as client:
        server.clear()
        client.get(server.url())
        client.get(server.url())
    assert len(set(_connections(server))) == 2


def test_a_child_does_not_use_the_connections_of_its_parent(guard: Any, server: Server) -> None:
    with httpx.Client(guard=guard) as client:
        client.get(server.url("/parent"))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if client.get(server.url("/child")).status_code == 200 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.get(server.url("/parent"))
    parent, forked, again = server.seen
    assert parent.connection == again.connection != forked.connection


# --- Alone, and as functions -------------------------------------------------------------------------------------


def test_a_transport_below_a_plain_client(guard: Any, server: Server) -> None:
    _redirecting(server, "/go", "http://127.0.0.3/")
    with plain.Client(transport=httpx.Transport(guard=guard), follow_redirects=True) as client:
        assert client.get(server.url()).status_code == 200
        with pytest.raises(httpx.Denied) as raised:
            client.get(server.url("/go"))
        assert raised.value.request.url.host == "127.0.0.3"


def test_an_async_transport_below_a_plain_client(guard: Any, server: Server) -> None:
    async def main() -> None:
        async with plain.AsyncClient(transport=httpx.AsyncTransport(guard=guard)) as client:
            assert (await client.get(server.url())).status_code == 200
            with pytest.raises(httpx.Denied):
                await client.get("http://127.0.0.3/")

    asyncio.run(main())


def test_functions(guard: Any, server: Server) -> None:
    for name in ("get", "options", "head", "post", "put", "patch", "delete"):
        assert getattr(httpx, name)(server.url(), guard=guard).status_code == 200
    assert [seen.method for seen in server.seen] == ["GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    with httpx.stream("GET", server.url("/s"), guard=guard) as response:
        assert response.read() == b"/s"


def test_functions_use_the_default_guard(guard: Any, server: Server) -> None:
    pinfold.set_default_guard(guard)
    try:
        assert httpx.get(server.url()).status_code == 200
        with pytest.raises(httpx.Denied):
            httpx.get("http://127.0.0.3/")
    finally:
        pinfold.set_default_guard(None)
