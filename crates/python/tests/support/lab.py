"""The lab of the repository, a hostile internet on loopback, as a process of its own.

127.0.0.2 plays a public server, 127.0.0.3 one inside, 127.0.0.1 the host itself: the last two are canaries, which
count each connection. What it is told and what it answers is documented in `crates/lab/examples/drive.rs`.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[4]
PUBLIC = "127.0.0.2"
INTERNAL = "127.0.0.3"
LOCAL = "127.0.0.1"


class Lab:
    """A running lab. Its zone has `public`, `internal` and, below each attack's name, any number of names."""

    def __init__(self, folder: Path) -> None:
        program = os.environ.get("PINFOLD_LAB") or _built()
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._turn = threading.Lock()
        self._told = self._read()
        self.dns: str = self._told["dns"]
        self.port: int = self._told["port"]
        self.tls_port: int = self._told["tls_port"]
        self.v6: bool = self._told["v6"]
        self.apex: str = self._told["apex"]
        self.secret: str = self._told["secret"]
        self.all_attacks: list[dict[str, Any]] = self._told["attacks"]
        # Those that rebind a client which looks up twice, at the first fetch of a name.
        self.attacks: list[str] = [attack["name"] for attack in self.all_attacks if attack["fools_plain"]]
        self._folder = folder
        self.ca_file = str(self._write("ca.pem", self._told["ca"]))

    def host(self, label: str) -> str:
        """`1.round-robin` is a name of the attack `round-robin`; `public` and `internal` are honest."""
        return f"{label}.{self.apex}"

    def url(self, label: str, path: str = "/") -> str:
        return f"http://{self.host(label)}:{self.port}{path}"

    def tls_url(self, label: str, path: str = "/") -> str:
        return f"https://{self.host(label)}:{self.tls_port}{path}"

    def name(self, pattern: str, *answers: Sequence[str], after: int = 1) -> str:
        """Sets what a label, or all labels below one (`*.mine`), resolves to: each list for `after` lookups, the last
        one for ever. Returns the whole name. A name that is set again begins anew."""
        name = self.host(pattern)
        self._do("name", pattern=name, answers=[list(answer) for answer in answers], after=after)
        return name

    def leaks(self) -> int:
        """Connections to canaries so far, after those that are under way."""
        leaks: int = self._do("leaks")["leaks"]
        return leaks

    def questions(self, name: str) -> list[str]:
        """The record types that were asked for, in order. `name` is a label or a whole name."""
        whole = name if name.rstrip(".").endswith(self.apex) else self.host(name)
        kinds: list[str] = self._do("questions", name=whole)["questions"]
        return kinds

    def requests(self) -> list[dict[str, Any]]:
        """What the public servers saw; `headers` is a list of pairs."""
        requests: list[dict[str, Any]] = self._do("requests")["requests"]
        return requests

    def route(
        self,
        path: str,
        status: int = 200,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: str = "",
    ) -> None:
        """Puts a page at a path of the public servers."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        self._do("route", path=path, status=status, headers=pairs, body=body)

    def issue(self, *names: str) -> tuple[str, str]:
        """A certificate for these names, by the lab's authority: the files of the chain and of the key."""
        issued = self._do("issue", names=list(names))
        stem = names[0].replace("*", "any")
        return str(self._write(f"{stem}.pem", issued["chain"])), str(self._write(f"{stem}.key", issued["key"]))

    def clear(self) -> None:
        """Forgets requests, questions and leaks."""
        self._do("clear")

    def stop(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        # It serves the tests: how it ends is none of what they say.
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _do(self, what: str, **more: Any) -> dict[str, Any]:
        assert self._process.stdin
        line = json.dumps({"do": what, **more}).encode() + b"\n"
        with self._turn:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._read()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the lab ended with {self._process.wait(10)}")
        read: dict[str, Any] = json.loads(line)
        return read

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        return path


def _built() -> str:
    subprocess.run(["cargo", "build", "-q", "-p", "pinfold-lab", "--example", "drive"], cwd=REPOSITORY, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return str(target / "debug" / "examples" / "drive")
