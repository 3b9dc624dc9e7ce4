"""What clients fetch through the gateway: HTTP, HTTPS, WebSocket, and git over smart HTTP.

    servers.py ADDRESS CERTIFICATE KEY REPOSITORIES

Binds free ports on ADDRESS, prints them as one line of JSON, and serves until standard input ends.
"""

import json
import os
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from websockets.sync.server import serve


class Echo(BaseHTTPRequestHandler):
    """Answers with what was asked, so that a test sees what the gateway passed on."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "length": len(body),
        }
        text = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("x-origin", "kept")
        self.send_header("pinfold-reason", "forged")
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


class Git(BaseHTTPRequestHandler):
    """The smart protocol, by git's own CGI program."""

    def answer(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("content-length") or 0)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.server.repositories,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            env=environment,
            capture_output=True,
            timeout=30,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = [line.decode().split(": ", 1) for line in head.split(b"\r\n")]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def tls(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def http(address, handler, context=None):
    server = ThreadingHTTPServer((address, 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def websocket(address, context=None):
    def echo(connection):
        for message in connection:
            connection.send(message)

    server = serve(echo, address, 0, ssl=context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.socket.getsockname()[1]


def main():
    address, certificate, key, repositories = sys.argv[1:]
    git = http(address, Git, tls(certificate, key))
    git.repositories = repositories
    ports = {
        "http": http(address, Echo).server_port,
        "https": http(address, Echo, tls(certificate, key)).server_port,
        "git": git.server_port,
        "ws": websocket(address),
        "wss": websocket(address, tls(certificate, key)),
    }
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


main()
