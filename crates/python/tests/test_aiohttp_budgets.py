"""`pinfold.aiohttp`: bounds of time and of bytes, and policies that end what is running."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

import pinfold
import pinfold.aiohttp
from pinfold import Budget
from pinfold._aiohttp.decode import BOUNDED
from pinfold.aiohttp import ClientSession
from support.aiohttp_asking import (
    HOST,
    LIMIT,
    OTHER,
    drips,
    fetch,
    names,
    refusal,
    run,
    until_over,
)
from support.server import Server

__all__ = ["names"]  # A fixture.


def test_deadline_before_the_head(guard: Any, names: Any, server: Server) -> None:
    @server.route("/slow")
    def page(request: Any) -> Any:
        request.over.wait(LIMIT)
        return 200, {}, b""

    error = refusal(guard, server.url("/slow", HOST), budget=Budget(total=0.3))
    assert isinstance(error, pinfold.DeadlineExceeded)
    assert isinstance(error, aiohttp.ServerTimeoutError)


def test_deadline_within_the_body(guard: Any, names: Any, server: Server) -> None:
    @server.route("/drip")
    def page(request: Any) -> Any:
        return 200, {}, drips(request)

    error = refusal(guard, server.url("/drip", HOST), budget=Budget(total=0.5))
    assert isinstance(error, pinfold.DeadlineExceeded)


def test_read_of_the_budget(guard: Any, names: Any, server: Server) -> None:
    @server.route("/slow")
    def page(request: Any) -> Any:
        request.over.wait(LIMIT)
        return 200, {}, b""

    with pytest.raises(aiohttp.SocketTimeoutError):
        fetch(guard, server.url("/slow", HOST), budget=Budget(read=0.2))


READERS: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[Any]]] = {}


def reader(read: Callable[[aiohttp.ClientResponse], Awaitable[Any]]) -> None:
    READERS[read.__name__] = read


@reader
async def read(response: aiohttp.ClientResponse) -> int:
    return len(await response.read())


@reader
async def text(response: aiohttp.ClientResponse) -> int:
    return len(await response.text())


@reader
async def iter_chunked(response: aiohttp.ClientResponse) -> int:
    return sum([len(piece) async for piece in response.content.iter_chunked(1 << 20)])


@reader
async def iter_any(response: aiohttp.ClientResponse) -> int:
    return sum([len(piece) async for piece in response.content.iter_any()])


@reader
async def iter_chunks(response: aiohttp.ClientResponse) -> int:
    return sum([len(piece) async for piece, _ in response.content.iter_chunks()])


@reader
async def readexactly(response: aiohttp.ClientResponse) -> int:
    return len(await response.content.readexactly(2_000_000))


def consume(guard: Any, url: str, how: str, **options: Any) -> Any:
    async def work() -> Any:
        async with ClientSession(guard=guard, **options) as session, session.get(url) as response:
            return await READERS[how](response)

    return run(work())


@pytest.mark.parametrize("how", READERS)
def test_received_bytes(guard: Any, names: Any, server: Server, how: str) -> None:
    server.route("/big")(lambda _: (200, {}, (b"x" * 10_000 for _ in range(200))))
    assert consume(guard, server.url("/big", HOST), how) == 2_000_000
    with pytest.raises(pinfold.BudgetExceeded) as caught:
        consume(guard, server.url("/big", HOST), how, budget=Budget(response_bytes=1_000_000))
    assert caught.value.code == "response-too-large"
    assert isinstance(caught.value, aiohttp.ClientPayloadError)


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "gzip members"])
def test_decoded_bytes(guard: Any, names: Any, server: Server, how: str, encoding: str) -> None:
    bomb = b"\0" * 2_000_000
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "raw deflate": lambda data: zlib.compress(data, wbits=-15),
        "gzip members": lambda data: b"".join([gzip.compress(data[:1000])] * (len(data) // 1000))[:],
    }
    kind = "deflate" if "deflate" in encoding else "gzip"
    size = 1_000_000 if encoding == "gzip members" else len(bomb)
    body = pack[encoding](bomb[:size])
    server.route("/bomb")(lambda _: (200, {"content-encoding": kind}, body))
    if how != "readexactly":
        assert consume(guard, server.url("/bomb", HOST), how) == size
    with pytest.raises(pinfold.BudgetExceeded) as caught:
        consume(guard, server.url("/bomb", HOST), how, budget=Budget(decoded_bytes=900_000))
    assert caught.value.code == "response-inflated"


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_optional_decoders(guard: Any, names: Any, server: Server, encoding: str) -> None:
    text, bomb = packed(encoding, b"text " * 9999), packed(encoding, b"x" * (64 << 20))
    server.route("/text")(lambda _: (200, {"content-encoding": encoding}, text))
    server.route("/bomb")(lambda _: (200, {"content-encoding": encoding}, bomb))
    for how in READERS:
        if how != "readexactly":
            assert consume(guard, server.url("/text", HOST), how) == 5 * 9999
        with pytest.raises(pinfold.BudgetExceeded) as caught:
            consume(guard, server.url("/bomb", HOST), how, budget=Budget(decoded_bytes=1 << 20))
        assert caught.value.code == "response-inflated"
    assert encoding in server.seen[0].headers["accept-encoding"]


def packed(encoding: str, content: bytes) -> bytes:
    if encoding == "br":
        brotli: Any = pytest.importorskip("brotli", minversion="1.2")
        return bytes(brotli.compress(content, quality=5))
    if "zstd" not in BOUNDED:
        pytest.skip("aiohttp has no zstd that stops")
    zstandard: Any = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(content))


def test_a_bomb_is_never_in_memory(guard: Any, names: Any, server: Server) -> None:
    import tracemalloc

    inflate = zlib.compressobj(wbits=31)
    zeros = b"\0" * (1 << 20)
    body = b"".join(inflate.compress(zeros) for _ in range(300)) + inflate.flush()
    server.route("/bomb")(lambda _: (200, {"content-encoding": "gzip"}, body))
    tracemalloc.start()
    try:
        with pytest.raises(pinfold.BudgetExceeded):
            consume(guard, server.url("/bomb", HOST), "read", budget=Budget(decoded_bytes=4 << 20))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_after_a_budget_the_connection_is_not_kept(guard: Any, names: Any, server: Server) -> None:
    server.route("/endless")(lambda request: (200, {}, until_over(request)))

    async def work() -> None:
        async with ClientSession(guard=guard, budget=Budget(response_bytes=10_000)) as session:
            response = await session.get(server.url("/endless", HOST))
            for _ in range(2):
                with pytest.raises(pinfold.BudgetExceeded):
                    await response.read()
            response.release()
            async with session.get(server.url("/x", HOST)) as response:
                assert response.status == 200

    run(work())
    assert server.seen[-1].connection == 2


def test_a_policy_ends_a_body_that_streams(guard: Any, names: Any, server: Server) -> None:
    more = threading.Event()

    @server.route("/stream")
    def page(_: Any) -> Any:
        def pieces() -> Iterator[bytes]:
            yield b"first"
            more.wait(LIMIT)
            yield b"second"

        return 200, {}, pieces()

    async def work() -> None:
        async with ClientSession(guard=guard) as session, session.get(server.url("/stream", HOST)) as response:
            assert await response.content.readany() == b"first"
            await asyncio.to_thread(guard.swap, settings={"hosts": {"deny": [HOST]}})
            more.set()
            with pytest.raises(pinfold.Denied):
                await response.content.readany()
            with pytest.raises(aiohttp.ClientConnectionError):
                await response.content.read()

    run(work())


def test_a_policy_that_still_allows_it_ends_nothing(guard: Any, names: Any, server: Server) -> None:
    more = threading.Event()

    @server.route("/stream")
    def page(_: Any) -> Any:
        def pieces() -> Iterator[bytes]:
            yield b"first"
            more.wait(LIMIT)
            yield b"second"

        return 200, {}, pieces()

    async def work() -> None:
        async with ClientSession(guard=guard) as session, session.get(server.url("/stream", HOST)) as response:
            assert await response.content.readany() == b"first"
            await asyncio.to_thread(guard.swap, settings={"hosts": {"deny": [OTHER]}})
            more.set()
            assert await response.read() == b"second"

    run(work())


def test_interim_responses_are_counted(guard: Any, names: Any, server: Server) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"

    @server.route("/hints")
    def page(request: Any) -> Any:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                request.raw.write(interim * 200)
            return 200, {}, b"ok"
        return None

    server.route("/some")(lambda request: (request.raw.write(interim * 200), (200, {}, b"ok"))[1])

    async def work() -> None:
        async with ClientSession(guard=guard) as session:
            for _ in range(100):
                # On one connection: each request has its own count.
                assert await (await session.get(server.url("/some", HOST))).read() == b"ok"
            with pytest.raises(pinfold.BudgetExceeded, match="response-too-large"):
                await session.get(server.url("/hints", HOST))

    run(work())
    assert server.connections == 1
