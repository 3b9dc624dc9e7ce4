"""`pinfold.starlette` and `pinfold.fastapi`: what a client is told, and a service that is rebound."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("fastapi")

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import pinfold
import pinfold.fastapi
import pinfold.starlette
from pinfold.fastapi import Client, FetchableUrl, GuardHere, JudgedRoute, fetchable_url

_ADDRESS = re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|\[?::|fd00:|fe80:")
_GOOD = "http://hooks.example.com/x"
_VERDICTS = [
    ("allowed", _GOOD, 200, None),
    ("private address", "http://internal.example.com/", 403, "address-not-public"),
    ("mixed answers", "http://mixed.example.com/", 403, None),
    ("wrapped address", "http://mapped.example.com/", 403, None),
    ("metadata", "http://metadata.example.com/", 403, None),
    ("loopback literal", "http://127.0.0.1/", 403, "address-floor"),
    ("unusual literal", "http://0x7f.1/", 403, None),
    ("userinfo", "http://a:b@hooks.example.com/", 403, None),
    ("localhost", "http://localhost./", 403, "name-special-use"),
    ("other scheme", "ftp://hooks.example.com/", 400, "scheme-denied"),
    ("no URL", "nonsense", 400, "url-invalid"),
    ("unknown name", "http://nowhere.example.com/", 502, "resolve-no-answer"),
]


@pytest.fixture(autouse=True)
def names(answers: pinfold.FixedAnswers) -> None:
    answers.set("hooks.example.com", ["127.0.0.2"])
    answers.set("internal.example.com", ["10.0.0.7"])
    answers.set("mixed.example.com", ["127.0.0.2", "192.168.1.1"])
    answers.set("mapped.example.com", ["::ffff:10.0.0.7"])
    answers.set("metadata.example.com", ["169.254.169.254"])


# Applications.


async def _fetch(request: Any) -> Response:
    response = await pinfold.starlette.client(request).get(request.query_params["url"])
    return PlainTextResponse(
        response.content, headers={"X-Cookies": str(len(pinfold.starlette.client(request).cookies))}
    )


async def _checked(request: Any) -> Response:
    places = {request.path_params["place"]: {"json": "/callback/url"}.get(request.path_params["place"], "url")}
    await pinfold.starlette.check_fields(request, **places)
    return PlainTextResponse("stored")


async def _streams(request: Any) -> Response:
    async def body() -> Any:
        yield b"begun"
        await pinfold.starlette.client(request).get("http://internal.example.com/")

    return StreamingResponse(body())


async def _talks(socket_: WebSocket) -> None:
    await socket_.accept()
    await socket_.send_text(str(await pinfold.starlette.guard(socket_).acheck(_GOOD)))
    await socket_.close()


async def _own_client(request: Any) -> Response:
    async with httpx.AsyncClient(transport=httpx.MockTransport(_broken), trust_env=False) as own:
        return PlainTextResponse((await own.get("http://service.internal/")).content)


def _broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("the application's own", request=request)


def _starlette(guard: pinfold.Guard, **options: Any) -> Starlette:
    app = Starlette(
        routes=[
            Route("/fetch", _fetch),
            Route("/check/{place}", _checked, methods=["GET", "POST"]),
            Route("/stream", _streams),
            Route("/own", _own_client),
            Route("/state", lambda request: PlainTextResponse(repr(request.state.guard is guard))),
            WebSocketRoute("/talk", _talks),
        ],
        middleware=[Middleware(CORSMiddleware, allow_origins=["*"])],
    )
    pinfold.starlette.install(app, guard, **options)
    return app


class Callback(BaseModel):
    url: FetchableUrl
    mirrors: list[FetchableUrl] = []


def _fastapi(guard: pinfold.Guard) -> FastAPI:
    app = FastAPI()
    pinfold.fastapi.install(app, guard)

    @app.post("/model")
    async def model(callback: Callback) -> str:
        return callback.url

    @app.post("/plain-model")
    def plain_model(callback: Callback) -> str:
        return f"{callback.url} {threading.current_thread() is threading.main_thread()}"

    @app.get("/query")
    async def query(url: FetchableUrl) -> str:
        return url

    @app.get("/depends")
    async def depends(url: Annotated[str, Depends(fetchable_url("url"))]) -> str:
        return url

    @app.post("/depends-json")
    async def depends_json(url: Annotated[str, Depends(fetchable_url(json="/callback/url"))]) -> str:
        return url

    @app.get("/fetch")
    async def fetch(url: str, client: Client, guard: GuardHere, request: Request) -> str:
        assert request.state.guard is guard
        return (await client.get(url)).text

    app.include_router(_router())
    app.include_router(_forgot(), prefix="/forgot")
    return app


def _router() -> APIRouter:
    router = APIRouter(route_class=JudgedRoute)

    @router.post("/routed")
    async def routed(callback: Callback) -> str:
        return callback.url

    return router


def _forgot() -> APIRouter:
    router = APIRouter()

    @router.post("/routed")
    async def routed(callback: Callback) -> str:
        return callback.url

    return router


# At the door.


@pytest.mark.parametrize("place", ["query", "json", "form"])
@pytest.mark.parametrize(("name", "url", "status", "code"), _VERDICTS, ids=[row[0] for row in _VERDICTS])
def test_starlette_refuses_a_bad_url(
    guard: pinfold.Guard, place: str, name: str, url: str, status: int, code: str | None
) -> None:
    client = TestClient(_starlette(guard))
    sent: dict[str, dict[str, Any]] = {
        "query": {"params": {"url": url}},
        "json": {"json": {"callback": {"url": url}}},
        "form": {"data": {"url": url}},
    }
    response = client.post(f"/check/{place}", headers={"Origin": "http://other.example.com"}, **sent[place])
    _is_answered(response, name, status, code)
    assert "url" in response.json()["error"]["field"] if status != 200 else True
    # Handlers answer inside of other middleware.
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["model", "plain-model", "routed", "query", "depends", "depends-json", "mirrors"])
@pytest.mark.parametrize(("name", "url", "status", "code"), _VERDICTS, ids=[row[0] for row in _VERDICTS])
def test_fastapi_refuses_a_bad_url(
    guard: pinfold.Guard, path: str, name: str, url: str, status: int, code: str | None
) -> None:
    with TestClient(_fastapi(guard)) as client:
        response = _ask(client, path, url)
    _is_answered(response, name, status, code)


def _ask(client: TestClient, path: str, url: str) -> httpx.Response:
    if path in {"query", "depends"}:
        return client.get(f"/{path}", params={"url": url})
    if path == "depends-json":
        return client.post("/depends-json", json={"callback": {"url": url}})
    if path == "mirrors":
        return client.post("/model", json={"url": _GOOD, "mirrors": [_GOOD, url]})
    return client.post(f"/{path}", json={"url": url})


def _is_answered(response: httpx.Response, name: str, status: int, code: str | None) -> None:
    assert response.status_code == status, (name, response.text)
    if status == 200:
        return
    error = response.json()["error"]
    assert code in (None, error["code"]), name
    assert error["correlation_id"]
    assert not _ADDRESS.search(response.text + str(response.headers)), response.text


def test_what_is_no_matter_of_urls_is_422_as_before(guard: pinfold.Guard) -> None:
    client = TestClient(_fastapi(guard))
    assert client.post("/model", json={}).status_code == 422
    assert client.get("/query").status_code == 422
    assert client.get("/depends").status_code == 422


def test_one_field_has_one_url(guard: pinfold.Guard) -> None:
    response = TestClient(_fastapi(guard)).get(f"/depends?url={_GOOD}&url={_GOOD}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "field-too-many")


def test_a_body_has_so_many_urls_and_no_more(guard: pinfold.Guard) -> None:
    many = [f"http://host-{number}.example.com/" for number in range(30)]
    response = TestClient(_fastapi(guard)).post("/model", json={"url": _GOOD, "mirrors": many})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "field-too-many")


def test_a_router_that_would_not_judge_fails_and_says_what_to_do(guard: pinfold.Guard) -> None:
    with pytest.raises(RuntimeError, match="route_class=JudgedRoute"):
        TestClient(_fastapi(guard)).post("/forgot/routed", json={"url": _GOOD})


def test_a_plain_endpoint_runs_in_a_thread(guard: pinfold.Guard) -> None:
    response = TestClient(_fastapi(guard)).post("/plain-model", json={"url": _GOOD})
    assert response.json() == f"{_GOOD} False"


def test_the_documents_of_an_api_are_the_same(guard: pinfold.Guard) -> None:
    class Plain(BaseModel):
        url: str
        mirrors: list[str] = []

    assert Callback.model_json_schema()["properties"] == Plain.model_json_schema()["properties"]
    described = _fastapi(guard).openapi()
    parameters = {path: described["paths"][path]["get"]["parameters"] for path in ("/query", "/depends")}
    assert parameters["/query"] == parameters["/depends"]
    assert described["paths"]["/fetch"]["get"]["parameters"][0]["name"] == "url"
    assert len(described["paths"]["/fetch"]["get"]["parameters"]) == 1


def test_outside_of_a_route_a_model_is_judged_at_once(guard: pinfold.Guard) -> None:
    pinfold.set_default_guard(guard)
    try:
        assert Callback(url=_GOOD).url == _GOOD
        for url in ("http://internal.example.com/", "nonsense"):
            with pytest.raises(ValidationError) as raised:
                Callback(url=url)
            assert not _ADDRESS.search(str(raised.value))
    finally:
        pinfold.set_default_guard(None)


# Fetching.


@pytest.mark.parametrize("make", [_starlette, _fastapi])
@pytest.mark.parametrize("lives", [True, False])
def test_a_fetch_goes_through_and_a_refusal_is_answered(
    guard: pinfold.Guard, server: Any, make: Callable[..., Any], lives: bool
) -> None:
    @server.route("/x")
    def answered(request: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Set-Cookie": "of=one-user"}, b"hello"

    url = f"http://hooks.example.com:{server.port}/x"
    client = TestClient(make(guard))
    with client if lives else _nothing():
        for _ in range(3):
            assert "hello" in client.get("/fetch", params={"url": url}).text
        refused = client.get("/fetch", params={"url": "http://internal.example.com/"})
    _is_answered(refused, "internal", 403, "address-not-public")
    assert not [name for seen in server.seen for name in seen.headers if name.lower() == "cookie"]
    # One connection for the life of the application; one for each request where nothing tells when it ends.
    assert len({seen.connection for seen in server.seen}) == (1 if lives else 3)


def test_a_redirect_to_the_inside_is_refused(guard: pinfold.Guard, server: Any) -> None:
    @server.route("/x")
    def answered(request: Any) -> tuple[int, dict[str, str], bytes]:
        return 302, {"Location": "http://internal.example.com/"}, b""

    pinfold_app = Starlette(routes=[Route("/fetch", _follows)])
    pinfold.starlette.install(pinfold_app, guard)
    response = TestClient(pinfold_app).get("/fetch", params={"url": f"http://hooks.example.com:{server.port}/x"})
    _is_answered(response, "redirect", 403, "address-not-public")


async def _follows(request: Any) -> Response:
    client = pinfold.starlette.client(request)
    return PlainTextResponse((await client.get(request.query_params["url"], follow_redirects=True)).content)


def test_a_failure_of_the_library_is_answered_without_an_address(guard: pinfold.Guard, server: Any) -> None:
    url = f"https://hooks.example.com:{server.port}/x"
    response = TestClient(_starlette(guard)).get("/fetch", params={"url": url})
    _is_answered(response, "TLS", 502, None)


def test_failures_of_other_clients_are_left_alone(guard: pinfold.Guard) -> None:
    with pytest.raises(httpx.ConnectError, match="the application's own"):
        TestClient(_starlette(guard)).get("/own")


def test_an_opaque_answer_says_nothing_about_the_inside(guard: pinfold.Guard) -> None:
    client = TestClient(_starlette(guard, style="opaque"))
    told = [
        client.get("/check/query", params={"url": f"http://{name}.example.com/"}) for name in ("internal", "nowhere")
    ]
    assert [response.status_code for response in told] == [502, 502]
    assert {response.json()["error"]["code"] for response in told} == {"fetch-failed"}


def test_an_answer_that_has_begun_is_not_followed_by_another(guard: pinfold.Guard) -> None:
    with pytest.raises((pinfold.Denied, RuntimeError)):
        TestClient(_starlette(guard)).get("/stream")


def test_the_guard_is_in_the_state(guard: pinfold.Guard) -> None:
    assert TestClient(_starlette(guard)).get("/state").text == "True"


def test_a_web_socket_has_the_guard(guard: pinfold.Guard) -> None:
    with TestClient(_starlette(guard)).websocket_connect("/talk") as talk:
        assert talk.receive_text().startswith("allowed")


def test_without_the_middleware_it_says_so() -> None:
    app = Starlette(routes=[Route("/fetch", _fetch)])
    with pytest.raises(RuntimeError, match="install"):
        TestClient(app).get("/fetch", params={"url": _GOOD})


def test_the_middleware_alone_answers(guard: pinfold.Guard) -> None:
    middleware = [Middleware(pinfold.starlette.PinfoldMiddleware, guard=guard)]
    app = Starlette(routes=[Route("/check/{place}", _checked)], middleware=middleware)
    response = TestClient(app).get("/check/query", params={"url": "http://internal.example.com/"})
    _is_answered(response, "middleware", 403, "address-not-public")


@contextmanager
def _nothing() -> Iterator[None]:
    yield


# Processes.

_PROJECT = """
import os
import pinfold, pinfold.fastapi
from fastapi import FastAPI

