"""What requests and urllib3 do, with the plain library and with the guarded one: the same, and the same on the wire."""

from __future__ import annotations

import contextlib
import copy
import gzip
import hashlib
import io
import itertools
import pickle
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests as plain
import urllib3 as plain_urllib3

import pinfold
from pinfold import Budget, requests, urllib3
from support.packing import packed
from support.server import Request, Server

Case = Callable[[Any, Server], Any]
REQUESTS: list[Case] = []
URLLIB3: list[Case] = []
TEXT = b"".join(b"line %d\n" % number for number in range(20_000))
# A page of 1 MB. Some of it repeats.
PAGE = b"".join(b"line %d of a page, %08x\n" % (number, number * 2654435761 % 2**32) for number in range(31_000))
ENCODINGS = ["gzip", "x-gzip", "deflate", "br", "zstd", "deflate, gzip", "gzip, br", "br, zstd", "zstd, deflate"]
LARGE = bytes(range(256)) * (20 << 12)


def of_requests(case: Case) -> Case:
    REQUESTS.append(case)
    return case


def of_urllib3(case: Case) -> Case:
    URLLIB3.append(case)
    return case


@pytest.mark.parametrize("kind", ["session", "adapter"])
@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.__name__)
def test_requests(case: Case, kind: str, guard: pinfold.Guard, server: Server, tls_server: Server) -> None:
    def guarded() -> Any:
        if kind == "session":
            return requests.Session(guard=guard, budget=Budget(redirects=30))
        session = plain.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.HTTPAdapter(guard=guard))
        return session

    served = tls_server if "tls" in case.__name__ else server
    _pages(served)
    _compare(case, plain.Session, guarded, served)


@pytest.mark.parametrize("case", URLLIB3, ids=lambda case: case.__name__)
def test_urllib3(case: Case, guard: pinfold.Guard, server: Server, tls_server: Server) -> None:
    served = tls_server if "tls" in case.__name__ else server
    _pages(served)
    _compare(case, plain_urllib3.PoolManager, lambda: urllib3.PoolManager(guard=guard), served)


def _compare(case: Case, make: Callable[[], Any], make_guarded: Callable[[], Any], served: Server) -> None:
    expected = _run(case, make, served)
    found = _run(case, make_guarded, served)
    if isinstance(expected[0], Exception):
        assert isinstance(found[0], type(expected[0])), found[0]
        assert found[1:] == expected[1:]
    else:
        assert found == expected


def _run(case: Case, make: Callable[[], Any], served: Server) -> Any:
    served.clear()
    client = make()
    try:
        result = case(client, served)
    except (plain.RequestException, plain_urllib3.exceptions.HTTPError) as error:
        result = error
    finally:
        getattr(client, "close", getattr(client, "clear", None))()
    return result, [_on_the_wire(request) for request in served.seen]


def _on_the_wire(request: Request) -> Any:
    headers = [(name, value) for name, value in request.headers.items() if "boundary" not in value]
    # The boundary of a form is random.
    body = "form" if len(headers) < len(request.headers) else hashlib.sha256(request.body).hexdigest()
    return request.method, request.target, headers, body, request.chunked, request.connection, request.turn


