"""`pinfold.httpx` and encoded bodies: all of them arrives, or it is said."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx as plain
import pytest

import pinfold
from pinfold import httpx
from pinfold._httpx import decode
from pinfold._httpx import errors as words
from pinfold.budget import Spending
from support.httpx_asking import Ask, ask
from support.server import Server

__all__ = ["ask"]  # A fixture.

_MILLION = 1_000_000
# httpx leaves its generators to the collector when decoding fails, and trio says so.
_left = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"])
def test_all_of_a_body_arrives(ask: Ask, guard: Any, server: Server, encoding: str, content: str) -> None:
    made = CONTENTS[content]()
    body = made
    for name in encoding.split(", "):
        body = _encoded(name, body)
    server.route("/whole")(lambda _: (200, {"content-encoding": encoding, "content-length": str(len(body))}, body))
    server.route("/pieces")(lambda _: (200, {"content-encoding": encoding}, _pieces(body, 7001)))
    for path in ("/whole", "/pieces"):
        [response] = ask(guard, server.url(path))
        assert response.content == made
        # httpx cannot end more than one encoding when one of them is zstd.
        assert encoding == "zstd, deflate" or made == plain.get(server.url(path), trust_env=False).content


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_all_of_a_body_is_streamed(guard: Any, server: Server, encoding: str) -> None:
    made = _text()
    body = _encoded(encoding, made)
    server.route("/")(lambda _: (200, {"content-encoding": encoding}, _pieces(body, 100)))
    with httpx.Client(guard=guard) as client, client.stream("GET", server.url("/")) as response:
        assert b"".join(response.iter_bytes(1000)) == made


@_left
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
@pytest.mark.parametrize("missing", [1, 3, 1000])
def test_what_is_cut_off_is_noticed(ask: Ask, guard: Any, server: Server, encoding: str, missing: int) -> None:
    body = _text()
    for name in encoding.split(", "):
        body = _encoded(name, body)
    cut = body[:-missing]
    server.route("/whole")(lambda _: (200, {"content-encoding": encoding}, cut))
    server.route("/pieces")(lambda _: (200, {"content-encoding": encoding}, _pieces(cut, 7001)))
    for outcome in ask(guard, server.url("/whole"), server.url("/pieces")):
        assert isinstance(outcome, plain.DecodingError)


@_left
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", ["nothing", "empty", "more after it"])
def test_odd_bodies_are_taken_as_by_httpx(ask: Ask, guard: Any, server: Server, encoding: str, body: str) -> None:
    sent = {"nothing": b"", "empty": _encoded(encoding, b""), "more after it": _encoded(encoding, b"text") + b"more"}
    server.route("/")(lambda _: (200, {"content-encoding": encoding}, sent[body]))
    [outcome] = ask(guard, server.url("/"))
    try:
        expected = plain.get(server.url("/"), trust_env=False)
    except plain.DecodingError:
        assert isinstance(outcome, plain.DecodingError)
    else:
        assert outcome.content == expected.content


@pytest.mark.parametrize("name", ["brotli", "brotlicffi"])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", [1, 100, 10_000, _MILLION * 2])
def test_both_libraries_of_brotli(name: str, content: str, size: int) -> None:
    library: Any = pytest.importorskip(name, minversion="1.2")
    made = CONTENTS[content]()[: 50_000 if size == 1 else _MILLION]
    codec = decode._Brotli(library)
    got = []
    for piece in _pieces(library.compress(made, quality=5), size):
        got += codec.decode(piece)
    codec.end()
    assert b"".join(got) == made
    assert max(map(len, got)) < 4 * decode._STEP


@_left
def test_frames_are_bounded(ask: Ask, guard: Any, server: Server) -> None:
    frame = _encoded("zstd", b"")
    many = frame * decode.MEMBERS
    server.route("/many")(lambda _: (200, {"content-encoding": "zstd"}, many))
    server.route("/more")(lambda _: (200, {"content-encoding": "zstd"}, many + frame))
    server.route("/inner")(lambda _: (200, {"content-encoding": "zstd, zstd"}, _encoded("zstd", many + frame)))
    fine, more, inner = ask(guard, server.url("/many"), server.url("/more"), server.url("/inner"))
    assert fine.content == b""
    assert isinstance(more, plain.DecodingError)
    assert isinstance(inner, plain.DecodingError)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip"])
def test_the_deadline_is_looked_at_while_nothing_comes_out(encoding: str) -> None:
    """Blocks of deflate that hold nothing."""
    made = zlib.compressobj(wbits=31)
    body = made.compress(b"") + made.flush(zlib.Z_SYNC_FLUSH) + b"\0\0\0\xff\xff" * _MILLION
    if encoding == "gzip, gzip":
        body = gzip.compress(body)
    spending = Spending(pinfold.Budget())
    decoder = decode.Decoder(plain.Headers({"content-encoding": encoding}), spending)
    assert decoder.decode(body[:1000]) == b""
    spending.began -= spending.budget.total
    with pytest.raises(words.DeadlineExceeded):
        decoder.decode(body[1000:])


def test_what_follows_is_not_kept() -> None:
    decoder = decode.Decoder(plain.Headers({"content-encoding": "gzip"}), Spending(pinfold.Budget()))
    assert decoder.decode(gzip.compress(b"text")) == b"text"
    for _ in range(100):
        assert decoder.decode(b"more" * 100) == b""
    [codec] = decoder._codecs
    assert len(codec._inflate.unused_data) == 0  # type: ignore[attr-defined] # of this codec


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_optional_decoders(guard: Any, server: Server, encoding: str) -> None:
    text, bomb = _encoded(encoding, b"text " * 9999), _encoded(encoding, b"x" * (64 << 20))
    server.route("/text")(lambda _: (200, {"content-encoding": encoding}, text))
    server.route("/bomb")(lambda _: (200, {"content-encoding": encoding}, bomb))
    with httpx.Client(guard=guard, budget=pinfold.Budget(decoded_bytes=1 << 20)) as client:
        response = client.get(server.url("/text"))
        assert encoding in response.request.headers["accept-encoding"]
        assert response.content == b"text " * 9999
        with pytest.raises(words.TooLarge):
            client.get(server.url("/bomb"))


def test_optional_encodings(guard: Any, server: Server) -> None:
    """Only what is installed and can be stopped half way is asked for."""
    with httpx.Client(guard=guard) as client:
        client.get(server.url())
    asked = server.seen[0].headers["accept-encoding"].split(", ")
    assert asked[:2] == ["gzip", "deflate"]
    assert set(asked) <= {"gzip", "deflate", "br", "zstd"}


def _encoded(encoding: str, content: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.compress(content)
    if encoding == "deflate":
        return zlib.compress(content)
    if encoding == "br":
        brotli: Any = pytest.importorskip("brotli", minversion="1.2")
        return bytes(brotli.compress(content, quality=5))
    zstandard: Any = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(content))
