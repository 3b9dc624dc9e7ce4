"""`pinfold.requests`: what belongs to one exchange, whoever sends its parts, and adapters that others have changed."""

from __future__ import annotations

import copy
import pickle
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests as plain
import urllib3

import pinfold
from pinfold import requests
from pinfold.budget import Budget
from support.server import Request, Server

CHALLENGE = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'}


@pytest.fixture
def session(guard: pinfold.Guard) -> Iterator[requests.Session]:
    with requests.Session(guard=guard) as made:
        yield made


@pytest.fixture
def other() -> Iterator[Server]:
    """Another origin: another port."""
    made = Server()
    yield made
    made.stop()


# --- adapters


class OwnManager(requests.HTTPAdapter):
    """The recipe for TLS options that is copied most."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:
        self.poolmanager = urllib3.PoolManager(num_pools=connections, maxsize=maxsize, block=block)


class SilentOwnManager(OwnManager):
    def cert_verify(self, *_: Any) -> None:
        pass


class Mixin(plain.adapters.HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:
        self.poolmanager = urllib3.PoolManager(num_pools=connections, maxsize=maxsize, block=block)


class Mixed(Mixin, requests.HTTPAdapter):
    pass


class OwnPool(requests.HTTPAdapter):
    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> Any:
        return urllib3.connection_from_url(request.url)


def assigned(**options: Any) -> requests.HTTPAdapter:
    made = requests.HTTPAdapter(**options)
    made.poolmanager = urllib3.PoolManager()
    return made


def with_foreign_pools(**options: Any) -> requests.HTTPAdapter:
    made = requests.HTTPAdapter(**options)
    made.poolmanager.connection_from_host = urllib3.PoolManager().connection_from_host  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("kind", [OwnManager, SilentOwnManager, Mixed, OwnPool, assigned, with_foreign_pools])
def test_an_adapter_that_connects_by_itself_is_refused(
    session: requests.Session, guard: pinfold.Guard, internal_server: Server, kind: Callable[..., Any]
) -> None:
    session.mount("http://", kind(guard=guard))
    with pytest.raises(pinfold.PolicyError) as error:
        session.get(internal_server.url("/"))
    assert "init_poolmanager" in (error.value.hint or "")
    assert internal_server.connections == 0


@pytest.mark.skipif(
    plain.__version__ in ("2.32.0", "2.32.1", "2.32.2"),
    reason="requests 2.32.3 is the first 2.32 that uses a context of the pool manager",
)
def test_an_adapter_with_tls_options(guard: pinfold.Guard, tls_server: Server) -> None:
    class Options(requests.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **more: Any) -> None:
            super().init_poolmanager(*args, ssl_context=ssl.create_default_context(cafile=tls_server.ca_file), **more)

        def cert_verify(self, *_: Any) -> None:
            pass

    with requests.Session(guard=guard) as session:
        session.mount("https://", Options(guard=guard))
        assert session.get(tls_server.url("/")).status_code == 200


@pytest.mark.parametrize("prefix", ["http://", "http://127.0.0.3"])
def test_an_adapter_that_was_not_mounted_is_refused(
    session: requests.Session, server: Server, internal_server: Server, prefix: str
) -> None:
    if prefix == "http://":
        session.adapters[prefix] = plain.adapters.HTTPAdapter()
    else:
        session.adapters = {prefix: plain.adapters.HTTPAdapter(), **session.adapters}  # type: ignore[assignment]
    server.route("/go")(lambda _: (302, {"location": internal_server.url("/")}, b""))
    for url in (internal_server.url("/"), server.url("/go")):
        with pytest.raises(pinfold.PinfoldError):
            session.get(url)
    assert internal_server.connections == 0


# --- one exchange


def _digest(server: Server, paths: dict[str, str]) -> None:
    """Each page wants an answer to a challenge of its own, and then leads on."""
    for path, location in paths.items():

        def page(request: Request, location: str = location) -> Any:
            if f'uri="{request.path}"' not in request.headers.get("authorization", ""):
                return 401, CHALLENGE, b""
            return 302, {"location": location}, b""

        server.route(path)(page)


class Renewed(plain.auth.AuthBase):
    """Answers a challenge with the request that was challenged, as some do."""

    def __call__(self, request: plain.PreparedRequest) -> plain.PreparedRequest:
        request.register_hook("response", self.answer)
        return request

    def answer(self, response: plain.Response, **options: Any) -> plain.Response:
        if response.status_code != 401 or "x-once" in response.request.headers:
            return response
        response.request.headers.update({"Authorization": "secret", "X-Once": "secret"})
        _ = response.content
        answer: plain.Response = response.connection.send(response.request, **options)  # type: ignore[attr-defined]
        return answer


@pytest.mark.parametrize("auth", [plain.auth.HTTPDigestAuth("me", "secret"), Renewed()], ids=["digest", "renewed"])
def test_a_challenge_of_another_origin_is_not_answered(
    session: requests.Session, server: Server, other: Server, auth: Any
) -> None:
    server.route("/go")(lambda _: (302, {"location": other.url("/d")}, b""))
    _digest(other, {"/d": "/"})
    session.cookies.set("sid", "secret")
    assert session.get(server.url("/go"), auth=auth, cookies={"c": "secret"}).status_code == 401
    assert {request.path for request in other.seen} == {"/d"}
    for request in other.seen:
        assert {"authorization", "x-once", "cookie"}.isdisjoint(name.lower() for name in request.headers)


def test_answers_to_challenges_stay_in_the_exchange(guard: pinfold.Guard, server: Server) -> None:
    _digest(server, {f"/{turn}": f"/{turn + 1}" for turn in range(10)})
    made = requests.Session(guard=guard, budget=Budget(redirects=2))
    with made as session, pytest.raises(requests.RedirectsExceeded):
        session.get(server.url("/0"), auth=plain.auth.HTTPDigestAuth("me", "secret"))
    assert {request.path for request in server.seen} == {"/0", "/1", "/2"}


def test_an_exchange_goes_on_although_a_request_was_put_in_its_place(guard: pinfold.Guard, server: Server) -> None:
    for turn in range(10):
        server.route(f"/{turn}")(lambda _, turn=turn: (302, {"location": f"/{turn + 1}"}, b""))

    def hook(response: plain.Response, **_: Any) -> None:
        response.request = response.request.copy()

    made = requests.Session(guard=guard, budget=Budget(redirects=2))
    with made as session, pytest.raises(requests.RedirectsExceeded):
        session.get(server.url("/0"), hooks={"response": hook})
    assert len(server.seen) == 3


DIGEST, BASIC = plain.auth.HTTPDigestAuth("me", "secret"), ("me", "secret")


# requests' own cannot pickle one with digest authentication.
@pytest.mark.parametrize(
    ("taken", "auth"),
    [
        (lambda shown: shown, DIGEST),
        (plain.PreparedRequest.copy, DIGEST),
        (copy.copy, DIGEST),
        (copy.deepcopy, BASIC),
        (lambda shown: pickle.loads(pickle.dumps(shown)), BASIC),
    ],
    ids=["itself", "its copy", "shallow", "deep", "pickled"],
)
def test_following_by_hand_remembers_that_an_origin_was_left(
    session: requests.Session, server: Server, other: Server, taken: Callable[[Any], Any], auth: Any
) -> None:
    server.route("/go")(lambda _: (302, {"location": other.url("/a")}, b""))
    other.route("/a")(lambda _: (302, {"location": "/b"}, b""))
    _digest(other, {"/b": "/c"})
    session.cookies.set("sid", "secret")
    session.headers["X-Key"] = "secret"
    answer = session.get(server.url("/go"), allow_redirects=False, auth=auth)
    while answer.next is not None:
        answer = session.send(taken(answer.next), allow_redirects=False)
    assert "secret" in server.seen[0].headers["cookie"]
    assert {request.path for request in other.seen} == {"/a", "/b"}
    for request in other.seen:
        assert {"authorization", "x-key", "cookie"}.isdisjoint(name.lower() for name in request.headers)


# --- what stands in the place of the library's own


@pytest.mark.parametrize("replaced", ["Session.send", "HTTPAdapter.send", "HTTPAdapter.cert_verify"])
@pytest.mark.parametrize(
    "kind", ["lambda *given: None", "mock.MagicMock()", "functools.wraps(own)(lambda *given: own)"]
)
def test_what_was_replaced_before_the_import_is_named(replaced: str, kind: str) -> None:
    owner, _, name = replaced.partition(".")
    program = f"""
