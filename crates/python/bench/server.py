"""The server of the measurement: a process of its own that answers every request with the same kilobyte."""

from __future__ import annotations

import asyncio
import sys

BODY = b"x" * 1024
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1024\r\n"


class Answers(asyncio.Protocol):
    """Requests have no body: each ends with an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while b"\r\n\r\n" in self._seen:
            head, _, self._seen = self._seen.partition(b"\r\n\r\n")
            last = b"connection: close" in head.lower()
            self._transport.write(HEAD + (b"connection: close\r\n" if last else b"") + b"\r\n" + BODY)
            if last:
                self._transport.close()


async def serve() -> None:
    """Says on which port it is, and serves until its input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answers, "127.0.0.2", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # it is what it is asked for
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
