"""An HTTP/1.1 server whose pages are functions of the test.

    @server.route("/twice")
    def twice(request):
        return 200, {"content-type": "text/plain"}, request.body * 2

A page returns a status, headers (a mapping or pairs) and a body: bytes, text, or an iterable of bytes, which is sent in
chunks unless a `content-length` is given. A page that returns None wrote to `request.raw` itself, and the connection is
closed. Without a page a path is answered with `path`, status 200.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, TypeAlias

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Answer: TypeAlias = tuple[int, Headers, bytes | str | Iterable[bytes]] | None
Page: TypeAlias = Callable[["Request"], Answer]


@dataclass
class Request:
    """One request as it came."""

    method: str
    # With the query, as it was written.
    target: str
    # Without the query.
    path: str
    query: str
    headers: Message
    body: bytes
    # Whether the body came in chunks.
    chunked: bool
    # The number of the connection, from 1; which request on it, from 1.
    connection: int
    turn: int
    peer: tuple[Any, ...]
    # The name that the client told in TLS.
    sni: str | None
    # For pages that write by themselves.
    raw: BinaryIO = field(repr=False)
    # Set when the test is over: a page that waits, waits for this.
    over: threading.Event = field(repr=False)


class Server:
    """It serves until it is stopped."""

    def __init__(self, address: str = "127.0.0.2", tls: ssl.SSLContext | None = None, ca_file: str = "") -> None:
        self.seen: list[Request] = []
        self.connections = 0
        self.ca_file = ca_file
        self.address = address
        self.over = threading.Event()
        self._scheme = "https" if tls else "http"
        self._pages: dict[str, Page] = {}
        self._listening = _Listening(self, address, tls)
        self.port: int = self._listening.server_port
        self._thread = threading.Thread(target=self._listening.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"{self._scheme}://{self.host}"

    @property
    def host(self) -> str:
        """The address and the port, as they stand in a URL."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def url(self, path: str = "/", host: str | None = None) -> str:
        """`host` is a name that the test's resolver maps to this server."""
        return f"{self._scheme}://{host}:{self.port}{path}" if host else f"{self.origin}{path}"

    def route(self, path: str) -> Callable[[Page], Page]:
        """Sets the page of a path, for all methods."""

        def put(page: Page) -> Page:
            self._pages[path] = page
            return page

        return put

    def page(self, path: str) -> Page | None:
        return self._pages.get(path)

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in list(self.seen)]

    def clear(self) -> None:
        self.seen.clear()
        self.connections = 0

    def drop_connections(self) -> None:
        """Closes every connection that is open."""
        self._listening.drop()

    def stop(self) -> None:
        self.over.set()
        self._listening.shutdown()
        self._listening.drop()
        self._listening.server_close()
        self._thread.join(10)


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    # A page that is stuck must not hold the end of a test up.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Server, address: str, tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.owner = owner
        self.tls = tls
        self._open: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((address, 0), _Handler)

    def server_bind(self) -> None:
        # The parent looks the name of the address up.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.owner.address, self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self.owner.connections += 1
            number = self.owner.connections
            self._open[id(request)] = request
        stream = request
        try:
            if self.tls:
                stream = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._open[id(request)] = stream
                stream.do_handshake()
            _Handler(stream, client_address, self, number)
        except OSError:
            # The client went away, or does not like the certificate: the test sees it on the other side.
            pass
        finally:
            with self._lock:
                self._open.pop(id(request), None)
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def shutdown_request(self, request: Any) -> None:
        request.close()

    def handle_error(self, *_: Any) -> None:
        raise

    def drop(self) -> None:
        with self._lock:
            streams = list(self._open.values())
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # No limit of a test is as long.
    timeout = 60

    def __init__(self, stream: socket.socket, peer: Any, server: _Listening, number: int) -> None:
        self.number = number
        self.turn = 0
        self.owner = server.owner
        super().__init__(stream, peer, server)

    def __getattr__(self, name: str) -> Any:
        # Every method has the same handler.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        self.turn += 1
        request = self._request()
        self.owner.seen.append(request)
        page = self.owner.page(request.path)
        answer = page(request) if page else (200, {"content-type": "text/plain"}, request.path)
        if answer is None:
            self.close_connection = True
        else:
            self._answer(*answer)

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = int(self.headers.get("content-length") or 0)
        return Request(
            method=self.command,
            target=self.path,
            path=path,
            query=query,
            headers=self.headers,
            body=self._chunks() if chunked else self.rfile.read(length),
            chunked=chunked,
            connection=self.number,
            turn=self.turn,
            peer=self.client_address,
            sni=getattr(self.connection, "lab_sni", None),
            raw=self.wfile,
            over=self.owner.over,
        )

    def _chunks(self) -> bytes:
        parts = []
        while length := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return b"".join(parts)

    def _answer(self, status: int, headers: Headers, body: bytes | str | Iterable[bytes]) -> None:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in pairs}
        if isinstance(body, str):
            body = body.encode()
        bodiless = self.command == "HEAD" or status in (204, 304) or status < 200
        whole = isinstance(body, bytes)
        chunked = not whole and "content-length" not in names
        if whole and not names & {"content-length", "transfer-encoding"} and status not in (204, 304):
            pairs.append(("content-length", str(len(body))))
        if chunked and "transfer-encoding" not in names:
            pairs.append(("transfer-encoding", "chunked"))
        self.send_response_only(status)
        for name, value in pairs:
            self.send_header(name, value)
        self.end_headers()
        if not bodiless:
            self._body([body] if isinstance(body, bytes) else body, chunked)

    def _body(self, pieces: Iterable[bytes], chunked: bool) -> None:
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


def context(chain: str, key: str) -> ssl.SSLContext:
    """A TLS context for a server, that remembers the name that the client told."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(chain, key)
    made.set_alpn_protocols(["http/1.1"])

    def remember(stream: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        stream.lab_sni = name  # type: ignore[attr-defined]  # it is ours

    made.sni_callback = remember  # type: ignore[assignment]  # None is a success
    return made
