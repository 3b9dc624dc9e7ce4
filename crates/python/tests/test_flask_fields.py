"""Declared fields: a bad URL is refused at the door."""

from __future__ import annotations

import json

import flask
import pytest

import pinfold
import pinfold.flask
from pinfold.flask import Pinfold, check_fields, current_guard
from support.flask_app import INSIDE, OUTSIDE, app_maker, told


@pytest.fixture
def make_app(code_cache):
    return app_maker(code_cache)


def doors(make_app, **declared):
    app = make_app()

    @app.post("/hooks/<name>")
    @app.post("/hooks")
    @check_fields(**declared)
    def hooks(name=None):
        return {"name": name, "json": flask.request.get_json(silent=True), "form": flask.request.form.to_dict()}

    return app.test_client()


@pytest.mark.parametrize(
    ("declared", "sent", "status", "code", "field"),
    [
        ({"json": "/callback/url"}, {"json": {"callback": {"url": OUTSIDE}}}, 200, None, None),
        (
            {"json": "/callback/url"},
            {"json": {"callback": {"url": INSIDE}}},
            403,
            "address-not-public",
            "/callback/url",
        ),
        ({"json": "/callback/url"}, {"json": {"callback": {}}}, 400, "field-missing", "/callback/url"),
        ({"json": "/callback/url"}, {"json": {"callback": {"url": None}}}, 400, "field-missing", "/callback/url"),
        ({"json": "/callback/url"}, {"json": {"callback": {"url": [OUTSIDE]}}}, 400, "field-not-text", "/callback/url"),
        ({"json": "/callback/url"}, {"data": "{", "content_type": "application/json"}, 400, "field-missing", None),
        (
            {"json": "/u"},
            {"data": json.dumps({"u": INSIDE}), "content_type": "text/plain"},
            403,
            "address-not-public",
            None,
        ),
        ({"json": "/u", "required": False}, {"json": {}}, 200, None, None),
        ({"json": "/u", "required": False}, {}, 200, None, None),
        ({"json": "/hooks/*/url"}, {"json": {"hooks": [{"url": OUTSIDE}, {"url": INSIDE}]}}, 403, None, "/hooks/1/url"),
        ({"json": "/hooks/*/url"}, {"json": {"hooks": [{"url": OUTSIDE}] * 21}}, 400, "field-too-many", "/hooks/20/"),
        ({"json": "/hooks/1"}, {"json": {"hooks": [INSIDE, OUTSIDE]}}, 200, None, None),
        ({"json": "/hooks/01"}, {"json": {"hooks": [INSIDE, OUTSIDE]}}, 400, "field-missing", None),
        ({"json": "/a~1b/m~0n"}, {"json": {"a/b": {"m~n": INSIDE}}}, 403, None, "/a~1b/m~0n"),
        ({"json": ""}, {"json": INSIDE}, 403, None, "json"),
        ({"json": ["/a", "/b"]}, {"json": {"a": OUTSIDE, "b": INSIDE}}, 403, None, "/b"),
        ({"form": "url"}, {"data": {"url": INSIDE}}, 403, None, "form `url`"),
        ({"form": "url"}, {"data": {"url": OUTSIDE}}, 200, None, None),
        ({"query": "url"}, {"query_string": {"url": [OUTSIDE, INSIDE]}}, 403, None, "query `url`"),
        ({"query": "url"}, {"query_string": {"url": "ftp//x"}}, 400, None, "query `url`"),
    ],
)
def test_a_bad_url_is_refused_at_the_door(make_app, declared, sent, status, code, field):
    response = doors(make_app, **declared).post("/hooks", **sent)
    assert response.status_code == status, response.text
    if status != 200:
        error = told(response)
        assert code in (None, error["code"])
        assert field is None or field in error["field"]


def test_an_argument_of_the_route_is_a_field(make_app):
    assert doors(make_app, path="name").post("/hooks/no-url").status_code == 400


def test_looking_takes_nothing_from_the_view(make_app):
    client = doors(make_app, json="/url", required=False)
    assert client.post("/hooks", data={"a": "b"}).get_json()["form"] == {"a": "b"}
    assert client.post("/hooks", json={"url": OUTSIDE}).get_json()["json"] == {"url": OUTSIDE}
    # What is no JSON by its media type is none for the view.
    assert client.post("/hooks", data=json.dumps({"url": OUTSIDE})).get_json()["json"] is None


def test_fields_of_a_blueprint_are_checked_by_endpoint(make_app):
    ext = Pinfold()
    ext.check("hooks.create", json="/url")
    app = make_app(ext)
    blueprint = flask.Blueprint("hooks", __name__)
    blueprint.post("/create", endpoint="create")(lambda: "created")
    blueprint.post("/other", endpoint="other")(lambda: "other")
    app.register_blueprint(blueprint)
    client = app.test_client()
    assert client.post("/create", json={"url": OUTSIDE}).text == "created"
    assert client.post("/create", json={"url": INSIDE}).status_code == 403
    assert client.post("/other", json={"url": INSIDE}).text == "other"
    # Flask answers a preflight by itself; there is nothing in it.
    assert client.options("/create").status_code == 200


def test_a_door_to_nowhere_is_an_error(make_app):
    ext = Pinfold()
    ext.check("hooks.craete", json="/url")
    with pytest.raises(pinfold.PolicyError, match="craete"):
        make_app(ext).test_client().get("/fetch")
    with pytest.raises(pinfold.PolicyError, match="twice"):
        ext.check("hooks.craete", json="/url")


def test_a_field_is_declared_rightly():
    with pytest.raises(pinfold.PolicyError, match="no JSON pointer"):
        check_fields(json="url")
    with pytest.raises(pinfold.PolicyError, match="no field"):
        check_fields()


def test_async_views_are_checked_and_can_judge(make_app):
    app = make_app()

    @app.post("/later")
    @check_fields(json="/url")
    async def later():
        decision = await current_guard.acheck(OUTSIDE)
        return {"verdict": decision.verdict}

    client = app.test_client()
    assert client.post("/later", json={"url": OUTSIDE}).get_json() == {"verdict": "allow"}
    assert client.post("/later", json={"url": INSIDE}).status_code == 403
