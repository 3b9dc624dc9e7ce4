"""`HTTPConnection` and `HTTPSConnection` of http.client, each of whose requests is judged."""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from pinfold import errors
from pinfold._asking import check_asking
from pinfold._http import telling
from pinfold._native import Target
from pinfold._urllib.wire import HTTPResponse, Wire, timely, translated
from pinfold.decision import new_correlation_id
from pinfold.guard import default_guard

if TYPE_CHECKING:
    import ssl

    from pinfold import _native
    from pinfold.budget import Budget
    from pinfold.exchange import Exchange
    from pinfold.guard import Guard


# What the signatures of urllib hold where no timeout is given.
USUAL: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined] # not in its stubs


class Hop:
    """Where an opener is in its exchange: what it judges next."""

    def __init__(self, exchange: Exchange, target: Target) -> None:
        self.exchange = exchange
        self.target = target
        self.redirect = False
        # Whether an earlier target was of another origin.
        self.crossed = False

    def go_on(self, target: Target) -> None:
        """The target that a server wants next."""
        self.crossed = self.crossed or not self.target.same_origin(target)
        self.target, self.redirect = target, True

    def pin(self, method: str) -> _native.Pin:
        """Judges it. The same again is an attempt of the same hop."""
        redirect, self.redirect = self.redirect, False
        return self.exchange.pin(self.target, method, redirect=redirect)


