"""`pinfold.httpx` does what httpx does: the same calls, once with httpx and once guarded, come to the same."""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
import zlib
from collections.abc import Callable
from typing import Any

import anyio
import httpx as plain
import pytest

from pinfold import httpx
from support.server import Server

# Headers of responses that name no time.
_SHOWN = ("content-type", "content-length", "location", "x-it", "set-cookie", "transfer-encoding")


def _seen(server: Server) -> list[Any]:
    """What a server saw, without what httpx makes anew for each request."""
    return [
        (
            seen.method,
            seen.target,
            sorted((name.lower(), value) for name, value in seen.headers.items() if not _is_boundary(value)),
            len(seen.body) if _is_boundary(seen.headers.get("content-type", "")) else seen.body,
            seen.chunked,
            seen.connection,
        )
        for seen in server.seen
    ]


def _is_boundary(value: str) -> bool:
    return "boundary=" in value


def _shown(response: plain.Response) -> Any:
    return (
        response.status_code,
        response.reason_phrase,
        response.http_version,
        str(response.url),
        [(name, value) for name, value in response.headers.multi_items() if name in _SHOWN],
        response.content,
        response.num_bytes_downloaded,
        [(past.status_code, str(past.url)) for past in response.history],
        str(response.next_request and response.next_request.url),
        response.is_closed,
    )


def _raised(error: Exception) -> Any:
    """The class that a handler of httpx would name."""
    return next(kind for kind in type(error).__mro__ if kind.__module__.startswith("httpx"))


Case = Callable[[Any, Server], Any]
CASES: dict[str, Case] = {}


def case(work: Case) -> Case:
    CASES[work.__name__] = work
    return work


def _pages(server: Server) -> None:
    """What the server of each case serves."""
    bodies = {"gzip": gzip.compress(b"text " * 999, mtime=0), "deflate": zlib.compress(b"text " * 999)}

    def page(path: str, *answer: Any) -> None:
        server.route(path)(lambda _: answer)

    for encoding, body in bodies.items():
        page(f"/{encoding}", 200, {"content-encoding": encoding}, body)
    page("/raw-deflate", 200, {"content-encoding": "deflate"}, zlib.compress(b"text " * 999)[2:-4])
    page("/broken", 200, {"content-encoding": "gzip"}, b"not gzip at all")
    page("/odd", 200, {"content-encoding": "odd"}, b"odd")
    page("/twice", 200, {"content-encoding": "deflate, gzip"}, gzip.compress(zlib.compress(b"text"), mtime=0))
    page("/204", 204, {"x-it": "1"}, b"")
    page("/304", 304, {"x-it": "1"}, b"")
    page("/500", 500, {}, b"no")
    page("/lines", 200, {"content-type": "text/plain; charset=latin-1"}, "één\ntwee\r\ndrie".encode("latin-1"))
    page("/json", 200, {"content-type": "application/json"}, b'{"a": [1]}')
    page("/cookie", 200, [("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/only")], b"")
    page("/other", 200, {}, b"other")
    for status in (301, 302, 303, 307, 308):
        page(f"/{status}", status, {"location": "/other?q=1#part"}, b"gone")
    page("/absolute", 302, {"location": server.url("/other")}, b"")
    page("/odd-location", 302, {"location": "http://127.0.0.2:port/"}, b"")
    page("/cookie-redirect", 302, {"location": "/other", "set-cookie": "c=3"}, b"")

    @server.route("/chunks")
    def chunks(_: Any) -> Any:
        return 200, {}, (b"%d\n" % turn for turn in range(50))

    @server.route("/echo")
    def echo(request: Any) -> Any:
        return 200, {"content-type": "application/octet-stream"}, request.body

    @server.route("/short")
    def short(request: Any) -> Any:
        request.raw.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")

    @server.route("/nonsense")
    def nonsense(request: Any) -> Any:
        request.raw.write(b"nonsense\r\n\r\n")

    @server.route("/silent")
    def silent(_: Any) -> Any:
        return None

    @server.route("/close")
    def close(request: Any) -> Any:
        request.raw.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ntill the end")

    @server.route("/interim")
    def interim(request: Any) -> Any:
        request.raw.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        return 200, {}, b"final"

    @server.route("/slow")
    def slow(request: Any) -> Any:
        request.over.wait(10)
        return 200, {}, b""

    @server.route("/basic")
    def basic(request: Any) -> Any:
        return (200 if request.headers["authorization"] else 401), {}, b""

    @server.route("/digest")
    def digest(request: Any) -> Any:
        if "digest" in (request.headers["authorization"] or "").lower():
            return 200, {}, b"in"
        return 401, {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}, b"who"


