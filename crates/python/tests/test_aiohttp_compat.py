"""`pinfold.aiohttp` does what aiohttp does: each behaviour with both, compared."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

import pinfold
from pinfold.aiohttp import ClientSession
from support.lab import PUBLIC
from support.server import Request, Server

LIMIT = 30.0
HOST = "public.lab.example.com"
Behaviour = Callable[[aiohttp.ClientSession, Server], Awaitable[Any]]
BEHAVIOURS: dict[str, Behaviour] = {}


class Names(AbstractResolver):
    """What aiohttp asks without a guard: each name is the public server."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=PUBLIC, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def plain(_: Any, **options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Names()), **options)


def guarded(guard: pinfold.Guard, **options: Any) -> aiohttp.ClientSession:
    return ClientSession(guard=guard, **options)


def behaviour(work: Behaviour) -> Behaviour:
    BEHAVIOURS[work.__name__] = work
    return work


def outcome(make: Callable[..., aiohttp.ClientSession], guard: Any, server: Server, work: Behaviour) -> Any:
    """What a behaviour returns, or the exception of aiohttp that it raises; and what the server saw."""
    server.clear()

    async def bounded() -> Any:
        try:
            async with make(guard) as session:
                return await asyncio.wait_for(work(session, server), LIMIT)
        finally:
            # aiohttp does not wait until a connection with TLS is closed.
            await asyncio.sleep(0.05)

    try:
        returned = asyncio.run(bounded())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        returned = [base.__name__ for base in type(error).__mro__ if base.__module__.startswith("aiohttp.")]
    return returned, [seen(request) for request in server.seen], server.connections


def seen(request: Request) -> Any:
    headers = sorted((name.lower(), value) for name, value in request.headers.items())
    return request.method, request.target, headers, len(request.body), request.chunked, request.connection


@pytest.fixture
def site(server: Server) -> Server:
    """A server with a page for each behaviour."""
    text = "".join(f"line {number} äöü\n" for number in range(5000)).encode()
    pages: dict[str, Any] = {
        "/text": (200, {"content-type": "text/plain; charset=utf-8"}, text),
        "/json": (200, {"content-type": "application/json"}, json.dumps({"a": [1, 2]})),
        "/gzip": (200, {"content-encoding": "gzip", "content-type": "text/plain"}, gzip.compress(text)),
        "/deflate": (200, {"content-encoding": "deflate"}, zlib.compress(text)),
        "/raw-deflate": (200, {"content-encoding": "deflate"}, zlib.compress(text, wbits=-15)),
        "/not-gzip": (200, {"content-encoding": "gzip"}, b"this is not gzip"),
        "/cut-deflate": (200, {"content-encoding": "deflate"}, zlib.compress(text)[:100]),
        "/identity": (200, {"content-encoding": "identity"}, text),
        "/204": (204, {}, b""),
        "/304": (304, {"etag": '"e"'}, b""),
        "/404": (404, {}, b"no"),
        "/500": (500, {}, b"broken"),
        "/cookies": (200, [("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/text")], b""),
        "/short": (200, {"content-length": "1000"}, b"too short"),
        "/close": (200, {"connection": "close"}, b"bye"),
        "/no-location": (302, {}, b"nowhere"),
    }
    for path, answer in pages.items():
        server.route(path)(lambda request, answer=answer: _closing(request, answer))
    server.route("/chunks")(lambda _: (200, {}, (b"%d," % number for number in range(200))))
    server.route("/gzip-chunks")(lambda _: (200, {"content-encoding": "gzip"}, _split(gzip.compress(text))))
    server.route("/echo")(lambda request: (200, {}, request.body))
    server.route("/slow")(lambda request: (request.over.wait(LIMIT), None)[1])
    # Without a body: whether aiohttp keeps a connection whose body it leaves unread depends on what has come by then.
    for status in (301, 302, 303, 307, 308):
        server.route(f"/{status}")(lambda _, status=status: (status, {"location": "/echo?q=a%20b"}, b""))
    server.route("/many")(lambda request: _countdown(request))
    server.route("/once")(lambda request: (200, {}, b"ok") if request.turn == 1 else None)
    return server