class HTTPConnection(http.client.HTTPConnection):
    """As of http.client. Each request is judged, also on a connection that is kept.

    A connection is opened anew when what it was opened for is no longer what a request is judged to go to.
    `timeout` is in seconds, for each wait; without one it is that of the budget. Raises `pinfold.Denied` or
    `pinfold.NetworkError`, which are `OSError`s here.
    """

    _scheme = "http"

    def __init__(
        self,
        host: str,
        port: int | None = None,
        timeout: float | None = USUAL,
        source_address: tuple[str, int] | None = None,
        blocksize: int = 8192,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        hop: Hop | None = None,
        **more: Any,
    ) -> None:
        if source_address is not None:
            raise unsupported("a source address", "leave `source_address` out: the guard opens the socket")
        check_asking(guard, subject, labels, budget)
        super().__init__(host, port, timeout=seconds(timeout), blocksize=blocksize, **more)
        self._guard = guard
        self._options: dict[str, Any] = {"subject": subject, "labels": labels, "budget": budget}
        self._hop = hop
        self._exchange: Exchange | None = None
        self._pin: _native.Pin | None = None
        self._link: _native.Link | None = None

    def putrequest(self, method: str, url: str, *more: Any, **options: Any) -> None:
        """As of http.client; judges the request."""
        super().putrequest(method, url, *more, **options)
        try:
            with translated():
                self._judge(method, url)
        except BaseException:
            # What is left here would be sent before the next request.
            self._buffer.clear()  # type: ignore[attr-defined] # not in its stubs
            self.close()
            raise

    def connect(self) -> None:
        """As of http.client; judges the host unless a request was judged before."""
        sys.audit("http.client.connect", self, self.host, self.port)
        with translated():
            if self._pin is None:
                self._judge("CONNECT", None)
            self._open()

    def send(self, data: Any) -> None:
        """As of http.client, within the time that is left."""
        if hasattr(data, "read"):
            blocks: Iterable[Any] = self._read_readable(data)  # type: ignore[attr-defined] # not in its stubs
        else:
            blocks = [data] if isinstance(data, bytes | bytearray | memoryview | str) else _blocks(data)
        for block in blocks:
            self._send(block)

    @property
    def response_class(self) -> Any:  # type: ignore[override] # called, and nothing else is asked of it
        """What http.client makes answers with."""
        return self._response

    def set_tunnel(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: a proxy would look the name up, and connect where the guard does not see it."""
        raise unsupported("a proxy", "connect without one, or let the proxy be the one that judges")

    def _judge(self, method: str, url: str | None) -> None:
        hop = self._hop or self._first(url)
        if not hop.target.goes_to(self._scheme, self.host, self.port):
            raise hop.exchange.refused(ambiguous(), hop.target, method)
        self._exchange = hop.exchange
        self._pin = hop.pin(method)
        if self.sock is not None:
            self._keep_or_close(self._pin)

    def _first(self, url: str | None) -> Hop:
        exchange = (self._guard or default_guard()).exchange(**self._options)
        with telling(exchange):
            return Hop(exchange, self._target(url))

    def _target(self, url: str | None) -> Target:
        origin = Target.of(self._scheme, self.host, self.port)
        if url in (None, "", "*"):
            return origin
        # `http://host/` as a request target is how one speaks to a proxy.
        if not url.startswith("/"):
            raise ambiguous()
        return Target.parse(origin.origin + url)

    def _keep_or_close(self, pin: _native.Pin) -> None:
        try:
            if self._link is not None and pin.accepts(self._link):
                self._link, self._pin = pin.reuse(self._link), None
                return
        except errors.ForkError:
            # It is the parent's: only the descriptor is closed here.
            pass
        self.sock.close()
        self.sock = None
        self._link = None

    def _open(self) -> None:
        exchange, pin = self._exchange, self._pin
        assert exchange is not None
        assert pin is not None
        self._pin = None
        opened = exchange.open(pin, self.timeout)
        self._link = opened.link
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.settimeout(exchange.spending.wait(self.timeout, exchange.spending.budget.connect))
            with timely(exchange.spending):
                self.sock = self._secured(opened, pin.target.host)
        except BaseException:
            opened.close()
            raise

    def _secured(self, opened: socket.socket, host: str) -> socket.socket:  # noqa: ARG002 # for HTTPSConnection
        return opened

    def _send(self, block: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        if self.sock is None or self._exchange is None:
            raise http.client.NotConnected
        spending = self._exchange.spending
        with translated(), timely(spending):
            self.sock.settimeout(spending.wait(self.timeout, spending.budget.read))
            super().send(block)

    def _response(self, sock: socket.socket, *more: Any, **options: Any) -> HTTPResponse:
        assert self._exchange is not None
        assert self._link is not None
        wire = Wire(sock, self._link, self._exchange.spending, self.timeout)
        # http.client asks of the socket no more than `makefile`.
        return HTTPResponse(wire, *more, **options)  # type: ignore[arg-type] # see above


class HTTPSConnection(HTTPConnection, http.client.HTTPSConnection):
    """As `HTTPConnection`, with TLS for the name that was judged. `context` is that of `ssl`."""

    _scheme = "https"
    _context: ssl.SSLContext

    def __init__(self, *more: Any, context: ssl.SSLContext | None = None, **options: Any) -> None:
        super().__init__(*more, context=context, **options)

    def _secured(self, opened: socket.socket, host: str) -> socket.socket:
        return self._context.wrap_socket(opened, server_hostname=host)


def http_connection(
    host: str,
    port: int | None = None,
    *,
    scheme: str = "http",
    timeout: float | None = USUAL,
    guard: Guard | None = None,
    **options: Any,
) -> HTTPConnection:
    """A connection for code that speaks http.client; not opened yet. `options` are those of the classes."""
    made = {"http": HTTPConnection, "https": HTTPSConnection}.get(scheme)
    if made is None:
        with translated():
            raise no_url("scheme-unsupported", "scheme", "use `http` or `https`")
    return made(host, port, timeout, guard=guard, **options)


def seconds(timeout: Any) -> float | None:
    """A timeout as urllib is given it; `None` is that of the budget."""
    return socket.getdefaulttimeout() if timeout is USUAL else timeout


def unsupported(what: str, hint: str) -> errors.PolicyError:
    """Something of the library that a guard cannot do."""
    return errors.PolicyError(f"{what} cannot be used with a guard", hint=hint, code="option-unsupported")


def ambiguous() -> errors.InvalidURL:
    """The library reads a URL as another place than the guard."""
    return no_url("url-ambiguous", "parse", "write the URL as scheme, `://`, host, optional port, path")


def no_url(code: str, stage: str, hint: str) -> errors.InvalidURL:
    """What is refused before it is judged."""
    return errors.InvalidURL(
        f"refused at stage `{stage}`: {code}",
        stage=stage,
        code=code,
        hint=hint,
        correlation_id=new_correlation_id(),
    )


def _blocks(data: Any) -> Iterable[Any]:
    try:
        memoryview(data)
    except TypeError:
        return data  # type: ignore[no-any-return] # what http.client iterates, or refuses
    return [data]
