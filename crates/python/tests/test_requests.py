"""`pinfold.requests`: what it refuses, and that it is requests otherwise (see `test_requests_compat`)."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests as plain
import urllib3

import pinfold
from pinfold import requests
from pinfold.budget import Budget
from support.lab import Lab
from support.server import Request, Server

Make = Callable[..., pinfold.Guard]


@pytest.fixture
def session(guard: pinfold.Guard) -> Iterator[requests.Session]:
    with requests.Session(guard=guard) as made:
        yield made


def code(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.code)


# --- the list of every adapter


def test_a_redirect_inside_is_refused(session: requests.Session, server: Server, internal_server: Server) -> None:
    _redirects(server, internal_server.url("/"))
    with pytest.raises(requests.Denied) as error:
        session.get(server.url("/go"))
    assert code(error) == "address-floor"
    assert "127.0.0.3" not in str(error.value)
    assert internal_server.connections == 0


def test_a_redirect_to_a_rebound_name_is_refused(lab: Lab, lab_guard: pinfold.Guard, server: Server) -> None:
    name = lab.name("requests-redirect", ["127.0.0.2"], ["127.0.0.3"])
    before = lab.leaks()
    _redirects(server, f"http://{name}:{lab.port}/")
    with requests.Session(guard=lab_guard) as session:
        assert session.get(server.url("/go")).status_code == 200
        with pytest.raises(requests.Denied):
            session.get(server.url("/go"))
    assert lab.leaks() == before


@pytest.mark.parametrize("location", ["http://127.0.0.2\\@127.0.0.3/", "//127.0.0.3/", "http://127.0.0.3:80\t/"])
def test_a_location_is_judged_as_written(session: requests.Session, server: Server, location: str) -> None:
    _redirects(server, location)
    with pytest.raises(pinfold.Denied):
        session.get(server.url("/go"))
    assert session.get(server.url("/go"), allow_redirects=False).next is not None


def test_proxies_of_the_environment_are_ignored(
    session: requests.Session, server: Server, internal_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, internal_server.url("/"))
    session.trust_env = True
    assert session.get(server.url("/")).status_code == 200
    stock = plain.Session()
    stock.mount("http://", requests.HTTPAdapter(guard=session.door.guard))
    assert stock.get(server.url("/")).status_code == 200
    assert internal_server.connections == 0


def test_a_proxy_is_refused(session: requests.Session, server: Server, internal_server: Server) -> None:
    proxies = {"http": internal_server.url("/")}
    with pytest.raises(pinfold.PolicyError, match="proxies"):
        session.get(server.url("/"), proxies=proxies)
    session.proxies = proxies
    with pytest.raises(pinfold.PolicyError, match="proxies"):
        session.get(server.url("/"))
    stock = plain.Session()
    stock.mount("http://", requests.HTTPAdapter(guard=session.door.guard))
    with pytest.raises(pinfold.PolicyError, match="proxies"):
        stock.get(server.url("/"), proxies=proxies)
    assert internal_server.connections == 0


def test_a_connection_is_kept(session: requests.Session, server: Server) -> None:
    for _ in range(5):
        assert session.get(server.url("/")).text == "/"
    assert server.connections == 1


def test_a_connection_is_not_kept_across_generations(
    session: requests.Session, guard: pinfold.Guard, server: Server
) -> None:
    session.get(server.url("/"))
    guard.swap()
    session.get(server.url("/"))
    assert server.connections == 2


def test_a_kept_connection_is_judged(session: requests.Session, guard: pinfold.Guard, server: Server) -> None:
    session.get(server.url("/"))
    guard.swap(settings={"ports": [1]})
    with pytest.raises(requests.Denied) as error:
        session.get(server.url("/"))
    assert code(error) == "port-denied"
    assert len(server.seen) == 1


def test_a_connection_is_not_kept_across_names(
    session: requests.Session, answers: pinfold.FixedAnswers, server: Server
) -> None:
    for name in ("one.example.com", "two.example.com"):
        answers.set(name, ["127.0.0.2"])
        session.get(server.url("/", host=name))
    assert server.connections == 2


def test_a_connection_is_not_kept_for_another_address(
    make_guard: Make, answers: pinfold.FixedAnswers, server: Server
) -> None:
    guard = make_guard(grants=("127.0.0.2", "127.0.0.4"))
    answers.set("moves.example.com", ["127.0.0.2"])
    with requests.Session(guard=guard) as session:
        session.get(server.url("/", host="moves.example.com"))
        answers.set("moves.example.com", ["127.0.0.4"])
        with pytest.raises(requests.NetworkError):
            session.get(server.url("/", host="moves.example.com"))
    assert len(server.seen) == 1


def test_a_trailing_dot_is_the_same_name(
    session: requests.Session, answers: pinfold.FixedAnswers, server: Server
) -> None:
    answers.set("dot.example.com", ["127.0.0.2"])
    assert session.get(server.url("/", host="dot.example.com.")).status_code == 200
    answers.set("dot.example.com", ["127.0.0.3"])
    with pytest.raises(requests.Denied):
        session.get(server.url("/", host="dot.example.com."))


@pytest.mark.parametrize(
    "host", ["127.0.0.3", "127.3", "0x7f000003", "2130706435", "127.0.0.3.", "0", "localhost", "[::ffff:127.0.0.3]"]
)
def test_a_literal_is_refused(session: requests.Session, internal_server: Server, host: str) -> None:
    with pytest.raises(pinfold.Denied):
        session.get(f"http://{host}:{internal_server.port}/")
    assert internal_server.connections == 0


def test_ipv6(session: requests.Session, server_v6: Server) -> None:
    assert session.get(server_v6.url("/v6")).text == "/v6"


def test_userinfo_is_refused(session: requests.Session, server: Server) -> None:
    with pytest.raises(requests.Denied) as error:
        session.get(f"http://user:secret@{server.host}/")
    assert code(error) == "userinfo-denied"
    assert "secret" not in str(error.value)


def test_mixed_answers_are_refused(session: requests.Session, answers: pinfold.FixedAnswers, server: Server) -> None:
    answers.set("mixed.example.com", ["127.0.0.2", "127.0.0.3"])
    with pytest.raises(requests.Denied):
        session.get(server.url("/", host="mixed.example.com"))
    assert server.connections == 0


def test_no_attack_of_the_lab_gets_through(lab: Lab, lab_guard: pinfold.Guard) -> None:
    before = lab.leaks()
    attacks = [attack["name"] for attack in lab.all_attacks]
    assert len(attacks) >= 25
    with requests.Session(guard=lab_guard) as session:
        for attack in attacks:
            with contextlib.suppress(plain.RequestException):
                session.get(lab.url(f"requests.{attack}"), timeout=5)
    assert lab.leaks() == before


# --- what goes along


def test_secrets_stay_with_their_origin(
    session: requests.Session, server: Server, answers: pinfold.FixedAnswers
) -> None:
    answers.set("other.example.com", ["127.0.0.2"])

    @server.route("/away")
    def away(_: Request) -> Any:
        return 307, {"location": server.url("/back", host="other.example.com")}, b""

    @server.route("/back")
    def back(_: Request) -> Any:
        return 307, {"location": server.url("/end")}, b""

    session.cookies.set("session", "secret")
    secrets = {"Authorization": "secret", "X-Key": "secret", "Cookie2": "secret"}
    session.post(server.url("/away"), data=b"body", headers=secrets, cookies={"mine": "secret"})
    first, *rest = server.seen
    assert [request.path for request in rest] == ["/back", "/end"]
    assert first.headers["x-key"] == "secret"
    assert "mine=secret" in first.headers["cookie"]
    for request in rest:
        assert "secret" not in str(request.headers)
        assert request.body == b"body"


def test_netrc_is_not_read(
    session: requests.Session, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.2 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session.get(server.url("/"))
    assert "authorization" not in server.seen[-1].headers
    session.trust_env = True
    session.get(server.url("/"))
    assert "authorization" in server.seen[-1].headers


def test_the_url_is_judged_as_given(session: requests.Session, server: Server) -> None:
    with pytest.raises(requests.InvalidURL):
        session.get(f"  {server.url('/')}")
    assert session.get(server.url("/a#frag"), params={"q": "1"}).url == server.url("/a?q=1#frag")
    assert server.seen[-1].query == "q=1"


def test_a_request_changed_after_it_was_prepared(session: requests.Session, server: Server) -> None:
    prepared = session.prepare_request(plain.Request("GET", server.url("/")))
    prepared.url = f"http://127.0.0.3:{server.port}/"
    with pytest.raises(requests.Denied):
        session.send(prepared)


def test_schemes(session: requests.Session) -> None:
    with pytest.raises(plain.exceptions.InvalidSchema):
        session.get("ftp://example.com/")
    with pytest.raises(plain.exceptions.InvalidURL):
        session.get("no scheme")


# --- bounds


def test_too_many_redirects(guard: pinfold.Guard, server: Server) -> None:
    _redirects(server, "/go")
    with (
        requests.Session(guard=guard, budget=Budget(redirects=2)) as session,
        pytest.raises(plain.TooManyRedirects) as error,
    ):
        session.get(server.url("/go"))
    assert isinstance(error.value, pinfold.BudgetExceeded)
    assert len(server.seen) == 3


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("read", ["content", "iter_content", "iter_lines", "raw", "raw.stream", "raw.read1"])
def test_a_bomb_ends(guard: pinfold.Guard, server: Server, read: str, chunked: bool) -> None:
    bomb = gzip.compress(bytes(200 << 20), 1)

    @server.route("/bomb")
    def page(_: Request) -> Any:
        return 200, {"content-encoding": "gzip"}, [bomb] if chunked else bomb

    got: list[bytes] = []
    with (
        requests.Session(guard=guard, budget=Budget(decoded_bytes=1 << 20)) as session,
        pytest.raises(requests.BudgetExceeded) as error,
    ):
        got.extend(_pieces(session.get(server.url("/bomb"), stream=True), read))
    assert code(error) == "response-inflated"
    assert sum(map(len, got)) <= 1 << 20


@pytest.mark.parametrize("how", ["length", "chunked", "endless", "lie"])
def test_a_large_body_ends(guard: pinfold.Guard, server: Server, how: str) -> None:
    @server.route("/large")
    def page(request: Request) -> Any:
        if how == "length":
            return 200, {}, bytes(100_001)
        if how == "lie":
            return 200, {"content-length": str(10**15)}, [b"x"]
        if how == "chunked":
            return 200, {}, [bytes(50_000)] * 3
        return 200, {}, (b"x" * 1000 for _ in iter(request.over.is_set, True))

    with (
        requests.Session(guard=guard, budget=Budget(response_bytes=100_000)) as session,
        pytest.raises(requests.BudgetExceeded) as error,
    ):
        session.get(server.url("/large"))
    assert code(error) == "response-too-large"


def test_a_body_of_just_the_size_passes(guard: pinfold.Guard, server: Server) -> None:
    @server.route("/just")
    def page(_: Request) -> Any:
        return 200, {"x-long": "x" * 5000}, bytes(100_000)

    with requests.Session(guard=guard, budget=Budget(response_bytes=100_000)) as session:
        assert len(session.get(server.url("/just")).content) == 100_000


def test_endless_headers_end(guard: pinfold.Guard, server: Server) -> None:
    @server.route("/headers")
    def page(_: Request) -> Any:
        return 200, [(f"x-{number}", "y" * 60_000) for number in range(20)], b""

    with requests.Session(guard=guard) as session, pytest.raises(requests.BudgetExceeded):
        session.get(server.url("/headers"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_trickle_ends_with_the_deadline(guard: pinfold.Guard, server: Server, stream: bool) -> None:
    @server.route("/slow")
    def page(request: Request) -> Any:
        return 200, {}, (b"x" for _ in iter(lambda: request.over.wait(0.05), True))

    with requests.Session(guard=guard, budget=Budget(total=0.5)) as session, pytest.raises(plain.ReadTimeout) as error:
        for _ in session.get(server.url("/slow"), stream=stream, timeout=5).iter_content(1):
            pass
    assert isinstance(error.value, pinfold.DeadlineExceeded)


def test_a_silent_server_ends_with_the_deadline(guard: pinfold.Guard, server: Server) -> None:
    @server.route("/silent")
    def page(request: Request) -> Any:
        # Then it hangs up: whoever waits for longer than the deadline sees that.
        request.over.wait(10)

    with (
        requests.Session(guard=guard, budget=Budget(total=0.3, read=60)) as session,
        pytest.raises(requests.DeadlineExceeded),
    ):
        session.get(server.url("/silent"))


def test_retry_after_does_not_outlast_the_deadline(guard: pinfold.Guard, server: Server) -> None:
    @server.route("/later")
    def page(_: Request) -> Any:
        return 503, {"retry-after": "3600"}, b""

    retries = urllib3.Retry(3, status_forcelist=[503])
    with requests.Session(guard=guard) as session:
        session.mount("http://", requests.HTTPAdapter(max_retries=retries, guard=guard))
        with pytest.raises(requests.DeadlineExceeded):
            session.get(server.url("/later"))
    assert len(server.seen) == 1


def test_a_refusal_is_not_tried_again(guard: pinfold.Guard) -> None:
    seen: list[pinfold.Decision] = []
    guard.on_decision(seen.append)
    with requests.Session(guard=guard) as session:
        session.mount("http://", requests.HTTPAdapter(max_retries=5, guard=guard))
        with pytest.raises(requests.Denied):
            session.get("http://127.0.0.3/")
    assert len(seen) == 1


def test_a_retry_is_judged(guard: pinfold.Guard, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard.on_decision(seen.append)

    @server.route("/flaky")
    def page(_: Request) -> Any:
        return (200 if len(server.seen) > 2 else 503), {}, b""

    retries = urllib3.Retry(3, status_forcelist=[503])
    with requests.Session(guard=guard) as session:
        session.mount("http://", requests.HTTPAdapter(max_retries=retries, guard=guard))
        assert session.get(server.url("/flaky")).status_code == 200
    assert [decision.reused for decision in seen] == [False, True, True]
    assert {decision.hop for decision in seen} == {0}


# --- while it lasts


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_ends_with_its_permission(
    session: requests.Session, guard: pinfold.Guard, server: Server, chunked: bool
) -> None:
    more = threading.Semaphore(1)

    @server.route("/live")
    def page(_: Request) -> Any:
        headers = {} if chunked else {"content-length": str(100 * 1000)}
        return 200, headers, (bytes(1000) for _ in range(100) if more.acquire(timeout=10))

    pieces = session.get(server.url("/live"), stream=True).iter_content(1000)
    assert next(pieces)
    guard.swap()
    more.release()
    assert next(pieces)
    guard.swap(settings={"ports": [1]})
    more.release(100)
    with pytest.raises(requests.Denied):
        list(pieces)


def test_a_kept_connection_is_not_used_after_a_fork(session: requests.Session, server: Server) -> None:
    session.get(server.url("/parent"))
    child = os.fork()
    if child == 0:
        try:
            ok = session.get(server.url("/child")).text == "/child"
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    session.get(server.url("/parent"))
    assert [(request.path, request.connection) for request in server.seen] == [
        ("/parent", 1),
        ("/child", 2),
        ("/parent", 1),
    ]


def test_eight_threads(session: requests.Session, server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda number: session.get(server.url(f"/{number}")).text, range(200)))
    assert texts == [f"/{number}" for number in range(200)]
    assert server.connections <= 8


# --- the rest of the surface


def test_tls_is_verified_for_the_name(
    session: requests.Session, answers: pinfold.FixedAnswers, tls_server: Server
) -> None:
    answers.set("www.lab.example.com", ["127.0.0.2"])
    answers.set("www.elsewhere.example", ["127.0.0.2"])
    answers.set("elsewhere.example.com", ["127.0.0.2"])
    good = tls_server.url("/", host="www.lab.example.com")
    assert session.get(good, verify=tls_server.ca_file).status_code == 200
    assert tls_server.seen[-1].sni == "www.lab.example.com"
    for url, verify in ((good, True), (tls_server.url("/", host="elsewhere.example.com"), tls_server.ca_file)):
        with pytest.raises(plain.exceptions.SSLError):
            session.get(url, verify=verify)


def test_only_guarded_adapters_are_mounted(session: requests.Session, guard: pinfold.Guard) -> None:
    with pytest.raises(pinfold.PolicyError):
        session.mount("http://", plain.adapters.HTTPAdapter())
    session.mount("http://", requests.HTTPAdapter(guard=guard))


def test_pickling(guard: pinfold.Guard) -> None:
    copied = pickle.loads(pickle.dumps(requests.Session(subject="me")))
    assert isinstance(copied, requests.Session)
    assert copied.door.subject == "me"
    assert copied.trust_env is False
    with pytest.raises(requests.Denied):
        copied.get("http://127.0.0.3/")
    with pytest.raises(pinfold.PolicyError):
        pickle.dumps(requests.Session(guard=guard))


def test_an_adapter_on_a_stock_session(guard: pinfold.Guard, server: Server) -> None:
    _redirects(server, "http://127.0.0.3/")
    stock = plain.Session()
    for scheme in ("http://", "https://"):
        stock.mount(scheme, requests.HTTPAdapter(guard=guard))
    assert stock.get(server.url("/")).status_code == 200
    with pytest.raises(requests.Denied):
        stock.get(server.url("/go"))


def test_functions(guard: pinfold.Guard, server: Server) -> None:
    for name in ("get", "post", "put", "patch", "delete", "head", "options"):
        answer = getattr(requests, name)(server.url("/"), guard=guard)
        assert answer.status_code == 200
        assert server.seen[-1].method == name.upper()


def test_a_hook_that_asks_elsewhere(session: requests.Session, server: Server, internal_server: Server) -> None:
    asked: list[str] = []

    def hook(response: plain.Response, **_: Any) -> None:
        if response.request.path_url == "/first":
            asked.append(session.get(server.url("/other")).text)
            with pytest.raises(requests.Denied):
                session.get(internal_server.url("/"))

    assert session.get(server.url("/first"), hooks={"response": hook}).text == "/first"
    assert asked == ["/other"]


def test_digest_authentication(session: requests.Session, server: Server) -> None:
    @server.route("/digest")
    def page(request: Request) -> Any:
        if "authorization" in request.headers:
            return 200, {}, b"in"
        return 401, {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'}, b""

    answer = session.get(server.url("/digest"), auth=plain.auth.HTTPDigestAuth("me", "secret"))
    assert answer.content == b"in"
    assert len(answer.history) == 1


def _redirects(server: Server, location: str) -> None:
    @server.route("/go")
    def page(_: Request) -> Any:
        return 302, {"location": location}, b""


def _pieces(response: Any, read: str) -> Iterator[bytes]:
    if read == "content":
        yield response.content
    elif read in ("iter_content", "iter_lines"):
        yield from getattr(response, read)(10_000)
    elif read == "raw":
        while piece := response.raw.read(10_000, decode_content=True):
            yield piece
    elif read == "raw.read1":
        while piece := response.raw.read1(10_000, decode_content=True):
            yield piece
    else:
        yield from response.raw.stream(10_000, decode_content=True)
