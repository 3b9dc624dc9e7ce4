"""`pinfold.urllib`: what urllib.request does, it does; where a guard must say no, it says no."""

from __future__ import annotations

import contextlib
import http.client
import http.cookiejar
import io
import os
import socket
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

import pinfold
import pinfold.urllib as guarded
from support.lab import Lab
from support.server import Server

INTERNAL = "127.0.0.3"
PUBLIC = "127.0.0.2"


def code(refused: pytest.ExceptionInfo[Any]) -> str:
    text: str = refused.value.code
    return text


# --- What is the same as without a guard. Each is done with both, and the outcomes are compared.


def fetch(opener: Any, request: Any, **more: Any) -> tuple[int, str, bytes, str]:
    with opener.open(request, **more) as answer:
        return answer.status, answer.reason, answer.read(), answer.url


def plain_get(server: Server, opener: Any) -> Any:
    return fetch(opener, server.url("/page?a=1&b=%20"))


def form_post(server: Server, opener: Any) -> Any:
    fetch(opener, server.url("/post"), data=urllib.parse.urlencode({"a": "1 2"}).encode())
    return sent(server)


def put_with_headers(server: Server, opener: Any) -> Any:
    headers = {"X-Key": "k", "User-Agent": "mine"}
    fetch(opener, urllib.request.Request(server.url("/put"), b"body", headers, method="PUT"))
    return sent(server)


def chunked_upload(server: Server, opener: Any) -> Any:
    fetch(opener, urllib.request.Request(server.url("/up"), iter([b"one", b"two"]), method="POST"))
    return sent(server)


def file_upload(server: Server, opener: Any) -> Any:
    body = io.BytesIO(b"x" * 100_000)
    fetch(opener, urllib.request.Request(server.url("/up"), body, {"Content-Length": "100000"}))
    return sent(server)


def large_upload(server: Server, opener: Any) -> Any:
    fetch(opener, urllib.request.Request(server.url("/up"), b"0123456789abcdef" * (20 << 16), method="PUT"))
    return [len(request.body) for request in server.seen]


def chunked_answer(server: Server, opener: Any) -> Any:
    server.route("/parts")(lambda _: (200, {}, iter([b"a" * 5000, b"b", b"c" * 70_000])))
    return fetch(opener, server.url("/parts"))


def read_in_pieces(server: Server, opener: Any) -> Any:
    server.route("/long")(lambda _: (200, {}, b"line\n" * 30_000))
    with opener.open(server.url("/long")) as answer:
        buffer = bytearray(10)
        read = [answer.read(7), answer.readline(), answer.read1(3), answer.readinto(buffer), bytes(buffer)]
        return [*read, answer.peek(1)[:1], len(list(answer)), answer.read(), answer.isclosed()]


def answer_without_length(server: Server, opener: Any) -> Any:
    def page(request: Any) -> None:
        request.raw.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"z" * 50_000)

    server.route("/old")(page)
    return fetch(opener, server.url("/old"))


