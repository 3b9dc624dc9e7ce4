"""`pinfold.starlette` and `pinfold.fastapi`: what a client is told, and a service that is rebound."""

from __future__ import annotations

import asyncio
import threading
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
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

import pinfold
import pinfold.fastapi
import pinfold.starlette
from pinfold.fastapi import Client, FetchableUrl, GuardHere, JudgedRoute, fetchable_url
from support.lab import Lab
from support.web import GOOD, NAMES, VERDICTS, cannot_be_rebound, hint_is_for_clients, names_address, served


@pytest.fixture(autouse=True)
def names(answers: pinfold.FixedAnswers) -> None:
    for name, addresses in NAMES.items():
        answers.set(name, addresses)


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
    await socket_.send_text(str(await pinfold.starlette.guard(socket_).acheck(GOOD)))
    await pinfold.starlette.client(socket_).get("http://internal.example.com/")
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


class Plain(BaseModel):
    url: str
    mirrors: list[str] = []


def _fastapi(guard: pinfold.Guard) -> FastAPI:
    app = FastAPI()
    pinfold.fastapi.install(app, guard)

    @app.post("/model")
    async def model(callback: Callback) -> str:
        return callback.url

    @app.post("/plain-model")
    def plain_model(callback: Callback) -> str:
        return f"{callback.url} {threading.current_thread() is threading.main_thread()}"

    @app.post("/both")
    async def both(callback: Plain, url: Annotated[str, Depends(fetchable_url(json="/url"))]) -> bool:
        return callback.url == url

    @app.post("/inside")
    async def inside(callback: Callback) -> None:
        Callback(url="http://internal.example.com/")

    @app.post("/inside-thread")
    def inside_thread(callback: Callback) -> str:
        try:
            Callback(url="http://internal.example.com/")
        except ValidationError:
            return "refused"
        return "passed"

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
@pytest.mark.parametrize(("name", "url", "status", "code"), VERDICTS, ids=[row[0] for row in VERDICTS])
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
@pytest.mark.parametrize(("name", "url", "status", "code"), VERDICTS, ids=[row[0] for row in VERDICTS])
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
        return client.post("/model", json={"url": GOOD, "mirrors": [GOOD, url]})
    return client.post(f"/{path}", json={"url": url})


def _is_answered(response: httpx.Response, name: str, status: int, code: str | None) -> None:
    assert response.status_code == status, (name, response.text)
    if status == 200:
        return
    error = response.json()["error"]
    assert code in (None, error["code"]), name
    assert error["correlation_id"]
    assert hint_is_for_clients(error)
    assert not names_address(response.text + str(response.headers)), response.text


def test_what_is_no_matter_of_urls_is_422_as_before(guard: pinfold.Guard) -> None:
    client = TestClient(_fastapi(guard))
    assert client.post("/model", json={}).status_code == 422
    assert client.get("/query").status_code == 422
    assert client.get("/depends").status_code == 422


def test_one_field_has_one_url(guard: pinfold.Guard) -> None:
    response = TestClient(_fastapi(guard)).get(f"/depends?url={GOOD}&url={GOOD}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "field-too-many")


def test_a_body_has_so_many_urls_and_no_more(guard: pinfold.Guard) -> None:
    many = [f"http://host-{number}.example.com/" for number in range(30)]
    response = TestClient(_fastapi(guard)).post("/model", json={"url": GOOD, "mirrors": many})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "field-too-many")


def test_a_router_that_would_not_judge_fails_and_says_what_to_do(guard: pinfold.Guard) -> None:
    with pytest.raises(RuntimeError, match="route_class=JudgedRoute"):
        TestClient(_fastapi(guard)).post("/forgot/routed", json={"url": GOOD})


def test_what_an_endpoint_validates_itself_is_not_taken_unjudged(guard: pinfold.Guard) -> None:
    client = TestClient(_fastapi(guard))
    with pytest.raises(RuntimeError, match="no route judges"):
        client.post("/inside", json={"url": GOOD})
    assert client.post("/inside-thread", json={"url": GOOD}).json() == "refused"


def test_a_field_of_a_body_that_the_endpoint_reads_as_well(guard: pinfold.Guard) -> None:
    client = TestClient(_fastapi(guard))
    assert client.post("/both", json={"url": GOOD}).json() is True
    assert client.post("/both", json={"url": "http://internal.example.com/"}).status_code == 403


def test_a_plain_endpoint_runs_in_a_thread(guard: pinfold.Guard) -> None:
    response = TestClient(_fastapi(guard)).post("/plain-model", json={"url": GOOD})
    assert response.json() == f"{GOOD} False"


