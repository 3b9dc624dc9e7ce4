"""The same three endpoints. Nothing is checked and then fetched: what is judged is what is connected to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, abort, request

from pinfold import Settings
from pinfold.flask import Pinfold

outside = Pinfold()

# A service is one label: it can be no part of a URL but the one it is meant for.
SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application. `EXAMPLE_CONFIG` may name a Python file with its configuration."""
    app = Flask(__name__)
    app.config.update(
        DISCOVERY_DOMAIN="internal",
        DISCOVERY_PORT=8500,
        PINFOLD_SUBJECT=who_asks,
        PINFOLD_SETTINGS=SETTINGS,
    )
    app.config.from_envvar("EXAMPLE_CONFIG", silent=True)
    app.config.update(config or {})
    outside.init_app(app)

    @app.post("/webhooks/test")
    @outside.check_fields(json="/callback", method="POST")
    def webhook() -> dict[str, int]:
        """Posts an event to the callback of a customer."""
        # The decorator refused a bad URL early, with the name of the field. The protection is here.
        answer = outside.session.post(request.get_json()["callback"], json={"event": "test"})
        return {"delivered": answer.status_code}

    @app.get("/proxy")
    def proxy() -> Response:
        """Fetches a picture for a page, so that the visitor's browser need not."""
        answer = outside.session.get(request.args["url"])
        response = Response(answer.content, answer.status_code, content_type=answer.headers.get("Content-Type"))
        # A stranger's page must not act as one of ours.
        response.headers["Content-Security-Policy"] = "sandbox"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.get("/discover")
    def discover() -> Any:
        """Asks an internal service how it is."""
        service = request.args["service"]
        if not SERVICE.fullmatch(service):
            abort(400)
        domain, port = app.config["DISCOVERY_DOMAIN"], app.config["DISCOVERY_PORT"]
        return outside.session.get(f"http://{service}.{domain}:{port}/status").json()

    return app


def who_asks() -> str:
    """The subject of what is fetched now: the endpoint, which no client can choose to be another one."""
    return f"endpoint/{request.endpoint}"


# Strangers' URLs go to the public internet. The endpoint for discovery goes to internal names, and nowhere else: not
# even to the public internet, nor to an address in place of a name.
SETTINGS = Settings(
    internal_names={"*.internal": ["endpoint/discover"]},
    internal_networks=["10.0.0.0/8"],
    timeout=5,
)