def _each(*requests: Any, **options: Any) -> Case:
    """These requests, one after the other, with one client."""

    def work(client: Any, server: Server) -> Any:
        outcomes = []
        for method, path, *more in requests:
            try:
                response = client.request(method, server.url(path), **(more[0] if more else {}), **options)
                outcomes.append(_shown(response))
            except Exception as error:  # noqa: BLE001 # It is compared.
                outcomes.append(_raised(error))
        return outcomes

    return work


CASES |= {
    "methods": _each(*[(method, "/other") for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "PUT", "POST")]),
    "keep-alive": _each(*[("GET", "/other")] * 5, ("GET", "/close"), ("GET", "/other")),
    "statuses": _each(("GET", "/204"), ("GET", "/304"), ("GET", "/500"), ("HEAD", "/gzip"), ("GET", "/other")),
    "encodings": _each(*[("GET", f"/{name}") for name in ("gzip", "deflate", "raw-deflate", "odd", "twice", "broken")]),
    "chunks": _each(("GET", "/chunks"), ("GET", "/other")),
    "redirects-not-followed": _each(("GET", "/302"), ("POST", "/307", {"content": b"x"})),
    "redirects": _each(
        *[(m, f"/{s}") for s in (301, 302, 303, 307, 308) for m in ("GET", "HEAD", "PUT")], follow_redirects=True
    ),
    "redirects-with-body": _each(
        *[("POST", f"/{status}", {"content": b"body"}) for status in (301, 302, 303, 307, 308)], follow_redirects=True
    ),
    "redirects-odd": _each(
        ("GET", "/absolute"), ("GET", "/cookie-redirect"), ("GET", "/odd-location"), follow_redirects=True
    ),
    "cookies": _each(("GET", "/cookie"), ("GET", "/other"), ("GET", "/only")),
    "query": _each(("GET", "/other?a=b&c", {"params": {"d": "ë /"}}), ("GET", "/other?a=b"), ("GET", "/a%2Fb/%C3%AB")),
    "bodies": _each(
        ("POST", "/echo", {"content": b"bytes"}),
        ("POST", "/echo", {"json": {"a": 1}}),
        ("POST", "/echo", {"data": {"a": ["1", "2"]}}),
        ("POST", "/echo", {"files": {"f": ("n", b"content")}}),
        ("PUT", "/echo", {"content": b""}),
    ),
    "authentication": _each(
        ("GET", "/basic", {"auth": ("me", "secret")}), ("GET", "/basic"), ("GET", "/digest", {"auth": ("me", "secret")})
    ),
    "headers": _each(("GET", "/other", {"headers": {"X-Own": "1", "User-Agent": "me"}})),
    "broken-servers": _each(("GET", "/short"), ("GET", "/nonsense"), ("GET", "/silent"), ("GET", "/interim")),
    "read-timeout": _each(("GET", "/slow", {"timeout": 0.2}), ("GET", "/other")),
    "bad-header": _each(("GET", "/other", {"headers": {"x": "a\nb"}})),
}


def _compared(works: Any) -> None:
    """Runs it with httpx and then guarded, each with a server of its own."""
    results = []
    for guarded in (False, True):
        server = Server()
        try:
            _pages(server)
            result = works(guarded, server)
            results.append(_without_port((result, _seen(server)), server))
        finally:
            server.stop()
    assert results[1] == results[0]


def _without_port(what: Any, server: Server) -> str:
    return repr(what).replace(f":{server.port}", ":PORT")