def cut_answer(server: Server, opener: Any) -> Any:
    server.route("/cut")(lambda r: r.raw.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") and None)
    return fetch(opener, server.url("/cut"))


def bad_status_line(server: Server, opener: Any) -> Any:
    server.route("/bad")(lambda r: r.raw.write(b"NONSENSE\r\n\r\n") and None)
    return fetch(opener, server.url("/bad"))


def head(server: Server, opener: Any) -> Any:
    server.route("/head")(lambda _: (200, {}, b"not sent"))
    return fetch(opener, urllib.request.Request(server.url("/head"), method="HEAD"))


def no_content(server: Server, opener: Any) -> Any:
    server.route("/204")(lambda _: (204, {}, b""))
    return fetch(opener, server.url("/204"))


def gzip_is_left_alone(server: Server, opener: Any) -> Any:
    server.route("/gz")(lambda _: (200, {"content-encoding": "gzip"}, b"\x1f\x8bwhatever"))
    return fetch(opener, server.url("/gz"))


def interim_answer(server: Server, opener: Any) -> Any:
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    server.route("/100")(lambda r: r.raw.write(text) and None)
    return fetch(opener, server.url("/100"))


def status_of(status: int) -> Callable[[Server, Any], Any]:
    def behaviour(server: Server, opener: Any) -> Any:
        server.route("/status")(lambda _: (status, {"x-y": "z"}, b"text"))
        return fetch(opener, server.url("/status"))

    return behaviour


def redirect(status: int, method: str) -> Callable[[Server, Any], Any]:
    def behaviour(server: Server, opener: Any) -> Any:
        server.route("/from")(lambda _: (status, {"location": "to?x=1"}, b"moved"))
        body = b"data" if method == "POST" else None
        told = fetch(opener, urllib.request.Request(server.url("/from"), body, {"X-Key": "k"}, method=method))
        return told, sent(server)

    return behaviour


def redirect_loop(server: Server, opener: Any) -> Any:
    server.route("/loop")(lambda _: (302, {"location": "/loop"}, b""))
    return fetch(opener, server.url("/loop"))


def redirect_without_location(server: Server, opener: Any) -> Any:
    server.route("/nowhere")(lambda _: (302, {}, b""))
    return fetch(opener, server.url("/nowhere"))


def basic_auth(server: Server, opener: Any) -> Any:
    def page(request: Any) -> Any:
        told = request.headers.get("authorization")
        return (200, {}, told) if told else (401, {"www-authenticate": 'Basic realm="r"'}, b"")

    server.route("/auth")(page)
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, server.url("/"), "user", "secret")
    opener.add_handler(urllib.request.HTTPBasicAuthHandler(passwords))
    return fetch(opener, server.url("/auth"))


def cookies(server: Server, opener: Any) -> Any:
    server.route("/set")(lambda _: (302, [("set-cookie", "a=b; path=/"), ("location", "/get")], b""))
    server.route("/get")(lambda r: (200, {}, str(r.headers.get("cookie"))))
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(strict_domain=False))
    opener.add_handler(urllib.request.HTTPCookieProcessor(jar))
    return fetch(opener, server.url("/set")), [cookie.name for cookie in jar]


def read_timeout(server: Server, opener: Any) -> Any:
    server.route("/slow")(silent)
    return fetch(opener, server.url("/slow"), timeout=0.2)


def silent(request: Any) -> None:
    request.over.wait(30)


def refused_port(server: Server, opener: Any) -> Any:
    server.stop()
    return fetch(opener, server.url("/"))


def own_redirect_handler(server: Server, opener: Any) -> Any:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    server.route("/from")(lambda _: (302, {"location": "/to"}, b""))
    opener.handle_error["http"].clear()
    opener.handle_error["http"].update({302: [Stay()]})
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    return fetch(opener, server.url("/from"))


def control_character(server: Server, opener: Any) -> Any:
    return fetch(opener, server.url("/a b"))


def sent(server: Server) -> Any:
    drop = {"host"}
    return [
        (seen.method, seen.target, seen.body, sorted((k, v) for k, v in seen.headers.items() if k.lower() not in drop))
        for seen in server.seen
    ]


BEHAVIOURS = [
    plain_get, form_post, put_with_headers, chunked_upload, file_upload, large_upload, chunked_answer, read_in_pieces,
    answer_without_length, cut_answer, bad_status_line, head, no_content, gzip_is_left_alone, interim_answer,
    redirect_loop, redirect_without_location, basic_auth, cookies, read_timeout, own_redirect_handler,
]  # fmt: skip
BEHAVIOURS_NAMED = (
    [(made.__name__, made) for made in BEHAVIOURS]
    + [(f"status {status}", status_of(status)) for status in (201, 304, 404, 500, 503)]
    + [(f"{status} {method}", redirect(status, method)) for status in (301, 302, 303, 307, 308)
       for method in ("GET", "POST", "HEAD")]
)  # fmt: skip


def outcome(behaviour: Callable[[Server, Any], Any], server: Server, opener: Any) -> Any:
    try:
        return behaviour(server, opener)
    except urllib.error.HTTPError as error:
        with error:
            return "HTTPError", error.code, error.reason, error.read(), dict(error.headers)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(("name", "behaviour"), BEHAVIOURS_NAMED, ids=[name for name, _ in BEHAVIOURS_NAMED])