def url(server: Server, path: str) -> str:
    return server.url(path, HOST)


async def told(response: aiohttp.ClientResponse) -> Any:
    """What a caller sees of a response."""
    body = await response.read()
    history = [(past.status, past.url.path_qs) for past in response.history]
    headers = sorted((name.lower(), value) for name, value in response.headers.items())
    return response.status, response.reason, response.method, response.url.path_qs, headers, body, history


def gets(path: str, **options: Any) -> Behaviour:
    async def get(session: aiohttp.ClientSession, server: Server) -> Any:
        async with session.get(url(server, path), **options) as response:
            return await told(response)

    return get


for page in (
    "text", "json", "gzip", "deflate", "raw-deflate", "not-gzip", "identity", "204", "304", "404",
    "chunks", "gzip-chunks", "short", "close", "no-location", "many?n=4",
):  # fmt: skip
    BEHAVIOURS[f"get {page}"] = gets(f"/{page}")
BEHAVIOURS["raise for status"] = gets("/404", raise_for_status=True)
BEHAVIOURS["too many redirects"] = gets("/many?n=9", max_redirects=3)
BEHAVIOURS["read timeout"] = gets("/slow", timeout=aiohttp.ClientTimeout(sock_read=0.2))
BEHAVIOURS["total timeout"] = gets("/slow", timeout=aiohttp.ClientTimeout(total=0.2))
BEHAVIOURS["no decompression"] = gets("/gzip", auto_decompress=False)
BEHAVIOURS["basic auth"] = gets("/echo", headers={"Authorization": "Basic dTpw"})
BEHAVIOURS["params"] = gets("/echo", params={"a": "b c", "ä": "%2F"})
BEHAVIOURS["fragment"] = gets("/echo?q#fragment")
BEHAVIOURS["skip auto headers"] = gets("/echo", skip_auto_headers=["User-Agent"])
BEHAVIOURS["accept encoding"] = gets("/echo", headers={"Accept-Encoding": "identity"})
BEHAVIOURS["long header"] = gets("/echo", headers={"X-Long": "x" * 4000})


def sends(method: str, path: str, **options: Any) -> Behaviour:
    async def send(session: aiohttp.ClientSession, server: Server) -> Any:
        async with session.request(method, url(server, path), **options) as response:
            return await told(response)

    return send


for status in (301, 302, 303, 307, 308):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        sent: dict[str, Any] = {"data": b"body"} if method in {"POST", "PUT"} else {}
        BEHAVIOURS[f"{method} {status}"] = sends(method, f"/{status}", **sent)
    BEHAVIOURS[f"not followed {status}"] = sends("GET", f"/{status}", allow_redirects=False)
for method in ("HEAD", "OPTIONS", "PATCH", "DELETE", "post"):
    BEHAVIOURS[f"method {method}"] = sends(method, "/text")
BEHAVIOURS["form"] = sends("POST", "/echo", data={"a": "1", "b": "ä"})
BEHAVIOURS["json body"] = sends("POST", "/echo", json={"a": [1]})
BEHAVIOURS["compressed body"] = sends("POST", "/echo", data=b"x" * 1000, compress="deflate")
BEHAVIOURS["expect 100"] = sends("POST", "/echo", data=b"x" * 1000, expect100=True)
BEHAVIOURS["chunked body"] = sends("POST", "/echo", data=b"x" * 1000, chunked=True)


@behaviour
async def file_of_20_megabytes(session: aiohttp.ClientSession, server: Server) -> Any:
    server.route("/count")(lambda request: (200, {}, str(len(request.body))))
    async with session.post(url(server, "/count"), data=io.BytesIO(b"x" * (20 << 20))) as response:
        return await response.text()