def _pages(server: Server) -> None:
    def page(path: str, answer: Callable[[Request], Any]) -> None:
        server.route(path)(answer)

    flaky = itertools.count()
    page("/text", lambda _: (200, {"content-type": "text/plain; charset=utf-8"}, TEXT))
    page("/chunks", lambda _: (200, {"content-type": "text/plain"}, [TEXT[:100], TEXT[100:]]))
    page("/gzip", lambda _: (200, {"content-encoding": "gzip"}, gzip.compress(TEXT)))
    page("/gzip-chunks", lambda _: (200, {"content-encoding": "gzip"}, [gzip.compress(TEXT)]))
    page("/deflate", lambda _: (200, {"content-encoding": "deflate"}, zlib.compress(TEXT)))
    page("/both", lambda _: (200, {"content-encoding": "deflate, gzip"}, gzip.compress(zlib.compress(TEXT))))
    page("/no-gzip", lambda _: (200, {"content-encoding": "gzip"}, b"no gzip at all"))
    page("/echo", lambda request: (200, {}, request.body))
    page("/json", lambda _: (200, {"content-type": "application/json"}, b'{"a": [1, null]}'))
    page("/large", lambda _: (200, {}, LARGE[: 10 << 20]))
    page("/cookie", lambda _: (200, [("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/none")], b""))
    page("/short", lambda _: (200, {"content-length": "100", "connection": "close"}, [b"short"]))
    page("/flaky", lambda _: (503 if next(flaky) % 3 != 2 else 200, {}, b"flaky"))
    page("/always-503", lambda _: (503, {"retry-after": "0"}, b"no"))
    page("/basic", lambda request: (200 if "authorization" in request.headers else 401, {}, b""))
    page("/close", lambda _: (200, {"connection": "close"}, b"bye"))
    page("/silent", _silent)
    page("/fragment", lambda _: (302, {"location": "/text#there"}, b""))
    page("/loop", lambda _: (302, {"location": "/loop"}, b""))
    page("/gone", _write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"))
    page("/junk", _write(b"junk\r\n\r\n"))
    page("/until-closed", _write(b"HTTP/1.0 200 OK\r\n\r\n" + TEXT))
    page(
        "/trailers",
        _write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n"
        ),
    )
    page(
        "/continue",
        _write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
    )
    page("/folded", _write(b"HTTP/1.1 200 OK\r\nconnection: close\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"))
    page("/absolute", lambda request: (301, {"location": f"{server.origin}/text?{request.query}"}, b"moved"))
    for status in (204, 304, 404, 500):
        page(f"/{status}", lambda _, status=status: (status, {"x-status": str(status)}, b""))
    for status in (301, 302, 303, 307, 308):
        page(f"/to/{status}", lambda _, status=status: (status, {"location": "/echo"}, b"moved"))


def _silent(request: Request) -> None:
    request.over.wait(30)


def _write(raw: bytes) -> Callable[[Request], None]:
    return lambda request: request.raw.write(raw) and None


def _told(response: Any) -> Any:
    history = [(earlier.status_code, earlier.url) for earlier in response.history]
    headers = [(name, value) for name, value in response.headers.items()]
    return response.status_code, response.reason, response.url, headers, response.content, history, response.encoding


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("damage", ["whole", "short", "more"])
def test_a_page_of_1_mb(guard: pinfold.Guard, server: Server, encoding: str, damage: str) -> None:
    _is_decoded(encoding)
    if damage == "short" and "br" in encoding:
        pytest.skip("how much of it the plain library gives depends on how it is read")
    body = packed(encoding, PAGE)
    body = {"whole": body, "short": body[:-9], "more": body + b"more"}[damage]
    pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    for path, answer in (("/one", body), ("/many", pieces)):
        server.route(path)(lambda _, answer=answer: (200, {"content-encoding": encoding}, answer))
    with plain.Session() as session, requests.Session(guard=guard) as guarded:
        expected = _read_in_ways(session, server)
        assert _read_in_ways(guarded, server) == expected
    with plain_urllib3.PoolManager() as manager, urllib3.PoolManager(guard=guard) as guarded_manager:
        assert _opened_in_ways(guarded_manager, server) == _opened_in_ways(manager, server)
    if damage == "whole":
        assert set(expected) == {hashlib.sha256(PAGE).hexdigest()}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_of_a_page(guard: pinfold.Guard, server: Server, encoding: str) -> None:
    _is_decoded(encoding)
    body = b"".join(packed(encoding, PAGE[start : start + 5000]) for start in range(0, len(PAGE), 5000))
    for path, answer in (("/one", body), ("/many", [body[start : start + 70] for start in range(0, len(body), 70)])):
        server.route(path)(lambda _, answer=answer: (200, {"content-encoding": encoding}, answer))
    with plain_urllib3.PoolManager() as manager, urllib3.PoolManager(guard=guard) as guarded:
        assert manager.request("GET", server.url("/one")).data == PAGE
        # urllib3 itself loses what follows a member that ends where a read does.
        assert set(_opened_in_ways(guarded, server)) == {hashlib.sha256(PAGE).hexdigest()}


