"""The Flask extension."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest
import requests

import pinfold
import pinfold.flask
from pinfold.flask import Pinfold, check_fields, current_guard, decision_made, policy_swapped

PUBLIC = "hooks.example.com"
NOT_PUBLIC = "address-not-public"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("flask-code"))


@pytest.fixture
def make(cache):
    """Makes an application; options are those of the configuration, without prefix."""

    def made(ext=None, *, names=None, **options):
        app = flask.Flask("shop")
        app.config["TESTING"] = True
        fixed = pinfold.FixedAnswers()
        for name, addresses in {PUBLIC: ["127.0.0.2"], "intern.example.com": ["127.0.0.1"], **(names or {})}.items():
            fixed.set(name, addresses)
        config = {"RESOLVER": fixed, "GRANTS": ["127.0.0.2"], "CODE_CACHE": cache, **options}
        app.config.update({f"PINFOLD_{name}": value for name, value in config.items()})
        (Pinfold() if ext is None else ext).init_app(app)

        @app.get("/fetch")
        def fetch():
            return pinfold.flask.session.get(flask.request.args["url"]).text

        return app

    return made


def told(response):
    return response.get_json()["error"]


# The session


def test_the_session_fetches_what_is_allowed(make, server):
    @server.route("/hello")
    def _hello(_request):
        return 200, {}, b"hello"

    client = make().test_client()
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
def test_what_is_refused_is_answered(make, url, status, code):
    response = make().test_client().get("/fetch", query_string={"url": url})
    assert response.status_code == status, response.text
    error = told(response)
    assert code in (None, error["code"])
    assert error["correlation_id"] not in ("-", "")
    assert "127.0.0" not in response.text
    assert "169.254" not in response.text
    assert response.headers["Cache-Control"] == "no-store"


def test_silence_is_a_504_and_a_broken_answer_a_502(make, server):
    @server.route("/slow")
    def _slow(_request):
        def body():
            yield b"x"
            server_done.wait(10)

        return 200, {"Content-Length": "2"}, body()

    server_done = threading.Event()
    client = make(TIMEOUT=0.3).test_client()
    response = client.get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/slow"})
    server_done.set()
    assert response.status_code == 504, response.text
    assert "127.0.0" not in response.text


def test_a_tls_failure_is_a_502_and_names_nothing(make, tls_server):
    client = make(names={"other.example.org": ["127.0.0.2"]}).test_client()
    response = client.get("/fetch", query_string={"url": f"https://other.example.org:{tls_server.port}/"})
    assert response.status_code == 502, response.text
    assert set(told(response)) >= {"code", "correlation_id"}


def test_other_requests_of_the_application_fail_as_before(make):
    app = make()
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/own")
    def own():
        raise requests.ConnectionError("the application's own")

    with pytest.raises(requests.ConnectionError, match="own"):
        app.test_client().get("/own")


def test_the_application_s_own_handlers_come_first(make):
    app = make()

    @app.errorhandler(pinfold.Denied)
    def denied(error):
        return {"mine": error.code}, 418

    response = app.test_client().get("/fetch", query_string={"url": "http://intern.example.com/"})
    assert (response.status_code, response.get_json()) == (418, {"mine": "address-not-public"})


def test_errors_can_be_left_to_the_application(make):
    app = make(ERRORS=False)
    with pytest.raises(pinfold.Denied):
        app.test_client().get("/fetch", query_string={"url": "http://intern.example.com/"})


def test_opaque_answers_do_not_tell_which_names_exist(make):
    client = make(ERRORS="opaque").test_client()
    answers = [
        client.get("/fetch", query_string={"url": url})
        for url in ("http://intern.example.com/", "http://nobody.example.com/", "http://127.0.0.2:1/")
    ]
    bodies = [{name: text for name, text in told(answer).items() if name != "correlation_id"} for answer in answers]
    assert [answer.status_code for answer in answers] == [502] * 3
    assert bodies == [{"code": "fetch-failed"}] * 3


def test_a_browser_gets_plain_text(make):
    response = (
        make()
        .test_client()
        .get("/fetch", query_string={"url": "http://intern.example.com/"}, headers={"Accept": "text/html,*/*;q=0.1"})
    )
    assert response.mimetype == "text/plain"
    assert response.text.startswith("address-not-public, correlation id ")


def test_kept_cookies_would_be_shared_by_strangers(make, server):
    @server.route("/set")
    def _set(_request):
        return 200, {"Set-Cookie": "who=first; Path=/"}, b""

    client = make().test_client()
    for _ in range(2):
        client.get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/set"})
    assert len(server.seen) == 2
    assert not any("Cookie" in dict(seen.headers) for seen in server.seen)


def test_redirects_to_the_inside_are_refused(make, server):
    @server.route("/go")
    def _go(_request):
        return 302, {"Location": f"http://intern.example.com:{server.port}/"}, b""

    response = make().test_client().get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/go"})
    assert (response.status_code, told(response)["code"]) == (403, "address-not-public")


def test_threads_share_a_session(make, server):
    @server.route("/n")
    def _n(_request):
        return 200, {}, b"n"

    app = make()
    url = f"http://{PUBLIC}:{server.port}/n"
    with ThreadPoolExecutor(8) as pool:
        texts = pool.map(lambda _: app.test_client().get("/fetch", query_string={"url": url}).text, range(64))
    assert list(texts) == ["n"] * 64


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_a_session_of_its_own(make, server):
    @server.route("/n")
    def _n(_request):
        return 200, {}, b"n"

    app = make()
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


def test_each_application_has_its_own_guard(make):
    ext = Pinfold()
    open_app, closed = make(ext), make(ext, SETTINGS={"schemes": ["https"]})
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
    ],
)
def test_a_configuration_that_is_wrong_is_no_application(make, options, says):
    with pytest.raises(pinfold.PolicyError) as caught:
        make(**options)
    assert says in f"{caught.value} {caught.value.hint}"


def test_an_application_without_the_extension_says_so():
    with flask.Flask("bare").app_context(), pytest.raises(pinfold.PolicyError, match="does not have the extension"):
        current_guard.check("http://example.com/")


def test_text_from_the_environment_is_read(make):
    app = make(GRANTS="127.0.0.2, 127.0.0.3:80", TIMEOUT=[1, 2], MAX_BYTES=10, TOTAL_TIMEOUT=3, REDIRECTS=0)
    budget = app.extensions["pinfold"].guard.budget
    assert (budget.connect, budget.read, budget.total) == (1, 2, 3)
    assert (budget.response_bytes, budget.redirects) == (10, 0)
    with app.app_context():
        assert current_guard.check("http://127.0.0.3:80/")
        assert not current_guard.check("http://127.0.0.3:81/")


def test_bounds_hold_for_the_session(make, server):
    @server.route("/large")
    def _large(_request):
        return 200, {}, b"x" * 1000

    response = (
        make(MAX_BYTES=100).test_client().get("/fetch", query_string={"url": f"http://{PUBLIC}:{server.port}/large"})
    )
    assert (response.status_code, told(response)["code"]) == (502, "response-too-large")


def test_the_default_guard_is_the_application_s_when_it_says_so(make):
    try:
        app = make(DEFAULT=True)
        assert pinfold.default_guard() is app.extensions["pinfold"].guard
    finally:
        pinfold.set_default_guard(None)
    make()
    assert pinfold.default_guard() is not app.extensions["pinfold"].guard


# Subjects

PARTNERS = {
    "unknown_subject": "deny",
    "subjects": [{"match": ["tenant/a"]}, {"match": ["service"], "schemes": ["https"]}],
}


def test_the_application_says_who_asks(make):
    app = make(SETTINGS=PARTNERS, SUBJECT=lambda: flask.request.headers.get("X-Tenant"))

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


def test_a_subject_that_cannot_be_told_stops_the_request(make):
    def broken():
        raise LookupError("no tenant")

    app = make(SUBJECT=broken)
    with pytest.raises(LookupError, match="no tenant"):
        app.test_client().get("/fetch", query_string={"url": f"http://{PUBLIC}/"})


# Declared fields


def doors(make, **declared):
    app = make()

    @app.post("/hooks/<name>")
    @app.post("/hooks")
    @check_fields(**declared)
    def hooks(name=None):
        return {"name": name, "json": flask.request.get_json(silent=True), "form": flask.request.form.to_dict()}

    return app.test_client()


INSIDE = "http://intern.example.com/"
OUTSIDE = f"http://{PUBLIC}/"


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
def test_a_bad_url_is_refused_at_the_door(make, declared, sent, status, code, field):
    response = doors(make, **declared).post("/hooks", **sent)
    assert response.status_code == status, response.text
    if status != 200:
        error = told(response)
        assert code in (None, error["code"])
        assert field is None or field in error["field"]


def test_an_argument_of_the_route_is_a_field(make):
    assert doors(make, path="name").post("/hooks/no-url").status_code == 400


def test_looking_takes_nothing_from_the_view(make):
    client = doors(make, json="/url", required=False)
    assert client.post("/hooks", data={"a": "b"}).get_json()["form"] == {"a": "b"}
    assert client.post("/hooks", json={"url": OUTSIDE}).get_json()["json"] == {"url": OUTSIDE}
    # What is no JSON by its media type is none for the view.
    assert client.post("/hooks", data=json.dumps({"url": OUTSIDE})).get_json()["json"] is None


def test_fields_of_a_blueprint_are_checked_by_endpoint(make):
    ext = Pinfold()
    ext.check("hooks.create", json="/url")
    app = make(ext)
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


def test_a_door_to_nowhere_is_an_error(make):
    ext = Pinfold()
    ext.check("hooks.craete", json="/url")
    with pytest.raises(pinfold.PolicyError, match="craete"):
        make(ext).test_client().get("/fetch")
    with pytest.raises(pinfold.PolicyError, match="twice"):
        ext.check("hooks.craete", json="/url")


def test_a_field_is_declared_rightly():
    with pytest.raises(pinfold.PolicyError, match="no JSON pointer"):
        check_fields(json="url")
    with pytest.raises(pinfold.PolicyError, match="no field"):
        check_fields()


def test_async_views_are_checked_and_can_judge(make):
    app = make()

    @app.post("/later")
    @check_fields(json="/url")
    async def later():
        decision = await current_guard.acheck(OUTSIDE)
        return {"verdict": decision.verdict}

    client = app.test_client()
    assert client.post("/later", json={"url": OUTSIDE}).get_json() == {"verdict": "allow"}
    assert client.post("/later", json={"url": INSIDE}).status_code == 403


# Signals and the log


def test_decisions_are_signals_of_their_application(make):
    one, other = make(), make()
    heard = []
    with decision_made.connected_to(lambda sender, decision: heard.append((sender, decision)), sender=one):
        for app in (one, other):
            with app.app_context():
                current_guard.check(INSIDE)
    assert [(sender, decision.code) for sender, decision in heard] == [(one, "address-not-public")]


def test_the_log_says_which_endpoint_and_the_correlation_id_of_the_answer(make, caplog):
    app = make(REQUEST_ID_HEADER="X-Request-ID")
    with caplog.at_level(logging.DEBUG, "pinfold"):
        client = app.test_client()
        good = client.get("/fetch", query_string={"url": INSIDE}, headers={"X-Request-ID": "edge-7"})
        client.get("/fetch", query_string={"url": INSIDE}, headers={"X-Request-ID": "no good"})
    first, second = [record for record in caplog.records if record.name == "pinfold.decision"]
    assert (first.app, first.endpoint, first.request_id) == ("shop", "fetch", "edge-7")
    assert second.request_id == "-"
    assert first.correlation_id == told(good)["correlation_id"]
    assert first.levelname == "WARNING"


def test_what_has_no_decision_is_logged_once(make, caplog):
    with caplog.at_level(logging.DEBUG, "pinfold"):
        response = make().test_client().get("/fetch", query_string={"url": "no url"})
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.correlation_id == told(response)["correlation_id"]


def test_a_watched_file_is_swapped_and_told(make, tmp_path):
    settings = Path(tmp_path / "settings.json")
    settings.write_text("{}")
    swapped = threading.Event()
    heard = []

    def told_of(sender, swap):
        heard.append((sender, swap))
        swapped.set()

    policy_swapped.connect(told_of)
    app = make(SETTINGS=str(settings), WATCH=0.05)
    try:
        with app.app_context():
            assert current_guard.check(OUTSIDE)
            settings.write_text('{"schemes": ["https"]}')
            assert swapped.wait(10)
            assert not current_guard.check(OUTSIDE)
        assert heard[0][0] is app
        assert heard[0][1].generation == 2
    finally:
        policy_swapped.disconnect(told_of)
        app.extensions["pinfold"].watch.stop()


# The command line


def test_check_on_the_command_line(make):
    app = make(SUBJECT=lambda: flask.request.remote_user)
    run = app.test_cli_runner().invoke
    allowed = run(args=["pinfold", "check", OUTSIDE])
    with app.app_context():
        assert allowed.output == pinfold.Guard.exchange(current_guard).check(OUTSIDE).explain() + "\n"
    assert (allowed.exit_code, "verdict  allowed" in allowed.output) == (0, True)
    denied = run(args=["pinfold", "check", OUTSIDE, INSIDE])
    assert denied.exit_code == 1
    assert "denied at stage `resolve` by `address-not-public`" in denied.output
    assert run(args=["pinfold", "check"]).exit_code == 2
    assert run(args=["pinfold", "check", "--label", "x", OUTSIDE]).exit_code == 2


def test_check_as_a_subject_and_as_json(make):
    run = make(SETTINGS=PARTNERS).test_cli_runner().invoke
    assert run(args=["pinfold", "check", OUTSIDE]).exit_code == 1
    allowed = run(args=["pinfold", "check", "--subject", "tenant/a", "--json", OUTSIDE, OUTSIDE])
    assert allowed.exit_code == 0
    rows = [json.loads(line) for line in allowed.output.splitlines()]
    assert [row["verdict"] for row in rows] == ["allow", "allow"]
    assert rows[0]["decision"]["subject"] == "tenant/a"


def test_codes_on_the_command_line(make):
    run = make().test_cli_runner().invoke
    assert "address-metadata\n  stage    address\n" in run(args=["pinfold", "codes"]).output
    rows = [json.loads(line) for line in run(args=["pinfold", "codes", "--json"]).output.splitlines()]
    assert len(rows) == len(pinfold.codes())


# The example

EXAMPLES = Path(__file__).parents[3] / "examples/python/flask"


def example(name, config):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.create_app({"TESTING": True, **config}).test_client()


def ask_all(client, host, service):
    """The three endpoints."""
    return [
        client.post("/webhooks/test", json={"callback": f"http://{host}/hook"}),
        client.get("/proxy", query_string={"url": f"http://{host}/picture"}),
        client.get("/discover", query_string={"service": service}),
    ]


@pytest.fixture
def public(server):
    for path in ("/hook", "/picture", "/status"):
        server.route(path)(lambda _request: (200, {"Content-Type": "application/json"}, b'{"status": "ready"}'))
    return server


def test_the_safe_example_serves_and_refuses(public, internal_server, cache):
    names = {PUBLIC: "127.0.0.2", "billing.internal": "127.0.0.2", "intern.example.com": "127.0.0.3"}
    config = {
        "PINFOLD_RESOLVER": pinfold.FixedAnswers(names),
        "PINFOLD_GRANTS": ["127.0.0.2"],
        "PINFOLD_CODE_CACHE": cache,
        "DISCOVERY_PORT": public.port,
    }
    client = example("safe", config)
    served = ask_all(client, f"{PUBLIC}:{public.port}", "billing")
    assert [answer.status_code for answer in served] == [200] * 3
    assert served[0].get_json() == {"delivered": 200}
    refused = ask_all(client, f"intern.example.com:{internal_server.port}", f"{PUBLIC}:{public.port}/%23")
    assert [answer.status_code for answer in refused] == [403, 403, 400]
    # Internal names are for discovery, and discovery is for internal names.
    assert ask_all(client, f"billing.internal:{public.port}", "nobody")[1].status_code == 403
    public.route("/status")(lambda _request: (302, {"Location": f"http://{PUBLIC}:{public.port}/hook"}, b""))
    assert told(client.get("/discover?service=billing"))["code"] == "host-not-allowed"
    public.route("/status")(lambda _request: (302, {"Location": "http://10.1.2.3/"}, b""))
    assert client.get("/discover?service=billing").status_code == 403
    assert internal_server.seen == []


@pytest.mark.looks_up
def test_the_vulnerable_example_goes_inside(public, internal_server, monkeypatch):
    """The name is public whenever it is looked up for the check, and internal for the fetch."""
    for path in ("/hook", "/picture", "/x"):
        internal_server.route(path)(lambda _request: (200, {}, b"{}"))

    def lookup(host, port, *_, **__):
        address = "127.0.0.2" if port is None else "127.0.0.3"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    client = example("vulnerable", {"PLAYS_PUBLIC": ["127.0.0.2/32"]})
    host = f"rebind.example.com:{internal_server.port}"
    assert [answer.status_code for answer in ask_all(client, host, f"{host}/x#")] == [200] * 3
    assert internal_server.paths() == ["/hook", "/picture", "/x"]
