"""Requests of httpx, guarded: with threads, asyncio and trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
import httpx as plain
import pytest

from pinfold import httpx

Ask: TypeAlias = Callable[..., list[Any]]


@pytest.fixture(params=["threads", "asyncio", "trio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes requests with one client, one after the other: each a URL, or a method and a URL, or something to do in
    between. Gives what came of each: a response that was read, or an exception.
    """

    def with_threads(guard: Any, *steps: Any, **options: Any) -> list[Any]:
        with httpx.Client(guard=guard, **options) as client:
            return [_outcome(client, step) for step in steps]

    async def with_tasks(guard: Any, steps: Any, options: Any) -> list[Any]:
        async with httpx.AsyncClient(guard=guard, **options) as client:
            return [await _aoutcome(client, step) for step in steps]

    if request.param == "threads":
        return with_threads
    return lambda guard, *steps, **options: anyio.run(with_tasks, guard, steps, options, backend=request.param)


def _outcome(client: plain.Client, step: Any) -> Any:
    if callable(step):
        return step()
    method, url, more = _request(step)
    try:
        return client.request(method, url, **more)
    except Exception as error:  # noqa: BLE001 # It is what is tested.
        return error


async def _aoutcome(client: plain.AsyncClient, step: Any) -> Any:
    if callable(step):
        return step()
    method, url, more = _request(step)
    try:
        return await client.request(method, url, **more)
    except Exception as error:  # noqa: BLE001 # It is what is tested.
        return error


def _request(step: Any) -> tuple[str, Any, dict[str, Any]]:
    if isinstance(step, str | plain.URL):
        return "GET", step, {}
    method, url, *more = step
    return method, url, more[0] if more else {}