def test_it_behaves_as_the_library(
    name: str, behaviour: Callable[[Server, Any], Any], server: Server, guard: pinfold.Guard
) -> None:
    budget = pinfold.Budget(response_bytes=32 << 20, redirects=20)
    without = outcome(behaviour, server, urllib.request.build_opener())
    server.clear()
    assert outcome(behaviour, server, guarded.build_opener(guard=guard, budget=budget)) == without, name


def test_existing_handlers_catch_what_the_network_does(guard: pinfold.Guard) -> None:
    with socket.socket() as closed:
        closed.bind((PUBLIC, 0))
        with pytest.raises(urllib.error.URLError) as failed:
            guarded.urlopen(f"http://{PUBLIC}:{closed.getsockname()[1]}/", guard=guard)
    assert isinstance(failed.value, pinfold.NetworkError)
    assert failed.value.reason
    assert PUBLIC not in str(failed.value)


# --- TLS.


def trusting(lab: Lab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=lab.ca_file)


def test_tls_is_verified_for_the_name_of_the_url(
    tls_server: Server, lab: Lab, guard: pinfold.Guard, answers: pinfold.FixedAnswers
) -> None:
    answers.set("a.lab.example.com", [PUBLIC])
    url = tls_server.url("/x", "a.lab.example.com")
    with guarded.urlopen(url, context=trusting(lab), guard=guard) as answer:
        assert answer.read() == b"/x"
    assert tls_server.seen[0].sni == "a.lab.example.com"


def test_a_trailing_dot_is_no_other_name_in_tls(
    tls_server: Server, lab: Lab, guard: pinfold.Guard, answers: pinfold.FixedAnswers
) -> None:
    answers.set("a.lab.example.com", [PUBLIC])
    url = tls_server.url("/x", "a.lab.example.com.")
    with guarded.urlopen(url, context=trusting(lab), guard=guard) as answer:
        assert answer.read() == b"/x"


@pytest.mark.parametrize("case", ["another name", "unknown authority"])
def test_tls_errors_are_those_of_the_library(
    case: str, tls_server: Server, lab: Lab, guard: pinfold.Guard, answers: pinfold.FixedAnswers
) -> None:
    answers.set("a.example.org", [PUBLIC])
    answers.set("a.lab.example.com", [PUBLIC])
    host = "a.example.org" if case == "another name" else "a.lab.example.com"
    opener = guarded.build_opener(
        urllib.request.HTTPSHandler(context=trusting(lab)) if case == "another name" else guarded.HTTPSHandler(),
        guard=guard,
    )
    with pytest.raises(urllib.error.URLError) as failed:
        opener.open(tls_server.url("/", host))
    assert isinstance(failed.value.reason, ssl.SSLCertVerificationError)
    assert tls_server.seen == []


# --- What a guard refuses.


def test_a_redirect_to_an_internal_address_is_refused(
    server: Server, internal_server: Server, guard: pinfold.Guard
) -> None:
    server.route("/go")(lambda _: (302, {"location": internal_server.url("/secret")}, b""))
    with pytest.raises(guarded.Denied) as refused:
        guarded.urlopen(server.url("/go"), guard=guard)
    assert isinstance(refused.value, urllib.error.URLError)
    assert INTERNAL not in str(refused.value)
    assert internal_server.connections == 0


def test_a_redirect_to_a_rebound_name_is_refused(server: Server, lab: Lab, lab_guard: pinfold.Guard) -> None:
    lab.name("urllib-hop", [PUBLIC], [INTERNAL])
    server.route("/go")(lambda _: (307, {"location": lab.url("urllib-hop")}, b""))
    before = lab.leaks()
    with guarded.urlopen(server.url("/go"), guard=lab_guard) as answer:
        assert answer.status == 200
    with pytest.raises(pinfold.Denied):
        guarded.urlopen(server.url("/go"), guard=lab_guard)
    assert lab.leaks() == before


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.3/x", "gopher://127.0.0.3/"])
def test_a_redirect_to_another_scheme_is_not_followed(location: str, server: Server, guard: pinfold.Guard) -> None:
    server.route("/go")(lambda _: (302, {"location": location}, b""))
    with pytest.raises(urllib.error.URLError) as refused:
        guarded.urlopen(server.url("/go"), guard=guard)
    if isinstance(refused.value, urllib.error.HTTPError):
        refused.value.close()