def _is_decoded(encoding: str) -> None:
    if not set(encoding.split(", ")) <= set(plain_urllib3.HTTPResponse.CONTENT_DECODERS):
        pytest.skip(f"urllib3 has no library for {encoding}")


def _read_in_ways(session: Any, server: Server) -> list[str]:
    def ways(url: str) -> Iterator[Callable[[], bytes]]:
        yield lambda: session.get(url).content
        for size in (None, 777, 100_000):
            yield lambda size=size: b"".join(session.get(url, stream=True).iter_content(size))  # type: ignore[misc]

    return [_outcome(way) for path in ("/one", "/many") for way in ways(server.url(path))]


def _opened_in_ways(manager: Any, server: Server) -> list[str]:
    kept = contextlib.ExitStack()

    def opened(url: str) -> Any:
        response = manager.request("GET", url, preload_content=False)
        kept.callback(response.close)
        return response

    def ways(url: str) -> Iterator[Callable[[], bytes]]:
        yield lambda: manager.request("GET", url).data
        yield lambda: opened(url).read(decode_content=True)
        yield lambda: b"".join(opened(url).stream(777, decode_content=True))
        yield lambda: b"".join(opened(url).stream(None, decode_content=True))
        yield lambda: _read_all(opened(url).read)
        yield lambda: _read_all(opened(url).read1)

    with kept:
        return [_outcome(way) for path in ("/one", "/many") for way in ways(server.url(path))]


def _read_all(read: Callable[[int], bytes]) -> bytes:
    return b"".join(iter(lambda: read(5000), b""))


def _outcome(way: Callable[[], bytes]) -> str:
    try:
        return hashlib.sha256(way()).hexdigest()
    except (plain.RequestException, plain_urllib3.exceptions.HTTPError) as error:
        return next(
            kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith(("urllib3", "requests"))
        )


# --- requests: pages that are just fetched

for _path in [
    "text",
    "chunks",
    "gzip",
    "gzip-chunks",
    "deflate",
    "both",
    "no-gzip",
    "json",
    "large",
    "short",
    "close",
    "gone",
    "junk",
    "until-closed",
    "trailers",
    "continue",
    "folded",
    "fragment",
    "loop",
    "absolute",
    "204",
    "304",
    "404",
    "500",
]:

    def _fetch(session: Any, server: Server, path: str = _path) -> Any:
        return _told(session.get(server.url(f"/{path}"), timeout=10)), session.get(server.url("/after")).text

    _fetch.__name__ = f"get_{_path}"
    of_requests(_fetch)

for _status, _method in itertools.product((301, 302, 303, 307, 308), ("GET", "HEAD", "POST", "PUT", "DELETE")):

    def _redirected(session: Any, server: Server, status: int = _status, method: str = _method) -> Any:
        data = b"body" if method in ("POST", "PUT") else None
        headers = {"X-Key": "k", "Authorization": "Basic eA=="}
        return _told(session.request(method, server.url(f"/to/{status}"), data=data, headers=headers))

    _redirected.__name__ = f"redirect_{_status}_{_method}"
    of_requests(_redirected)


@of_requests
def stream_iter_content(session: Any, server: Server) -> Any:
    sizes = (None, 1 << 10, 7777)
    return [
        b"".join(session.get(server.url(path), stream=True).iter_content(size)) == TEXT
        for path in ("/text", "/chunks", "/gzip", "/gzip-chunks", "/deflate", "/both", "/until-closed")
        for size in sizes
    ]


@of_requests
def stream_iter_lines(session: Any, server: Server) -> Any:
    return list(session.get(server.url("/gzip"), stream=True).iter_lines(decode_unicode=True))


