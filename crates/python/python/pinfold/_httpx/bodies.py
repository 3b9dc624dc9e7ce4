"""Bodies of responses, counted as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import httpcore
import httpx

from pinfold._httpx.decode import Decoder
from pinfold._httpx.dial import AsyncConnection, Connection
from pinfold._httpx.errors import translated
from pinfold.budget import Spending
from pinfold.decision import Decision


class Body(httpx.SyncByteStream):
    """The body, and the connection that it comes from until it is closed."""

    def __init__(self, content: Any, spending: Spending, done: Callable[[], None]) -> None:
        self._content = content
        self._spending = spending
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        with translated():
            try:
                for chunk in self._content:
                    self._spending.received(len(chunk))
                    yield chunk
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Gives the connection back; closes it when something of the body is left."""
        try:
            self._content.close()
        finally:
            self._done()


class AsyncBody(httpx.AsyncByteStream):
    """As `Body`, for asyncio and trio."""

    def __init__(self, content: Any, spending: Spending, done: Callable[[], None]) -> None:
        self._content = content
        self._spending = spending
        self._done = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with translated():
            try:
                async with aclosing(aiter(self._content)) as chunks:
                    async for chunk in chunks:
                        self._spending.received(len(chunk))
                        yield chunk
            except BaseException:
                await self.aclose()
                raise

    async def aclose(self) -> None:
        """Gives the connection back; closes it when something of the body is left. Cancelling does not stop it."""
        try:
            with anyio.CancelScope(shield=True):
                await self._content.aclose()
        finally:
            self._done()


def response(
    answer: httpcore.Response,
    body: Body | AsyncBody,
    connection: Connection | AsyncConnection,
    spending: Spending,
) -> httpx.Response:
    """What httpx makes of what httpcore has read; decoded in bounded steps."""
    extensions = dict(answer.extensions)
    if connection.usage is not None:
        connection.usage.head = None
        extensions["pinfold"] = Decision(connection.usage.link.decision)
    made = httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=extensions)
    # Where httpx keeps the decoder of a response; it makes one of its own only where there is none.
    made._decoder = Decoder(made.headers, spending)  # type: ignore[assignment] # it only needs `decode` and `flush`
    return made
