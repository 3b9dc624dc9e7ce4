"""The chain of requests that redirects and challenges make of one: what is noted on its requests and responses."""

from __future__ import annotations

from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from requests import PreparedRequest, Response
from requests.cookies import RequestsCookieJar

from pinfold._http import Ended, ending, secrets
from pinfold._native import Target
from pinfold._redirects import to_drop
from pinfold._urllib3.hop import Door, Hop, current
from pinfold.errors import PinfoldError


class _Refused(NamedTuple):
    """Where a server leads, and nobody can go."""

    before: Hop
    error: PinfoldError


# Beside the objects, not in them: they are copied and pickled, and a copy begins anew.
_hops: WeakKeyDictionary[PreparedRequest | Response, Hop] = WeakKeyDictionary()
_nexts: WeakKeyDictionary[PreparedRequest, Hop | _Refused] = WeakKeyDictionary()

# A hook that is never called: of what is noted on a request, requests' own `copy` takes only these along.
_CROSSED = "pinfold-crossed"


def first(door: Door, request: PreparedRequest) -> Hop:
    """The hop of a request that a session is given, or of a redirect that it follows."""
    hop = _taken(request) or Hop.begin(door, _asked(request))
    hop.crossed = hop.crossed or _CROSSED in (request.hooks or ())
    note(request, hop)
    return hop


def under_way(door: Door, request: PreparedRequest) -> Hop:
    """The hop of a request that an adapter is given: that of the session, if it belongs to it."""
    hop = current()
    if hop is None or not _belongs(request, hop):
        return Hop.begin(door, request.url or "")
    if hop.response is not None and hop.crossed:
        # It answers a challenge, and who asks is not whom the secret is for.
        _leave_secrets(request)
    return hop


def note(made: PreparedRequest | Response, hop: Hop) -> None:
    """Notes in which hop it was made. Copies of it do not have it."""
    _hops[made] = hop


def note_text(prepared: PreparedRequest, raw: str) -> None:
    """Notes the text that a request was prepared from."""
    cast(Any, prepared)._pinfold_asked = (prepared.url, _as_written(raw, prepared.url or ""))


def redirected(request: PreparedRequest, response: Response, location: str, door: Door) -> None:
    """Notes the hop that a server wants, and takes secrets from its request."""
    # Who answers a challenge may put a request of his own into the response.
    before = _hops.get(response) or _hops.get(response.request) or Hop.begin(door, response.url)
    headers = cast(Any, request.headers)
    try:
        after = before.leading(location)
    except PinfoldError as error:
        headers.clear()
        _nexts[request] = _Refused(before, error)
        return
    # Cookies are those that the jar has for the new place.
    for name in to_drop([name for name in headers if name.lower() != "cookie"], before.target, after.target):
        del headers[name]
    if after.crossed:
        _leave_cookies(request)
    _nexts[request] = after


def shown(request: PreparedRequest) -> None:
    """It is shown to the caller: whoever sends it begins anew, and knows whether an origin was left."""
    after = _nexts.pop(request, None)
    if not isinstance(after, Hop) or after.crossed:
        cast(Any, request).hooks = {**cast(Any, request.hooks), _CROSSED: []}


def _taken(request: PreparedRequest) -> Hop | None:
    """The hop of a redirect that is followed. It is followed once."""
    noted = _nexts.pop(request, None)
    if isinstance(noted, _Refused):
        # Only now: a redirect that nobody follows is nobody's refusal.
        raise Ended(noted.before.exchange.refused(noted.error))
    return noted


def _belongs(request: PreparedRequest, hop: Hop) -> bool:
    """Whether it is what the session is sending, or an answer to a challenge. What a hook sends elsewhere is not."""
    if _hops.get(request) is hop:
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


def _leave_secrets(request: PreparedRequest) -> None:
    headers = cast(Any, request.headers)
    for name in secrets(headers):
        del headers[name]
    _leave_cookies(request)


def _leave_cookies(request: PreparedRequest) -> None:
    """Leaves cookies that name no domain: requests sends them everywhere."""
    jar = RequestsCookieJar()
    for cookie in cast(Any, request)._cookies or ():
        if cookie.domain:
            jar.set_cookie(cookie)
    cast(Any, request.headers).pop("Cookie", None)
    request.prepare_cookies(jar)
