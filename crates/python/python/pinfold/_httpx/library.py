"""What is relied on below the public names of httpx."""

from __future__ import annotations

import httpx

from pinfold._relies import outgrown, relied


def check() -> None:
    """That httpx calls what is overridden here, and decodes with the decoder that it is given. Raises `ImportError`."""
    for client in (httpx.Client, httpx.AsyncClient):
        relied("httpx", client, "_build_redirect_request", "request", "response")
        relied("httpx", client, "_transport_for_url", "url")
    if _decoded() != _MARK:
        raise outgrown("httpx", "Response._decoder")


_MARK = b"decoded here"


class _Marking:
    def decode(self, _: bytes) -> bytes:
        return _MARK

    def flush(self) -> bytes:
        return b""


def _decoded() -> bytes:
    response = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"x"))
    response._decoder = _Marking()  # type: ignore[assignment] # it only needs `decode` and `flush`
    try:
        return response.read()
    except httpx.DecodingError:
        return b""
