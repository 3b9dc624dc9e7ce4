"""Bodies in the encodings of HTTP, packed by whichever library is there."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import importlib.util
import zlib

import pytest

# The newer of two libraries for zstd, or the one that an older urllib3 takes.
_LIBRARIES = {"br": ["brotli"], "zstd": ["compression.zstd", "backports.zstd", "zstandard"]}


def packed(encoding: str, body: bytes) -> bytes:
    """The body in an encoding, or in several, the first applied first. Skips the test where a library lacks."""
    for name in encoding.split(", "):
        body = _packed(name, body)
    return body


def _packed(name: str, body: bytes) -> bytes:
    if name in ("gzip", "x-gzip"):
        return gzip.compress(body, mtime=0)
    if name == "deflate":
        return zlib.compress(body)
    found = [library for library in _LIBRARIES[name] if _is_there(library)]
    if not found:
        pytest.skip(f"there is no library for {name}")
    made: bytes = importlib.import_module(found[0]).compress(body)
    return made


def _is_there(name: str) -> bool:
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(name) is not None
    return False
