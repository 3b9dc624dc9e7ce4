"""requests, guarded: `Session`, `HTTPAdapter`, and the functions of the module.

    >>> from pinfold import requests
    >>> response = requests.get("https://example.com/", timeout=(3, 10))

What is requests' stays: sessions, cookies, hooks, streaming, retries, `verify` and `cert`, its exceptions. Each attempt
is judged, also on a kept connection, and each redirect as the server wrote it. Different from requests:

- The URL is judged as it was given; what only requests would mend (spaces in front) is refused.
- Proxies are not used: those of the environment are ignored, others refused. A proxy looks the name up itself.
- `Session.trust_env` is off: a stranger's URL must not draw credentials from `~/.netrc`. Switched on, it is for netrc
  and `REQUESTS_CA_BUNDLE`, never for proxies.
- Across origins only harmless headers go along, and only cookies that name their domain.
- `Session.mount` takes guarded adapters only. A session with a guard of its own cannot be pickled.
- An adapter with TLS options of its own derives from `HTTPAdapter` here, and hands them on in `init_poolmanager`:
  `super().init_poolmanager(*args, ssl_context=context, **more)`. One that makes a pool manager itself is refused.

Names that requests has are requests' own: `except requests.ConnectionError` works as before.

`HTTPAdapter` may be mounted on a stock `requests.Session`. Each redirect is then a request of its own: judged, but with
a budget of its own, and with what requests lets go along.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, cast

from pinfold._extras import needed

with needed("requests"):
    import requests

from requests import (
    ConnectionError,  # noqa: A004  # It is requests' name.
    ConnectTimeout,
    HTTPError,
    JSONDecodeError,
    PreparedRequest,
    ReadTimeout,
    Request,
    RequestException,
    Response,
    Timeout,
    TooManyRedirects,
    URLRequired,
    adapters,
    auth,
    codes,
    cookies,
    exceptions,
    structures,
    utils,
)
from requests.adapters import DEFAULT_POOLBLOCK, DEFAULT_POOLSIZE, DEFAULT_RETRIES, BaseAdapter
from requests.utils import get_environ_proxies, select_proxy

from pinfold._http import ending, not_taken, public
from pinfold._relies import relied
from pinfold._requests import chain
from pinfold._requests.errors import (
    WORDS,
    BudgetExceeded,
    DeadlineExceeded,
    Denied,
    InvalidSchema,
    InvalidURL,
    NetworkError,
    NetworkTimeout,
    RedirectsExceeded,
    in_words,
)
from pinfold._urllib3.hop import Door, on_the_way
from pinfold.budget import Budget
from pinfold.errors import PolicyError
from pinfold.urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

if TYPE_CHECKING:
    from urllib3.util import Retry

    from pinfold.guard import Guard

__all__ = [
    "BudgetExceeded",
    "ConnectTimeout",
    "ConnectionError",
    "DeadlineExceeded",
    "Denied",
    "HTTPAdapter",
    "HTTPError",
    "InvalidSchema",
    "InvalidURL",
    "JSONDecodeError",
    "NetworkError",
    "NetworkTimeout",
    "PreparedRequest",
    "ReadTimeout",
    "RedirectsExceeded",
    "Request",
    "RequestException",
    "Response",
    "Session",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "adapters",
    "auth",
    "codes",
    "cookies",
    "delete",
    "exceptions",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "structures",
    "utils",
]


class HTTPAdapter(requests.adapters.HTTPAdapter):
    """As requests'. `guard`: the default guard unless given; `subject` and `labels`: who asks; `budget`: bounds."""

    __attrs__ = (*requests.adapters.HTTPAdapter.__attrs__, "door")

    def __init__(
        self,
        pool_connections: int = DEFAULT_POOLSIZE,
        pool_maxsize: int = DEFAULT_POOLSIZE,
        max_retries: int | Retry = DEFAULT_RETRIES,
        pool_block: bool = DEFAULT_POOLBLOCK,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.door = Door(guard, subject, labels, budget)
        super().__init__(pool_connections, pool_maxsize, max_retries, pool_block)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = DEFAULT_POOLBLOCK, **pool_kwargs: Any
    ) -> None:
        """As requests'."""
        self._pool_connections = connections
        self._pool_maxsize = maxsize
        self._pool_block = block
        manager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs)
        manager.door = self.door
        manager.words = WORDS
        self.poolmanager = manager

    def proxy_manager_for(self, *_: Any, **__: Any) -> Any:
        """Refused: a proxy looks the name up again."""
        raise _no_proxy()

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """As requests'. Raises `Denied`, `NetworkError`, `BudgetExceeded`, and what requests raises."""
        url = request.url or ""
        _refuse_proxy(url, proxies)
        with in_words(lambda: request):
            hop = chain.under_way(self.door, request)
            if getattr(self.cert_verify, "__func__", None) is not HTTPAdapter.cert_verify:
                # A class above looks at the pool, and need not say so here.
                _refuse_stranger(self.get_connection_with_tls_context(request, verify, proxies={}, cert=cert))
            hop.pool = None
            with on_the_way(hop):
                # By name, as requests does: what was put in its place may take no others.
                options: dict[str, Any] = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert}
                response = super().send(request, **options, proxies={})
        chain.note(request, hop)
        chain.note(response, hop)
        return response

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """As requests', which hands over the pool that a request is about to go through."""
        _refuse_stranger(conn)
        cast(Any, super()).cert_verify(conn, url, verify, cert)

    def __getstate__(self) -> dict[str, Any]:
        if self.door.guard is not None:
            raise _not_pickled()
        return cast("dict[str, Any]", super().__getstate__())