guard = pinfold.Guard(resolver=[os.environ["LAB_DNS"]], grants=["127.0.0.2"])
app = FastAPI()
pinfold.fastapi.install(app, guard)

@app.get("/fetch")
async def fetch(url: pinfold.fastapi.FetchableUrl, client: pinfold.fastapi.Client) -> str:
    return (await client.get(url)).text
"""


def _uvicorn(port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "project:app", "--host", "127.0.0.1", "--port", str(port)]


def _gunicorn(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "project:app", "-k", "uvicorn.workers.UvicornWorker"),
        *("--preload", "-w", "2", "-b", f"127.0.0.1:{port}"),
    ]


@pytest.mark.parametrize("command", [_uvicorn, _gunicorn])
def test_a_served_application_cannot_be_rebound(lab: Any, tmp_path: Path, command: Any) -> None:
    with _served(tmp_path, lab, command) as base:
        before = lab.leaks()
        ordinary = lab.name("ordinary-async", ["127.0.0.2"])
        assert _get(base, f"http://{ordinary}:{lab.port}/")[0] == 200
        for number in range(10):
            # At the door the answer is 127.0.0.2, for the fetch it is not.
            name = lab.name(f"rebound-async-{number}", ["127.0.0.2"], ["127.0.0.3"])
            status, text = _get(base, f"http://{name}:{lab.port}/")
            assert (status, "address-not-public" in text) == (403, True), text
            assert not _ADDRESS.search(text)
        assert lab.leaks() == before


@contextmanager
def _served(folder: Path, lab: Any, command: Any) -> Iterator[str]:
    (folder / "project.py").write_text(_PROJECT)
    port = _free_port()
    environ = {**os.environ, "LAB_DNS": lab.dns, "PYTHONPATH": str(Path(pinfold.__file__).parent.parent)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command(port), cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            _wait_for(port, server, folder / "log")
            yield f"http://127.0.0.1:{port}/fetch?url="
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _get(base: str, url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(base + urllib.request.quote(url, safe=""), timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode() + str(error.headers)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
