"""A Flask application of `examples/python/flask` under a real gunicorn, which resolves names through the lab."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pinfold
from support.lab import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "python" / "flask"
TESTS = Path(__file__).resolve().parents[1]
WORKERS = 3
THREADS = 6


class Gunicorn:
    """`module` is `vulnerable` or `safe`. It runs inside the `with` block."""

    def __init__(self, folder: Path, module: str, dns: str, config: dict[str, Any], *, preload: bool) -> None:
        self._log = folder / f"{module}.log"
        # Ours, so that nobody takes the port before gunicorn does, and a request waits until a worker is up.
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listening.getsockname()[1]
        settings = folder / f"{module}_config.py"
        settings.write_text("".join(f"{key} = {value!r}\n" for key, value in config.items()))
        conf = folder / f"{module}_gunicorn.py"
        conf.write_text(_CONF.format(tests=str(TESTS), dns=dns, fd=self._listening.fileno(), preload=preload))
        self._words = [sys.executable, "-m", "gunicorn", "-c", str(conf), f"{module}:create_app()"]
        # The package that the test has, installed or not, from any folder.
        package = str(Path(pinfold.__file__).resolve().parents[1])
        self._environment = {**os.environ, "EXAMPLE_CONFIG": str(settings), "PYTHONPATH": package}

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._words,
                cwd=EXAMPLE,
                env=self._environment,
                pass_fds=[self._listening.fileno()],
                stdout=log,
                stderr=log,
                # With its workers, so that all can be ended.
                start_new_session=True,
            )
        # From now on gunicorn's alone: if it ends, clients are refused.
        self._listening.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path, None)

    def post(self, path: str, document: object) -> tuple[int, bytes]:
        return self._ask("POST", path, json.dumps(document))

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


_CONF = """\
import sys

sys.path.insert(0, {tests!r})

from support import resolver

resolver.install({dns!r})
bind = "fd://{fd}"
worker_class = "gthread"
workers = {workers}
threads = {threads}
preload_app = {preload}
timeout = 120
graceful_timeout = 2
control_socket_disable = True
""".replace("{workers}", str(WORKERS)).replace("{threads}", str(THREADS))