class Session(requests.Session):
    """As requests'. `guard`: the default guard unless given; `subject` and `labels`: who asks; `budget`: bounds."""

    __attrs__ = (*requests.Session.__attrs__, "door")

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        subject: str | None = None,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__()
        self.door = Door(guard, subject, labels, budget)
        self.trust_env = False
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(guard=guard, subject=subject, labels=labels, budget=budget))

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """As requests'; the adapter must be guarded, too."""
        # requests' own constructor mounts its own, for a moment.
        if hasattr(self, "door") and not isinstance(adapter, HTTPAdapter):
            raise not_taken("mount", "this adapter is not guarded", "mount it on a `requests.Session` of its own")
        super().mount(cast(str, prefix), adapter)

    def get_adapter(self, url: str) -> Any:
        """As requests'. Raises `PolicyError` for an adapter that came into `adapters` without `mount`."""
        adapter = super().get_adapter(url)
        if not isinstance(adapter, HTTPAdapter):
            raise not_taken("adapters", "this adapter is not guarded", "`mount` one of `pinfold.requests.HTTPAdapter`")
        return adapter

    def prepare_request(self, request: Request) -> PreparedRequest:
        """As requests'."""
        raw = request.url.decode() if isinstance(request.url, bytes) else cast(str, request.url)
        with in_words(lambda: request), ending():
            self.door.parse(raw)
        prepared = super().prepare_request(request)
        chain.note_text(prepared, raw)
        return prepared

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """As requests'. Raises `Denied`, `NetworkError`, `BudgetExceeded`, and what requests raises."""
        explicit = kwargs.get("proxies") or self.proxies
        _refuse_proxy(getattr(request, "url", None) or "", explicit)
        kwargs["proxies"] = {}
        with in_words(lambda: request), on_the_way(chain.first(self.door, request)):
            return super().send(request, **kwargs)

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        """As requests'."""
        for found in super().resolve_redirects(*args, **kwargs):
            if isinstance(found, PreparedRequest):
                chain.shown(found)
            yield found

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """As requests'; and only harmless headers go along to another origin."""
        with in_words(lambda: prepared_request):
            chain.redirected(prepared_request, response, self.get_redirect_target(response) or "", self.door)
        cast(Any, super()).rebuild_auth(prepared_request, response)

    def rebuild_proxies(self, prepared_request: PreparedRequest, *_: Any) -> dict[str, str]:
        """None are used."""
        cast(Any, prepared_request.headers).pop("Proxy-Authorization", None)
        return {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """As requests', without proxies."""
        _refuse_proxy(url, {**self.proxies, **(proxies or {})})
        settings = super().merge_environment_settings(url, {}, stream, verify, cert)
        return {**settings, "proxies": {}}

    def __getstate__(self) -> dict[str, Any]:
        if self.door.guard is not None:
            raise _not_pickled()
        return cast("dict[str, Any]", super().__getstate__())


def request(
    method: str,
    url: str | bytes,
    *,
    guard: Guard | None = None,
    subject: str | None = None,
    labels: Mapping[str, str] | None = None,
    budget: Budget | None = None,
    **kwargs: Any,
) -> Response:
    """One request, as `requests.request`. Make a `Session` where there are more."""
    with Session(guard=guard, subject=subject, labels=labels, budget=budget) as opened:
        return opened.request(method, url, **kwargs)


def session() -> Session:
    """As `requests.session`: a `Session` with the default guard."""
    return Session()


def get(url: str | bytes, params: Any = None, **kwargs: Any) -> Response:
    """As `requests.get`, with the arguments of `request`."""
    return request("GET", url, params=params, **kwargs)


def options(url: str | bytes, **kwargs: Any) -> Response:
    """As `requests.options`, with the arguments of `request`."""
    return request("OPTIONS", url, **kwargs)


def head(url: str | bytes, **kwargs: Any) -> Response:
    """As `requests.head`, with the arguments of `request`."""
    return request("HEAD", url, **{"allow_redirects": False, **kwargs})


def post(url: str | bytes, data: Any = None, json: Any = None, **kwargs: Any) -> Response:
    """As `requests.post`, with the arguments of `request`."""
    return request("POST", url, data=data, json=json, **kwargs)


def put(url: str | bytes, data: Any = None, **kwargs: Any) -> Response:
    """As `requests.put`, with the arguments of `request`."""
    return request("PUT", url, data=data, **kwargs)


def patch(url: str | bytes, data: Any = None, **kwargs: Any) -> Response:
    """As `requests.patch`, with the arguments of `request`."""
    return request("PATCH", url, data=data, **kwargs)


def delete(url: str | bytes, **kwargs: Any) -> Response:
    """As `requests.delete`, with the arguments of `request`."""
    return request("DELETE", url, **kwargs)


def _refuse_stranger(pool: object) -> None:
    """Raises `PolicyError` for a pool that asks nobody."""
    if not isinstance(pool, HTTPConnectionPool | HTTPSConnectionPool):
        why = f"`{type(pool).__name__}` is not guarded"
        raise not_taken("poolmanager", why, "call `super().init_poolmanager(..., ssl_context=...)`")


def _refuse_proxy(url: str, proxies: Any) -> None:
    """Raises `PolicyError` for a proxy that would be used, unless it is one of the environment's: they are ignored."""
    chosen = select_proxy(url, proxies) if proxies else None
    if chosen and chosen not in get_environ_proxies(url).values():
        raise _no_proxy()


def _no_proxy() -> PolicyError:
    why = "a proxy looks the name up again, and connects where it likes"
    return not_taken("proxies", why, "fetch without a proxy, or use a proxy that guards")


def _not_pickled() -> PolicyError:
    return not_taken("pickle", "a guard stays in its process", "pickle sessions of the default guard")


# Each of these keeps a bound, and would keep none if requests no longer called it.
for _name in ("rebuild_auth", "rebuild_proxies", "get_adapter", "merge_environment_settings", "resolve_redirects"):
    relied("requests", requests.Session, _name)
relied("requests", requests.adapters.HTTPAdapter, "cert_verify", "conn")
relied("requests", requests.adapters.HTTPAdapter, "get_connection_with_tls_context", "request", "verify", "cert")
public(__name__, __all__, globals())
