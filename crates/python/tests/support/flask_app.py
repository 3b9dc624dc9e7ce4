"""Applications with the Flask extension, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask

import pinfold
import pinfold.flask
from pinfold.flask import Pinfold

PUBLIC = "hooks.example.com"
NOT_PUBLIC = "address-not-public"
INSIDE = "http://intern.example.com/"
OUTSIDE = f"http://{PUBLIC}/"

# Settings by which only two subjects get anywhere.
PARTNERS = {
    "unknown_subject": "deny",
    "subjects": [{"match": ["tenant/a"]}, {"match": ["service"], "schemes": ["https"]}],
}


def app_maker(code_cache: Path) -> Callable[..., flask.Flask]:
    """A function that makes an application; options are those of the configuration, without prefix."""

    def made(ext: Pinfold | None = None, *, names: dict[str, str] | None = None, **options: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.config["TESTING"] = True
        fixed = pinfold.FixedAnswers({PUBLIC: "127.0.0.2", "intern.example.com": "127.0.0.1", **(names or {})})
        config = {"RESOLVER": fixed, "GRANTS": ["127.0.0.2"], "CODE_CACHE": code_cache, **options}
        app.config.update({f"PINFOLD_{name}": value for name, value in config.items()})
        (Pinfold() if ext is None else ext).init_app(app)

        @app.get("/fetch")
        def fetch() -> str:
            return pinfold.flask.session.get(flask.request.args["url"]).text

        return app

    return made


def told(response: Any) -> dict[str, str]:
    """What an answer says was wrong."""
    error: dict[str, str] = response.get_json()["error"]
    return error
