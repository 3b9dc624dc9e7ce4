"""Decodes bodies in steps of a bounded size: a decompression bomb is counted, never held in memory.

aiohttp's own decoder is not bounded when a whole body is read, and before 3.13 not at all.
"""

from __future__ import annotations

import inspect
import zlib
from typing import Any, Protocol

import aiohttp
from aiohttp import compression_utils

# The most that one step yields, in bytes.
PIECE = 1 << 16
# Members of one gzip stream: each costs a new decoder, and may be 20 bytes.
MEMBERS = 1 << 10
_AUTO = zlib.MAX_WBITS | 32


class Decoder(Protocol):
    """Takes what came, gives pieces of at most `PIECE` bytes."""

    def feed(self, data: bytes) -> None:
        """Takes more; what was fed before is used up."""

    def piece(self) -> bytes:
        """The next piece; empty when there is none without more input."""

    def finish(self) -> None:
        """Nothing more comes. Raises when that is too early."""


def decoder(encoding: str | None) -> Decoder:
    """The decoder of a `Content-Encoding`."""
    if encoding is None:
        return _Plain()
    if encoding in {"gzip", "deflate"}:
        return _Zlib(encoding)
    if encoding in BOUNDED:
        return _Bounded(encoding, BOUNDED[encoding]())
    raise broken(encoding)


def broken(encoding: str) -> aiohttp.ClientPayloadError:
    """What aiohttp raises for a body that it cannot decode."""
    return aiohttp.ClientPayloadError(f"Can not decode content-encoding: {encoding}")


class _Plain:
    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data = data

    def piece(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def finish(self) -> None:
        """Any length is right here: the framing was checked before."""


class _Zlib:
    """gzip of any number of members, or deflate with or without its header."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._data = b""
        self._more = False
        self._members = 0
        self._inflate: Any = None

    def feed(self, data: bytes) -> None:
        self._data += data

    def piece(self) -> bytes:
        while self._data or self._more:
            piece = self._step()
            if piece:
                return piece
        return b""

    def finish(self) -> None:
        if self._encoding == "deflate" and self._inflate is not None and not self._inflate.eof:
            raise broken(self._encoding)

    def _step(self) -> bytes:
        if self._inflate is None or self._inflate.eof:
            self._begin()
        try:
            piece: bytes = self._inflate.decompress(self._data, PIECE)
        except zlib.error as error:
            raise broken(self._encoding) from error
        self._data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        self._more = len(piece) == PIECE and not self._inflate.eof
        return piece

    def _begin(self) -> None:
        self._members += 1
        if self._members > MEMBERS:
            raise broken(self._encoding)
        headless = self._encoding == "deflate" and self._data[0] & 0xF != 8
        self._inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS if headless else _AUTO)


class _Bounded:
    """A decoder of aiohttp that can be told how much to yield."""

    def __init__(self, encoding: str, decompressor: Any) -> None:
        self._encoding = encoding
        self._decompressor = decompressor
        self._data = b""
        self._more = False

    def feed(self, data: bytes) -> None:
        self._data += data

    def piece(self) -> bytes:
        if not self._data and not self._more:
            return b""
        data, self._data = self._data, b""
        try:
            piece: bytes = self._decompressor.decompress_sync(data, max_length=PIECE)
        except Exception as error:
            # Each library has exceptions of its own for it.
            raise broken(self._encoding) from error
        self._more = bool(piece) and bool(self._decompressor.data_available)
        return piece

    def finish(self) -> None:
        """As aiohttp, which does not look."""


def _bounded(name: str) -> Any:
    """A decompressor class, if this aiohttp can bound what it yields."""
    found: Any = getattr(compression_utils, name, None)
    able = hasattr(found, "data_available") and "max_length" in inspect.signature(found.decompress_sync).parameters
    return found if able else None


def _available() -> dict[str, Any]:
    able = {
        "br": compression_utils.HAS_BROTLI and _bounded("BrotliDecompressor"),
        "zstd": getattr(compression_utils, "HAS_ZSTD", False) and _bounded("ZSTDDecompressor"),
    }
    return {encoding: found for encoding, found in able.items() if found}


BOUNDED = _available()
# What a request asks for unless the caller says it.
ACCEPTED = ", ".join(["gzip", "deflate", *BOUNDED])
