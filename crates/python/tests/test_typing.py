"""The types of the package as mypy sees them, strictly, in a program that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

PACKAGE = Path(__file__).parents[1] / "python"

PROGRAM = """
import asyncio
import pinfold
from pinfold import Budget, Decision, FixedAnswers, Guard, Layer, Settings, Swap

settings = Settings(partners=["a.example"], timeout=(3.0, None), ports=[443, "8000-8999"])
answers = FixedAnswers({"a.example": "192.0.2.1", "b.example": ["192.0.2.2"]})
answers["c.example"] = ["192.0.2.3"]
guard = Guard(settings=settings, resolver=answers, budget=Budget(total=5), mode="report", limits={"pin": 3})
layered = Guard(layers=[Layer("team", b"", {"ports": [443]})], grants=("127.0.0.2",))


@guard.on_decision
def heard(decision: Decision) -> None:
    reveal_type(decision.addresses)


def swapped(swap: Swap) -> None:
    reveal_type(swap.error)


reveal_type(guard.check("http://a.example/", labels={"k": "v"}))
reveal_type(guard.resolve("http://a.example/").addresses)
reveal_type(guard.check("http://a.example/").code)
reveal_type(pinfold.codes()[0].hint)
reveal_type(pinfold.Target.parse("http://a.example/").port)

with guard.watch(settings="s.json", on_swap=swapped) as watch:
    reveal_type(watch)
with guard.connect("a.example", 443, timeout=3) as opened:
    reveal_type(opened)
    reveal_type(opened.decision)


async def main() -> None:
    reveal_type(await guard.acheck("http://a.example/"))
    reveal_type(await guard.aconnect("a.example", 443))


try:
    asyncio.run(main())
except pinfold.Denied as error:
    reveal_type(error.decision)
    reveal_type(error.status)
"""

REVEALED = [
    "tuple[pinfold.decision.JudgedAddress, ...]",
    "Exception | None",
    "pinfold.decision.Decision",
    "tuple[tuple[str, int], ...]",
    "str | None",
    "str",
    "int",
    "pinfold._watch.Watch",
    "pinfold.exchange.PinnedSocket",
    "pinfold.decision.Decision",
    "pinfold.decision.Decision",
    "pinfold.exchange.PinnedSocket",
    "pinfold.decision.Decision | None",
    "int",
]

# Each line is a mistake.
MISTAKES = """
import pinfold
guard = pinfold.Guard(mode="audit")
guard.check(b"http://a.example/")
pinfold.Settings(partner=["a.example"])
pinfold.Settings(timeout="3")
pinfold.FixedAnswers()["a.example"] = 7
guard.on_decision(lambda: None)
guard.watch(on_swap=lambda one, other: None)
guard.connect("a.example")
"""


def _mypy(tmp_path: Path, program: str) -> list[str]:
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--no-error-summary", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line.startswith("program.py")]


def test_a_program_is_typed(tmp_path: Path) -> None:
    lines = _mypy(tmp_path, PROGRAM)
    assert [line for line in lines if "error:" in line] == []
    revealed = [line.split('"')[1].replace("builtins.", "") for line in lines if "Revealed type" in line]
    assert [type_.replace("Union[", "").replace(", None]", " | None") for type_ in revealed] == REVEALED


def test_mistakes_are_found(tmp_path: Path) -> None:
    lines = _mypy(tmp_path, MISTAKES)
    found = {int(line.split(":")[1]) for line in lines if "error:" in line}
    assert found == set(range(3, 11))