@of_requests
def stream_raw(session: Any, server: Server) -> Any:
    response = session.get(server.url("/gzip"), stream=True)
    rest = response.raw.read(10), response.raw.tell(), response.raw.read(), response.raw.isclosed()
    again = session.get(server.url("/gzip"), stream=True).raw
    return rest, again.read(10, decode_content=True), hashlib.sha256(again.read(decode_content=True)).digest()


@of_requests
def stream_left_alone(session: Any, server: Server) -> Any:
    with session.get(server.url("/large"), stream=True) as response:
        first = next(response.iter_content(100))
    return first, session.get(server.url("/text")).status_code


@of_requests
def consumed_twice(session: Any, server: Server) -> Any:
    response = session.get(server.url("/text"), stream=True)
    list(response.iter_content(1000))
    try:
        return response.content
    except RuntimeError as error:
        return str(error)


@of_requests
def upload_large(session: Any, server: Server) -> Any:
    return session.post(server.url("/echo-not"), data=LARGE).text


@of_requests
def upload_file_chunks_and_forms(session: Any, server: Server) -> Any:
    def pieces() -> Iterator[bytes]:
        yield from (b"one", b"two")

    url = server.url("/echo")
    return [
        session.post(url, data=io.BytesIO(TEXT)).content,
        session.post(url, data=pieces()).content,
        session.post(url, data={"a": ["1", "2"]}).text,
        session.put(url, json={"a": 1}).json(),
        session.post(url, files={"f": ("name", b"content")}).status_code,
        session.patch(url, data="tëxt".encode()).content,
    ]


@of_requests
def upload_follows_307(session: Any, server: Server) -> Any:
    return session.post(server.url("/to/307"), data=io.BytesIO(TEXT)).content


@of_requests
def cookies(session: Any, server: Server) -> Any:
    session.get(server.url("/cookie"))
    session.cookies.set("c", "3")
    session.get(server.url("/text"), cookies={"d": "4"})
    session.get(server.url("/to/302"))
    return sorted(session.cookies.items())


@of_requests
def params_and_headers(session: Any, server: Server) -> Any:
    session.params = {"always": "1"}
    session.headers["X-Always"] = "2"
    url = server.url("/text?q=%20ü#f")
    return session.get(url, params={"p": ["a b", "ü"]}, headers={"X-Once": "3", "Accept": None}).url


@of_requests
def authentication(session: Any, server: Server) -> Any:
    return [session.get(server.url("/basic"), auth=auth).status_code for auth in (None, ("me", "secret"))]


@of_requests
def retries_by_status(session: Any, server: Server) -> Any:
    _retrying(session, 5)
    return _told(session.get(server.url("/flaky")))


@of_requests
def retries_that_end(session: Any, server: Server) -> Any:
    _retrying(session, 2)
    return session.get(server.url("/always-503")).status_code


def _retrying(session: Any, total: int) -> None:
    adapter = session.get_adapter("http://")
    adapter.max_retries = plain_urllib3.Retry(total, status_forcelist=[503], backoff_factor=0)


@of_requests
def timeout_reading(session: Any, server: Server) -> Any:
    return session.get(server.url("/silent"), timeout=(5, 0.2)).text


@of_requests
def timeout_none(session: Any, server: Server) -> Any:
    return session.get(server.url("/text"), timeout=None).status_code


@of_requests
def refused_connection(session: Any, _: Server) -> Any:
    return session.get("http://127.0.0.2:1/").text


@of_requests
def keep_alive(session: Any, server: Server) -> Any:
    found = [session.get(server.url("/text")).status_code for _ in range(5)]
    server.drop_connections()
    return found, session.get(server.url("/text")).status_code


@of_requests
def head_options_delete(session: Any, server: Server) -> Any:
    return [_told(getattr(session, method)(server.url("/text"))) for method in ("head", "options", "delete")]


