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

Names that requests has are requests' own: `except requests.ConnectionError` works as before.

`HTTPAdapter` may be mounted on a stock `requests.Session`. Each redirect is then a request of its own: judged, but with
a budget of its own, and with what requests lets go along.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

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
from requests.cookies import RequestsCookieJar
from requests.utils import get_environ_proxies, select_proxy

from pinfold._http import Ended, ending, not_taken
from pinfold._native import Target
from pinfold._redirects import to_drop
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
from pinfold._urllib3.hop import Door, Hop, current, on_the_way
from pinfold.budget import Budget
from pinfold.errors import PinfoldError, PolicyError
from pinfold.urllib3 import PoolManager

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
            hop = current()
            if hop is None or not _belongs(request, hop):
                hop = Hop.begin(self.door, url)
            # Who answers a challenge comes here again, in the same hop.
            hop.pool = None
            with on_the_way(hop):
                return super().send(request, stream, timeout, verify, cert, {})

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

    def prepare_request(self, request: Request) -> PreparedRequest:
        """As requests'."""
        raw = request.url.decode() if isinstance(request.url, bytes) else cast(str, request.url)
        with in_words(lambda: request), ending():
            Target.parse(raw)
        prepared = super().prepare_request(request)
        _remember(prepared, "_pinfold_asked", (prepared.url, _as_written(raw, prepared.url or "")))
        return prepared

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """As requests'. Raises `Denied`, `NetworkError`, `BudgetExceeded`, and what requests raises."""
        explicit = kwargs.get("proxies") or self.proxies
        _refuse_proxy(getattr(request, "url", None) or "", explicit)
        kwargs["proxies"] = {}
        with in_words(lambda: request):
            hop = _taken(request) or Hop.begin(self.door, _asked(request))
            _remember(request, "_pinfold_hop", hop)
            with on_the_way(hop):
                return super().send(request, **kwargs)

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        """As requests'."""
        for found in super().resolve_redirects(*args, **kwargs):
            if isinstance(found, PreparedRequest):
                # It is shown to the caller: whoever sends it begins anew.
                found.__dict__.pop("_pinfold_next", None)
            yield found

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """As requests'; and only harmless headers go along to another origin."""
        before = _hop_of(response.request)
        with in_words(lambda: prepared_request):
            before = before or Hop.begin(self.door, response.url)
        _redirect(prepared_request, before, self.get_redirect_target(response) or "")
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


def _remember(request: PreparedRequest, name: str, value: object) -> None:
    """Notes something on a request. Copies of the request do not have it."""
    setattr(request, name, value)


def _hop_of(request: PreparedRequest) -> Hop | None:
    """The hop that a request was sent in."""
    return cast("Hop | None", getattr(request, "_pinfold_hop", None))


def _taken(request: PreparedRequest) -> Hop | None:
    """The hop of a redirect that is followed. It is followed once."""
    noted: Hop | PinfoldError | None = request.__dict__.pop("_pinfold_next", None)
    if isinstance(noted, PinfoldError):
        raise Ended(noted)
    return noted


def _belongs(request: PreparedRequest, hop: Hop) -> bool:
    """Whether it is what the session is sending, or an answer to a challenge. What a hook sends elsewhere is not."""
    if _hop_of(request) is hop:
        return True
    with ending():
        return hop.target.same_origin(Target.parse(request.url or ""))


def _asked(request: PreparedRequest) -> str:
    """The text to judge: what the caller wrote, unless the request was changed since."""
    url, written = getattr(request, "_pinfold_asked", (None, ""))
    return cast(str, written if url == request.url else request.url or "")


def _as_written(raw: str, prepared: str) -> str:
    """The URL that was given, with the query that `params` made."""
    query = urlsplit(prepared).query
    bare = raw.split("#")[0].split("?")[0]
    return f"{bare}?{query}" if query else bare


def _redirect(request: PreparedRequest, before: Hop, location: str) -> None:
    """Notes the hop that a server wants, and takes secrets from its request."""
    headers = cast(Any, request.headers)
    try:
        after = before.follow(location)
    except Ended as end:
        headers.clear()
        _remember(request, "_pinfold_next", end.error)
        return
    # Cookies are those that the jar has for the new place.
    for name in to_drop([name for name in headers if name.lower() != "cookie"], before.target, after.target):
        del headers[name]
    if after.crossed:
        _leave_cookies(request)
    _remember(request, "_pinfold_next", after)


def _leave_cookies(request: PreparedRequest) -> None:
    """Leaves cookies that name no domain: requests sends them everywhere."""
    jar = RequestsCookieJar()
    for cookie in cast(Any, request)._cookies or ():
        if cookie.domain:
            jar.set_cookie(cookie)
    cast(Any, request.headers).pop("Cookie", None)
    request.prepare_cookies(jar)


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
