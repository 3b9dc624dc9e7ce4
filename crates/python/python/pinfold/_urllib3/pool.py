"""Connections and pools of urllib3 that open what was judged, and nothing else."""

from __future__ import annotations

import copy
import functools
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Retry
from urllib3.util.ssl_ import ALPN_PROTOCOLS

from pinfold import _http, errors
from pinfold._http import Ended, ending, not_taken
from pinfold._relies import relied
from pinfold._urllib3.body import GuardedResponse
from pinfold._urllib3.errors import WORDS, in_words
from pinfold._urllib3.hop import Door, Hop, current, on_the_way
from pinfold.budget import Budget, exceeded
from pinfold.exchange import PinnedSocket

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse, HTTPResponse

    from pinfold._native import Link, Pin
    from pinfold._translate import Translator
    from pinfold.guard import Guard

_PORTS = {"http": 80, "https": 443}


class _Pinned(HTTPConnection):
    """A connection that is opened from a pin, for one attempt after the other."""

    _hop: Hop | None = None
    _pin: Pin | None = None
    _link: Link | None = None
    _meter: _http.Meter | None = None
    _words: Translator = WORDS
    _judged = False

    def begin(self, hop: Hop, pin: Pin, words: Translator) -> None:
        """Prepares an attempt: keeps what is open if it may be used for it, or closes it."""
        self._hop, self._pin, self._words, self._judged = hop, pin, words, True
        if self.sock is None:
            return
        if not _http.acceptable(pin, self._link):
            # A socket inherited by a fork is only closed: its owner is not disturbed.
            self.close()
            return
        with ending():
            self._measure(pin.reuse(cast("Link", self._link)))

    def _new_conn(self) -> socket.socket:
        if self._hop is None or self._pin is None:
            raise Ended(not_taken("connect()", "a connection is opened for a request", "use a pool"))
        opened = self._open(self._hop, self._pin)
        for option in self.socket_options or ():
            opened.setsockopt(*option)
        sys.audit("http.client.connect", self, self.host, self.port)
        self._measure(opened.link)
        with ending():
            left = self._hop.exchange.spending.left()
        # For the handshake, which takes this long at most.
        opened.settimeout(left if self.timeout is None else min(self.timeout, left))
        return opened

    def _open(self, hop: Hop, pin: Pin) -> PinnedSocket:
        try:
            return hop.exchange.open(pin, self.timeout)
        except (errors.Denied, errors.BudgetExceeded, errors.ForkError) as error:
            raise Ended(error) from error
        except errors.Timeout as error:
            late = ConnectTimeoutError(self, f"Connection to {self.host} timed out.")
            raise _tagged(late, error) from error
        except errors.NetworkError as error:
            new = NewConnectionError(self, f"Failed to establish a new connection: {error}")
            raise _tagged(new, error) from error

    def _measure(self, link: Link) -> None:
        self._link = link
        self._meter = _http.Meter(cast(Hop, self._hop).exchange.spending, link)
        # `http.client` asks a connection, not its class, for it.
        self.response_class = functools.partial(_http.Response, self._meter)  # type: ignore[assignment]

    def _meter_of(self) -> _http.Meter:
        if self._meter is None:
            raise Ended(not_taken("connect()", "it was not the guard that opened this connection", "use a pool"))
        return self._meter

    def putrequest(self, method: str, url: str, *args: Any, **more: Any) -> None:
        """As urllib3's; once for each time that it was judged."""
        if not self._judged:
            raise Ended(not_taken("putrequest", "this request was not judged", "use a pool"))
        self._judged = False
        super().putrequest(method, url, *args, **more)

    def send(self, data: Any) -> None:
        """As urllib3's, within what is left of the time."""
        if self.sock is None:
            self.connect()
        with self._meter_of().sending(self.sock, self.timeout):
            super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # As urllib3's own is.
        """As urllib3's."""
        options = self._response_options
        if options is not None:
            self._response_options = options._replace(preload_content=False)
        response = GuardedResponse.take(super().getresponse(), self._meter_of(), self._words)
        if options is not None and options.preload_content:
            response.preload(options.decode_content)
        return response

    def set_tunnel(self, *_: Any, **__: Any) -> None:
        """Refused: a proxy would look the name up again."""
        raise not_taken("set_tunnel", "a proxy looks the name up again", "connect without a proxy")


class PinnedHTTPConnection(_Pinned):
    """For `http`."""


class PinnedHTTPSConnection(_Pinned, HTTPSConnection):
    """For `https`."""

    def connect(self) -> None:
        """As urllib3's; never for HTTP/2, whose connections may serve several names."""
        if "h2" in ALPN_PROTOCOLS:
            raise Ended(not_taken("urllib3.http2", "it is not judged request by request", "do not inject it"))
        try:
            super().connect()
        except TimeoutError:
            if self._hop is not None:
                with ending():
                    self._hop.exchange.spending.left()
            raise