@of_requests
def not_followed(session: Any, server: Server) -> Any:
    response = session.get(server.url("/to/302"), allow_redirects=False)
    return _told(response), response.next.url, session.send(response.next).text


@of_requests
def copies(session: Any, server: Server) -> Any:
    followed = session.get(server.url("/to/302"))
    shown = session.get(server.url("/to/302"), allow_redirects=False)
    posted = session.post(server.url("/echo"), data=b"body")
    prepared = session.prepare_request(plain.Request("PUT", server.url("/echo"), data=b"body"))
    ways: list[Callable[[Any], Any]] = [
        lambda thing: pickle.loads(pickle.dumps(thing)),
        copy.deepcopy,
        copy.copy,
        lambda thing: pickle.loads(pickle.dumps(copy.deepcopy(thing))),
    ]
    responses = [way(response) for way in ways for response in (followed, shown, posted)]
    made = [way(request) for way in ways for request in (followed.request, shown.next, posted.request, prepared)]
    return (
        [(*_told(response), _carried(response), _carried(response.request)) for response in responses],
        [(_carried(request), _told(session.send(request))) for request in made],
    )


def _carried(thing: Any) -> list[str]:
    # The words of the caller may be kept, and are text.
    return sorted(name for name in vars(thing) if name != "_pinfold_asked")


@of_requests
def hooks(session: Any, server: Server) -> Any:
    seen: list[str] = []
    session.hooks["response"].append(lambda response, **_: seen.append(response.url))
    session.get(server.url("/to/301"))
    return seen


@of_requests
def raise_for_status(session: Any, server: Server) -> Any:
    session.get(server.url("/404")).raise_for_status()


@of_requests
def max_redirects(session: Any, server: Server) -> Any:
    session.max_redirects = 2
    session.get(server.url("/loop"))


@of_requests
def tls_ok(session: Any, server: Server) -> Any:
    session.verify = server.ca_file
    return [_told(session.get(server.url(path))) for path in ("/text", "/gzip-chunks", "/to/302")]


@of_requests
def tls_upload(session: Any, server: Server) -> Any:
    return session.post(server.url("/echo"), data=LARGE[: 5 << 20], verify=server.ca_file).content == LARGE[: 5 << 20]


@of_requests
def tls_unknown_authority(session: Any, server: Server) -> Any:
    return session.get(server.url("/text")).text


@of_requests
@pytest.mark.filterwarnings("ignore")
def tls_missing_file(session: Any, server: Server) -> Any:
    try:
        return session.get(server.url("/text"), verify="/no/such/file").text
    except OSError as error:
        return str(error)


@of_requests
def plain_text_where_tls_is_wanted(session: Any, server: Server) -> Any:
    return session.get(server.url("/text").replace("http:", "https:")).text


# --- urllib3


def _read(response: Any) -> Any:
    return (
        response.status,
        response.reason,
        response.geturl(),
        response.headers.items(),
        response.data,
        response.version,
    )


for _path in [
    "text",
    "chunks",
    "gzip",
    "gzip-chunks",
    "deflate",
    "both",
    "no-gzip",
    "json",
    "large",
    "short",
    "close",
    "gone",
    "junk",
    "until-closed",
    "trailers",
    "continue",
    "folded",
    "fragment",
    "absolute",
    "204",
    "304",
    "404",
    "500",
]:

    def _opened(manager: Any, server: Server, path: str = _path) -> Any:
        first = _read(manager.request("GET", server.url(f"/{path}"), timeout=10, retries=2))
        return first, manager.request("GET", server.url("/after")).data

    _opened.__name__ = f"get_{_path}"
    of_urllib3(_opened)

for _status, _method in itertools.product((301, 302, 303, 307, 308), ("GET", "HEAD", "POST")):

    def _moved(manager: Any, server: Server, status: int = _status, method: str = _method) -> Any:
        body = b"body" if method == "POST" else None
        response = manager.request(method, server.url(f"/to/{status}"), body=body, headers={"X-Key": "k"})
        return _read(response), len(response.retries.history)

    _moved.__name__ = f"redirect_{_status}_{_method}"
    of_urllib3(_moved)


