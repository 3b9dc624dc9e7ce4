"""What the tests of web frameworks share: URLs and what becomes of them, and a server as a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pinfold
from support.lab import Lab

NAMES = {
    "hooks.example.com": ["127.0.0.2"],
    "internal.example.com": ["10.0.0.7"],
    "mixed.example.com": ["127.0.0.2", "192.168.1.1"],
    "mapped.example.com": ["::ffff:10.0.0.7"],
    "metadata.example.com": ["169.254.169.254"],
}
GOOD = "http://hooks.example.com/x"
# What it is, the URL, the status, the reason code where there is but one.
VERDICTS = [
    ("allowed", GOOD, 200, None),
    ("private address", "http://internal.example.com/", 403, "address-not-public"),
    ("mixed answers", "http://mixed.example.com/", 403, None),
    ("wrapped address", "http://mapped.example.com/", 403, None),
    ("metadata", "http://metadata.example.com/", 403, None),
    ("loopback literal", "http://127.0.0.1/", 403, "address-floor"),
    ("unusual literal", "http://0x7f.1/", 403, None),
    ("userinfo", "http://a:b@hooks.example.com/", 403, None),
    ("localhost", "http://localhost./", 403, "name-special-use"),
    ("unknown scheme", "gopher://hooks.example.com/", 400, "scheme-unsupported"),
    ("other scheme", "ftp://hooks.example.com/", 400, "scheme-denied"),
    ("no URL", "nonsense", 400, "url-invalid"),
    ("unknown name", "http://nowhere.example.com/", 502, "resolve-no-answer"),
]
_ADDRESS = re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|\[?::|fd00:|fe80:")


def names_address(text: str) -> bool:
    """Whether an address is in what a client is told."""
    return bool(_ADDRESS.search(text))


def cannot_be_rebound(lab: Lab, base: str, label: str) -> None:
    """Asks a service, whose guard is told 127.0.0.2 when it checks, to fetch from a name that leads inside by then."""
    before = lab.leaks()
    ordinary = lab.name(f"{label}-ordinary", ["127.0.0.2"])
    status, text = get(base, f"http://{ordinary}:{lab.port}/")
    assert status == 200, text
    for number in range(10):
        name = lab.name(f"{label}-{number}", ["127.0.0.2"], ["127.0.0.3"])
        status, text = get(base, f"http://{name}:{lab.port}/")
        assert (status, "address-not-public" in text) == (403, True), text
        assert len(lab.questions(name)) >= 2, "it was refused before it was rebound"
        assert not names_address(text)
    assert lab.leaks() == before


def hint_is_for_clients(error: dict[str, str]) -> bool:
    """Whether a hint is told where, and only where, the client's own text is at fault."""
    return ("hint" in error) == (error["stage"] in ("parse", "request"))


@contextmanager
def served(folder: Path, lab: Lab, project: str, arguments: Sequence[str]) -> Iterator[str]:
    """A server as a process; what `{port}` stands for is free. Gives what the URL to fetch is added to."""
    (folder / "project.py").write_text(project)
    port = _free_port()
    command = [sys.executable, *(argument.format(port=port) for argument in arguments)]
    environ = {**os.environ, "LAB_DNS": lab.dns, "PYTHONPATH": str(Path(pinfold.__file__).parent.parent)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            _wait_for(port, server, folder / "log")
            yield f"http://127.0.0.1:{port}/fetch?url="
        finally:
            server.terminate()
            server.wait(30)


def get(base: str, url: str) -> tuple[int, str]:
    """Status, and body with headers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(base + urllib.request.quote(url, safe=""), timeout=30) as response:
            return response.status, response.read().decode() + str(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode() + str(error.headers)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