class _Judging(urllib3.HTTPConnectionPool):
    """A pool that asks before each attempt."""

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *args: Any,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        **more: Any,
    ) -> None:
        refuse_options(more)
        super().__init__(host, port, *args, **more)
        if self.proxy is not None:
            raise not_taken("_proxy", "a proxy looks the name up again", "use no proxy")
        self.door = Door(guard, subject, labels, budget)
        self.words = WORDS

    # The names and the order are those with which urllib3 calls itself.
    def urlopen(  # type: ignore[override]  # The rest is passed on.
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Retry | bool | int | None = None,
        redirect: bool = True,
        *args: Any,
        **more: Any,
    ) -> BaseHTTPResponse:
        """As urllib3's."""
        above = current()
        if not isinstance(retries, Retry):
            retries = Retry.from_int(retries, redirect=redirect, default=self.retries)
        if above is not None and (location := above.next_location(self)):
            hop = above.follow(location)
            headers = above.without_secrets(self.headers if headers is None else headers, hop)
        elif above is not None and not above.is_busy and above.pool in (None, self):
            hop = above
        else:
            return self._alone(method, url, body, headers, retries, redirect, *args, **more)
        hop.pool = self
        with on_the_way(hop):
            return super().urlopen(method, url, body, headers, _patient(retries), redirect, *args, **more)

    def _alone(
        self, method: str, url: str, body: Any, headers: Any, retries: Retry, redirect: bool, *args: Any, **more: Any
    ) -> BaseHTTPResponse:
        """A request without a manager."""
        with in_words(self.words):
            hop = Hop.begin(self.door, self._origin() + url if url.startswith("/") else url)
            hop.follower = self if redirect else None
            with on_the_way(hop):
                return self.urlopen(method, url, body, headers, retries, redirect, *args, **more)

    def _make_request(self, conn: Any, method: str, url: str, *args: Any, **more: Any) -> BaseHTTPResponse:
        hop = current()
        if hop is None:
            raise Ended(not_taken("_make_request", "it is none of the public methods", "use `urlopen`"))
        hop.response = None
        hop.is_busy = True
        try:
            conn.begin(hop, hop.pin(method, self.scheme, self.host, self._port()), self.words)
            hop.response = super()._make_request(conn, method, url, *args, **more)
        finally:
            hop.is_busy = False
        return hop.response

    def _port(self) -> int:
        return self.port or _PORTS[self.scheme]

    def _origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self._port()}"


class HTTPConnectionPool(_Judging):
    """As urllib3's. `guard`, `subject`, `labels` and `budget` are for requests that come from no manager."""

    ConnectionCls = PinnedHTTPConnection


class HTTPSConnectionPool(_Judging, urllib3.HTTPSConnectionPool):
    """As urllib3's. `guard`, `subject`, `labels` and `budget` are for requests that come from no manager."""

    ConnectionCls = PinnedHTTPSConnection


def refuse_options(options: Mapping[str, Any]) -> None:
    """Raises `PolicyError` for options of urllib3 that cannot be honoured."""
    for name, (why, hint) in _NOT_TAKEN.items():
        if options.get(name):
            raise not_taken(name, why, hint)


_BY_PROXY = ("a proxy looks the name up again, and connects where it likes", "fetch without a proxy")
_NOT_TAKEN = {
    **dict.fromkeys(("proxy", "proxy_config", "_proxy", "_proxy_config", "_proxy_headers"), _BY_PROXY),
    "source_address": ("the guard opens the connections", "leave the choice to the routing table"),
    "server_hostname": ("the certificate is verified for the name that was judged", "use `assert_hostname`"),
}


class _Patient(Retry):
    """Retries that do not sleep beyond the deadline."""

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """As urllib3's. Raises when there is not as much time left as it would take."""
        asked = self.get_retry_after(response) if self.respect_retry_after_header and response else None
        _refuse_to_wait(asked or self.get_backoff_time())
        super().sleep(response)

    def sleep_for_retry(self, response: BaseHTTPResponse) -> bool:
        """As urllib3's. Raises when there is not as much time left as it would take."""
        _refuse_to_wait(self.get_retry_after(response) or 0)
        return super().sleep_for_retry(response)


def _patient(retries: Retry) -> Retry:
    """The same, whatever its class."""
    if isinstance(retries, _Patient):
        return retries
    patient = copy.copy(retries)
    patient.__class__ = _patient_class(cast(Any, type(retries)))
    return patient


@functools.lru_cache(maxsize=32)
def _patient_class(kind: Any) -> Any:
    return type(kind.__name__, (_Patient, kind), {})


def _refuse_to_wait(seconds: float) -> None:
    hop = current()
    if hop is None:
        return
    with ending():
        left = hop.exchange.spending.left()
        if seconds > left:
            detail = f"waiting {seconds} s before the next attempt, {left:.1f} s are left"
            raise exceeded("deadline-exceeded", detail)


def _tagged(error: Any, ours: errors.PinfoldError) -> Any:
    """urllib3's own exception, so that it is tried again as usual; it remembers what it was."""
    error.pinfold = ours
    return error


# A connection is opened, and a request judged, where urllib3 calls these.
relied("urllib3", HTTPConnection, "_new_conn")
relied("urllib3", HTTPSConnection, "_new_conn")
relied("urllib3", HTTPConnection, "putrequest", "method", "url")
relied("urllib3", urllib3.HTTPConnectionPool, "_make_request", "conn", "method", "url")
relied("urllib3", urllib3.PoolManager, "_new_pool", "scheme", "host", "port", "request_context")
