"""What an import says when the library that a module is for is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = {
    "aiohttp": ("aiohttp",),
    "django": ("django",),
    "fastapi": ("fastapi", "starlette", "httpx"),
    "flask": ("flask",),
    "httpx": ("httpx", "anyio"),
    "requests": ("requests", "urllib3"),
    "starlette": ("starlette", "httpx"),
    "urllib3": ("urllib3",),
}
LACKS = [(f"pinfold.{extra}", library, extra) for extra, libraries in MODULES.items() for library in libraries]
# They are imported when they are first used: an application may fetch in another way.
SESSIONS = [("pinfold._flask.session", "requests", "flask"), ("pinfold.django.fetching", "requests", "django")]

# A process of its own: a module that is imported twice is two modules.
_PROGRAM = """
import importlib, sys

class Lacks:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == sys.argv[2]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Lacks())
try:
    importlib.import_module(sys.argv[1])
except ImportError as error:
    print(error.name, error)
"""


@pytest.mark.parametrize(("module", "library", "extra"), [*LACKS, *SESSIONS])
def test_a_missing_library_is_named_with_its_extra(module: str, library: str, extra: str) -> None:
    said = _run(module, library)
    assert said.startswith(f"{library} "), said
    assert f"pip install 'pinfold[{extra}]'" in said


@pytest.mark.parametrize("module", ["pinfold.flask", "pinfold.django"])
def test_without_requests_the_rest_is_there(module: str) -> None:
    assert _run(module, "requests") == ""


def _run(module: str, library: str) -> str:
    command = [sys.executable, "-c", _PROGRAM, module, library]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
