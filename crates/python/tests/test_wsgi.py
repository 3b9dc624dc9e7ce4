"""The three endpoints of the tutorial under a real gunicorn, attacked by names that are rebound.

Before: `examples/python/flask/vulnerable.py` is led to the canary. After: `safe.py` never is, whether its guard was
made before gunicorn forked its workers or in each, and also while its policy is replaced. Each name is used twice, so
that what is answered once with a public address is fetched again.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.gunicorn_app import Gunicorn
from support.lab import INTERNAL, Lab

ATTEMPTS = 1000
AT_ONCE = 16
# What a client may be told: allowed, no URL, denied, the network failed, in time or not.
ORDERLY = {200, 400, 403, 502, 504}

Attempt = Callable[[Gunicorn, Lab, str], tuple[int, bytes]]


def webhook(app: Gunicorn, lab: Lab, host: str) -> tuple[int, bytes]:
    return app.post("/webhooks/test", {"callback": f"http://{host}:{lab.port}/"})


def proxy(app: Gunicorn, lab: Lab, host: str) -> tuple[int, bytes]:
    return app.get(f"/proxy?url={quote(f'http://{host}:{lab.port}/', safe='')}")


def discover(app: Gunicorn, lab: Lab, host: str) -> tuple[int, bytes]:
    """The caller takes the whole URL over: `#` ends it before the domain that the endpoint appends."""
    return app.get(f"/discover?service={quote(f'{host}:{lab.port}/#', safe='')}")


def discover_by_redirect(app: Gunicorn, lab: Lab, host: str) -> tuple[int, bytes]:
    inside = quote(f"http://{INTERNAL}:{lab.port}/", safe="")
    service = f"{lab.host('public')}:{lab.port}/redirect?to={inside}&for={host}#"
    return app.get(f"/discover?service={quote(service, safe='')}")


def proxy_by_redirect(app: Gunicorn, lab: Lab, host: str) -> tuple[int, bytes]:
    inside = quote(f"http://{host}:{lab.port}/", safe="")
    url = f"http://{lab.host('public')}:{lab.port}/redirect?to={inside}"
    return app.get(f"/proxy?url={quote(url, safe='')}")


ENDPOINTS: dict[str, Attempt] = {
    "webhook": webhook,
    "proxy": proxy,
    "discover": discover,
}


@pytest.fixture(params=[False, True], ids=["each-worker", "preload"])
def start(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path, code_cache: Path) -> Callable[[str], Gunicorn]:
    """Starts one of the applications, configured for the lab."""

    def start(module: str, **more: Any) -> Gunicorn:
        return Gunicorn(tmp_path, module, lab.dns, {**config(module, lab, code_cache), **more}, preload=request.param)

    return start


def config(module: str, lab: Lab, code_cache: Path) -> dict[str, Any]:
    common = {"DISCOVERY_DOMAIN": "internal", "DISCOVERY_PORT": lab.port}
    if module == "vulnerable":
        return {**common, "PLAYS_PUBLIC": ["127.0.0.2/32"]}
    return {
        **common,
        "PINFOLD_DNS": [lab.dns],
        "PINFOLD_GRANTS": [f"127.0.0.2:{lab.port}"],
        "PINFOLD_CODE_CACHE": str(code_cache),
    }


def discovery(hosts: str) -> dict[str, Any]:
    """The endpoint for discovery may go there, and nobody else."""
    return {"subjects": [{"match": ["endpoint/discover"], "schemes": ["http"], "hosts": {"allow": [hosts]}}]}


def hosts(lab: Lab, label: str, attempts: int) -> Iterator[str]:
    """A name for each attempt, each twice in a row, the strategies in turn."""
    for number in range(attempts):
        attack = lab.attacks[number // 2 % len(lab.attacks)]
        yield lab.host(f"{number // 2}-{label}.{attack}")


def attack(app: Gunicorn, lab: Lab, attempt: Attempt, label: str, attempts: int = ATTEMPTS) -> Counter[int]:
    """How often each status was answered."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda host: attempt(app, lab, host), hosts(lab, label, attempts))
        return Counter(status for status, _ in outcomes)


def label(request: pytest.FixtureRequest) -> str:
    """Of this test alone, so that its names were not asked for before."""
    return f"{abs(hash(request.node.nodeid)):x}"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_vulnerable_endpoint_is_rebound(
    request: pytest.FixtureRequest, lab: Lab, start: Callable[..., Gunicorn], endpoint: str
) -> None:
    before = lab.leaks()
    with start("vulnerable") as app:
        statuses = attack(app, lab, ENDPOINTS[endpoint], label(request))
    leaks = lab.leaks() - before
    assert sum(statuses.values()) == ATTEMPTS
    # Most strategies succeed at the first or at the second try.
    assert leaks >= ATTEMPTS // 10, (leaks, statuses)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_safe_endpoint_is_not(
    request: pytest.FixtureRequest, lab: Lab, start: Callable[..., Gunicorn], endpoint: str
) -> None:
    before = lab.leaks()
    with start("safe") as app:
        statuses = attack(app, lab, ENDPOINTS[endpoint], label(request))
        assert set(statuses) <= ORDERLY, (statuses, app.log[-2000:])
    assert sum(statuses.values()) == ATTEMPTS
    assert lab.leaks() - before == 0, statuses
    # They were refused, and did not just fail.
    assert statuses[403] + statuses[400] >= ATTEMPTS // 10, statuses


