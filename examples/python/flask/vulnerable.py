"""Three endpoints that fetch what a stranger names, as the guides write them: check first, fetch later. All three are
open. Do not run it anywhere but in the lab.

Each remedy below was recommended somewhere; the comments say why it is none.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Flask, Response, abort, current_app, request


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application. `EXAMPLE_CONFIG` may name a Python file with its configuration."""
    app = Flask(__name__)
    # `PLAYS_PUBLIC`: in the lab, loopback networks that play the public internet.
    app.config.update(PLAYS_PUBLIC=[], DISCOVERY_DOMAIN="internal", DISCOVERY_PORT=8500)
    app.config.from_envvar("EXAMPLE_CONFIG", silent=True)
    app.config.update(config or {})

    @app.post("/webhooks/test")
    def webhook() -> dict[str, int]:
        """Posts an event to the callback of a customer."""
        callback = request.get_json()["callback"]
        if not looks_public(callback):
            abort(403)
        # OPEN: `requests` looks the name up again. Its owner answers the check with a public address, and this with an
        # internal one. Between both is all the time it takes.
        answer = requests.post(callback, json={"event": "test"}, timeout=5)
        return {"delivered": answer.status_code}

    @app.get("/proxy")
    def proxy() -> Response:
        """Fetches a picture for a page, so that the visitor's browser need not."""
        url = request.args["url"]
        if not looks_public(url):
            abort(403)
        # OPEN: as above; and a redirect leads anywhere, unchecked. `allow_redirects=False` closes the second hole only,
        # and breaks half of the web. The whole answer is read into memory, however long it is.
        answer = requests.get(url, timeout=5)
        return Response(answer.content, answer.status_code, content_type=answer.headers.get("Content-Type"))

    @app.get("/discover")
    def discover() -> Any:
        """Asks an internal service how it is."""
        service = request.args["service"]
        domain, port = app.config["DISCOVERY_DOMAIN"], app.config["DISCOVERY_PORT"]
        # OPEN: `service=evil.example/%23` (a `#`) makes it `http://evil.example/#.internal:8500/status`. The caller
        # chooses the whole URL, and what answers there may redirect to anything that this machine can reach.
        return requests.get(f"http://{service}.{domain}:{port}/status", timeout=5).json()

    return app


def looks_public(url: str) -> bool:
    """Whether every address of the host is public, at the moment.

    BROKEN: it is true of the lookup that was made here, and nobody uses that one. Other remedies that are none:

    - a list of forbidden texts (`localhost`, `127.`, `169.254.`): `http://2130706433/`, `http://0x7f.1/`,
      `http://[::ffff:127.0.0.1]/` and any name of the attacker's own are not on it;
    - `urlsplit` for the check: `http://a.example\\@127.0.0.1/` is one host here and may be another for the library;
    - `gethostbyname`: IPv4 only, so that an AAAA record passes unseen;
    - to replace the name in the URL by the address that was checked: TLS then verifies the address instead of the name,
      people switch verification off, and redirects are still not checked;
    - a lower time to live, a cache, a second check after the fetch: the request was made by then.
    """
    try:
        host = urlsplit(url).hostname or ""
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, ValueError):
        return False
    return bool(addresses) and all(_is_public(str(address)) for address in addresses)


def _is_public(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    plays = current_app.config["PLAYS_PUBLIC"]
    return address.is_global or any(address in ip_network(network) for network in plays)