@behaviour
async def body_that_is_generated(session: aiohttp.ClientSession, server: Server) -> Any:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    async with session.post(url(server, "/echo"), data=pieces()) as response:
        return await told(response)


@behaviour
async def lines(session: aiohttp.ClientSession, server: Server) -> Any:
    async with session.get(url(server, "/gzip")) as response:
        return [line async for line in response.content]


@behaviour
async def pieces_of_a_size(session: aiohttp.ClientSession, server: Server) -> Any:
    async with session.get(url(server, "/chunks")) as response:
        pieces = [piece async for piece in response.content.iter_chunked(16)]
    return b"".join(pieces), max(map(len, pieces)) <= 16


@behaviour
async def http_chunks(session: aiohttp.ClientSession, server: Server) -> Any:
    async with session.get(url(server, "/chunks")) as response:
        whole, part = [], b""
        async for piece, ends in response.content.iter_chunks():
            part += piece
            if ends:
                whole.append(part)
                part = b""
        # The end of the body may be told as an empty chunk, with and without a guard.
        return [chunk for chunk in whole if chunk], part


@behaviour
async def reads_until_the_end(session: aiohttp.ClientSession, server: Server) -> Any:
    async with session.get(url(server, "/text")) as response:
        parts = [await response.content.readexactly(100), await response.content.readuntil(b"7")]
        while not response.content.at_eof():
            parts.append(await response.content.read(1000))
        return b"".join(parts), response.content.at_eof(), await response.content.read(), response.content.total_bytes


@behaviour
async def text_and_json(session: aiohttp.ClientSession, server: Server) -> Any:
    async with session.get(url(server, "/text")) as response:
        text = await response.text(), response.charset
    async with session.get(url(server, "/json")) as response:
        read = await response.json()
    async with session.get(url(server, "/text")) as response:
        return text, read, await response.json()


@behaviour
async def cookies(session: aiohttp.ClientSession, server: Server) -> Any:
    await (await session.get(url(server, "/cookies"))).read()
    for path in ("/text", "/json"):
        await (await session.get(url(server, path), cookies={"c": "3"})).read()
    return sorted((cookie.key, cookie.value) for cookie in session.cookie_jar)


@behaviour
async def keep_alive(session: aiohttp.ClientSession, server: Server) -> Any:
    for path in ("/text", "/gzip", "/chunks", "/204", "/404", "/301", "/echo") * 3:
        async with session.get(url(server, path)) as response:
            await response.read()
    # A connection whose body is read is given back even when the response is not released.
    kept = []
    for _ in range(3):
        kept.append(await session.get(url(server, "/json")))
        await kept[-1].read()
    return len(kept)


@behaviour
async def bodies_that_are_not_read(session: aiohttp.ClientSession, server: Server) -> Any:
    for _ in range(3):
        async with session.get(url(server, "/close")) as response:
            assert response.status == 200
    async with session.get(url(server, "/json")) as response:
        await asyncio.sleep(0)
    with pytest.raises(aiohttp.ClientConnectionError):
        await response.read()
    return response.status


@behaviour
async def closed_connection_is_tried_again(session: aiohttp.ClientSession, server: Server) -> Any:
    return [await (await session.get(url(server, "/once"))).read() for _ in range(3)]


@behaviour
async def closed_connection_is_not_tried_again(session: aiohttp.ClientSession, server: Server) -> Any:
    return [await (await session.post(url(server, "/once"), data=b"x")).read() for _ in range(2)]


@behaviour
async def connection_refused(session: aiohttp.ClientSession, server: Server) -> Any:
    await session.get(f"http://{HOST}:1/")


@behaviour
async def not_a_url(session: aiohttp.ClientSession, server: Server) -> Any:
    with pytest.raises(aiohttp.InvalidURL):
        await session.get("http://")
    with pytest.raises(aiohttp.NonHttpUrlClientError):
        await session.get("gopher://public.example.com/")


