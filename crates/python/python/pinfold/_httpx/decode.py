"""Decoding in bounded steps: a bomb is stopped before it is in memory."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Protocol

import httpx

from pinfold._httpx.errors import translated
from pinfold.budget import Spending

# Bytes of output after which they are counted.
_STEP = 64 << 10
# A block of zstd is at least 3 bytes and yields at most 128 KiB: a piece yields at most some MiB.
_ZSTD_PIECE = 64
# Frames of one body of zstd: each costs a new decoder, and may be 9 bytes.
MEMBERS = 1 << 10
# Encodings on top of one another, as in curl.
_MOST = 5


class Codec(Protocol):
    """One content encoding."""

    def decode(self, data: bytes) -> Iterable[bytes]:
        """What these bytes decode to, in bounded pieces."""

    def end(self) -> None:
        """Raises when the body is not complete, where httpx does."""


class Decoder:
    """What httpx asks for the decoded body of one response."""

    def __init__(self, headers: httpx.Headers, spending: Spending) -> None:
        names = [name.strip().lower() for name in headers.get_list("content-encoding", split_commas=True)]
        made = [_CODECS[name] for name in names if name in _CODECS]
        if len(made) > _MOST:
            raise httpx.DecodingError(f"more than {_MOST} content encodings")
        self._spending = spending
        self._codecs = [codec() for codec in reversed(made)]
        self._counts = [0 for _ in self._codecs[1:]]

    def decode(self, data: bytes) -> bytes:
        """All that these bytes decode to. Raises `TooLarge`, `DeadlineExceeded` and `httpx.DecodingError`."""
        pieces: Iterable[bytes] = (data,)
        for layer, codec in enumerate(self._codecs):
            pieces = self._through(codec, pieces, layer)
        with translated():
            return b"".join(self._counted(pieces))

    def flush(self) -> bytes:
        """Nothing is left: `decode` gives all there is."""
        with _decoding():
            for codec in self._codecs:
                codec.end()
        return b""

    def _through(self, codec: Codec, pieces: Iterable[bytes], layer: int) -> Iterable[bytes]:
        for piece in pieces:
            if layer:
                self._between(layer - 1, len(piece))
            with _decoding():
                for decoded in codec.decode(piece):
                    # Much can be decoded to nothing, which no other count sees.
                    self._spending.left()
                    yield decoded

    def _between(self, layer: int, count: int) -> None:
        """What lies between two encodings is as large as the whole may be."""
        self._counts[layer] += count
        if self._counts[layer] > self._spending.budget.decoded_bytes:
            self._spending.decoded(self._counts[layer])

    def _counted(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        for piece in pieces:
            self._spending.decoded(len(piece))
            yield piece


class _decoding:  # noqa: N801 # Used as a function.
    """Raises what a codec raises in the words of httpx."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and isinstance(error, _FAILURES):
            raise httpx.DecodingError(str(error)) from error


class _Zlib:
    def __init__(self, window: int) -> None:
        self._inflate = zlib.decompressobj(window)

    def decode(self, data: bytes) -> Iterable[bytes]:
        # What follows is left alone, as httpx does; zlib would keep it all.
        while not self._inflate.eof:
            piece = self._inflate.decompress(data, _STEP)
            data = self._inflate.unconsumed_tail
            yield piece
            if not data and len(piece) < _STEP:
                return

    def end(self) -> None:
        return


class _Deflate(_Zlib):
    """With the header of zlib, or without: servers do both."""

    def __init__(self) -> None:
        super().__init__(zlib.MAX_WBITS)
        self._first = True

    def decode(self, data: bytes) -> Iterable[bytes]:
        first, self._first = self._first, False
        if first and not _has_zlib_header(data):
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return super().decode(data)


def _has_zlib_header(data: bytes) -> bool:
    try:
        zlib.decompressobj().decompress(data, 1)
    except zlib.error:
        return False
    return True


class _Brotli:
    def __init__(self, library: ModuleType) -> None:
        self._decoder: Any = library.Decompressor()
        self._seen = False

    def decode(self, data: bytes) -> Iterable[bytes]:
        """It takes more data while output is still inside: only a piece of nothing says that all is out."""
        self._seen = self._seen or bool(data)
        more = bool(data)
        while more:
            piece = self._decoder.process(data, output_buffer_limit=_STEP)
            data = b""
            yield piece
            more = not self._decoder.is_finished() and (bool(piece) or not self._decoder.can_accept_more_data())

    def end(self) -> None:
        """Of the libraries of brotli one says when something is missing, the other does not: it is always said."""
        if self._seen and not self._decoder.is_finished():
            raise httpx.DecodingError("brotli data is incomplete")


class _Zstandard:
    def __init__(self, library: ModuleType) -> None:
        self._library: Any = library
        self._frames = 0
        self._decoder = self._begin()
        self._seen = False

    def decode(self, data: bytes) -> Iterable[bytes]:
        for begin in range(0, len(data), _ZSTD_PIECE):
            rest = data[begin : begin + _ZSTD_PIECE]
            while rest:
                if self._decoder.eof:
                    self._decoder = self._begin()
                self._seen = True
                yield self._decoder.decompress(rest)
                rest = self._decoder.unused_data if self._decoder.eof else b""

    def end(self) -> None:
        if self._seen and not self._decoder.eof:
            raise httpx.DecodingError("Zstandard data is incomplete")

    def _begin(self) -> Any:
        self._frames += 1
        if self._frames > MEMBERS:
            raise httpx.DecodingError(f"more than {MEMBERS} frames of zstd")
        return self._library.ZstdDecompressor().decompressobj()


def _library(*names: str) -> ModuleType | None:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _bounded(brotli: ModuleType | None) -> ModuleType | None:
    """Only releases from 1.2 on can stop half way; with another one, `br` is not asked for."""
    made = getattr(brotli, "Decompressor", None)
    return brotli if hasattr(made, "can_accept_more_data") else None


def _found() -> tuple[dict[str, Callable[[], Codec]], tuple[type[Exception], ...]]:
    codecs: dict[str, Callable[[], Codec]] = {"gzip": lambda: _Zlib(zlib.MAX_WBITS | 16), "deflate": _Deflate}
    failures: list[type[Exception]] = [zlib.error]
    brotli = _bounded(_library("brotli", "brotlicffi"))
    if brotli is not None:
        codecs["br"] = lambda: _Brotli(brotli)
        failures.append(brotli.error)
    zstandard = _library("zstandard")
    if zstandard is not None:
        codecs["zstd"] = lambda: _Zstandard(zstandard)
        failures.append(zstandard.ZstdError)
    return codecs, tuple(failures)


_CODECS, _FAILURES = _found()
# The value of `Accept-Encoding`.
ACCEPTED = ", ".join(_CODECS)