def test_a_location_that_reads_two_ways_is_refused(
    server: Server, internal_server: Server, guard: pinfold.Guard
) -> None:
    location = f"http://{PUBLIC}:{server.port}\\@{internal_server.host}/"
    server.route("/go")(lambda _: (302, {"location": location}, b""))
    with pytest.raises(pinfold.Denied):
        guarded.urlopen(server.url("/go"), guard=guard)
    assert internal_server.connections == 0


def test_the_redirect_budget_ends_it(server: Server, guard: pinfold.Guard) -> None:
    for step in range(4):
        server.route(f"/{step}")(lambda _, next=step + 1: (302, {"location": f"/{next}"}, b""))  # noqa: A006
    opener = guarded.build_opener(guard=guard, budget=pinfold.Budget(redirects=2))
    with pytest.raises(guarded.BudgetExceeded) as refused:
        opener.open(server.url("/0"))
    assert code(refused) == "redirect-too-many"
    assert server.paths() == ["/0", "/1", "/2"]


def test_secrets_do_not_cross_origins(server: Server, guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> None:
    answers.set("other.example.com", [PUBLIC])
    server.route("/go")(lambda _: (302, {"location": server.url("/there", "other.example.com")}, b""))
    server.route("/there")(lambda _: (302, {"location": server.url("/back")}, b""))
    headers = {"Authorization": "Basic eDp5", "X-Api-Key": "k", "Cookie": "c=d", "Accept": "text/x"}
    guarded.urlopen(urllib.request.Request(server.url("/go"), headers=headers), guard=guard).close()
    first, there, back = server.seen
    assert first.headers["x-api-key"] == "k"
    for seen in (there, back):
        assert seen.headers["accept"] == "text/x"
        assert {"authorization", "x-api-key", "cookie"}.isdisjoint(name.lower() for name in seen.headers)


def test_headers_of_the_opener_do_not_cross_origins(
    server: Server, guard: pinfold.Guard, answers: pinfold.FixedAnswers
) -> None:
    answers.set("other.example.com", [PUBLIC])
    server.route("/start")(lambda _: (302, {"location": "/go"}, b""))
    server.route("/go")(lambda _: (302, {"location": server.url("/there", "other.example.com")}, b""))
    server.route("/there")(lambda _: (302, {"location": server.url("/back")}, b""))
    server.route("/back")(lambda _: (302, {"location": "/end"}, b""))
    jar = http.cookiejar.CookieJar()
    opener = guarded.build_opener(urllib.request.HTTPCookieProcessor(jar), guard=guard)
    opener.addheaders = [("Authorization", "secret"), ("X-key", "secret"), ("Cookie", "secret"), ("Accept", "text/x")]
    opener.open(server.url("/start")).close()
    first, second, *others = server.seen
    assert [seen.path for seen in others] == ["/there", "/back", "/end"]
    for seen in (first, second):
        assert seen.headers["authorization"] == seen.headers["x-key"] == seen.headers["cookie"] == "secret"
    for seen in others:
        assert seen.headers["accept"] == "text/x"
        assert seen.headers["host"]
        assert "secret" not in str(seen.headers)


def test_secrets_go_along_within_an_origin(server: Server, guard: pinfold.Guard) -> None:
    server.route("/go")(lambda _: (302, {"location": "/there"}, b""))
    request = urllib.request.Request(server.url("/go"), headers={"X-Api-Key": "k"})
    guarded.urlopen(request, guard=guard).close()
    assert server.seen[1].headers["x-api-key"] == "k"


def test_a_redirect_handler_of_the_application_is_judged_as_well(
    server: Server, internal_server: Server, guard: pinfold.Guard
) -> None:
    class Follows(urllib.request.HTTPRedirectHandler):
        def http_error_302(self, req: Any, fp: Any, *_: Any) -> Any:
            fp.close()
            headers = dict(req.headers)
            return self.parent.open(urllib.request.Request(internal_server.url("/"), headers=headers))

    server.route("/go")(lambda _: (302, {"location": "/x"}, b""))
    with pytest.raises(pinfold.Denied):
        guarded.build_opener(Follows, guard=guard).open(server.url("/go"))
    assert internal_server.connections == 0


def test_the_proxies_of_the_environment_are_not_used(
    server: Server, internal_server: Server, guard: pinfold.Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, internal_server.origin)
    with guarded.urlopen(server.url("/x"), guard=guard) as answer:
        assert answer.read() == b"/x"
    with guarded.build_opener(urllib.request.ProxyHandler({}), guard=guard).open(server.url("/x")) as answer:
        assert answer.read() == b"/x"
    assert internal_server.connections == 0


@pytest.mark.parametrize(
    "handler",
    [
        urllib.request.ProxyHandler({"http": "http://127.0.0.3:1"}),
        urllib.request.FileHandler,
        urllib.request.FTPHandler(),
        urllib.request.CacheFTPHandler,
        urllib.request.DataHandler(),
        type("Own", (urllib.request.HTTPHandler,), {}),
        type("Opens", (urllib.request.BaseHandler,), {"http_open": lambda *_: None}),
        type("OpensAll", (urllib.request.BaseHandler,), {"default_open": lambda *_: None}),
        type("OpensOthers", (), {"add_parent": lambda *_: None, "gopher_open": lambda *_: None, "handler_order": 1}),
    ],
)
def test_handlers_that_connect_by_themselves_are_refused(handler: Any, guard: pinfold.Guard) -> None:
    with pytest.raises(pinfold.PolicyError) as refused:
        guarded.build_opener(handler, guard=guard)
    assert refused.value.hint


def test_a_handler_of_the_application_may_answer_first(server: Server, guard: pinfold.Guard) -> None:
    class Counts(guarded.HTTPHandler):
        asked = 0

        def http_open(self, req: Any) -> Any:
            self.asked += 1
            return super().http_open(req)

    handler = Counts()
    with guarded.build_opener(handler, guard=guard).open(server.url("/x")) as answer:
        assert answer.read() == b"/x"
    assert handler.asked == 1


def test_exceptions_are_of_the_module_that_is_imported(guard: pinfold.Guard) -> None:
    with pytest.raises(guarded.Denied) as refused:
        guarded.urlopen("http://127.0.0.3/", guard=guard)
    assert type(refused.value).__module__ == "pinfold.urllib"


@pytest.mark.parametrize("options", [{"guard": "x"}, {"budget": 5}])
def test_what_is_no_guard_or_budget_is_refused_at_once(options: Any) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        guarded.build_opener(**options)
    with pytest.raises(TypeError, match=next(iter(options))):
        guarded.HTTPConnection("a.example.com", **options)


def test_a_proxy_of_the_request_is_refused(server: Server, internal_server: Server, guard: pinfold.Guard) -> None:
    request = urllib.request.Request(server.url("/"))
    request.set_proxy(internal_server.host, "http")
    with pytest.raises(pinfold.PolicyError):
        guarded.urlopen(request, guard=guard)
    with pytest.raises(pinfold.PolicyError):
        guarded.http_connection("a.example.com", guard=guard).set_tunnel("b.example.com")
    assert internal_server.connections == 0


def test_a_request_whose_host_was_changed_is_refused(
    server: Server, internal_server: Server, guard: pinfold.Guard
) -> None:
    request = urllib.request.Request(server.url("/"))
    request.host = internal_server.host
    with pytest.raises(guarded.InvalidURL) as refused:
        guarded.urlopen(request, guard=guard)
    assert code(refused) == "url-ambiguous"
    assert internal_server.connections == 0


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.2/x", "data:,x", "gopher://x/", "nonsense", ""])
def test_other_schemes_are_no_urls(url: str, guard: pinfold.Guard) -> None:
    with pytest.raises(guarded.InvalidURL) as refused:
        guarded.urlopen(url, guard=guard)
    assert refused.value.status == 400
    assert isinstance(refused.value, urllib.error.URLError)


@pytest.mark.parametrize(
    "host",
    [INTERNAL, "127.0.0.1", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "127.0.0.3.", "[::ffff:127.0.0.3]",
     "169.254.169.254", "[::ffff:127.0.0.2]", "[fd00:ec2::254]", "0", "%31%32%37.0.0.1"],
)  # fmt: skip
def test_literals_are_judged(host: str, internal_server: Server, guard: pinfold.Guard) -> None:
    with pytest.raises(pinfold.Denied):
        guarded.urlopen(f"http://{host}:{internal_server.port}/", guard=guard)
    assert internal_server.connections == 0


def test_ipv6(server_v6: Server, guard: pinfold.Guard) -> None:
    with guarded.urlopen(server_v6.url("/six"), guard=guard) as answer:
        assert answer.read() == b"/six"


def test_a_trailing_dot_hides_no_name(internal_server: Server, guard: pinfold.Guard) -> None:
    with pytest.raises(pinfold.Denied):
        guarded.urlopen(f"http://metadata.google.internal.:{internal_server.port}/", guard=guard)
    with pytest.raises(pinfold.Denied):
        guarded.urlopen(f"http://localhost.:{internal_server.port}/", guard=guard)


@pytest.mark.parametrize("userinfo", ["user:pw@", f"{PUBLIC}@", ":@"])
def test_userinfo_is_refused(userinfo: str, internal_server: Server, guard: pinfold.Guard) -> None:
    with pytest.raises(pinfold.Denied):
        guarded.urlopen(f"http://{userinfo}{internal_server.host}/", guard=guard)
    assert internal_server.connections == 0


def test_mixed_answers_are_refused(server: Server, guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> None:
    answers.set("mixed.example.com", [PUBLIC, INTERNAL])
    with pytest.raises(pinfold.Denied) as refused:
        guarded.urlopen(server.url("/", "mixed.example.com"), guard=guard)
    assert code(refused) == "answers-mixed"
    assert server.connections == 0


def test_no_strategy_of_the_lab_reaches_a_canary(lab: Lab, lab_guard: pinfold.Guard) -> None:
    assert len(lab.all_attacks) >= 25
    before = lab.leaks()
    for attack in lab.all_attacks:
        for turn in range(3):
            url = lab.url(f"urllib{turn}.{attack['name']}")
            with (
                contextlib.suppress(urllib.error.URLError, http.client.HTTPException),
                guarded.urlopen(url, timeout=5, guard=lab_guard) as answer,
            ):
                answer.read()
        assert lab.leaks() == before, attack["name"]


def test_plain_urllib_is_fooled_by_what_is_refused_here(
    server: Server, internal_server: Server, guard: pinfold.Guard
) -> None:
    """What the tests above would not show if nothing could be reached at all."""
    server.route("/go")(lambda _: (302, {"location": internal_server.url("/secret")}, b""))
    with urllib.request.urlopen(server.url("/go")) as answer:
        assert answer.read() == b"/secret"
    assert internal_server.connections == 1


# --- Budgets.


def test_an_answer_that_is_too_large_is_stopped(server: Server, guard: pinfold.Guard) -> None:
    server.route("/endless")(lambda _: (200, {}, iter([b"x" * 10_000] * 100)))
    server.route("/said")(lambda _: (200, {"content-length": "5000000000"}, iter([b"x"])))
    server.route("/chunk")(
        lambda r: r.raw.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffff\r\nx") and None
    )
    opener = guarded.build_opener(guard=guard, budget=pinfold.Budget(response_bytes=100_000))
    for path in ("/endless", "/said"):
        with pytest.raises(guarded.BudgetExceeded) as refused, opener.open(server.url(path)) as answer:
            answer.read()
        assert code(refused) == "response-too-large"
    with (
        pytest.raises((guarded.BudgetExceeded, http.client.IncompleteRead)),
        opener.open(server.url("/chunk")) as answer,
    ):
        answer.read()


def test_an_answer_of_just_what_is_allowed_is_read(server: Server, guard: pinfold.Guard) -> None:
    server.route("/just")(lambda _: (200, {"x": "y" * 3000}, b"x" * 1000))
    budget = pinfold.Budget(response_bytes=1000)
    assert len(guarded.urlopen(server.url("/just"), guard=guard, budget=budget).read()) == 1000
    with pytest.raises(guarded.BudgetExceeded):
        guarded.urlopen(server.url("/just"), guard=guard, budget=pinfold.Budget(response_bytes=999)).read()


def test_endless_headers_are_stopped(server: Server, guard: pinfold.Guard) -> None:
    def page(request: Any) -> None:
        request.raw.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: %s\r\n" % (n, b"y" * 60_000) for n in range(9)))

    def interim(request: Any) -> None:
        request.raw.write(b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 20_000)

    server.route("/head")(page)
    server.route("/100")(interim)
    for path in ("/head", "/100"):
        with pytest.raises(guarded.BudgetExceeded) as refused:
            guarded.urlopen(server.url(path), guard=guard)
        assert code(refused) == "response-head-too-large"


def test_the_time_for_everything_ends_a_slow_body(server: Server, guard: pinfold.Guard) -> None:
    def drip(request: Any) -> Any:
        def body() -> Any:
            while not request.over.wait(0.05):
                yield b"."

        return 200, {}, body()

    server.route("/drip")(drip)
    with (
        pytest.raises(guarded.DeadlineExceeded) as late,
        guarded.urlopen(server.url("/drip"), guard=guard, budget=pinfold.Budget(total=0.6)) as answer,
    ):
        answer.read()
    assert isinstance(late.value, TimeoutError)
    assert isinstance(late.value, urllib.error.URLError)


def test_the_time_for_everything_is_shorter_than_the_timeout(server: Server, guard: pinfold.Guard) -> None:
    server.route("/slow")(silent)
    with pytest.raises(guarded.DeadlineExceeded):
        guarded.urlopen(server.url("/slow"), timeout=20, guard=guard, budget=pinfold.Budget(total=0.4))


def test_a_swapped_policy_ends_a_body(make_guard: Callable[..., pinfold.Guard], server: Server) -> None:
    more = threading.Event()

    def page(_: Any) -> Any:
        def body() -> Any:
            yield b"first"
            more.wait(10)
            yield b"second"

        return 200, {}, body()

    server.route("/slow")(page)
    guard = make_guard()
    with guarded.urlopen(server.url("/slow"), guard=guard) as answer:
        assert answer.read(5) == b"first"
        guard.swap(settings={"networks": {"deny": [f"{PUBLIC}/32"]}})
        more.set()
        with pytest.raises(pinfold.Denied):
            answer.read()


# --- http.client, with connections that are kept.


@pytest.fixture
def opened() -> Any:
    """Closes, at the end, the connections that are handed to it."""
    with contextlib.ExitStack() as stack:
        yield lambda connection: stack.enter_context(contextlib.closing(connection))


def get(connection: http.client.HTTPConnection, path: str = "/") -> bytes:
    connection.request("GET", path)
    return connection.getresponse().read()


def test_a_connection_is_kept_and_each_request_is_judged(opened: Any, server: Server, guard: pinfold.Guard) -> None:
    told: list[pinfold.Decision] = []
    guard.on_decision(told.append)
    connection = opened(guarded.http_connection(PUBLIC, server.port, guard=guard))
    assert [get(connection, path) for path in ("/a", "/b", "/c")] == [b"/a", b"/b", b"/c"]
    assert server.connections == 1
    assert len(told) == 3


def test_a_connection_is_not_kept_across_generations(opened: Any, server: Server, guard: pinfold.Guard) -> None:
    connection = opened(guarded.http_connection(PUBLIC, server.port, guard=guard))
    get(connection)
    guard.swap()
    get(connection)
    assert server.connections == 2


def test_a_kept_connection_is_refused_by_a_new_policy(opened: Any, server: Server, guard: pinfold.Guard) -> None:
    connection = opened(guarded.http_connection(PUBLIC, server.port, guard=guard))
    get(connection)
    guard.swap(settings={"networks": {"deny": [f"{PUBLIC}/32"]}})
    with pytest.raises(guarded.Denied):
        get(connection)
    assert len(server.seen) == 1


def test_a_connection_is_not_kept_when_its_address_is_no_longer_the_names(
    opened: Any, server: Server, server_v6: Server, guard: pinfold.Guard, answers: pinfold.FixedAnswers
) -> None:
    answers.set("moves.example.com", [PUBLIC])
    connection = opened(guarded.http_connection("moves.example.com", server.port, guard=guard))
    get(connection)
    answers.set("moves.example.com", [INTERNAL])
    with pytest.raises(pinfold.Denied):
        get(connection)
    answers.set("moves.example.com", [PUBLIC])
    get(connection)
    assert server.connections == 2


def test_a_connection_of_another_name_is_not_kept(
    opened: Any, server: Server, guard: pinfold.Guard, answers: pinfold.FixedAnswers
) -> None:
    for name in ("one.example.com", "two.example.com"):
        answers.set(name, [PUBLIC])
    connection = opened(guarded.http_connection("one.example.com", server.port, guard=guard))
    get(connection)
    connection.host = "two.example.com"
    get(connection)
    assert server.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_connection_is_not_kept_across_a_fork(opened: Any, server: Server, guard: pinfold.Guard) -> None:
    connection = opened(guarded.http_connection(PUBLIC, server.port, guard=guard))
    get(connection, "/before")
    child = os.fork()
    if not child:
        os._exit(0 if get(connection, "/child") == b"/child" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert get(connection, "/after") == b"/after"
    assert [(seen.path, seen.connection) for seen in server.seen] == [("/before", 1), ("/child", 2), ("/after", 1)]


def test_a_request_target_names_no_other_host(
    opened: Any, server: Server, internal_server: Server, guard: pinfold.Guard
) -> None:
    connection = opened(guarded.http_connection(PUBLIC, server.port, guard=guard))
    with pytest.raises(guarded.InvalidURL):
        get(connection, internal_server.url("/"))
    assert get(connection, "/still") == b"/still"
    with pytest.raises(guarded.InvalidURL):
        guarded.http_connection(PUBLIC, scheme="ftp", guard=guard)
    with pytest.raises(pinfold.PolicyError):
        guarded.HTTPConnection(PUBLIC, source_address=("127.0.0.3", 0), guard=guard)


def test_an_explicit_connect_is_judged(
    opened: Any, internal_server: Server, server: Server, guard: pinfold.Guard
) -> None:
    with pytest.raises(guarded.Denied):
        guarded.HTTPConnection(INTERNAL, internal_server.port, guard=guard).connect()
    connection = opened(guarded.HTTPConnection(PUBLIC, server.port, guard=guard))
    connection.connect()
    assert get(connection) == b"/"
    assert server.connections == 1
    assert internal_server.connections == 0


def test_tls_over_http_client(opened: Any, tls_server: Server, lab: Lab, guard: pinfold.Guard) -> None:
    connection = opened(guarded.HTTPSConnection(PUBLIC, tls_server.port, context=trusting(lab), guard=guard))
    assert [get(connection, path) for path in ("/a", "/b")] == [b"/a", b"/b"]
    assert tls_server.connections == 1


def test_the_default_guard_is_used_where_none_is_given(server: Server, guard: pinfold.Guard) -> None:
    pinfold.set_default_guard(guard)
    try:
        with guarded.urlopen(server.url("/x")) as answer:
            assert answer.read() == b"/x"
    finally:
        pinfold.set_default_guard(None)


def test_what_does_not_parse_is_told_once(make_guard: Callable[..., pinfold.Guard], server: Server) -> None:
    told: list[pinfold.Decision] = []
    guard = make_guard(on_decision=told.append)
    server.route("/go")(lambda _: (302, {"location": "http://127.0.0.2\\@127.0.0.3/"}, b""))
    changed = urllib.request.Request(server.url("/"))
    changed.host = "127.0.0.3"
    for url in ("nonsense", changed, server.url("/go")):
        with pytest.raises(guarded.InvalidURL) as refused:
            guarded.urlopen(url, guard=guard)
        assert refused.value.decision is told[-1]
    connection = guarded.http_connection("127.0.0.2", server.port, guard=guard)
    with pytest.raises(guarded.InvalidURL):
        connection.request("GET", "http://127.0.0.3/")
    assert [decision.verdict for decision in told] == ["deny", "deny", "allow", "deny", "deny"]


def test_a_request_is_used_twice(server: Server, guard: pinfold.Guard) -> None:
    request = urllib.request.Request(server.url("/x"))
    told: list[pinfold.Decision] = []
    guard.on_decision(told.append)
    for _ in range(2):
        guarded.urlopen(request, guard=guard).close()
    assert len({decision.correlation_id for decision in told}) == 2