class _Object:
    async def __call__(self, url: FetchableUrl) -> str:
        return url


class _Generator:
    def __call__(self, url: FetchableUrl) -> Iterator[str]:
        yield url


def test_an_endpoint_may_be_an_object(guard: pinfold.Guard) -> None:
    app = FastAPI()
    pinfold.fastapi.install(app, guard)
    app.add_api_route("/object", _Object())
    client = TestClient(app)
    assert client.get("/object", params={"url": GOOD}).json() == GOOD
    assert client.get("/object", params={"url": "http://internal.example.com/"}).status_code == 403
    assert app.openapi()["paths"]["/object"]["get"]["summary"].strip() == "Object"
    # What is not judged is not served.
    app.add_api_route("/generator", _Generator(), response_model=None)
    with pytest.raises(RuntimeError, match="no route judges"):
        client.get("/generator", params={"url": GOOD})


def test_the_documents_of_an_api_are_the_same(guard: pinfold.Guard) -> None:
    assert Callback.model_json_schema()["properties"] == Plain.model_json_schema()["properties"]
    described = _fastapi(guard).openapi()
    parameters = {path: described["paths"][path]["get"]["parameters"] for path in ("/query", "/depends")}
    assert parameters["/query"] == parameters["/depends"]
    assert described["paths"]["/fetch"]["get"]["parameters"][0]["name"] == "url"
    assert len(described["paths"]["/fetch"]["get"]["parameters"]) == 1


def test_outside_of_a_route_a_model_is_judged_at_once(guard: pinfold.Guard) -> None:
    pinfold.set_default_guard(guard)
    try:
        assert Callback(url=GOOD).url == GOOD
        for url in ("http://internal.example.com/", "nonsense"):
            with pytest.raises(ValidationError) as raised:
                Callback(url=url)
            assert not names_address(str(raised.value))
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
    sent: list[str] = []

    async def begins(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await scope["state"]["guard"].aresolve("http://internal.example.com/")

    async def note(message: Any) -> None:
        sent.append(message["type"])

    middleware = pinfold.starlette.PinfoldMiddleware(begins, guard)
    with pytest.raises(pinfold.Denied):
        asyncio.run(middleware({"type": "http"}, note, note))
    assert sent == ["http.response.start"]


def test_a_client_of_another_loop_is_not_used(guard: pinfold.Guard) -> None:
    clients: list[Any] = []

    async def takes(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            clients.append(pinfold.starlette.client(HTTPConnection(scope)))
            return
        # The life of the application: two requests on its loop, one on another.
        for _ in range(2):
            await middleware({"type": "http"}, receive, send)
        await asyncio.to_thread(lambda: asyncio.run(middleware({"type": "http"}, receive, send)))

    middleware = pinfold.starlette.PinfoldMiddleware(takes, guard)
    nothing: Any = None
    asyncio.run(middleware({"type": "lifespan"}, nothing, nothing))
    assert clients[0] is clients[1]
    assert clients[2] is not clients[0]
    assert all(client.is_closed for client in clients)


def test_the_guard_is_in_the_state(guard: pinfold.Guard) -> None:
    assert TestClient(_starlette(guard)).get("/state").text == "True"


def test_a_web_socket_has_the_guard_and_ends_with_a_refusal(guard: pinfold.Guard) -> None:
    with TestClient(_starlette(guard)).websocket_connect("/talk") as talk:
        assert talk.receive_text().startswith("allowed")
        with pytest.raises(WebSocketDisconnect) as ended:
            talk.receive_text()
    assert (ended.value.code, ended.value.reason) == (1008, "address-not-public")


def test_without_the_middleware_it_says_so() -> None:
    app = Starlette(routes=[Route("/fetch", _fetch)])
    with pytest.raises(RuntimeError, match="install"):
        TestClient(app).get("/fetch", params={"url": GOOD})


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

_SERVERS = {
    "uvicorn": ["-m", "uvicorn", "project:app", "--host", "127.0.0.1", "--port", "{port}"],
    "gunicorn": [
        *("-m", "gunicorn", "project:app", "-k", "uvicorn.workers.UvicornWorker"),
        *("--preload", "-w", "2", "-b", "127.0.0.1:{port}"),
    ],
}


@pytest.mark.parametrize("command", _SERVERS)
def test_a_served_application_cannot_be_rebound(lab: Lab, tmp_path: Path, command: str) -> None:
    with served(tmp_path, lab, _PROJECT, _SERVERS[command]) as base:
        cannot_be_rebound(lab, base, f"fastapi-{command}")