@of_urllib3
def streaming(manager: Any, server: Server) -> Any:
    found = []
    for path in ("/text", "/chunks", "/gzip", "/gzip-chunks", "/deflate", "/both"):
        response = manager.request("GET", server.url(path), preload_content=False)
        found.append(b"".join(response.stream(1000)) == TEXT)
        response.release_conn()
        response = manager.request("GET", server.url(path), preload_content=False)
        found.append(b"".join(iter(lambda read=response.read1: read(500, decode_content=True), b"")) == TEXT)
        response.release_conn()
        found.append(list(manager.request("GET", server.url(path), preload_content=False)))
    return found


@of_urllib3
def redirects_off_and_too_many(manager: Any, server: Server) -> Any:
    off = manager.request("GET", server.url("/to/302"), redirect=False).status
    kept = manager.request("GET", server.url("/to/302"), retries=False).status
    quiet = plain_urllib3.Retry(2, raise_on_redirect=False)
    return off, kept, manager.request("GET", server.url("/loop"), retries=quiet).status


@of_urllib3
def redirects_that_end(manager: Any, server: Server) -> Any:
    return manager.request("GET", server.url("/loop"), retries=2).status


@of_urllib3
def status_retries(manager: Any, server: Server) -> Any:
    retries = plain_urllib3.Retry(5, status_forcelist=[503])
    return _read(manager.request("GET", server.url("/flaky"), retries=retries))


@of_urllib3
def status_retries_that_end(manager: Any, server: Server) -> Any:
    return manager.request(
        "GET", server.url("/always-503"), retries=plain_urllib3.Retry(2, status_forcelist=[503])
    ).status


@of_urllib3
def bodies(manager: Any, server: Server) -> Any:
    url = server.url("/echo")
    return [
        manager.request("POST", url, body=LARGE[: 4 << 20]).data == LARGE[: 4 << 20],
        manager.request("POST", url, body=iter([b"one", b"two"])).data,
        manager.request("POST", url, body=io.BytesIO(TEXT)).data,
        manager.request("POST", url, json={"a": 1}).json(),
        manager.request("POST", url, fields={"a": "b"}, encode_multipart=False).data,
        manager.request("GET", url, fields={"a": "b"}).geturl(),
    ]


@of_urllib3
def read_timeout(manager: Any, server: Server) -> Any:
    return manager.request("GET", server.url("/silent"), timeout=0.2, retries=False).data


@of_urllib3
def nobody_there(manager: Any, _: Server) -> Any:
    return manager.request("GET", "http://127.0.0.2:1/", retries=1).data


@of_urllib3
def nobody_there_and_no_retries(manager: Any, _: Server) -> Any:
    return manager.request("GET", "http://127.0.0.2:1/", retries=False).data


@of_urllib3
def pools(manager: Any, server: Server) -> Any:
    pool = manager.connection_from_url(server.url("/"))
    found = [pool.request("GET", path).data for path in ("/text", "/to/302", "/to/307")]
    return found, pool.num_connections, pool.num_requests, len(manager.pools)


@of_urllib3
def kept_connections(manager: Any, server: Server) -> Any:
    found = [manager.request("GET", server.url("/text")).status for _ in range(4)]
    server.drop_connections()
    return found, manager.request("GET", server.url("/text")).status


@of_urllib3
def tls_unknown_authority(manager: Any, server: Server) -> Any:  # noqa: F811  # One for each library.
    return manager.request("GET", server.url("/text"), retries=False).data


@of_urllib3
def tls_and_a_host_name(manager: Any, server: Server) -> Any:
    kept = {"ca_certs": server.ca_file, "assert_hostname": "www.lab.example.com"}
    pool = manager.connection_from_host("127.0.0.2", server.port, "https", pool_kwargs=kept)
    return _read(pool.request("GET", "/text"))
