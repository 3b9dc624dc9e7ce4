"""`pinfold.urllib3`: what it refuses (that it is urllib3 otherwise: `test_requests_compat`)."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3 as plain

import pinfold
from pinfold import urllib3
from pinfold._urllib3 import body as decoding
from pinfold._urllib3 import pool
from pinfold.budget import Budget, Spending
from support.lab import Lab
from support.packing import packed
from support.server import Request, Server

Make = Callable[..., pinfold.Guard]


@pytest.fixture
def manager(guard: pinfold.Guard) -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(guard=guard) as made:
        yield made


# --- the list of every adapter


def test_a_redirect_inside_is_refused(manager: urllib3.PoolManager, server: Server, internal_server: Server) -> None:
    _redirects(server, internal_server.url("/"))
    with pytest.raises(urllib3.Denied) as error:
        manager.request("GET", server.url("/go"))
    assert error.value.code == "address-floor"
    assert "127.0.0.3" not in str(error.value)
    assert internal_server.connections == 0


def test_a_redirect_to_a_rebound_name_is_refused(lab: Lab, lab_guard: pinfold.Guard, server: Server) -> None:
    name = lab.name("urllib3-redirect", ["127.0.0.2"], ["127.0.0.3"])
    before = lab.leaks()
    _redirects(server, f"http://{name}:{lab.port}/")
    with urllib3.PoolManager(guard=lab_guard) as manager:
        assert manager.request("GET", server.url("/go")).status == 200
        with pytest.raises(urllib3.Denied):
            manager.request("GET", server.url("/go"))
    assert lab.leaks() == before


@pytest.mark.parametrize("location", ["http://127.0.0.2\\@127.0.0.3/", "//127.0.0.3/", "http://127.0.0.3:80\t/"])
def test_a_location_is_judged_as_written(manager: urllib3.PoolManager, server: Server, location: str) -> None:
    _redirects(server, location)
    with pytest.raises(pinfold.Denied):
        manager.request("GET", server.url("/go"))
    assert manager.request("GET", server.url("/go"), redirect=False).status == 302


def test_a_redirect_of_a_pool_is_judged(guard: pinfold.Guard, server: Server, internal_server: Server) -> None:
    _redirects(server, "/there")
    pool = urllib3.connection_from_url(server.url("/"), guard=guard)
    assert pool.request("GET", "/go").data == b"/there"
    _redirects(server, internal_server.url("/"))
    with pytest.raises(plain.exceptions.HostChangedError):
        pool.request("GET", "/go", retries=5)
    with pytest.raises(urllib3.Denied):
        pool.urlopen("GET", "/go", assert_same_host=False)
    with pytest.raises(urllib3.Denied):
        pool.urlopen("GET", "http://www.example.com/", assert_same_host=False)
    assert internal_server.connections == 0


def test_proxies_are_not_used(
    guard: pinfold.Guard, server: Server, internal_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, internal_server.url("/"))
    assert urllib3.request("GET", server.url("/"), guard=guard).status == 200
    for options in ({"proxy": internal_server.url("/")}, {"_proxy": plain.util.parse_url(internal_server.url("/"))}):
        with pytest.raises(pinfold.PolicyError, match="proxy"):
            urllib3.PoolManager(guard=guard, **options)
    assert not hasattr(urllib3, "ProxyManager")
    assert internal_server.connections == 0


def test_connections_are_kept_within_a_generation(
    manager: urllib3.PoolManager, guard: pinfold.Guard, server: Server
) -> None:
    for _ in range(3):
        manager.request("GET", server.url("/"))
    assert server.connections == 1
    guard.swap()
    manager.request("GET", server.url("/"))
    assert server.connections == 2
    guard.swap(settings={"ports": [1]})
    with pytest.raises(urllib3.Denied):
        manager.request("GET", server.url("/"))


def test_connections_are_kept_for_one_name(
    manager: urllib3.PoolManager, answers: pinfold.FixedAnswers, server: Server
) -> None:
    for name in ("one.example.com", "two.example.com"):
        answers.set(name, ["127.0.0.2"])
        manager.request("GET", server.url("/", host=name))
    assert server.connections == 2


def test_connections_are_kept_for_their_address(
    make_guard: Make, answers: pinfold.FixedAnswers, server: Server
) -> None:
    guard = make_guard(grants=("127.0.0.2", "127.0.0.4"))
    answers.set("moves.example.com", ["127.0.0.2"])
    with urllib3.PoolManager(guard=guard) as manager:
        manager.request("GET", server.url("/", host="moves.example.com"))
        answers.set("moves.example.com", ["127.0.0.4"])
        with pytest.raises(urllib3.NetworkError):
            manager.request("GET", server.url("/", host="moves.example.com"))
    assert len(server.seen) == 1


def test_a_trailing_dot_is_the_same_name(
    manager: urllib3.PoolManager, answers: pinfold.FixedAnswers, server: Server
) -> None:
    answers.set("dot.example.com", ["127.0.0.2"])
    assert manager.request("GET", server.url("/", host="dot.example.com.")).status == 200
    answers.set("dot.example.com", ["127.0.0.3"])
    with pytest.raises(urllib3.Denied):
        manager.request("GET", server.url("/", host="dot.example.com."))


@pytest.mark.parametrize(
    "host", ["127.0.0.3", "127.3", "0x7f000003", "2130706435", "127.0.0.3.", "0", "localhost", "[::ffff:127.0.0.3]"]
)
def test_a_literal_is_refused(manager: urllib3.PoolManager, internal_server: Server, host: str) -> None:
    with pytest.raises(pinfold.Denied):
        manager.request("GET", f"http://{host}:{internal_server.port}/")
    pool = urllib3.HTTPConnectionPool(host, internal_server.port, guard=manager.door.guard)
    with pytest.raises(pinfold.Denied):
        pool.request("GET", "/")
    assert internal_server.connections == 0


def test_ipv6(manager: urllib3.PoolManager, server_v6: Server) -> None:
    assert manager.request("GET", server_v6.url("/v6")).data == b"/v6"
    pool = urllib3.HTTPConnectionPool("::1", server_v6.port, guard=manager.door.guard)
    assert pool.request("GET", "/pool").data == b"/pool"


def test_userinfo_is_refused(manager: urllib3.PoolManager, server: Server) -> None:
    with pytest.raises(urllib3.Denied) as error:
        manager.request("GET", f"http://user:secret@{server.host}/")
    assert error.value.code == "userinfo-denied"
    assert "secret" not in str(error.value)


def test_mixed_answers_are_refused(manager: urllib3.PoolManager, answers: pinfold.FixedAnswers, server: Server) -> None:
    answers.set("mixed.example.com", ["127.0.0.2", "127.0.0.3"])
    with pytest.raises(urllib3.Denied):
        manager.request("GET", server.url("/", host="mixed.example.com"))
    assert server.connections == 0


def test_no_attack_of_the_lab_gets_through(lab: Lab, lab_guard: pinfold.Guard) -> None:
    before = lab.leaks()
    attacks = [attack["name"] for attack in lab.all_attacks]
    assert len(attacks) >= 25
    with urllib3.PoolManager(guard=lab_guard, timeout=5) as manager:
        for attack in attacks:
            with contextlib.suppress(plain.exceptions.HTTPError):
                manager.request("GET", lab.url(f"urllib3.{attack}"))
    assert lab.leaks() == before


# --- what goes along, and how long it may take


def test_secrets_stay_with_their_origin(
    manager: urllib3.PoolManager, server: Server, answers: pinfold.FixedAnswers
) -> None:
    answers.set("other.example.com", ["127.0.0.2"])

    @server.route("/away")
    def away(_: Request) -> Any:
        return 307, {"location": server.url("/back", host="other.example.com")}, b""

    @server.route("/back")
    def back(_: Request) -> Any:
        return 307, {"location": server.url("/end")}, b""

    secrets = {"Authorization": "secret", "X-Key": "secret", "Accept": "text/plain"}
    retries = plain.Retry(5, remove_headers_on_redirect=[])
    manager.request("POST", server.url("/away"), body=b"body", headers=secrets, retries=retries)
    first, *rest = server.seen
    assert first.headers["x-key"] == "secret"
    assert [request.path for request in rest] == ["/back", "/end"]
    for request in rest:
        assert "secret" not in str(request.headers)
        assert request.headers["accept"] == "text/plain"
        assert request.body == b"body"


def test_too_many_redirects(guard: pinfold.Guard, server: Server) -> None:
    _redirects(server, "/go")
    with (
        urllib3.PoolManager(guard=guard, budget=Budget(redirects=2), retries=10) as manager,
        pytest.raises(urllib3.BudgetExceeded),
    ):
        manager.request("GET", server.url("/go"))
    assert len(server.seen) == 3


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("read", ["preload", "data", "read", "stream", "read1", "iter"])
def test_a_bomb_ends(guard: pinfold.Guard, server: Server, read: str, encoding: str) -> None:
    bomb = gzip.compress(bytes(100 << 20), 1)
    body = {"gzip": bomb, "gzip, gzip": gzip.compress(bomb), "deflate": bomb}[encoding]
    if encoding == "deflate":
        import zlib

        body = zlib.compress(bytes(100 << 20))

    @server.route("/bomb")
    def page(_: Request) -> Any:
        return 200, {"content-encoding": encoding}, body

    got: list[bytes] = []
    with (
        urllib3.PoolManager(guard=guard, budget=Budget(decoded_bytes=1 << 20)) as manager,
        pytest.raises(urllib3.BudgetExceeded) as error,
    ):
        got.extend(_pieces(manager, server.url("/bomb"), read))
    assert error.value.code == "response-inflated"
    assert sum(map(len, got)) <= 1 << 20


def test_decoders_that_cannot_be_told_to_stop(
    guard: pinfold.Guard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinfold._urllib3.body._STOPS", False)
    text = os.urandom(5000) * 3
    bodies = {"/good": text, "/bomb": bytes(100 << 20)}
    for path, body in bodies.items():
        server.route(path)(lambda _, b=body: (200, {"content-encoding": "gzip, gzip"}, gzip.compress(gzip.compress(b))))
    with urllib3.PoolManager(guard=guard) as manager:
        assert manager.request("GET", server.url("/good")).data == text
        with pytest.raises(urllib3.BudgetExceeded):
            manager.request("GET", server.url("/bomb"))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "zstd, gzip"])
@pytest.mark.parametrize("read", ["data", "read", "stream"])
def test_a_bomb_of_another_library_ends(guard: pinfold.Guard, server: Server, read: str, encoding: str) -> None:
    text, bomb = os.urandom(5000) * 3, bytes(100 << 20)
    _is_decoded(encoding)
    for path, body in (("/good", text), ("/bomb", bomb)):
        made = packed(encoding, body)
        server.route(path)(lambda _, made=made: (200, {"content-encoding": encoding}, made))
    got: list[bytes] = []
    with urllib3.PoolManager(guard=guard, budget=Budget(decoded_bytes=1 << 20)) as manager:
        assert b"".join(_pieces(manager, server.url("/good"), read)) == text
        with pytest.raises(urllib3.BudgetExceeded) as error:
            got.extend(_pieces(manager, server.url("/bomb"), read))
    assert error.value.code == "response-inflated"
    assert sum(map(len, got)) <= 1 << 20


@pytest.mark.parametrize(
    "encoding", ["gzip", "zstd", "gzip, gzip", "zstd, zstd", "gzip, zstd", "zstd, gzip", "gzip, br"]
)
@pytest.mark.parametrize("read", ["data", "read", "stream", "read1"])
def test_members_that_yield_nothing_end(guard: pinfold.Guard, server: Server, read: str, encoding: str) -> None:
    _is_decoded(encoding)
    first, _, outer = encoding.partition(", ")
    members = packed(first, b"") * 100_000
    flood = packed(outer, members) if outer else members
    server.route("/flood")(lambda _: (200, {"content-encoding": encoding}, flood))
    with (
        urllib3.PoolManager(guard=guard, budget=Budget(total=3600)) as manager,
        pytest.raises(urllib3.BudgetExceeded) as error,
    ):
        list(_pieces(manager, server.url("/flood"), read))
    assert error.value.code == "response-inflated"


def test_members_that_yield_something_are_no_flood(guard: pinfold.Guard, server: Server) -> None:
    text = b"".join(packed("gzip", b"%07d\n" % number * 128) for number in range(4 * decoding.MEMBERS))
    server.route("/log")(lambda _: (200, {"content-encoding": "gzip"}, text))
    with urllib3.PoolManager(guard=guard) as manager:
        assert manager.request("GET", server.url("/log")).data == gzip.decompress(text)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "deflate, zstd"])
def test_the_deadline_is_looked_at_while_nothing_is_made(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _is_decoded(encoding)
    looked: list[float] = []
    monkeypatch.setattr(Spending, "left", lambda self: looked.append(self.began) or 1.0)
    data = packed(encoding, os.urandom(200_000))
    made = decoding.Bounded(plain.response._get_decoder(encoding), Spending(Budget()))
    made.decompress(data)
    assert len(looked) >= len(data) // decoding._SLICE


def test_nothing_is_decoded_when_the_decoder_cannot_be_bounded(
    manager: urllib3.PoolManager, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.route("/")(lambda _: (200, {"content-encoding": "gzip"}, gzip.compress(b"text")))
    # As if urllib3 had named it otherwise.
    monkeypatch.delattr(plain.response.BaseHTTPResponse, "_init_decoder")
    with pytest.raises(AttributeError):
        manager.request("GET", server.url("/"))


def test_a_request_that_was_not_judged_is_not_sent(
    manager: urllib3.PoolManager, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.request("GET", server.url("/"))
    # As if urllib3 had named it otherwise.
    monkeypatch.delattr(pool._Judging, "_make_request")
    with pytest.raises(pinfold.PolicyError):
        manager.request("GET", server.url("/"))
    assert len(server.seen) == 1


def test_a_trickle_ends_with_the_deadline(guard: pinfold.Guard, server: Server) -> None:
    @server.route("/slow")
    def page(request: Request) -> Any:
        return 200, {}, (b"x" for _ in iter(lambda: request.over.wait(0.05), True))

    with (
        urllib3.PoolManager(guard=guard, budget=Budget(total=0.5)) as manager,
        pytest.raises(plain.exceptions.ReadTimeoutError) as error,
    ):
        manager.request("GET", server.url("/slow"), timeout=5, retries=9)
    assert isinstance(error.value, pinfold.DeadlineExceeded)
    assert len(server.seen) == 1


def test_sending_ends_with_the_deadline(guard: pinfold.Guard) -> None:
    with socket.create_server(("127.0.0.2", 0)) as deaf:
        url = f"http://127.0.0.2:{deaf.getsockname()[1]}/"
        with (
            urllib3.PoolManager(guard=guard, budget=Budget(total=0.5)) as manager,
            pytest.raises(pinfold.DeadlineExceeded),
        ):
            manager.request("POST", url, body=bytes(64 << 20), retries=plain.Retry(9))


@pytest.mark.parametrize("pooled", [True, False])
def test_retry_after_does_not_outlast_the_deadline(guard: pinfold.Guard, server: Server, pooled: bool) -> None:
    @server.route("/later")
    def page(_: Request) -> Any:
        return 503, {"retry-after": "3600"}, b""

    with urllib3.PoolManager(guard=guard) as manager:
        asks = manager.connection_from_url(server.url("/")) if pooled else manager
        with pytest.raises(urllib3.DeadlineExceeded):
            asks.request("GET", "/later" if pooled else server.url("/later"), retries=plain.Retry(3))
    assert len(server.seen) == 1


def test_failures_are_tried_again_and_refusals_are_not(guard: pinfold.Guard, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard.on_decision(seen.append)
    with urllib3.PoolManager(guard=guard, retries=2) as manager:
        with pytest.raises(plain.exceptions.MaxRetryError) as error:
            manager.request("GET", "http://127.0.0.2:1/")
        assert isinstance(error.value, pinfold.NetworkError)
        assert isinstance(error.value.reason, plain.exceptions.NewConnectionError)
        assert len(seen) == 3
        with pytest.raises(urllib3.Denied):
            manager.request("GET", "http://127.0.0.3/")
        assert len(seen) == 4
        with pytest.raises(plain.exceptions.NewConnectionError) as once:
            manager.request("GET", "http://127.0.0.2:1/", retries=False)
        assert isinstance(once.value, pinfold.NetworkError)


# --- while it lasts


def test_a_stream_ends_with_its_permission(manager: urllib3.PoolManager, guard: pinfold.Guard, server: Server) -> None:
    more = threading.Semaphore(1)

    @server.route("/live")
    def page(_: Request) -> Any:
        return 200, {}, (bytes(1000) for _ in range(100) if more.acquire(timeout=10))

    pieces = manager.request("GET", server.url("/live"), preload_content=False).stream(1000)
    assert next(pieces)
    guard.swap(settings={"ports": [1]})
    more.release(100)
    with pytest.raises(urllib3.Denied):
        list(pieces)


@pytest.mark.parametrize("tls", [False, True])
def test_a_kept_connection_is_not_used_after_a_fork(
    guard: pinfold.Guard, server: Server, tls_server: Server, tls: bool
) -> None:
    asked = tls_server if tls else server
    with urllib3.PoolManager(guard=guard, ca_certs=tls_server.ca_file) as manager:
        manager.request("GET", asked.url("/parent"))
        child = os.fork()
        if child == 0:
            ok = False
            try:
                ok = manager.request("GET", asked.url("/child")).data == b"/child"
            finally:
                os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        manager.request("GET", asked.url("/parent"))
    assert [request.connection for request in asked.seen] == [1, 2, 1]


def test_eight_threads(guard: pinfold.Guard, server: Server) -> None:
    with urllib3.PoolManager(guard=guard, maxsize=8) as manager, ThreadPoolExecutor(8) as pool:
        paths = [f"/{number}" for number in range(200)]
        texts = list(pool.map(lambda path: manager.request("GET", server.url(path)).data.decode(), paths))
    assert texts == paths
    assert server.connections <= 8


# --- options


@pytest.mark.parametrize("options", [{"source_address": ("127.0.0.1", 0)}, {"server_hostname": "other.example.com"}])
def test_what_cannot_be_honoured_is_refused(guard: pinfold.Guard, options: dict[str, Any]) -> None:
    with pytest.raises(pinfold.PolicyError, match=next(iter(options))):
        urllib3.PoolManager(guard=guard, **options)
    with pytest.raises(pinfold.PolicyError, match=next(iter(options))):
        urllib3.PoolManager(guard=guard).connection_from_host("127.0.0.2", pool_kwargs=options)
    with pytest.raises(pinfold.PolicyError, match=next(iter(options))):
        urllib3.HTTPConnectionPool("127.0.0.2", guard=guard, **options)


def test_tunnels_are_refused(guard: pinfold.Guard) -> None:
    connection = urllib3.HTTPConnectionPool("127.0.0.2", guard=guard)._new_conn()
    with pytest.raises(pinfold.PolicyError, match="set_tunnel"):
        connection.set_tunnel("127.0.0.3")


def test_socket_options_are_set(guard: pinfold.Guard, server: Server) -> None:
    wanted = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with urllib3.PoolManager(guard=guard, socket_options=[wanted]) as manager:
        response = manager.request("GET", server.url("/"), preload_content=False)
        opened = response.connection.sock
        assert opened.getsockopt(*wanted[:2])
        response.read()


def test_tls_is_verified_for_the_name(guard: pinfold.Guard, answers: pinfold.FixedAnswers, tls_server: Server) -> None:
    for name in ("www.lab.example.com", "elsewhere.example.com"):
        answers.set(name, ["127.0.0.2"])
    good, bad = (tls_server.url("/", host=name) for name in ("www.lab.example.com", "elsewhere.example.com"))
    with urllib3.PoolManager(guard=guard, ca_certs=tls_server.ca_file, retries=False) as manager:
        assert manager.request("GET", good).status == 200
        assert tls_server.seen[-1].sni == "www.lab.example.com"
        with pytest.raises(plain.exceptions.SSLError):
            manager.request("GET", bad)
    with urllib3.PoolManager(guard=guard, retries=False) as manager, pytest.raises(plain.exceptions.SSLError):
        manager.request("GET", good)


def test_schemes(manager: urllib3.PoolManager) -> None:
    for url in ("ftp://example.com/", "no scheme", "http://[v1.x]/"):
        with pytest.raises(plain.exceptions.LocationValueError) as error:
            manager.request("GET", url)
        assert isinstance(error.value, pinfold.InvalidURL)


def test_a_body_that_asks_elsewhere(manager: urllib3.PoolManager, server: Server, internal_server: Server) -> None:
    def body() -> Iterator[bytes]:
        yield manager.request("GET", server.url("/other")).data
        with pytest.raises(urllib3.Denied):
            manager.request("GET", internal_server.url("/"))
        yield b"!"

    assert manager.request("POST", server.url("/first"), body=body()).data == b"/first"
    assert server.seen[-1].body == b"/other!" or server.seen[0].body == b"/other!"


def test_what_does_not_parse_is_told_once(make_guard: Make, server: Server) -> None:
    told: list[pinfold.Decision] = []
    _redirects(server, "http://127.0.0.2\\@127.0.0.3/")
    guard = make_guard(on_decision=told.append)
    with urllib3.PoolManager(guard=guard) as manager:
        for url in ("nonsense", "http://a.example.com\\@127.0.0.3/", server.url("/go")):
            with pytest.raises(urllib3.InvalidURL) as error:
                manager.request("GET", url)
            assert error.value.decision is told[-1]
    with pytest.raises(urllib3.InvalidURL):
        urllib3.connection_from_url("nonsense", guard=guard)
    assert [decision.verdict for decision in told] == ["deny", "deny", "allow", "deny", "deny"]


def test_a_pool_takes_urls_in_a_query(guard: pinfold.Guard, server: Server) -> None:
    made = urllib3.connection_from_url(server.url("/"), guard=guard)
    assert made.request("GET", "/a?u=http://x.example/").status == 200
    assert server.seen[-1].target == "/a?u=http://x.example/"


def test_exceptions_are_of_the_module_that_is_imported(manager: urllib3.PoolManager) -> None:
    with pytest.raises(urllib3.Denied) as error:
        manager.request("GET", "http://127.0.0.3/")
    assert type(error.value).__module__ == "pinfold.urllib3"


@pytest.mark.parametrize("options", [{"guard": "x"}, {"budget": 5}])
def test_what_is_no_guard_or_budget_is_refused_at_once(options: Any) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        urllib3.PoolManager(**options)
    with pytest.raises(TypeError, match=next(iter(options))):
        urllib3.connection_from_url("http://a.example.com/", **options)


def _is_decoded(encoding: str) -> None:
    if not set(encoding.split(", ")) <= set(plain.HTTPResponse.CONTENT_DECODERS):
        pytest.skip(f"urllib3 has no library for {encoding}")


def _redirects(server: Server, location: str) -> None:
    @server.route("/go")
    def page(_: Request) -> Any:
        return 302, {"location": location}, b""


def _pieces(manager: urllib3.PoolManager, url: str, read: str) -> Iterator[bytes]:
    response: Any = manager.request("GET", url, preload_content=read == "preload")
    if read == "data":
        yield response.data
    elif read == "stream":
        yield from response.stream(10_000)
    elif read == "iter":
        yield from response
    elif read in ("read", "read1"):
        while piece := getattr(response, read)(10_000, decode_content=True):
            yield piece
