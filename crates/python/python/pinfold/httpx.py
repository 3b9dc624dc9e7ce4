"""httpx, guarded: `import pinfold.httpx as httpx`.

    >>> import pinfold.httpx
    >>> pinfold.httpx.get("http://169.254.169.254/latest/meta-data/")
    Traceback (most recent call last):
    pinfold.httpx.Denied: refused at stage `address`: address-metadata

`Client` and `AsyncClient` are httpx's own with the guard below them: each request, each redirect, each request of an
authentication is judged, and goes to a judged address. `Transport` and `AsyncTransport` are for clients of your own.
Proxies, mounts, unix sockets and HTTP/2 are refused with `PolicyError`: they would go around the guard. Environment
variables for proxies are not read; those for certificates are, unless `trust_env=False`.

What is raised is one of httpx's exceptions, so that handlers keep working, and one of `pinfold`'s: `Denied` is a
`ConnectError`, `InvalidURL` is both an `InvalidURL` and an `UnsupportedProtocol`, `NetworkError` a `ConnectError`,
`Timeout` a `ConnectTimeout`, `BudgetExceeded` a `ReadError` or `TooManyRedirects`, `DeadlineExceeded` a `ReadTimeout`.
`Denied`, `TooLarge` and `DeadlineExceeded` can be had from here; all other names are those of httpx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pinfold._extras import needed

with needed("httpx"):
    import anyio  # noqa: F401 # Brought by the extra, not by httpx of all versions.
    import httpx
from httpx import (
    URL,
    USE_CLIENT_DEFAULT,
    AsyncBaseTransport,
    AsyncByteStream,
    Auth,
    BaseTransport,
    BasicAuth,
    ByteStream,
    CloseError,
    ConnectError,
    ConnectTimeout,
    CookieConflict,
    Cookies,
    DecodingError,
    DigestAuth,
    Headers,
    HTTPError,
    HTTPStatusError,
    InvalidURL,
    Limits,
    LocalProtocolError,
    MockTransport,
    NetRCAuth,
    NetworkError,
    PoolTimeout,
    ProtocolError,
    ProxyError,
    QueryParams,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    Request,
    RequestError,
    RequestNotRead,
    Response,
    ResponseNotRead,
    StreamClosed,
    StreamConsumed,
    StreamError,
    SyncByteStream,
    Timeout,
    TimeoutException,
    TooManyRedirects,
    TransportError,
    UnsupportedProtocol,
    WriteError,
    WriteTimeout,
    codes,
    create_ssl_context,
)

from pinfold import _native
from pinfold._httpx.decode import ACCEPTED
from pinfold._httpx.errors import DeadlineExceeded, Denied, TooLarge, ambiguous, option_refused, translated
from pinfold._httpx.hops import at_home, exchanging, mark_redirect, mark_text, told
from pinfold._httpx.library import check
from pinfold._httpx.transport import LIMITS, AsyncTransport, Cert, Transport, Verify, refuse
from pinfold.budget import Budget
from pinfold.exchange import Exchange
from pinfold.guard import Guard

__all__ = [
    "URL",
    "USE_CLIENT_DEFAULT",
    "AsyncBaseTransport",
    "AsyncByteStream",
    "AsyncClient",
    "AsyncHTTPTransport",
    "AsyncTransport",
    "Auth",
    "BaseTransport",
    "BasicAuth",
    "ByteStream",
    "Client",
    "CloseError",
    "ConnectError",
    "ConnectTimeout",
    "CookieConflict",
    "Cookies",
    "DeadlineExceeded",
    "DecodingError",
    "Denied",
    "DigestAuth",
    "HTTPError",
    "HTTPStatusError",
    "HTTPTransport",
    "Headers",
    "InvalidURL",
    "Limits",
    "LocalProtocolError",
    "MockTransport",
    "NetRCAuth",
    "NetworkError",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "QueryParams",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "Request",
    "RequestError",
    "RequestNotRead",
    "Response",
    "ResponseNotRead",
    "StreamClosed",
    "StreamConsumed",
    "StreamError",
    "SyncByteStream",
    "Timeout",
    "TimeoutException",
    "TooLarge",
    "TooManyRedirects",
    "Transport",
    "TransportError",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
    "codes",
    "create_ssl_context",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "stream",
]


# Where a program names the transport itself.
HTTPTransport = Transport
AsyncHTTPTransport = AsyncTransport


class Client(httpx.Client):
    """`httpx.Client`, guarded. `guard` is the default guard unless one is given; `subject` and `labels` are what the
    policy is told, `budget` bounds each exchange.

    Takes what `httpx.Client` takes, but for what goes around the guard; `transport` has to be a `Transport`.
    `response.extensions["pinfold"]` is the `Decision` about the request, for the operator.
    """

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        verify: Verify = True,
        cert: Cert | None = None,
        http1: bool = True,
        http2: bool = False,
        limits: httpx.Limits = LIMITS,
        transport: Transport | None = None,
        proxy: object = None,
        mounts: object = None,
        trust_env: bool = True,
        **settings: Any,
    ) -> None:
        refuse(http1=http1, http2=http2, proxy=proxy, mounts=mounts)
        _check_given(transport, Transport, guard=guard, subject=subject, labels=labels, budget=budget)
        self._guarded = transport or Transport(
            verify=verify,
            cert=cert,
            trust_env=trust_env,
            limits=limits,
            guard=guard,
            subject=subject,
            labels=labels,
            budget=budget,
        )
        super().__init__(transport=self._guarded, trust_env=False, **_ready(settings))

    def build_request(self, method: str, url: httpx.URL | str, **parts: Any) -> httpx.Request:
        """As httpx does; what is wrong with the text of the URL is raised when it is sent."""
        with _reading(url, self._guarded.exchange):
            made = super().build_request(method, url, **parts)
        mark_text(made, url)
        return made

    def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        """As httpx does, in one exchange: its redirects and its authentication share the budget."""
        with translated(), exchanging(self._guarded, self._guarded.exchange()):
            return super().send(request, **at_home(request, how))

    def _transport_for_url(self, url: httpx.URL) -> httpx.BaseTransport:
        return _still_guarded(super()._transport_for_url(url), Transport)

    def _build_redirect_request(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        made = super()._build_redirect_request(request, response)
        mark_redirect(made, request, response.headers["Location"], self.cookies)
        return made


class AsyncClient(httpx.AsyncClient):
    """`httpx.AsyncClient`, guarded; for asyncio and trio. Otherwise as `Client`."""

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        verify: Verify = True,
        cert: Cert | None = None,
        http1: bool = True,
        http2: bool = False,
        limits: httpx.Limits = LIMITS,
        transport: AsyncTransport | None = None,
        proxy: object = None,
        mounts: object = None,
        trust_env: bool = True,
        **settings: Any,
    ) -> None:
        refuse(http1=http1, http2=http2, proxy=proxy, mounts=mounts)
        _check_given(transport, AsyncTransport, guard=guard, subject=subject, labels=labels, budget=budget)
        self._guarded = transport or AsyncTransport(
            verify=verify,
            cert=cert,
            trust_env=trust_env,
            limits=limits,
            guard=guard,
            subject=subject,
            labels=labels,
            budget=budget,
        )
        super().__init__(transport=self._guarded, trust_env=False, **_ready(settings))

    def build_request(self, method: str, url: httpx.URL | str, **parts: Any) -> httpx.Request:
        """As httpx does; what is wrong with the text of the URL is raised when it is sent."""
        with _reading(url, self._guarded.exchange):
            made = super().build_request(method, url, **parts)
        mark_text(made, url)
        return made

    async def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        """As httpx does, in one exchange: its redirects and its authentication share the budget."""
        with translated(), exchanging(self._guarded, self._guarded.exchange()):
            return await super().send(request, **at_home(request, how))

    def _transport_for_url(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return _still_guarded(super()._transport_for_url(url), AsyncTransport)

    def _build_redirect_request(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        made = super()._build_redirect_request(request, response)
        mark_redirect(made, request, response.headers["Location"], self.cookies)
        return made


def request(method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
    """As `httpx.request`; takes `guard`, `subject`, `labels` and `budget` as well."""
    client, parts = _split(options)
    with Client(**client) as made:
        return made.request(method, url, **parts)


@contextmanager
def stream(method: str, url: httpx.URL | str, **options: Any) -> Iterator[httpx.Response]:
    """As `httpx.stream`; takes what `request` takes."""
    client, parts = _split(options)
    with Client(**client) as made, made.stream(method, url, **parts) as response:
        yield response


def get(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """A `GET` request; takes what `request` takes."""
    return request("GET", url, **options)


def options(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """An `OPTIONS` request; takes what `request` takes."""
    return request("OPTIONS", url, **options)


def head(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """A `HEAD` request; takes what `request` takes."""
    return request("HEAD", url, **options)


def post(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """A `POST` request; takes what `request` takes."""
    return request("POST", url, **options)


def put(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """A `PUT` request; takes what `request` takes."""
    return request("PUT", url, **options)


def patch(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """A `PATCH` request; takes what `request` takes."""
    return request("PATCH", url, **options)


def delete(url: httpx.URL | str, **options: Any) -> httpx.Response:
    """A `DELETE` request; takes what `request` takes."""
    return request("DELETE", url, **options)


# What httpx's functions hand to the client, and not to the request.
_OF_CLIENT = frozenset(
    {"cookies", "proxy", "verify", "cert", "timeout", "trust_env", "guard", "subject", "labels", "budget"}
)


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    client = {name: value for name, value in options.items() if name in _OF_CLIENT}
    return client, {name: value for name, value in options.items() if name not in _OF_CLIENT}


def _ready(settings: dict[str, Any]) -> dict[str, Any]:
    """With the encodings that can be decoded in bounded steps, unless the caller asks for others."""
    headers = httpx.Headers(settings.pop("headers", None))
    headers.setdefault("Accept-Encoding", ACCEPTED)
    return {**settings, "headers": headers}


def _check_given(transport: object, kind: type, **asking: object) -> None:
    """Raises `PolicyError` for a transport that has no guard, or has one beside the one that is given."""
    if transport is None:
        return
    if not isinstance(transport, kind):
        hint = f"give a `pinfold.httpx.{kind.__name__}`, or leave it out"
        raise option_refused("transport", "it is not guarded", hint)
    for name, value in asking.items():
        if value is not None:
            raise option_refused(name, "the transport that is given has its own", "give it to the transport")


def _still_guarded(transport: _T, kind: type) -> _T:
    """What httpx has chosen for a request. Raises `PolicyError` when it was put in the place of a guarded one."""
    if not isinstance(transport, kind):
        hint = "give a guarded one as `transport=` when the client is made"
        raise option_refused("transport", "it was put in the place of a guarded one", hint)
    return transport


_T = TypeVar("_T")


@contextmanager
def _reading(url: object, begin: Callable[[], Exchange]) -> Iterator[None]:
    """Raises what httpx cannot read in words that are ours as well."""
    try:
        yield
    except httpx.InvalidURL as error:
        with translated(), told(begin()):
            _native.Target.parse(str(url))
            raise ambiguous("httpx cannot read it") from error


check()

# What people see of an exception is where it can be had from.
for _made in (Denied, TooLarge, DeadlineExceeded):
    _made.__module__ = __name__
