"""The Flask extension: the session, what is answered, configuration, subjects."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
import requests

import pinfold
import pinfold.flask
from pinfold.flask import Pinfold, current_guard
from support.flask_app import PARTNERS, PUBLIC, app_maker, told
from support.web import hint_is_for_clients


@pytest.fixture
def make_app(code_cache):
    return app_maker(code_cache)


# The session


def test_the_session_fetches_what_is_allowed(make_app, server):
    @server.route("/hello")
    def _hello(_request):
        return 200, {}, b"hello"

    client = make_app().test_client()
    assert client.get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/hello"}).text == "hello"


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("http://intern.example.com/", 403, "address-not-public"),
        ("http://169.254.169.254/", 403, "address-metadata"),
        ("http://nobody.example.com/", 502, "resolve-no-answer"),
        ("http://127.0.0.2:1/", 502, "connect-failed"),
        ("gopher://example.com/", 400, "scheme-unsupported"),
        ("no url", 400, None),
        ("http://", 400, None),
    ],
)
def test_what_is_refused_is_answered(make_app, url, status, code):
    response = make_app().test_client().get("/fetch", query_string={"url": url})
    assert response.status_code == status, response.text
    error = told(response)
    assert code in (None, error["code"])
    assert error["correlation_id"] not in ("-", "")
    assert hint_is_for_clients(error)
    assert "127.0.0" not in response.text
    assert "169.254" not in response.text
    assert response.headers["Cache-Control"] == "no-store"


def test_silence_is_a_504_and_a_broken_answer_a_502(make_app, server):
    @server.route("/slow")
    def _slow(_request):
        def body():
            yield b"x"
            server_done.wait(10)

        return 200, {"Content-Length": "2"}, body()

    server_done = threading.Event()
    client = make_app(TIMEOUT=0.3).test_client()
    response = client.get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/slow"})
    server_done.set()
    assert response.status_code == 504, response.text
    assert "127.0.0" not in response.text


def test_a_tls_failure_is_a_502_and_names_nothing(make_app, tls_server):
    client = make_app(names={"other.example.org": "127.0.0.2"}).test_client()
    response = client.get("/fetch", query_string={"url": f"https://other.example.org:{tls_server.port}/"})
    assert response.status_code == 502, response.text
    assert set(told(response)) >= {"code", "correlation_id"}


def test_other_requests_of_the_application_fail_as_before(make_app):
    app = make_app()
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/own")
    def own():
        raise requests.ConnectionError("the application's own")

    with pytest.raises(requests.ConnectionError, match="own"):
        app.test_client().get("/own")


def test_the_application_s_own_handlers_come_first(make_app):
    app = make_app()

    @app.errorhandler(pinfold.Denied)
    def denied(error):
        return {"mine": error.code}, 418

    response = app.test_client().get("/fetch", query_string={"url": "http://intern.example.com/"})
    assert (response.status_code, response.get_json()) == (418, {"mine": "address-not-public"})


def test_errors_can_be_left_to_the_application(make_app):
    app = make_app(ERRORS=False)
    with pytest.raises(pinfold.Denied):
        app.test_client().get("/fetch", query_string={"url": "http://intern.example.com/"})


def test_opaque_answers_do_not_tell_which_names_exist(make_app):
    client = make_app(ERRORS="opaque").test_client()
    answers = [
        client.get("/fetch", query_string={"url": url})
        for url in ("http://intern.example.com/", "http://nobody.example.com/", "http://127.0.0.2:1/")
    ]
    bodies = [{name: text for name, text in told(answer).items() if name != "correlation_id"} for answer in answers]
    assert [answer.status_code for answer in answers] == [502] * 3
    assert bodies == [{"code": "fetch-failed"}] * 3


def test_a_browser_gets_plain_text(make_app):
    response = (
        make_app()
        .test_client()
        .get("/fetch", query_string={"url": "http://intern.example.com/"}, headers={"Accept": "text/html,*/*;q=0.1"})
    )
    assert response.mimetype == "text/plain"
    assert response.text.startswith("address-not-public, correlation id ")


def test_kept_cookies_would_be_shared_by_strangers(make_app, server):
    @server.route("/set")
    def _set(_request):
        return 200, {"Set-Cookie": "who=first; Path=/"}, b""

    client = make_app().test_client()
    for _ in range(2):
        client.get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/set"})
    assert len(server.seen) == 2
    assert not any("Cookie" in dict(seen.headers) for seen in server.seen)


def test_redirects_to_the_inside_are_refused(make_app, server):
    @server.route("/go")
    def _go(_request):
        return 302, {"Location": f"http://intern.example.com:{server.port}/"}, b""

    response = make_app().test_client().get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/go"})
    assert (response.status_code, told(response)["code"]) == (403, "address-not-public")


def test_threads_share_a_session(make_app, server):
    @server.route("/n")
    def _n(_request):
        return 200, {}, b"n"

    app = make_app()
    url = f"http://{PUBLIC}:{server.port}/n"
    with ThreadPoolExecutor(8) as pool:
        texts = pool.map(lambda _: app.test_client().get("/fetch", query_string={"url": url}).text, range(64))
    assert list(texts) == ["n"] * 64


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_a_session_of_its_own(make_app, server):
    @server.route("/n")
    def _n(_request):
        return 200, {}, b"n"

    app = make_app()
    url = f"http://{PUBLIC}:{server.port}/n"
    assert app.test_client().get("/fetch", query_string={"url": url}).text == "n"
    state = app.extensions["pinfold"]
    before = id(state.session)
    child = os.fork()
    if child == 0:
        good = False
        with contextlib.suppress(BaseException):
            good = (
                app.test_client().get("/fetch", query_string={"url": url}).text == "n" and id(state.session) != before
            )
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert app.test_client().get("/fetch", query_string={"url": url}).text == "n"
    # Parent, child, and the parent again on the connection that it kept.
    assert [seen.connection for seen in server.seen] == [1, 2, 1]


# Guards and configuration


def test_each_application_has_its_own_guard(make_app):
    ext = Pinfold()
    open_app, closed = make_app(ext), make_app(ext, SETTINGS={"schemes": ["https"]})
    with open_app.app_context():
        assert current_guard.check(f"http://{PUBLIC}/")
        assert ext.guard.generation == 1
    with closed.app_context():
        assert not current_guard.check(f"http://{PUBLIC}/")
        assert ext.session is pinfold.flask.session._get_current_object()
        closed_session = ext.session
    with open_app.app_context():
        assert ext.session is not closed_session


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"SETTING": {}}, "did you mean `PINFOLD_SETTINGS`"),
        ({"GRANTS": ["everything"]}, "everything"),
        ({"MODE": "off"}, "off"),
        ({"ERRORS": "all"}, "opaque"),
        ({"GRANTS": 7}, "int"),
        ({"WATCH": True}, "no file to watch"),
        ({"SETTINGS": {"nonsense": 1}}, "nonsense"),
        ({"BUDGET": {"speed": 1}}, "speed"),
        ({"SETTINGS": "/nowhere/settings.json"}, "settings.json"),
        ({"TIMEOUT": (1, 2, 3)}, "pair of numbers"),
        ({"DEFAULT": "yes"}, "PINFOLD_DEFAULT"),
        ({"REQUEST_ID_HEADER": 5}, "name of a header"),
        ({"DNS": "192.0.2.53"}, "PINFOLD_RESOLVER"),
        ({"SUBJECT": 5}, "PINFOLD_SUBJECT"),
        ({"SETTINGS": {}, "WATCH": "often"}, "no file to watch"),
        ({"PARTNERS": ["a.example"]}, "PINFOLD_SETTINGS = pinfold.Settings(partners=...)"),
        ({"NONSENSE": 1}, "PINFOLD_GRANTS"),
    ],
)
def test_a_configuration_that_is_wrong_is_no_application(make_app, options, says):
    with pytest.raises(pinfold.PolicyError) as caught:
        make_app(**options)
    assert says in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PINFOLD_RESOLVER", pinfold.FixedAnswers()), ("PINFOLD_SETINGS", {}), ("PINFOLD_MODE", "report")],
)
def test_what_is_set_too_late_is_an_error(make_app, name, value):
    app = make_app()
    app.config[name] = value
    with app.app_context(), pytest.raises(pinfold.PolicyError, match=name):
        current_guard.check("http://example.com/")
    with pytest.raises(pinfold.PolicyError, match="after the extension had read it"):
        app.test_client().get("/")


def test_what_is_changed_in_place_or_removed_is_an_error_too(make_app):
    app = make_app()
    app.config["PINFOLD_GRANTS"].append("127.0.0.3")
    with app.app_context(), pytest.raises(pinfold.PolicyError, match="PINFOLD_GRANTS"):
        pinfold.flask.session.get("http://example.com/")
    app = make_app()
    del app.config["PINFOLD_GRANTS"]
    with pytest.raises(pinfold.PolicyError, match="PINFOLD_GRANTS"):
        app.test_client().get("/")


def test_a_watch_needs_seconds(make_app, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text("{}")
    with pytest.raises(pinfold.PolicyError, match="PINFOLD_WATCH"):
        make_app(SETTINGS=settings, WATCH="often")


def test_an_application_without_the_extension_says_so():
    with flask.Flask("bare").app_context(), pytest.raises(pinfold.PolicyError, match="does not have the extension"):
        current_guard.check("http://example.com/")


def test_text_from_the_environment_is_read(make_app):
    app = make_app(GRANTS="127.0.0.2, 127.0.0.3:80", TIMEOUT=[1, 2], MAX_BYTES=10, TOTAL_TIMEOUT=3, REDIRECTS=0)
    budget = app.extensions["pinfold"].guard.budget
    assert (budget.connect, budget.read, budget.total) == (1, 2, 3)
    assert (budget.response_bytes, budget.redirects) == (10, 0)
    with app.app_context():
        assert current_guard.check("http://127.0.0.3:80/")
        assert not current_guard.check("http://127.0.0.3:81/")


def test_bounds_hold_for_the_session(make_app, server):
    @server.route("/large")
    def _large(_request):
        return 200, {}, b"x" * 1000

    response = (
        make_app(MAX_BYTES=100)
        .test_client()
        .get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/large"})
    )
    assert (response.status_code, told(response)["code"]) == (502, "response-too-large")


def test_the_default_guard_is_the_application_s_when_it_says_so(make_app):
    try:
        app = make_app(DEFAULT=True)
        assert pinfold.default_guard() is app.extensions["pinfold"].guard
    finally:
        pinfold.set_default_guard(None)
    make_app()
    assert pinfold.default_guard() is not app.extensions["pinfold"].guard


# Subjects


def test_the_application_says_who_asks(make_app):
    app = make_app(SETTINGS=PARTNERS, SUBJECT=lambda: flask.request.headers.get("X-Tenant"))

    @app.get("/check")
    def check():
        return {"verdict": current_guard.check(f"http://{PUBLIC}/").verdict}

    @app.get("/as")
    def acting():
        with pinfold.flask.acting_as("tenant/a"):
            first = current_guard.check(f"http://{PUBLIC}/").subject
        return {"inside": first, "after": current_guard.check(f"http://{PUBLIC}/").subject}

    client = app.test_client()
    assert client.get("/check", headers={"X-Tenant": "tenant/a"}).get_json() == {"verdict": "allow"}
    assert client.get("/check", headers={"X-Tenant": "tenant/b"}).get_json() == {"verdict": "deny"}
    assert client.get("/check").get_json() == {"verdict": "deny"}
    assert client.get("/as", headers={"X-Tenant": "other"}).get_json() == {"inside": "tenant/a", "after": "other"}


def test_a_subject_that_cannot_be_told_stops_the_request(make_app):
    def broken():
        raise LookupError("no tenant")

    app = make_app(SUBJECT=broken)
    with pytest.raises(LookupError, match="no tenant"):
        app.test_client().get("/fetch", query_string={"url": f"http://{PUBLIC}/"})