@behaviour
async def traces(session: aiohttp.ClientSession, server: Server) -> Any:
    events: list[str] = []
    config = aiohttp.TraceConfig()
    names = [name for name in dir(config) if name.startswith("on_") and "dns" not in name]
    for name in names:

        async def note(*_: Any, name: str = name) -> None:
            events.append(name)

        getattr(config, name).append(note)
    config.freeze()
    session._trace_configs.append(config)
    for path in ("/json", "/302"):
        await (await session.get(url(server, path))).read()
    return events


@behaviour
async def middlewares(session: aiohttp.ClientSession, server: Server) -> Any:
    async def signs(request: Any, handler: Any) -> Any:
        request.headers["X-Signed"] = request.url.path
        return await handler(request)

    async with session.get(url(server, "/302"), middlewares=(signs,)) as response:
        return await told(response)


@behaviour
async def base_headers(session: aiohttp.ClientSession, server: Server) -> Any:
    session.headers["X-Each"] = "1"
    async with session.get(url(server, "/echo"), headers={"X-One": "2"}) as response:
        return await told(response)


# What is an answer here and an exception there, or the reverse, is wrong; what is an exception in both may have more
# classes here.
@pytest.mark.parametrize("name", BEHAVIOURS)
def test_behaviour(name: str, site: Server, guard: Any, answers: Any) -> None:
    answers.set(HOST, [PUBLIC])
    expected = outcome(plain, guard, site, BEHAVIOURS[name])
    got = outcome(guarded, guard, site, BEHAVIOURS[name])
    if isinstance(expected[0], list) and expected[0] and "ClientError" in expected[0]:
        assert set(expected[0]) <= set(got[0])
        expected, got = expected[1:], got[1:]
    assert got == expected


def test_deflate_that_is_cut_off(site: Server, guard: Any, answers: Any) -> None:
    """aiohttp waits for more, for ever."""
    answers.set(HOST, [PUBLIC])
    returned, _, _ = outcome(guarded, guard, site, gets("/cut-deflate"))
    assert returned == ["ClientPayloadError", "ClientError"]


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("host", [HOST, "public.elsewhere.example"])
def test_tls(trusted: bool, host: str, tls_server: Server, guard: Any, answers: Any) -> None:
    answers.set(host, [PUBLIC])
    context = ssl.create_default_context(cafile=tls_server.ca_file if trusted else None)

    async def get(session: aiohttp.ClientSession, server: Server) -> Any:
        async with session.get(server.url("/x", host), ssl=context) as response:
            return await told(response)

    expected = outcome(plain, guard, tls_server, get)
    got = outcome(guarded, guard, tls_server, get)
    assert got == expected
    good = trusted and host == HOST
    assert isinstance(got[0], tuple) is good
    assert [request.sni for request in tls_server.seen] == ([host] if good else [])
    assert good or "ClientConnectorCertificateError" in got[0]


def test_tls_options(tls_server: Server, guard: Any, answers: Any) -> None:
    answers.set("other.example.com", [PUBLIC])
    target = tls_server.url("/x", "other.example.com")

    def with_ssl(option: Any) -> Behaviour:
        async def get(session: aiohttp.ClientSession, _: Server) -> Any:
            return await told(await session.get(target, ssl=option))

        return get

    for option in (False, aiohttp.Fingerprint(b"\0" * 32)):
        expected = outcome(plain, guard, tls_server, with_ssl(option))
        assert outcome(guarded, guard, tls_server, with_ssl(option)) == expected


def _closing(request: Request, answer: Any) -> Any:
    """Pages that are shorter than they say, or say that they close, close."""
    status, headers, body = answer
    if request.path == "/short":
        request.raw.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + body)
        return None
    if request.path == "/close":
        request.raw.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body)
        return None
    return status, headers, body


def _split(body: bytes) -> list[bytes]:
    return [body[start : start + 7] for start in range(0, len(body), 7)]


def _countdown(request: Request) -> Any:
    left = int(request.query.removeprefix("n="))
    return (302, {"location": f"/many?n={left - 1}"}, b"") if left else (200, {}, b"there")