class _Blocking:
    """An asynchronous client, called as a synchronous one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Any) -> None:
        self._loop = loop
        self._client = client

    def request(self, *args: Any, **options: Any) -> Any:
        return self._loop.run_until_complete(self._client.request(*args, **options))


@pytest.fixture(autouse=True)
def _same_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.urandom", lambda count: b"\1" * count)
    monkeypatch.setattr("time.ctime", lambda *_: "then")


@pytest.mark.parametrize("name", CASES)
def test_with_threads(name: str, guard: Any) -> None:
    def works(guarded: bool, server: Server) -> Any:
        with httpx.Client(guard=guard) if guarded else plain.Client(trust_env=False) as client:
            return CASES[name](client, server)

    _compared(works)


@pytest.mark.parametrize("name", CASES)
def test_with_asyncio(name: str, guard: Any) -> None:
    def works(guarded: bool, server: Server) -> Any:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            client = httpx.AsyncClient(guard=guard) if guarded else plain.AsyncClient(trust_env=False)
            result = CASES[name](_Blocking(loop, client), server)
            runner.run(client.aclose())
            # Transports of asyncio close a turn later.
            runner.run(asyncio.sleep(0))
            return result

    _compared(works)


def _lines(client: Any, server: Server) -> Any:
    with client.stream("GET", server.url("/lines")) as response:
        lines = list(response.iter_lines())
    with client.stream("GET", server.url("/gzip")) as response:
        pieces = list(response.iter_bytes(100))
    with client.stream("GET", server.url("/gzip")) as response:
        raw = b"".join(response.iter_raw())
    with client.stream("GET", server.url("/chunks")) as response:
        text = "".join(response.iter_text())
    with client.stream("GET", server.url("/chunks")) as response:
        next(response.iter_raw())
    return lines, pieces, raw, text, response.is_closed, client.get(server.url("/json")).json()


async def _alines(client: Any, server: Server) -> Any:
    async with client.stream("GET", server.url("/lines")) as response:
        lines = [line async for line in response.aiter_lines()]
    async with client.stream("GET", server.url("/gzip")) as response:
        pieces = [piece async for piece in response.aiter_bytes(100)]
    async with client.stream("GET", server.url("/gzip")) as response:
        raw = b"".join([piece async for piece in response.aiter_raw()])
    async with client.stream("GET", server.url("/chunks")) as response:
        text = "".join([piece async for piece in response.aiter_text()])
    return lines, pieces, raw, text, response.is_closed, (await client.get(server.url("/json"))).json()


def test_streams(guard: Any) -> None:
    def works(guarded: bool, server: Server) -> Any:
        with httpx.Client(guard=guard) if guarded else plain.Client(trust_env=False) as client:
            return _lines(client, server)

    _compared(works)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_streams_of_tasks(guard: Any, backend: str) -> None:
    async def work(guarded: bool, server: Server) -> Any:
        async with httpx.AsyncClient(guard=guard) if guarded else plain.AsyncClient(trust_env=False) as client:
            return await _alines(client, server)

    _compared(lambda guarded, server: anyio.run(work, guarded, server, backend=backend))


_LARGE = b"0123456789abcdef" * (20 << 16)


def test_large_uploads(guard: Any) -> None:
    def works(guarded: bool, server: Server) -> Any:
        with httpx.Client(guard=guard) if guarded else plain.Client(trust_env=False) as client:
            whole = client.post(server.url("/other"), content=_LARGE, timeout=20)
            chunked = client.post(server.url("/other"), content=iter([_LARGE[: 1 << 20]] * 20), timeout=20)
            file = client.post(server.url("/other"), content=io.BytesIO(_LARGE), timeout=20)
            same = [seen.body == _LARGE for seen in server.seen]
            server.seen.clear()
            return [_shown(response) for response in (whole, chunked, file)], same

    _compared(works)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_large_uploads_of_tasks(guard: Any, tls_server: Server, backend: str) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(guard=guard, verify=_context(tls_server), timeout=20) as client:
            assert (await client.post(tls_server.url("/up"), content=_LARGE)).status_code == 200

    anyio.run(main, backend=backend)
    assert tls_server.seen[0].body == _LARGE


def _context(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)
