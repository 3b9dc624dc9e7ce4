"""Measures what the guard costs in Python, and writes `docs/python-cost.md` and its picture.

Run it with the release build of the package installed; `--tiny` only shows that it runs, and writes nothing.
Plain and guarded take turns in one process, round by round; the server is a process of its own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clients
import page

import pinfold

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs"
THREADS = 8
ADDRESS = "http://93.184.216.34/"
NAME = "http://public.example.com/"


@dataclass
class Size:
    """How much is measured."""

    rounds: int = 9
    requests: int = 300
    checks: int = 2000
    guards: int = 5


@dataclass
class Pair:
    """Seconds a request, plain and guarded, of each round."""

    plain: list[float] = field(default_factory=list)
    guarded: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests per second of the guarded one, of the plain one's: the median of the rounds."""
        return statistics.median(plain / guarded for plain, guarded in zip(self.plain, self.guarded, strict=True))

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most of it."""
        rates = [plain / guarded for plain, guarded in zip(self.plain, self.guarded, strict=True)]
        return min(rates), max(rates)

    @property
    def added(self) -> float:
        """Seconds that the guard adds to a request."""
        return statistics.median(self.guarded) - statistics.median(self.plain)


@dataclass
class Figures:
    """All that was measured."""

    machine: str
    seconds: float = 0.0
    size: Size = field(default_factory=Size)
    load: tuple[str, str] = ("", "")
    kept: dict[str, Pair] = field(default_factory=dict)
    opened: dict[str, Pair] = field(default_factory=dict)
    threads: Pair = field(default_factory=Pair)
    alone: Pair = field(default_factory=Pair)
    checks: dict[str, float] = field(default_factory=dict)
    made: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    """Measures and writes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tiny", action="store_true")
    arguments.add_argument("--rounds", type=int, default=Size.rounds)
    arguments.add_argument("--requests", type=int, default=Size.requests, help="of each round")
    given = arguments.parse_args()
    figures = measured(Size(3, 20, 50, 1) if given.tiny else Size(given.rounds, given.requests))
    if not given.tiny:
        (DOCS / "python-cost.md").write_text(page.text(figures, datetime.datetime.now(tz=datetime.UTC).date()))
        (DOCS / "python-cost.svg").write_text(page.picture(figures))


def measured(size: Size) -> Figures:
    """Everything, one after the other."""
    began = time.monotonic()
    figures = Figures(machine(), size=size)
    before = load()
    with tempfile.TemporaryDirectory() as cache, served() as url, ExitStack() as stack:
        say("guards")
        figures.made = making(cache, size.guards)
        guard = a_guard(cache)
        for client in clients.clients(guard, stack):
            say(client.name)
            if client.kept:
                figures.kept[client.name] = rounds(client.kept, url, size)
            figures.opened[client.name] = rounds(client.opened, url, size)
        say(f"{THREADS} threads")
        figures.alone, figures.threads = threaded(guard, url, size, 1), threaded(guard, url, size, THREADS)
        say("checks")
        figures.checks = checking(guard, size.checks)
        say("memory")
        figures.memory = memory(cache)
    figures.seconds = time.monotonic() - began
    figures.load = (before, load())
    return figures


def a_guard(cache: str | None) -> pinfold.Guard:
    """A guard that is told one name, and for which the server is public."""
    answers = pinfold.FixedAnswers()
    answers.set("public.example.com", ["93.184.216.34"])
    return pinfold.Guard(resolver=answers, grants=["127.0.0.2"], code_cache=cache)


def rounds(pair: tuple[clients.Fetch, clients.Fetch], url: str, size: Size) -> Pair:
    """Plain and guarded in turn; each first one some times, unmeasured."""
    for fetch in pair:
        fetch(url, size.requests // 10)
    taken = Pair()
    for turn in range(size.rounds):
        sides = [(pair[0], taken.plain), (pair[1], taken.guarded)]
        # Whoever comes second finds the machine warmer.
        for fetch, times in sides if turn % 2 else reversed(sides):
            times.append(timed(lambda fetch=fetch: fetch(url, size.requests)) / size.requests)
    return taken


def threaded(guard: pinfold.Guard, url: str, size: Size, count: int) -> Pair:
    """requests, with a session for each thread."""
    taken = Pair()
    each = max(size.requests // count, 5)
    for _ in range(size.rounds):
        for given, times in ((None, taken.plain), (guard, taken.guarded)):
            times.append(timed(lambda given=given: at_once(given, url, each, count)) / (each * count))
    return taken


def at_once(guard: pinfold.Guard | None, url: str, each: int, count: int) -> None:
    """`count` threads, each with `each` requests."""

    def work() -> None:
        with clients.requests_session(guard) as session:
            for _ in range(each):
                _ = session.get(url).content

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def checking(guard: pinfold.Guard, count: int) -> dict[str, float]:
    """`Guard.check`, per second."""

    def each(url: str, times: int) -> Callable[[], None]:
        def check() -> None:
            for _ in range(times):
                guard.check(url)

        return check

    cases = {"a literal": ADDRESS, "a name, answered at once": NAME, "refused": "http://127.0.0.1/"}
    return {name: count / timed(each(url, count)) for name, url in cases.items()}


def making(cache: str, count: int) -> dict[str, float]:
    """Seconds to make a guard."""
    a_guard(cache)
    return {
        "without a code cache": statistics.median(timed(lambda: a_guard(None)) for _ in range(count)),
        "with a code cache": statistics.median(timed(lambda: a_guard(cache)) for _ in range(count)),
    }


def memory(cache: str) -> dict[str, Any]:
    """See `memory.py`."""
    command = [sys.executable, HERE / "memory.py", cache]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # a file beside this one
    read: dict[str, Any] = json.loads(told.stdout)
    return read


@contextmanager
def served() -> Iterator[str]:
    """The URL of the server."""
    command = [sys.executable, HERE / "server.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  # the same
        assert server.stdin
        assert server.stdout
        try:
            yield f"http://127.0.0.2:{int(server.stdout.readline())}/"
        finally:
            server.stdin.close()


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def machine() -> str:
    """What it was measured on."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{cpu}, {os.cpu_count()} threads, {sys.platform}, Python {platform.python_version()}"


def load() -> str:
    """The load averages."""
    return ", ".join(f"{average:.2f}" for average in os.getloadavg())


def say(what: str) -> None:
    """Progress."""
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    main()
