"""The example for Flask: the vulnerable one goes inside, the safe one does not."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

import pinfold
import pinfold.flask
from support.flask_app import PUBLIC, told

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


def test_the_safe_example_serves_and_refuses(public, internal_server, code_cache):
    names = {PUBLIC: "127.0.0.2", "billing.internal": "127.0.0.2", "intern.example.com": "127.0.0.3"}
    config = {
        "PINFOLD_RESOLVER": pinfold.FixedAnswers(names),
        "PINFOLD_GRANTS": ["127.0.0.2"],
        "PINFOLD_CODE_CACHE": code_cache,
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
