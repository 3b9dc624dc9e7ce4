"""Responses of urllib3, decoded in steps, so that a decompression bomb ends before it is in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from urllib3._version import __version__
from urllib3.response import ContentDecoder, DeflateDecoder, GzipDecoder, HTTPResponse

from pinfold._http import STEP, Ended, Meter, ended, ending
from pinfold._relies import relied, uses
from pinfold._translate import Translator
from pinfold.budget import Spending, exceeded

# Members of a gzip stream, or frames of one of zstd: each costs a new decoder, and may be some bytes. So many, and one
# more for each so many bytes that they make.
MEMBERS = 1 << 10
_MEMBER = 1 << 10
# How much is fed at once: no more than some dozen members. zlib makes half a megabyte of it.
_SLICE = 512
_ZLIB = (DeflateDecoder, GzipDecoder)
# The same for others that cannot be told to stop: the best of them make a megabyte of this.
_SMALL_SLICE = 32
_STOPS = tuple(int(part) for part in __version__.split(".")[:2]) >= (2, 6)


class GuardedResponse(HTTPResponse):
    """A response whose body is measured. What ends it is raised in the words of the library that was called."""

    _meter: Meter
    _words: Translator
    _checked: Bounded | None = None

    @classmethod
    def take(cls, response: HTTPResponse, meter: Meter, words: Translator) -> GuardedResponse:
        """Makes one of a response that is not read yet. urllib3's connections cannot be told which class to use."""
        response.__class__ = cls
        taken = cast(GuardedResponse, response)
        taken._meter = meter
        taken._words = words
        return taken

    def preload(self, decode_content: bool) -> None:
        """Reads all of it, as urllib3 does with `preload_content`. Raises `Ended`."""
        self._bound()
        self._body = super().read(decode_content=decode_content)

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """As urllib3's."""
        with self._in_words():
            return super().read(amt, decode_content, cache_content)

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """As urllib3's."""
        with self._in_words():
            return super().read1(amt, decode_content)

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """As urllib3's."""
        with self._in_words():
            yield from super().stream(amt, decode_content)

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """As urllib3's."""
        with self._in_words():
            yield from super().read_chunked(amt, decode_content)

    def drain_conn(self) -> None:
        """As urllib3's."""
        with self._in_words():
            super().drain_conn()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        with ended(self._words):
            try:
                self._bound()
                yield
            except Ended:
                # What is left of the body must not stay on a connection.
                self.close()
                raise

    def _bound(self) -> None:
        """Puts a bound around the decoder before anything is read: urllib3 makes one where there is none yet."""
        self._init_decoder()
        if self._decoder is not None and self._decoder is not self._checked:
            self._checked = Bounded(self._decoder, self._meter.spending)
            self._decoder = self._checked


class Bounded(ContentDecoder):
    """A decoder that counts what it makes, and makes it in steps."""

    def __init__(self, inner: ContentDecoder, spending: Spending) -> None:
        self._spending = spending
        self._fed: deque[bytes] = deque()
        self._layers: list[_Layer] = []
        below: Callable[[], bytes] = self._next
        for decoder in _chain(inner):
            self._layers.append(_Layer(decoder, below, spending))
            below = self._layers[-1].between

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """As urllib3's."""
        if data:
            self._fed.append(data)
        made = bytearray()
        with ending():
            while max_length < 0 or len(made) < max_length:
                piece = self._layers[-1].pull(STEP if max_length < 0 else min(STEP, max_length - len(made)))
                self._spending.decoded(len(piece))
                made += piece
                if not piece:
                    break
        return bytes(made)

    @property
    def has_unconsumed_tail(self) -> bool:
        """Whether more can be made of what it was fed."""
        return bool(self._fed) or any(layer.has_rest for layer in self._layers)

    def flush(self) -> bytes:
        """As urllib3's."""
        piece: bytes = self._layers[-1].decoder.flush()
        with ending():
            self._spending.decoded(len(piece))
        return piece

    def _next(self) -> bytes:
        return self._fed.popleft() if self._fed else b""


class _Layer:
    """One encoding of a body. Its decoder is fed in slices: one may loop over thousands of members in one call."""

    def __init__(self, decoder: Any, below: Callable[[], bytes], spending: Spending) -> None:
        self.decoder = decoder
        self._below = below
        self._spending = spending
        self._stops = _stops(decoder)
        self._slice = _SLICE if self._stops or isinstance(decoder, _ZLIB) else _SMALL_SLICE
        self._data = b""
        self._at = 0
        # Whether the decoder may still hold back what it made.
        self._holds = False
        self._made = 0
        self._members = 0

    @property
    def has_rest(self) -> bool:
        """Whether more can be made of what came."""
        return self._at < len(self._data) or (self._stops and bool(self.decoder.has_unconsumed_tail))

    def pull(self, most: int) -> bytes:
        """The next piece, empty if there is none without more input. Raises `BudgetExceeded`."""
        while data := self._input():
            piece = self._step(data[0], most)
            self._holds = self._stops and bool(piece or self.decoder.has_unconsumed_tail)
            if piece:
                return piece
        return b""

    def between(self) -> bytes:
        """A piece for the encoding above. What lies between two may be as large as the whole."""
        piece = self.pull(STEP)
        if self._made > self._spending.budget.decoded_bytes:
            raise exceeded("response-inflated", f"{self._spending.budget.decoded_bytes} bytes were allowed")
        return piece

    def _input(self) -> tuple[bytes] | None:
        """What to feed, which is nothing for what is held back; None when there is nothing to do."""
        if self._holds:
            return (b"",)
        if self._at >= len(self._data):
            self._data, self._at = self._below(), 0
        piece = self._data[self._at : self._at + self._slice]
        self._at += len(piece)
        return (piece,) if piece else None

    def _step(self, data: bytes, most: int) -> bytes:
        self._spending.left()
        before = getattr(self.decoder, "_obj", None)
        piece: bytes = self.decoder.decompress(data, max_length=most) if self._stops else self.decoder.decompress(data)
        self._made += len(piece)
        if getattr(self.decoder, "_obj", None) is not before:
            self._members += 1
        if self._members > MEMBERS + self._made // _MEMBER:
            raise exceeded("response-inflated", "its encoding has too many members")
        return piece


def _stops(decoder: Any) -> bool:
    """Whether it can be told how much to make at most, and gives all of it when it is asked again.

    Those of zlib do not: what is left inside, or a member that ends just there, would be lost. They make little.
    """
    if not _STOPS or isinstance(decoder, _ZLIB):
        return False
    return not _is_brotli(decoder) or hasattr(decoder._obj, "can_accept_more_data")


def _is_brotli(decoder: Any) -> bool:
    # There is such a class only where the library is.
    return type(decoder).__name__ == "BrotliDecoder"


def _chain(decoder: Any) -> list[Any]:
    """The decoders of one, in the order in which they decode."""
    return list(reversed(getattr(decoder, "_decoders", [decoder])))


# Where urllib3 decodes, it is to do so with the decoder that was bounded.
for _name in ("_init_decoder", "_decode", "_flush_decoder"):
    relied("urllib3", HTTPResponse, _name)
    uses("urllib3", HTTPResponse, _name, "_decoder")
