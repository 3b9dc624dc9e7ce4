"""`pinfold.aiohttp` and encoded bodies: all of them arrives, and what comes around them is bounded."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

import pinfold
from pinfold import Budget
from pinfold._aiohttp.decode import BOUNDED
from pinfold.aiohttp import ClientSession
from support.aiohttp_asking import HOST, names, run
from support.server import Server

__all__ = ["names"]  # A fixture.

_MILLION = 1_000_000


def _text() -> bytes:
    """Neither random nor all the same: as pages are."""
    drawn = random.Random(6)
    return b"".join(b"line %d of a page, %08x\n" % (line, drawn.getrandbits(32)) for line in range(40_000))[:_MILLION]


CONTENTS: dict[str, Callable[[], bytes]] = {
    "text": _text,
    "zeros": lambda: bytes(_MILLION),
    "random": lambda: random.Random(6).randbytes(_MILLION),
    "repeated": lambda: random.Random(6).randbytes(_MILLION // 4) * 4,
}


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[begin : begin + size] for begin in range(0, len(body), size))


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_all_of_a_body_arrives(guard: Any, names: Any, server: Server, encoding: str, content: str) -> None:
    made = CONTENTS[content]()
    body = _encoded(encoding, made)
    server.route("/whole")(lambda _: (200, {"content-encoding": encoding, "content-length": str(len(body))}, body))
    server.route("/pieces")(lambda _: (200, {"content-encoding": encoding}, _pieces(body, 7001)))

    async def work() -> None:
        async with ClientSession(guard=guard) as session, aiohttp.ClientSession() as theirs:
            for path in ("/whole", "/pieces"):
                async with theirs.get(server.url(path)) as response:
                    assert await response.read() == made
                async with session.get(server.url(path, HOST)) as response:
                    assert await response.read() == made
                async with session.get(server.url(path, HOST)) as response:
                    assert b"".join([piece async for piece in response.content.iter_chunked(1000)]) == made

    run(work())


@pytest.mark.parametrize("endless", [b"0" * 4096, b"1;" + b"a=b;" * 1000, b"1\r\nx\r\n" * 1000])
def test_what_is_around_a_body_is_bounded(guard: Any, names: Any, server: Server, endless: bytes) -> None:
    @server.route("/endless")
    def page(request: Any) -> None:
        with suppress(OSError):
            request.raw.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while not request.over.is_set():
                request.raw.write(endless)

    async def work() -> None:
        async with ClientSession(guard=guard, budget=Budget(response_bytes=100_000)) as session:
            with pytest.raises(pinfold.BudgetExceeded) as caught:
                async with session.get(server.url("/endless", HOST)) as response:
                    await response.read()
            assert caught.value.code == "response-too-large"
            assert isinstance(caught.value, aiohttp.ClientPayloadError)

    run(work())


def test_small_chunks_are_no_flood(guard: Any, names: Any, server: Server) -> None:
    @server.route("/small")
    def page(request: Any) -> None:
        request.raw.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        request.raw.write(b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")

    async def work() -> None:
        budget = Budget(response_bytes=50_000)
        async with ClientSession(guard=guard, budget=budget) as session, session.get(server.url("/small", HOST)) as got:
            assert await got.read() == b"x" * 50_000

    run(work())


def test_large_bodies_are_no_flood(guard: Any, names: Any, server: Server) -> None:
    body = random.Random(6).randbytes(8 * _MILLION)
    server.route("/length")(lambda _: (200, {"content-length": str(len(body))}, body))
    server.route("/chunks")(lambda _: (200, {}, _pieces(body, _MILLION)))

    async def work() -> None:
        async with ClientSession(guard=guard, budget=Budget(response_bytes=len(body))) as session:
            for path in ("/length", "/chunks") * 2:
                async with session.get(server.url(path, HOST)) as response:
                    assert await response.read() == body

    run(work())
    assert server.connections == 1


def _encoded(encoding: str, content: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.compress(content)
    if encoding == "deflate":
        return zlib.compress(content)
    if encoding not in BOUNDED:
        pytest.skip(f"aiohttp has no {encoding} that stops")
    if encoding == "br":
        brotli: Any = pytest.importorskip("brotli", minversion="1.2")
        return bytes(brotli.compress(content, quality=5))
    zstandard: Any = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(content))