@pytest.mark.parametrize("attempt", [proxy_by_redirect, discover_by_redirect])
def test_redirects_lead_the_vulnerable_inside_and_the_safe_nowhere(
    request: pytest.FixtureRequest, lab: Lab, start: Callable[..., Gunicorn], attempt: Attempt
) -> None:
    attempts = 200
    before = lab.leaks()
    with start("vulnerable") as app:
        attack(app, lab, attempt, f"v{label(request)}", attempts)
    between = lab.leaks()
    assert between > before
    with start("safe") as app:
        statuses = attack(app, lab, attempt, f"s{label(request)}", attempts)
    assert set(statuses) <= ORDERLY, statuses
    assert lab.leaks() == between, statuses


def test_an_internal_name_that_is_rebound_leads_only_the_vulnerable_on(
    lab: Lab, start: Callable[..., Gunicorn]
) -> None:
    """The discovery as it is meant to be used, but somebody answers for the names of the domain."""
    lab.route("/status", headers={"content-type": "application/json"}, body='{"up": true}')
    more = {"DISCOVERY_DOMAIN": f"svc.{lab.apex}"}
    services = [f"s{number // 2}" for number in range(ATTEMPTS)]
    counted = {}
    for module, own in (("vulnerable", {}), ("safe", {"PINFOLD_SETTINGS": discovery(f"*.svc.{lab.apex}")})):
        lab.name("*.svc", ["127.0.0.2"], [INTERNAL])
        before = lab.leaks()
        with start(module, **more, **own) as app, ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = pool.map(lambda service, app=app: app.get(f"/discover?service={service}"), services)
            statuses = Counter(status for status, _ in outcomes)
        counted[module] = (lab.leaks() - before, statuses)
    assert counted["vulnerable"][0] == ATTEMPTS // 2, counted
    leaks, statuses = counted["safe"]
    assert leaks == 0, counted
    # How many are refused depends on which requests of a name meet the first answer.
    assert statuses[200] + statuses[403] == ATTEMPTS, counted
    assert statuses[403] >= ATTEMPTS // 10, counted


def test_ordinary_fetches_are_unchanged(
    request: pytest.FixtureRequest, lab: Lab, start: Callable[..., Gunicorn]
) -> None:
    lab.name("billing", ["127.0.0.2"])
    lab.route("/status", headers={"content-type": "application/json"}, body='{"up": true}')
    lab.route("/picture", headers={"content-type": "image/png"}, body="a picture")
    lab.route("/gone", status=404, body="gone")
    # The lab has no zone `internal`: an honest name of it plays it. The subject may go there, and nobody else.
    inside = f"billing.{lab.apex}"
    more = {"DISCOVERY_DOMAIN": lab.apex}
    seen = {}
    for module, own in (("vulnerable", {}), ("safe", {"PINFOLD_SETTINGS": discovery(f"*.{lab.apex}")})):
        lab.clear()
        with start(module, **more, **own) as app:
            url = lab.url("public", "/picture")
            seen[module] = [
                app.post("/webhooks/test", {"callback": lab.url("public")}),
                app.get(f"/proxy?url={quote(url, safe='')}"),
                app.get(f"/proxy?url={quote(lab.url('public', '/gone'), safe='')}"),
                app.get(f"/proxy?url={quote(lab.url('public', '/redirect?to=/picture'), safe='')}"),
                app.get(f"/proxy?url={quote(lab.url('public', '/gzip'), safe='')}"),
                app.get(f"/proxy?url={quote(lab.url('public', '/chunked'), safe='')}"),
                app.get("/discover?service=billing"),
            ]
            requests = [(one["method"], one["target"], one["headers"]) for one in lab.requests()]
            seen[module].append([(method, target, dict(headers)) for method, target, headers in requests])
    assert seen["safe"] == seen["vulnerable"]
    assert seen["safe"][1] == (200, b"a picture")
    assert json.loads(seen["safe"][6][1]) == {"up": True}
    assert seen["safe"][7][-1][2]["host"] == f"{inside}:{lab.port}"


def test_a_policy_that_is_replaced_under_load_holds(
    request: pytest.FixtureRequest, lab: Lab, start: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    """Swapped back and forth between one that allows the public server and one that denies every host."""
    settings = tmp_path / "settings.json"
    replace(settings, {})
    before = lab.leaks()
    with start("safe", PINFOLD_SETTINGS=str(settings), PINFOLD_WATCH=0.05, PINFOLD_SUBJECT=None) as app:
        assert proxy(app, lab, lab.host("public"))[0] == 200
        with ThreadPoolExecutor(1) as side:
            attacked = side.submit(attack, app, lab, proxy, label(request))
            honest: Counter[int] = Counter()
            swaps = 0
            while not attacked.done():
                replace(settings, {"hosts": {"deny": [f"*.{lab.apex}"]}} if swaps % 2 == 0 else {})
                swaps += 1
                for _ in range(10):
                    honest[proxy(app, lab, lab.host("public"))[0]] += 1
                    time.sleep(0.01)
            statuses = attacked.result()
        replace(settings, {"hosts": {"deny": [f"*.{lab.apex}"]}})
        settled(app, lab, 403)
    assert lab.leaks() == before
    assert set(statuses) <= ORDERLY, statuses
    # Both policies were seen by ordinary requests, and nothing between them.
    assert set(honest) == {200, 403}, (honest, swaps)


def replace(path: Path, settings: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(settings))
    os.replace(fresh, path)


def settled(app: Gunicorn, lab: Lab, status: int) -> None:
    """Every worker answers so in the end: many requests in a row, whichever worker takes them."""
    deadline = time.monotonic() + 20
    row = 0
    while row < 40:
        assert time.monotonic() < deadline, "some worker still has the old policy"
        row = row + 1 if proxy(app, lab, lab.host("public"))[0] == status else 0
