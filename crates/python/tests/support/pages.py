"""Runs what the pages of documentation show.

A page is the ```` ```python ```` blocks of a file, run from top to bottom in one namespace. A block with `>>>` is a
conversation, and its output is compared (`...` stands for anything), exceptions with their modules. Others are run;
`await` may stand at their top. A comment before a block changes that:

    <!-- not run: why -->        it is compiled only
    <!-- fresh -->               a new namespace begins
    <!-- raises: Denied -->      it ends with this exception

What a page fetches is on loopback. `http://` or `https://` and a name below `example.com`, `example.net`,
`example.org` or `internal` (also `{service}.internal`, and `"NAME", 443`) stands for a server at 127.0.0.2
(`PAGES`), except names that begin with `inside` or `rebind`: the guard is told 127.0.0.1 for them. Names that begin
with `nobody` do not exist. Code that looks up by itself is told a public address when it asks for the first time,
and where the name leads from then on; `rebind` leads to a server on 127.0.0.3.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import json
import logging
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pinfold
from support.server import Request, Server

_BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = r"(?:[a-z0-9-]+\.)*(?:example\.(?:com|net|org)|internal)"
_URL = re.compile(rf"https?://((?:\{{\w+\}}\.)?{_NAME})(?::\d+)?(?![\w.-])")
_PAIR = re.compile(rf'("{_NAME}", )(?:80|443)\b')
_MARKS = ("not run: ", "fresh", "raises: ")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
FEED = "<rss version='2.0'><channel><title>News</title><item><title>First</title></item></channel></rss>"
HTML = "<html><head><title>A page</title><meta property='og:title' content='A page'></head><body>Text</body></html>"
PAGES: dict[str, tuple[int, dict[str, str], bytes | str]] = {
    "": (200, {"Content-Type": "application/json"}, json.dumps({"ok": True, "status": "ready"})),
    ".png": (200, {"Content-Type": "image/png"}, PNG),
    ".xml": (200, {"Content-Type": "application/xml"}, FEED),
    ".html": (200, {"Content-Type": "text/html; charset=utf-8"}, HTML),
    "/large": (200, {"Content-Type": "application/octet-stream"}, b"x" * (1 << 20)),
    "/go-inside": (302, {"Location": "http://inside.example.com/"}, b""),
}


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    code: str
    mark: str

    @property
    def talks(self) -> bool:
        return bool(re.search(r"^>>> ", self.code, re.MULTILINE))

    @property
    def raises(self) -> str:
        return self.mark.removeprefix("raises: ") if self.mark.startswith("raises: ") else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(page, text[: match.start("code")].count("\n"), match["code"], match["mark"] or "")
        for match in _BLOCK.finditer(text)
    ]
    # A block that is not seen would be a block that is not run.
    assert len(found) == len(re.findall(r"^\s*(?:>\s*)?```(?:python|py|pycon)\b", text, re.MULTILINE)), page
    for block in found:
        assert not block.mark or block.mark.startswith(_MARKS), f"{page}:{block.line}: <!-- {block.mark} -->"
    return found


class Stage:
    """The loopback that pages are run on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code_cache: Path) -> None:
        self._patch = monkeypatch
        self._folder = tmp_path
        self._cache = code_cache
        self._looked_up: set[str] = set()
        self.public = Server()
        self.public.page = _page  # type: ignore[method-assign] # every path has one
        self.inside = Server("127.0.0.3")
        self.inside.page = _inside  # type: ignore[method-assign] # the same

    def stop(self) -> None:
        """Stops its servers, and forgets the guards."""
        pinfold.set_default_guard(None)
        self.public.stop()
        self.inside.stop()

    def run(self, page: Path) -> None:
        """Runs a page."""
        self._patch.chdir(self._folder)
        # What a page adds to the log is its own.
        self._patch.setattr(logging.getLogger("pinfold.decision"), "handlers", [])
        self._patch.setattr(socket, "getaddrinfo", self._lookup)
        self._guards(_names(page))
        pinfold.set_default_guard(None)
        namespace = _namespace()
        for block in blocks(page):
            if block.mark == "fresh":
                namespace = _namespace()
            self._block(block, namespace)

    def _block(self, block: Block, namespace: dict[str, Any]) -> None:
        code = self.here(block.code)
        if block.mark.startswith("not run: "):
            compile(code, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif block.talks:
            _talk(block, code, namespace)
        elif block.raises:
            kinds = _raised(block, code, namespace)
            assert block.raises in kinds, f"{block.page}:{block.line}: raised {kinds or 'nothing'}"
        else:
            _run(block, code, namespace)

    def here(self, code: str) -> str:
        """The same code with URLs that lead to the servers of this stage."""
        code = _URL.sub(lambda match: f"http://{match[1]}:{self.public.port}", code)
        return _PAIR.sub(lambda match: f"{match[1]}{self.public.port}", code)

    def _guards(self, names: set[str]) -> None:
        """Every guard is told the answers of the stage, and may dial its public server."""
        real = pinfold.Guard.__init__
        answers = pinfold.FixedAnswers({name: "127.0.0.1" if _is_inside(name) else "127.0.0.2" for name in names})

        def made(guard: pinfold.Guard, *args: Any, **options: Any) -> None:
            granted = [*options.get("grants", ()), "127.0.0.2"]
            given = options.get("resolver")
            told = given if isinstance(given, pinfold.FixedAnswers) else answers
            real(guard, *args, **{**options, "resolver": told, "grants": granted, "code_cache": self._cache})

        self._patch.setattr(pinfold.Guard, "__init__", made)

    def _lookup(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        """What code is told that looks up by itself."""
        leads = self.inside if _is_inside(host) else self.public
        peer = (leads.address, leads.port)
        if re.fullmatch(r"[0-9.]+", host):
            peer = (host, port or 0)
        elif host not in self._looked_up:
            self._looked_up.add(host)
            peer = ("93.184.215.14", port or 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", peer)]


def _page(path: str) -> Any:
    ending = next((ending for ending in PAGES if ending and path.endswith(ending)), "")
    return lambda _request: PAGES[ending]


def _inside(_path: str) -> Any:
    def page(_request: Request) -> tuple[int, dict[str, str], str]:
        return 200, {"Content-Type": "text/plain"}, "the inside"

    return page


def _is_inside(name: str) -> bool:
    return name.startswith(("inside", "rebind"))


def _names(page: Path) -> set[str]:
    found = set(re.findall(rf"\b{_NAME}\b", page.read_text(encoding="utf-8")))
    return {name for name in found if not name.startswith("nobody")}


def _namespace() -> dict[str, Any]:
    return {"__name__": "page"}


def _run(block: Block, code: str, namespace: dict[str, Any]) -> None:
    """Runs a block; a traceback names the page and its line."""
    padded = "\n" * block.line + code
    compiled = compile(padded, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    waits = eval(compiled, namespace)
    if inspect.iscoroutine(waits):
        asyncio.run(waits)


def _raised(block: Block, code: str, namespace: dict[str, Any]) -> list[str]:
    """The names of the classes of what a block raises."""
    try:
        _run(block, code, namespace)
    except Exception as error:  # noqa: BLE001 - the page says which
        return [kind.__name__ for kind in type(error).__mro__]
    return []


def _talk(block: Block, code: str, namespace: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(code, namespace, block.page.name, str(block.page), block.line)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    runner.run(test, out=said.append, clear_globs=False)
    namespace.update(test.globs)
    assert not runner.failures, "".join(said)


def pages(folder: Path) -> Iterator[Path]:
    """The pages about Python."""
    return iter(sorted(folder.glob("python*.md")))
