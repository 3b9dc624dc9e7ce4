"""`pinfold.httpx`: what it refuses, with threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import httpx as plain
import pytest

import pinfold
from pinfold import _native, httpx
from pinfold._httpx import errors as words
from pinfold._httpx.hops import Mark, checked
from support.httpx_asking import Ask, ask
from support.server import Server

__all__ = ["ask"]  # A fixture.


def _codes(outcomes: list[Any]) -> list[Any]:
    return [getattr(outcome, "code", None) or getattr(outcome, "status_code", outcome) for outcome in outcomes]


def _redirecting(server: Server, path: str, location: str, status: int = 302) -> None:
    @server.route(path)
    def page(_: Any) -> Any:
        return status, {"location": location}, b"gone"


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
    assert isinstance(denied, words.Denied)
    assert isinstance(denied, plain.ConnectError)
    assert denied.request.url.host == "inside.example"
    assert isinstance(unread, words.InvalidURL)
    assert isinstance(unread, plain.UnsupportedProtocol)
    assert isinstance(unread, plain.InvalidURL)
    assert isinstance(unread, ValueError)
    assert isinstance(unknown, words.ConnectError)
    assert isinstance(unknown, pinfold.NetworkError)
    assert pickle.loads(pickle.dumps(denied)).code == denied.code  # Ours.


def test_mixed_answers_are_refused(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("mixed.example", ["127.0.0.2", "127.0.0.3"])
    [error] = ask(guard, server.url(host="mixed.example"))
    assert isinstance(error, words.Denied)
    assert server.connections == 0


def test_trailing_dot_is_the_same_name(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("public.example", ["127.0.0.2"])
    answers.set("inside.example", ["127.0.0.3"])
    allowed, refused = ask(guard, server.url(host="public.example."), server.url(host="inside.example."))
    assert allowed.status_code == 200
    assert isinstance(refused, words.Denied)


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


@pytest.mark.parametrize("location", ["///other.example/x", "http:/x", "/a b", "\\\\other.example/x"])
def test_a_location_is_judged_as_it_was_written(ask: Ask, guard: Any, server: Server, location: str) -> None:
    """httpx makes a path of this server of each."""
    _redirecting(server, "/go", location)
    [error] = ask(guard, server.url("/go"), follow_redirects=True)
    assert isinstance(error, words.InvalidURL)
    assert server.paths() == ["/go"]


def test_what_httpx_reads_differently_is_refused() -> None:
    request = plain.Request("GET", "http://one.example/")
    for text in ("http://two.example/", "https://one.example/", "http://one.example:81/"):
        request.extensions["pinfold"] = Mark(request.url, _native.Target.parse(text))
        with pytest.raises(words.InvalidURL) as raised:
            checked(request)
        assert raised.value.code == "url-ambiguous"


def test_a_redirect_to_a_rebound_name_is_refused(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("turning.example", ["127.0.0.2"])

    @server.route("/go")
    def page(_: Any) -> Any:
        answers.set("turning.example", ["127.0.0.3"])
        return 302, {"location": "/again"}, b""

    [error] = ask(guard, server.url("/go", host="turning.example"), follow_redirects=True)
    assert isinstance(error, words.Denied)
    assert server.paths() == ["/go"]


def test_redirects_are_not_followed_unasked_and_then_judged(ask: Ask, guard: Any, server: Server) -> None:
    _redirecting(server, "/go", "http://127.0.0.3/")
    [response] = ask(guard, server.url("/go"))
    assert response.status_code == 302
    with httpx.Client(guard=guard) as client, pytest.raises(words.Denied):
        client.send(client.get(server.url("/go")).next_request)


def test_too_many_redirects(ask: Ask, guard: Any, server: Server) -> None:
    _redirecting(server, "/loop", "/loop")
    [error] = ask(guard, server.url("/loop"), follow_redirects=True)
    assert isinstance(error, words.TooManyRedirects)
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
    assert isinstance(error, words.Denied)
    assert server.connections == 0


def test_a_hook_that_changes_the_url_changes_what_is_judged(guard: Any, server: Server) -> None:
    def elsewhere(request: plain.Request) -> None:
        request.url = plain.URL("http://127.0.0.3/")

    with httpx.Client(guard=guard, event_hooks={"request": [elsewhere]}) as client, pytest.raises(words.Denied):
        client.get(server.url())


def test_a_transport_below_a_plain_client(guard: Any, server: Server) -> None:
    _redirecting(server, "/go", "http://127.0.0.3/")
    with plain.Client(transport=httpx.Transport(guard=guard), follow_redirects=True) as client:
        assert client.get(server.url()).status_code == 200
        with pytest.raises(words.Denied) as raised:
            client.get(server.url("/go"))
        assert raised.value.request.url.host == "127.0.0.3"


def test_an_async_transport_below_a_plain_client(guard: Any, server: Server) -> None:
    async def main() -> None:
        async with plain.AsyncClient(transport=httpx.AsyncTransport(guard=guard)) as client:
            assert (await client.get(server.url())).status_code == 200
            with pytest.raises(words.Denied):
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
        with pytest.raises(words.Denied):
            httpx.get("http://127.0.0.3/")
    finally:
        pinfold.set_default_guard(None)


def test_names_are_those_of_httpx() -> None:
    """`from pinfold import httpx` is enough: what programs name is there, and what opens sockets is guarded."""
    for name in httpx.__all__:
        ours, theirs = getattr(httpx, name), getattr(plain, name, None)
        guarded = ours.__module__.startswith("pinfold") if hasattr(ours, "__module__") else False
        assert theirs is None or ours is theirs or guarded, name
    missing = {name for name in plain.__all__ if not hasattr(httpx, name)}
    assert missing <= {"ASGITransport", "FunctionAuth", "Proxy", "WSGITransport", "main"} | set(_VERSION)
    assert httpx.HTTPTransport is httpx.Transport


_VERSION = ("__description__", "__title__", "__version__")
