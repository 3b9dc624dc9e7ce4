"""Responses of urllib3, decoded in steps, so that a decompression bomb ends before it is in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from urllib3._version import __version__
from urllib3.response import ContentDecoder, HTTPResponse

from pinfold._http import STEP, Ended, Meter, ended, ending
from pinfold._relies import outgrown, relied
from pinfold._translate import Translator
from pinfold.budget import Spending

# How much is fed at once to a decoder that cannot be told to stop: the best of them make a megabyte of this.
_SLICE = 32
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
        self._inner: Any = inner
        self._spending = spending
        self._stops = _stops(inner)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """As urllib3's."""
        if self._stops and max_length >= 0:
            return self._counted(self._inner.decompress(data, max_length=max_length))
        steps = self._in_steps(data) if self._stops else _in_slices([data], _chain(self._inner))
        return b"".join(self._counted(piece) for piece in steps)

    @property
    def has_unconsumed_tail(self) -> bool:
        """Whether more can be made of what it was fed."""
        return bool(getattr(self._inner, "has_unconsumed_tail", False))

    def flush(self) -> bytes:
        """As urllib3's."""
        return self._counted(self._inner.flush())

    def _in_steps(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._inner.decompress(data, max_length=STEP)
            yield piece
            if not piece and not self._inner.has_unconsumed_tail:
                return
            data = b""

    def _counted(self, piece: bytes) -> bytes:
        with ending():
            self._spending.decoded(len(piece))
            self._spending.left()
        return piece


def _stops(decoder: Any) -> bool:
    """Whether it can be told how much to make at most."""
    if not _STOPS:
        return False
    obj = getattr(decoder, "_obj", None)
    if type(decoder).__name__ == "BrotliDecoder" and not hasattr(obj, "can_accept_more_data"):
        return False
    return all(_stops(inner) for inner in getattr(decoder, "_decoders", ()))


def _chain(decoder: Any) -> list[Any]:
    """The decoders of one, in the order in which they decode."""
    return list(reversed(getattr(decoder, "_decoders", [decoder])))


def _in_slices(pieces: Any, decoders: list[Any]) -> Iterator[bytes]:
    for decoder in decoders:
        pieces = _sliced(pieces, decoder)
    yield from pieces


def _sliced(pieces: Any, decoder: Any) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _SLICE):
            yield decoder.decompress(piece[start : start + _SLICE])


# Where urllib3 decodes, it is to do so with the decoder that was bounded.
for _name in ("_init_decoder", "_decode", "_flush_decoder"):
    relied("urllib3", HTTPResponse, _name)
for _function in (HTTPResponse._init_decoder, HTTPResponse._decode, HTTPResponse._flush_decoder):
    if "_decoder" not in _function.__code__.co_names:
        raise outgrown("urllib3", "HTTPResponse._decoder")
