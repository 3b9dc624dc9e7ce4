"""What is relied on below the public names of aiohttp."""

from __future__ import annotations

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector

from pinfold._relies import relied


def check() -> None:
    """That aiohttp calls what is overridden here. Raises `ImportError`."""
    pool = BaseConnector
    for owner, name, parameters in (
        (pool, "_get", ("key", "traces")),
        (pool, "_wait_for_available_connection", ("key", "traces")),
        (aiohttp.TCPConnector, "_create_connection", ("req", "traces", "timeout")),
        (aiohttp.TCPConnector, "_get_ssl_context", ("req",)),
        (aiohttp.TCPConnector, "_get_fingerprint", ("req",)),
        (aiohttp.StreamReader, "_wait", ("func_name",)),
    ):
        relied("aiohttp", owner, name, *parameters)
    session = aiohttp.ClientSession
    relied("aiohttp", session, "_request", "method", "str_or_url", "middlewares")
    relied("aiohttp", pool, "connect", "req", "traces", "timeout", caller=session)
    relied("aiohttp", ResponseHandler, "set_response_params", "auto_decompress", "read_timeout", caller=session)
    relied("aiohttp", ResponseHandler, "read", caller=aiohttp.ClientResponse)
