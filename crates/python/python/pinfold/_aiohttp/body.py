"""A connection and the bodies that come over it, under a budget and under the policy of now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from pinfold import _native, errors
from pinfold._aiohttp.decode import decoder
from pinfold._aiohttp.errors import in_words, words
from pinfold._http import HEAD_BYTES, STEP
from pinfold.budget import Spending, exceeded

if TYPE_CHECKING:
    from pinfold.guard import Guard

_SWITCHING = 101


@asynccontextmanager
async def within(spending: Spending) -> AsyncIterator[None]:
    """Raises `DeadlineExceeded` when what is inside takes longer than is left."""
    timer = asyncio.timeout(spending.left())
    try:
        async with timer:
            yield
    except TimeoutError as error:
        if timer.expired():
            raise exceeded("deadline-exceeded", f"{spending.budget.total} s were allowed") from error
        raise


class Use:
    """What a connection is used for: one request."""

    def __init__(self, guard: Guard, spending: Spending, link: _native.Link) -> None:
        self._guard = guard
        self._link = link
        self._confirmed = link.generation
        self.spending = spending

    async def confirm(self) -> None:
        """Raises `Denied` when the policy of now refuses it. A policy is asked on another thread."""
        generation = self._guard.generation
        if generation != self._confirmed:
            await asyncio.to_thread(self._link.confirm)
            self._confirmed = generation

    def confirm_now(self) -> None:
        """As `confirm`, where nothing can be awaited."""
        self._link.confirm()


class Handler(ResponseHandler):
    """aiohttp's protocol of a connection; `link` is what the connection was opened for."""

    link: _native.Link
    use: Use | None = None
    _decodes = True
    # Bytes that came for this request.
    _came = 0
    _payload_before: object = None

    def begin(self, use: Use) -> None:
        """From now on used for another request."""
        self.use = use
        self._came = 0
        self._payload_before = self._payload

    def set_response_params(
        self, *, auto_decompress: bool = True, read_timeout: float | None = None, **params: Any
    ) -> None:
        """As aiohttp, but it is decoded here, and a server is not waited for without end."""
        self._decodes = auto_decompress
        if read_timeout is None and self.use is not None:
            read_timeout = self.use.spending.budget.read
        super().set_response_params(auto_decompress=False, read_timeout=read_timeout, **params)

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """The head of the next response, and its body."""
        use = self.use
        if use is None:
            return await super().read()
        with words():
            async with within(use.spending):
                message, payload = await super().read()
            await use.confirm()
        use.spending.next_response()
        if message.code == _SWITCHING or payload is EMPTY_PAYLOAD:
            return message, payload
        return message, Body(payload, message, self, use, self._decodes)

    def data_received(self, data: bytes) -> None:
        """What came over a websocket is passed on only while the policy allows it.

        What is not of a body is counted as well: interim responses, sizes of chunks and what may be written after
        them can be sent without end.
        """
        if self.upgraded and self.use is not None:
            try:
                self.use.confirm_now()
            except errors.PinfoldError as error:
                self._end(in_words(error))
                return
        super().data_received(data)
        if self.use is not None and not self.upgraded:
            self._came += len(data)
            self._bound(self.use.spending.budget.response_bytes)

    def drop(self) -> None:
        """Ends the connection at once."""
        self.force_close()
        if self.transport is not None:
            self.transport.abort()

    def _bound(self, body: int) -> None:
        """Ends it when more came around a body than a head, one step, and as much as a body may be."""
        payload = self._payload
        if self._is_in_head() or payload is None:
            around, allowed, what = self._came, HEAD_BYTES + STEP, f"{HEAD_BYTES} bytes of headers"
        else:
            around, allowed, what = self._came - payload.total_bytes, HEAD_BYTES + STEP + body, f"{body} bytes"
        if around > allowed:
            self._end(in_words(exceeded("response-too-large", f"{what} were allowed")))

    def _is_in_head(self) -> bool:
        return self._payload is None or self._payload is EMPTY_PAYLOAD or self._payload is self._payload_before

    def _end(self, error: errors.PinfoldError) -> None:
        if self._payload is not None:
            set_exception(self._payload, error)
        self.set_exception(error)
        self.drop()


class Body(StreamReader):
    """The body of a response, pulled from aiohttp's in bounded steps.

    aiohttp reads from a stream through `_wait`: "there is nothing here, wait for more". Each such step is confirmed,
    counted as received, decoded into a piece of bounded size, and counted as decoded.
    """

    def __init__(
        self, raw: StreamReader, message: RawResponseMessage, handler: Handler, use: Use, decodes: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        # A protocol without a transport: how fast the peer may send is for `raw` to say.
        super().__init__(BaseProtocol(loop), raw.get_read_buffer_limits()[0], loop=loop)
        self._raw = raw
        self._handler = handler
        self._use = use
        self._decoder = decoder(message.compression if decodes else None)
        self._chunk_ends = False
        self._chunked = bool(message.chunked)
        if self._chunked:
            self.begin_http_chunk_receiving()

    def on_eof(self, callback: Any) -> None:
        """`callback` gives the connection back, which is when the peer has sent all: not when all is decoded."""
        self._raw.on_eof(callback)

    def set_exception(self, exc: Any, *cause: Any) -> None:
        """Whoever waits is waiting for `raw`."""
        super().set_exception(exc, *cause)
        self._raw.set_exception(exc, *cause)

    def is_eof(self) -> bool:
        """Whether nothing more comes from the peer."""
        return super().is_eof() or self._raw.is_eof()

    def at_eof(self) -> bool:
        """Whether nothing is left to read."""
        if not self._buffer and not self._eof and self._raw.at_eof():
            with words():
                self._step(b"", ended=True)
        return super().at_eof()

    async def _wait(self, func_name: str) -> None:  # noqa: ARG002  # aiohttp's name for who waits
        try:
            with words():
                await self._pull()
        except errors.PinfoldError as error:
            self._give_up(error)
            raise

    async def _pull(self) -> None:
        if self._decoded():
            return
        if self._chunk_ends:
            self._chunk_ends = False
            self.end_http_chunk_receiving()
            return
        data = await self._received()
        self._step(data, ended=not data and not self._chunk_ends)

    def _step(self, data: bytes, ended: bool) -> None:
        if data:
            self._decoder.feed(data)
        if not self._decoded() and ended:
            self._decoder.finish()
            self.feed_eof()

    def _decoded(self) -> bool:
        piece = self._decoder.piece()
        self._use.spending.decoded(len(piece))
        self.feed_data(piece, len(piece))
        return bool(piece)

    async def _received(self) -> bytes:
        async with within(self._use.spending):
            if self._chunked:
                data, self._chunk_ends = await self._raw.readchunk()
            else:
                data = await self._raw.readany()
        await self._use.confirm()
        self._use.spending.received(len(data))
        return data

    def _give_up(self, error: errors.PinfoldError) -> None:
        # What has sent all is in the pool again, or in use for something else.
        if not self._raw.is_eof():
            self._handler.drop()
        self.set_exception(error)
