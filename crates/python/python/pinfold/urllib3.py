"""urllib3, guarded: `PoolManager`, pools, and the functions of the module.

    >>> from pinfold import urllib3
    >>> http = urllib3.PoolManager()
    >>> response = http.request("GET", "https://example.com/")

What is urllib3's stays: pools, retries, timeouts, streaming, TLS options. Each attempt is judged, also on a kept
connection, and each redirect. There is no `ProxyManager`: a proxy looks names up itself. `source_address` and
`server_hostname` are refused, HTTP/2 is not used, `socket_options` are set once the socket is connected. Across origins
only harmless headers go along with a redirect, whatever `Retry.remove_headers_on_redirect` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pinfold._extras import needed

with needed("urllib3"):
    import urllib3

from urllib3 import (
    BaseHTTPResponse,
    HTTPHeaderDict,
    HTTPResponse,
    Retry,
    Timeout,
    disable_warnings,
    exceptions,
    make_headers,
    util,
)
from urllib3.util import parse_url

from pinfold._http import ending, public
from pinfold._urllib3.errors import (
    WORDS,
    BudgetExceeded,
    ConnectError,
    ConnectTimeout,
    DeadlineExceeded,
    Denied,
    InvalidURL,
    NetworkError,
    NetworkTimeout,
    in_words,
)
from pinfold._urllib3.hop import Door, Hop, current, on_the_way
from pinfold._urllib3.pool import HTTPConnectionPool, HTTPSConnectionPool, refuse_options
from pinfold.budget import Budget

if TYPE_CHECKING:
    from pinfold.guard import Guard

__all__ = [
    "BaseHTTPResponse",
    "BudgetExceeded",
    "ConnectError",
    "ConnectTimeout",
    "DeadlineExceeded",
    "Denied",
    "HTTPConnectionPool",
    "HTTPHeaderDict",
    "HTTPResponse",
    "HTTPSConnectionPool",
    "InvalidURL",
    "NetworkError",
    "NetworkTimeout",
    "PoolManager",
    "Retry",
    "Timeout",
    "connection_from_url",
    "disable_warnings",
    "exceptions",
    "make_headers",
    "request",
    "util",
]


class PoolManager(urllib3.PoolManager):
    """As urllib3's. `guard`: the default guard unless given; `subject` and `labels`: who asks; `budget`: bounds."""

    def __init__(
        self,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        **connection_pool_kw: Any,
    ) -> None:
        refuse_options(connection_pool_kw)
        super().__init__(num_pools, headers, **connection_pool_kw)
        self.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
        self.door = Door(guard, subject, labels, budget)
        self.words = WORDS

    def urlopen(  # type: ignore[override]  # As urllib3's own is.
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> BaseHTTPResponse:
        """As urllib3's. Raises `Denied`, `NetworkError`, `BudgetExceeded`, and what urllib3 raises."""
        above = current()
        if above is None or not (location := above.next_location(self)):
            return self._begin(method, url, redirect, **kw)
        hop = above.follow(location)
        kw["headers"] = above.without_secrets(kw.get("headers", self.headers), hop)
        with on_the_way(hop):
            return super().urlopen(method, url, redirect, **kw)

    def _begin(self, method: str, url: str, redirect: bool, **kw: Any) -> BaseHTTPResponse:
        with in_words(self.words):
            hop = Hop.begin(self.door, url)
            hop.follower = self if redirect else None
            with on_the_way(hop):
                return super().urlopen(method, url, redirect, **kw)

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> urllib3.HTTPConnectionPool:
        refuse_options(request_context or {})
        pool = super()._new_pool(scheme, host, port, request_context)
        if not isinstance(pool, HTTPConnectionPool | HTTPSConnectionPool):
            raise TypeError("`pool_classes_by_scheme` has a class that is not guarded")
        pool.door = self.door
        pool.words = self.words
        return pool


def connection_from_url(url: str, **kw: Any) -> HTTPConnectionPool | HTTPSConnectionPool:
    """A pool for the host of a URL, as urllib3's function."""
    with in_words(WORDS), ending():
        target = Door(*map(kw.get, ("guard", "subject", "labels", "budget"))).parse(url)
    read = parse_url(url)
    pool = HTTPSConnectionPool if target.scheme == "https" else HTTPConnectionPool
    return pool(read.host or "", read.port or target.port, **kw)


def request(
    method: str,
    url: str,
    *,
    guard: Guard | None = None,
    subject: str | None = None,
    labels: Mapping[str, str] | None = None,
    budget: Budget | None = None,
    **kw: Any,
) -> BaseHTTPResponse:
    """One request, as `urllib3.request`. Make a `PoolManager` where there are more."""
    manager = PoolManager(guard=guard, subject=subject, labels=labels, budget=budget)
    return manager.request(method, url, **kw)


public(__name__, __all__, globals())
