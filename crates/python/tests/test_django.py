"""`pinfold.django`: what a client is told, what an operator is told, and a service that is rebound."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

django = pytest.importorskip("django")

from django.conf import settings as django_settings  # noqa: E402 - after the skip
from django.http import HttpRequest, HttpResponse  # noqa: E402 - after the skip
from django.urls import path  # noqa: E402 - after the skip

import pinfold  # noqa: E402 - after the skip
from support.lab import Lab  # noqa: E402 - after the skip
from support.web import GOOD, NAMES, VERDICTS, cannot_be_rebound, hint_is_for_clients, names_address, served  # noqa: E402 - after the skip

_MIDDLEWARE = "pinfold.django.middleware.PinfoldMiddleware"
_ANSWERS = pinfold.FixedAnswers()
_CONFIG: dict[str, Any] = {"RESOLVER": _ANSWERS, "GRANTS": ["127.0.0.2"]}

if not django_settings.configured:
    django_settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["pinfold.django"],
        MIDDLEWARE=[_MIDDLEWARE],
        PINFOLD=_CONFIG,
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests",
        USE_TZ=True,
    )
    django.setup()

from django import forms  # noqa: E402 - needs settings
from django.core.checks import run_checks  # noqa: E402 - needs settings
from django.core.exceptions import ValidationError  # noqa: E402 - needs settings
from django.core.management import CommandError, call_command  # noqa: E402 - needs settings
from django.db.migrations.writer import MigrationWriter  # noqa: E402 - needs settings
from django.test import AsyncClient, Client, override_settings  # noqa: E402 - needs settings

import pinfold.django as ours  # noqa: E402 - needs settings


@pytest.fixture(autouse=True)
def names() -> None:
    _ANSWERS.clear()
    for name, addresses in NAMES.items():
        _ANSWERS.set(name, addresses)


# What the application of these tests has.


@ours.fields_checked(json="/callback/url")
def in_json(request: HttpRequest) -> HttpResponse:
    return HttpResponse("stored")


@ours.fields_checked(form="url")
def in_form(request: HttpRequest) -> HttpResponse:
    return HttpResponse("stored")


@ours.fields_checked(query="url")
async def in_query(request: HttpRequest) -> HttpResponse:
    return HttpResponse("stored")


@ours.fields_checked(path="url")
def in_path(request: HttpRequest, url: str) -> HttpResponse:
    return HttpResponse("stored")


def by_hand(request: HttpRequest) -> HttpResponse:
    ours.check_fields(request, query="url")
    return HttpResponse("stored")


def fetches(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ours.session.get(request.GET["url"], timeout=10).content)


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(ours.guard().check(GOOD).subject))


def fails(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("json", in_json),
    path("form", in_form),
    path("query", in_query),
    path("path/<path:url>", in_path),
    path("hand", by_hand),
    path("fetch", fetches),
    path("who", who),
    path("fails", fails),
]


def _ask(field: str, url: str) -> HttpResponse:
    client = Client(raise_request_exception=True)
    if field == "json":
        return client.post("/json", json.dumps({"callback": {"url": url}}), content_type="application/json")
    if field == "form":
        return client.post("/form", {"url": url})
    if field == "async":
        return asyncio.run(AsyncClient().get("/query", {"url": url}))
    return client.get("/hand" if field == "hand" else "/query", {"url": url})


@pytest.mark.parametrize("field", ["json", "form", "query", "hand", "async"])
@pytest.mark.parametrize(("name", "url", "status", "code"), VERDICTS, ids=[row[0] for row in VERDICTS])
def test_a_bad_url_is_refused_at_the_door(field: str, name: str, url: str, status: int, code: str | None) -> None:
    response = _ask(field, url)
    assert response.status_code == status, name
    if status == 200:
        return
    error = response.json()["error"]
    assert code in (None, error["code"]), name
    assert error["correlation_id"]
    assert hint_is_for_clients(error)
    assert "url" in error["field"]
    _tells_no_address(response)


def test_an_argument_of_the_route_is_a_field() -> None:
    assert Client().get("/path/http://hooks.example.com/x").status_code == 200
    assert Client().get("/path/http://internal.example.com/x").status_code == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "field-missing"),
        ("[" * 100_000, "field-missing"),
        ('{"callback": {}}', "field-missing"),
        ('{"callback": {"url": 7}}', "field-not-text"),
        ('{"callback": {"url": ["http://hooks.example.com/"]}}', "field-not-text"),
    ],
)
def test_a_body_without_the_field_is_refused(body: str, code: str) -> None:
    response = Client().post("/json", body, content_type="application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_each_value_of_a_field_is_judged() -> None:
    response = Client().get("/query?url=http://hooks.example.com/&url=http://10.0.0.1/")
    assert response.status_code == 403


def test_an_answer_that_is_opaque_says_nothing_about_the_inside() -> None:
    with override_settings(PINFOLD={**_CONFIG, "ANSWERS": "opaque"}):
        told = [
            Client().get("/query", {"url": f"http://{name}/"})
            for name in ("internal.example.com", "nowhere.example.com")
        ]
    bodies = [{**response.json()["error"], "correlation_id": ""} for response in told]
    assert [response.status_code for response in told] == [502, 502]
    assert bodies[0] == bodies[1] == {"code": "fetch-failed", "correlation_id": ""}


def test_other_exceptions_are_left_to_django() -> None:
    with pytest.raises(ZeroDivisionError):
        Client().get("/fails")


# What the operator is told.


def _checked(**changed: Any) -> list[tuple[str, str, str | None]]:
    with override_settings(**changed):
        found = run_checks(tags=["security"], include_deployment_checks=changed.pop("deploy", False))
    return [(str(message.id), message.msg, message.hint) for message in found if str(message.id).startswith("pinfold.")]


def test_good_settings_pass_the_system_checks() -> None:
    assert _checked() == []


def test_a_setting_that_is_none_is_reported_with_what_was_meant() -> None:
    [(number, message, hint)] = _checked(PINFOLD={"GRANT": ["127.0.0.2"]})
    assert (number, message) == ("pinfold.E001", "`PINFOLD.GRANT` is no setting")
    assert hint == "did you mean `PINFOLD.GRANTS`?"


@pytest.mark.parametrize(
    "config",
    [
        ["no dictionary"],
        {"ANSWERS": "verbose"},
        {"SUBJECT": "nowhere.to.be.found"},
        {"SUBJECT": 7},
        {"WATCH": True},
        {"BUDGET": {"unknown": 1}},
        {"GRANTS": ["nonsense"]},
        {"GRANTS": 7},
    ],
    ids=str,
)
def test_wrong_settings_are_reported_with_a_hint(config: Any) -> None:
    [(number, _, hint)] = _checked(PINFOLD=config)
    assert number in {"pinfold.E001", "pinfold.E002"}
    assert hint


def test_each_problem_of_the_policy_s_settings_is_reported() -> None:
    bad = {"ports": [0], "networks": {"allow": ["127.0.0.0/8"]}}
    found = _checked(PINFOLD={"SETTINGS": bad})
    assert {number for number, _, _ in found} == {"pinfold.E002"}
    assert all(hint for _, _, hint in found)
    assert any("/networks/allow/0" in message or "/ports/0" in message for _, message, _ in found)


def test_a_policy_that_is_none_is_reported() -> None:
    [(number, message, hint)] = _checked(PINFOLD={"POLICY": b"no component"})
    assert number == "pinfold.E002"
    assert "not a component" in message
    assert hint


def test_a_missing_middleware_is_reported() -> None:
    assert [number for number, _, _ in _checked(MIDDLEWARE=[])] == ["pinfold.W001"]


def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "requests" else ...)
    [(number, _, hint)] = _checked()
    assert number == "pinfold.W003"
    assert "pip install 'pinfold[django]'" in hint


def test_report_mode_is_reported_before_a_deployment() -> None:
    with override_settings(PINFOLD={**_CONFIG, "MODE": "report"}):
        found = run_checks(tags=["security"], include_deployment_checks=True)
    assert "pinfold.W002" in [message.id for message in found]


def test_a_server_with_a_wrong_configuration_does_not_start() -> None:
    with override_settings(PINFOLD={"GRANT": []}), pytest.raises(pinfold.PolicyError, match="GRANT"):
        Client().get("/who")


@pytest.mark.parametrize(("url", "status"), [(GOOD, 0), ("http://internal.example.com/", 1), ("nonsense", 1)])
def test_the_command_says_what_becomes_of_a_url(url: str, status: int) -> None:
    out = io.StringIO()
    try:
        call_command("pinfold_check", url, stdout=out)
        exited = 0
    except SystemExit as exit_:
        exited = int(str(exit_.code))
    assert exited == status
    assert out.getvalue().startswith(url)
    assert ("verdict  allowed" in out.getvalue()) is (status == 0)


def test_the_command_gives_records() -> None:
    out = io.StringIO()
    call_command("pinfold_check", GOOD, "--json", "--method", "POST", "--subject", "billing", stdout=out)
    record = json.loads(out.getvalue())
    assert (record["verdict"], record["method"], record["subject"]) == ("allow", "POST", "billing")


def test_the_command_says_when_nothing_can_be_judged() -> None:
    with override_settings(PINFOLD={"GRANT": []}), pytest.raises(CommandError, match="did you mean") as raised:
        call_command("pinfold_check", GOOD)
    assert raised.value.returncode == 2


def test_decisions_are_sent_and_a_receiver_that_fails_fails_nothing() -> None:
    seen: list[pinfold.Decision] = []

    def receive(decision: pinfold.Decision, **_: Any) -> None:
        seen.append(decision)
        raise ZeroDivisionError

    ours.decision_made.connect(receive)
    try:
        response = Client().get("/hand", {"url": "http://internal.example.com/"})
    finally:
        ours.decision_made.disconnect(receive)
    assert [decision.code for decision in seen] == ["address-not-public"]
    assert response.json()["error"]["correlation_id"] == seen[0].correlation_id


def _of_header(request: HttpRequest) -> str | None:
    return request.headers.get("X-Team")


@pytest.mark.parametrize("subject", [_of_header, f"{__name__}._of_header"])
def test_who_asks_is_asked_of_the_request(subject: Any) -> None:
    with override_settings(PINFOLD={**_CONFIG, "SUBJECT": subject}):
        assert Client().get("/who", headers={"X-Team": "billing"}).content == b"billing"
        assert Client().get("/who").content == b"None"
        assert ours.guard().check(GOOD).subject is None


# Validators.


class _Form(forms.Form):
    url = forms.URLField(validators=[ours.validate_fetchable], assume_scheme="https")


def test_a_form_says_that_a_url_cannot_be_fetched() -> None:
    assert _Form({"url": GOOD}).is_valid()
    form = _Form({"url": "http://internal.example.com/"})
    assert form.errors["url"] == ["This URL cannot be fetched (address-not-public)."]


def test_a_validator_tells_no_address() -> None:
    with pytest.raises(ValidationError) as raised:
        ours.validate_fetchable("http://internal.example.com/")
    assert raised.value.code == "address-not-public"
    assert not names_address(str(raised.value))
    assert raised.value.__cause__ is None


def test_a_validator_can_be_written_into_a_migration() -> None:
    validator = ours.FetchableValidator(method="POST", subject="billing")
    text, imports = MigrationWriter.serialize(validator)
    assert text == "pinfold.django.FetchableValidator(method='POST', subject='billing')"
    assert eval(text, {"pinfold": pinfold}) == validator
    assert imports == {"import pinfold.django"}


# The session.


def test_a_fetch_goes_through_and_a_refusal_is_answered(server: Any) -> None:
    @server.route("/x")
    def answered(request: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Set-Cookie": "of=one-user"}, b"hello"

    url = f"http://hooks.example.com:{server.port}/x"
    assert Client().get("/fetch", {"url": url}).content == b"hello"
    assert Client().get("/fetch", {"url": url}).content == b"hello"
    assert "cookie" not in {name.lower() for seen in server.seen for name in seen.headers}
    refused = Client().get("/fetch", {"url": "http://internal.example.com/"})
    assert refused.status_code == 403
    _tells_no_address(refused)


def test_a_redirect_to_the_inside_is_refused(server: Any) -> None:
    @server.route("/x")
    def answered(request: Any) -> tuple[int, dict[str, str], bytes]:
        return 302, {"Location": "http://internal.example.com/"}, b""

    response = Client().get("/fetch", {"url": f"http://hooks.example.com:{server.port}/x"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "address-not-public")


def test_a_failure_of_the_library_is_answered_without_an_address(server: Any) -> None:
    response = Client().get("/fetch", {"url": f"https://hooks.example.com:{server.port}/x"})
    assert (response.status_code, response.json()["error"]["stage"]) == (502, "exchange")
    _tells_no_address(response)


def test_each_thread_has_a_session_of_its_own() -> None:
    adapters: list[object] = []

    def take() -> None:
        adapters.append(ours.session.adapters["http://"])

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    take()
    take()
    assert len(set(map(id, adapters))) == 3
    with pytest.raises(AttributeError, match="new_session"):
        ours.session.verify = False


# Processes.

_PROJECT = """
import os
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"], INSTALLED_APPS=["pinfold.django"], ROOT_URLCONF=__name__, SECRET_KEY="x", USE_TZ=True,
    MIDDLEWARE=["pinfold.django.middleware.PinfoldMiddleware"],
    PINFOLD={"DNS": [os.environ["LAB_DNS"]], "GRANTS": ["127.0.0.2"]},
)

from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
import pinfold.django
import sys

def fetch(request):
    url = request.GET["url"]
    if not pinfold.django.guard().check(url):
        return HttpResponse("refused too early", status=500)
    return HttpResponse(pinfold.django.session.get(url, timeout=10).content)

urlpatterns = [path("fetch", fetch)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""

_SERVERS = {
    "gunicorn": ["-m", "gunicorn", "--preload", "-w", "2", "--threads", "4", "-b", "127.0.0.1:{port}", "project"],
    "runserver": ["project.py", "runserver", "--noreload", "127.0.0.1:{port}"],
}


@pytest.mark.parametrize("command", _SERVERS)
def test_a_served_application_cannot_be_rebound(lab: Lab, tmp_path: Path, command: str) -> None:
    with served(tmp_path, lab, _PROJECT, _SERVERS[command]) as base:
        cannot_be_rebound(lab, base, f"django-{command}")


def _tells_no_address(response: HttpResponse) -> None:
    text = response.content.decode() + str(response.headers)
    assert not names_address(text), text
