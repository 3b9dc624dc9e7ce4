"""Requests of aiohttp, guarded, and servers that they go to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import aiohttp
import pytest

import pinfold
import pinfold.aiohttp
from pinfold.aiohttp import ClientSession
from support.lab import INTERNAL, PUBLIC
from support.server import Server

# Longer than anything here takes, on any machine.
LIMIT = 30.0
HOST = "public.example.com"
OTHER = "other.example.com"
MakeGuard = Callable[..., pinfold.Guard]


def run(work: Awaitable[Any]) -> Any:
    """Runs a test in a loop of its own."""

    async def bounded() -> Any:
        return await asyncio.wait_for(work, LIMIT)

    return asyncio.run(bounded())


def fetch(guard: pinfold.Guard, url: Any, method: str = "GET", **options: Any) -> tuple[aiohttp.ClientResponse, bytes]:
    """One request with a session of its own."""

    async def work() -> Any:
        for_session = {name: options.pop(name) for name in ("budget", "base_url") if name in options}
        async with (
            ClientSession(guard=guard, **for_session) as session,
            session.request(method, url, **options) as response,
        ):
            return response, await response.read()

    return run(work())  # type: ignore[no-any-return]  # it is what `work` returns


def refusal(guard: pinfold.Guard, url: Any, **options: Any) -> Any:
    """What a request raises: always one of ours and one of aiohttp's, with no address in its text."""
    with pytest.raises(pinfold.PinfoldError) as caught:
        fetch(guard, url, **options)
    assert isinstance(caught.value, aiohttp.ClientError)
    assert INTERNAL not in str(caught.value)
    return caught.value


@pytest.fixture
def names(answers: pinfold.FixedAnswers) -> pinfold.FixedAnswers:
    """Two public names, and one inside."""
    answers.set(HOST, [PUBLIC])
    answers.set(OTHER, [PUBLIC])
    answers.set("inside.example.com", [INTERNAL])
    return answers


def leads(server: Server, path: str, location: str, status: int = 302) -> str:
    """A redirect; returns its URL."""

    @server.route(path)
    def page(_: Any) -> Any:
        return status, {"location": location}, b""

    return server.url(path, HOST)


@pytest.fixture
def numbered(server: Server) -> Server:
    """A server that tells the number of the connection."""

    @server.route("/n")
    def page(request: Any) -> Any:
        return 200, {}, str(request.connection)

    return server


def drips(request: Any) -> Iterator[bytes]:
    while not request.over.wait(0.02):
        yield b"x"


def until_over(request: Any) -> Iterator[bytes]:
    while not request.over.wait(0.001):
        yield b"x" * 10_000


def open_to(port: int) -> int:
    """How many sockets of this process are connected, or being connected, to a port."""
    with open("/proc/self/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) == port}
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return len(inodes & set(links))


@contextlib.contextmanager
def served_at(address: str, port: int, body: bytes) -> Iterator[None]:
    """A server at an address and a port, which answers everything with `body`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((address, port), Page) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown()
            thread.join(LIMIT)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with socket.create_server((PUBLIC, 0), backlog=100) as listening:
        yield listening.getsockname()[1]


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port where connections are neither accepted nor refused."""
    with socket.create_server((PUBLIC, 0), backlog=0) as listening, contextlib.ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        yield listening.getsockname()[1]