import functools, requests
from unittest import mock
owner = requests.sessions.{owner} if "{owner}" == "Session" else requests.adapters.{owner}
own = owner.{name}
owner.{name} = {kind}
try:
    import pinfold.requests
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    # What was wrapped is looked at.
    wanted = "" if "wraps" in kind else f"`{replaced}` is not the one of `requests`"
    assert said[: len(wanted) or None] == wanted


# --- what is told


def test_what_does_not_parse_is_told_once(make_guard: Callable[..., pinfold.Guard], server: Server) -> None:
    told: list[pinfold.Decision] = []
    server.route("/go")(lambda _: (302, {"location": "http://127.0.0.2\\@127.0.0.3/"}, b""))
    with requests.Session(guard=make_guard(on_decision=told.append)) as session:
        for url in ("nonsense", "http://a.example.com\\@127.0.0.3/"):
            with pytest.raises(requests.InvalidURL) as error:
                session.get(url)
            assert error.value.decision is told[-1]
            assert error.value.correlation_id == told[-1].correlation_id
        with pytest.raises(requests.Denied):
            session.get_adapter("http://").send(plain.Request("GET", "http://127.0.0.3/").prepare())
        assert len(told) == 3
        assert session.get(server.url("/go"), allow_redirects=False).status_code == 302
        assert not any(decision.code == "redirect-invalid" for decision in told)
        with pytest.raises(requests.InvalidURL) as error:
            session.get(server.url("/go"))
        assert error.value.decision is told[-1]
        assert [decision.verdict for decision in told[3:]] == ["allow", "allow", "deny"]


# --- small things


def test_exceptions_are_of_the_module_that_is_imported(session: requests.Session) -> None:
    with pytest.raises(requests.Denied) as error:
        session.get("http://127.0.0.3/")
    assert type(error.value).__module__ == "pinfold.requests"
    copied = pickle.loads(pickle.dumps(error.value))
    assert (type(copied), copied.code) == (requests.Denied, error.value.code)


@pytest.mark.parametrize(
    "options", [{"guard": "x"}, {"guard": 5}, {"budget": 5}, {"budget": {"total": 5}}, {"subject": 5}]
)
def test_what_is_no_guard_or_budget_is_refused_at_once(options: Any) -> None:
    for made in (requests.Session, requests.HTTPAdapter):
        with pytest.raises(TypeError, match=next(iter(options))):
            made(**options)
