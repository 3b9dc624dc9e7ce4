"""The libraries, each plain and behind a guard: a function that fetches a URL `count` times."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pinfold

Fetch = Callable[[str, int], None]
CLOSE = {"Connection": "close"}


@dataclass
class Client:
    """One library. `kept` and `opened` are pairs: plain and guarded, on one connection and on a new one each time."""

    name: str
    kept: tuple[Fetch, Fetch] | None
    opened: tuple[Fetch, Fetch]


def clients(guard: pinfold.Guard, stack: ExitStack) -> Iterator[Client]:
    """Those that are installed."""
    for name, make in _CLIENTS.items():
        library = name.split(" ")[0]
        if library == "urllib.request" or importlib.util.find_spec(library):
            yield make(name, guard, stack)


def requests_session(guard: pinfold.Guard | None) -> Any:
    """A session of requests, plain or guarded."""
    if guard is None:
        session = importlib.import_module("requests").Session()
        session.trust_env = False
        return session
    return importlib.import_module("pinfold.requests").Session(guard=guard)


def _requests(name: str, guard: pinfold.Guard, stack: ExitStack) -> Client:
    def fetch(given: pinfold.Guard | None, headers: dict[str, str]) -> Fetch:
        session = stack.enter_context(requests_session(given))
        return _times(lambda url: session.get(url, headers=headers).content)

    return _both(name, guard, fetch)


def _urllib3(name: str, guard: pinfold.Guard, stack: ExitStack) -> Client:
    plain, guarded = importlib.import_module("urllib3"), importlib.import_module("pinfold.urllib3")

    def fetch(given: pinfold.Guard | None, headers: dict[str, str]) -> Fetch:
        pool = stack.enter_context(plain.PoolManager() if given is None else guarded.PoolManager(guard=given))
        return _times(lambda url: pool.request("GET", url, headers=headers).data)

    return _both(name, guard, fetch)


def _httpx(name: str, guard: pinfold.Guard, stack: ExitStack) -> Client:
    plain, guarded = importlib.import_module("httpx"), importlib.import_module("pinfold.httpx")

    def fetch(given: pinfold.Guard | None, headers: dict[str, str]) -> Fetch:
        made = plain.Client(trust_env=False) if given is None else guarded.Client(guard=given)
        client = stack.enter_context(made)
        return _times(lambda url: client.get(url, headers=headers).content)

    return _both(name, guard, fetch)


def _httpx_async(name: str, guard: pinfold.Guard, stack: ExitStack) -> Client:
    plain, guarded = importlib.import_module("httpx"), importlib.import_module("pinfold.httpx")

    def fetch(given: pinfold.Guard | None, headers: dict[str, str]) -> Fetch:
        async def made() -> Any:
            return plain.AsyncClient(trust_env=False) if given is None else guarded.AsyncClient(guard=given)

        async def get(client: Any, url: str) -> None:
            await client.get(url, headers=headers)

        return _in_a_loop(stack, made, get)

    return _both(name, guard, fetch)


def _aiohttp(name: str, guard: pinfold.Guard, stack: ExitStack) -> Client:
    plain, guarded = importlib.import_module("aiohttp"), importlib.import_module("pinfold.aiohttp")

    def fetch(given: pinfold.Guard | None, headers: dict[str, str]) -> Fetch:
        async def made() -> Any:
            return plain.ClientSession() if given is None else guarded.ClientSession(guard=given)

        async def get(session: Any, url: str) -> None:
            async with session.get(url, headers=headers) as response:
                await response.read()

        return _in_a_loop(stack, made, get)

    return _both(name, guard, fetch)


def _urllib(name: str, guard: pinfold.Guard, _: ExitStack) -> Client:
    guarded = importlib.import_module("pinfold.urllib").build_opener(guard=guard)
    plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetch(opener: Any) -> Fetch:
        def get(url: str) -> None:
            with opener.open(url) as response:
                response.read()

        return _times(get)

    return Client(name, None, (fetch(plain), fetch(guarded)))


def _both(name: str, guard: pinfold.Guard, fetch: Callable[[pinfold.Guard | None, dict[str, str]], Fetch]) -> Client:
    return Client(name, (fetch(None, {}), fetch(guard, {})), (fetch(None, CLOSE), fetch(guard, CLOSE)))


def _times(get: Callable[[str], object]) -> Fetch:
    def fetch(url: str, count: int) -> None:
        for _ in range(count):
            get(url)

    return fetch


def _in_a_loop(stack: ExitStack, made: Callable[[], Any], get: Callable[[Any, str], Any]) -> Fetch:
    runner = stack.enter_context(asyncio.Runner())
    client = runner.run(made())
    stack.callback(lambda: runner.run(_closed(client)))

    async def several(url: str, count: int) -> None:
        for _ in range(count):
            await get(client, url)

    return lambda url, count: runner.run(several(url, count))


async def _closed(client: Any) -> None:
    await (client.aclose() if hasattr(client, "aclose") else client.close())


_CLIENTS: dict[str, Callable[[str, pinfold.Guard, ExitStack], Client]] = {
    "requests": _requests,
    "urllib3": _urllib3,
    "httpx": _httpx,
    "httpx async": _httpx_async,
    "aiohttp": _aiohttp,
    "urllib.request": _urllib,
}
