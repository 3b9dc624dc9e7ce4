"""What the operator of a Flask application is told: signals, the log, the command line."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import flask
import pytest

import pinfold
import pinfold.flask
from pinfold.flask import Pinfold, current_guard, decision_made, policy_swapped
from support.flask_app import INSIDE, OUTSIDE, PARTNERS, app_maker, told


@pytest.fixture
def make_app(code_cache):
    return app_maker(code_cache)


# Signals and the log


def test_decisions_are_signals_of_their_application(make_app):
    one, other = make_app(), make_app()
    heard = []
    with decision_made.connected_to(lambda sender, decision: heard.append((sender, decision)), sender=one):
        for app in (one, other):
            with app.app_context():
                current_guard.check(INSIDE)
    assert [(sender, decision.code) for sender, decision in heard] == [(one, "address-not-public")]


def test_the_log_says_which_endpoint_and_the_correlation_id_of_the_answer(make_app, caplog):
    app = make_app(REQUEST_ID_HEADER="X-Request-ID")
    with caplog.at_level(logging.DEBUG, "pinfold"):
        client = app.test_client()
        good = client.get("/fetch", query_string={"url": INSIDE}, headers={"X-Request-ID": "edge-7"})
        client.get("/fetch", query_string={"url": INSIDE}, headers={"X-Request-ID": "no good"})
    first, second = [record for record in caplog.records if record.name == "pinfold.decision"]
    assert (first.app, first.endpoint, first.request_id) == ("shop", "fetch", "edge-7")
    assert second.request_id == "-"
    assert first.correlation_id == told(good)["correlation_id"]
    assert first.levelname == "WARNING"


def test_what_is_no_url_is_logged_once(make_app, caplog):
    with caplog.at_level(logging.DEBUG, "pinfold"):
        response = make_app().test_client().get("/fetch", query_string={"url": "no url"})
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.correlation_id == told(response)["correlation_id"]


def test_what_has_no_decision_is_logged_once(make_app, caplog):
    ext = Pinfold()
    app = make_app(ext)

    @app.post("/hooks")
    @ext.check_fields(json="/url")
    def hooks():
        raise AssertionError("not called")

    with caplog.at_level(logging.DEBUG, "pinfold"):
        response = app.test_client().post("/hooks", json={})
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("pinfold.flask", "WARNING")
    assert record.correlation_id == told(response)["correlation_id"]


def test_a_watched_file_is_swapped_and_told(make_app, tmp_path):
    settings = Path(tmp_path / "settings.json")
    settings.write_text("{}")
    swapped = threading.Event()
    heard = []

    def told_of(sender, swap):
        heard.append((sender, swap))
        swapped.set()

    policy_swapped.connect(told_of)
    app = make_app(SETTINGS=str(settings), WATCH=0.05)
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


def test_check_on_the_command_line(make_app):
    app = make_app(SUBJECT=lambda: flask.request.remote_user)
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


def test_check_as_a_subject_and_as_json(make_app):
    run = make_app(SETTINGS=PARTNERS).test_cli_runner().invoke
    assert run(args=["pinfold", "check", OUTSIDE]).exit_code == 1
    allowed = run(args=["pinfold", "check", "--subject", "tenant/a", "--json", OUTSIDE, OUTSIDE])
    assert allowed.exit_code == 0
    rows = [json.loads(line) for line in allowed.output.splitlines()]
    assert [row["verdict"] for row in rows] == ["allow", "allow"]
    assert rows[0]["decision"]["subject"] == "tenant/a"


def test_codes_on_the_command_line(make_app):
    run = make_app().test_cli_runner().invoke
    assert "address-metadata\n  stage    address\n" in run(args=["pinfold", "codes"]).output
    rows = [json.loads(line) for line in run(args=["pinfold", "codes", "--json"]).output.splitlines()]
    assert len(rows) == len(pinfold.codes())
