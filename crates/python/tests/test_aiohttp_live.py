"""`pinfold.aiohttp` while it runs: websockets, exceptions, many tasks, tasks that are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import pickle
import socket
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from yarl import URL

import pinfold
import pinfold.aiohttp
from pinfold import Budget
from pinfold.aiohttp import ClientSession, TCPConnector
from support.aiohttp_asking import (
    HOST,
    LIMIT,
    MakeGuard,
    full_backlog,
    leads,
    names,
    numbered,
    open_to,
    refusal,
    run,
    silent,
    until_over,
)
from support.lab import PUBLIC, Lab
from support.server import Server

__all__ = ["names", "numbered"]  # Fixtures.


@contextlib.asynccontextmanager
async def echoing() -> Any:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, PUBLIC, 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_websockets_need_a_setting(guard: Any, make_guard: MakeGuard, names: Any) -> None:
    able = make_guard(settings={"schemes": ["http", "https", "ws", "wss"]})

    async def work() -> None:
        async with echoing() as port, ClientSession(guard=guard) as session, ClientSession(guard=able) as other:
            with pytest.raises(pinfold.InvalidURL) as caught:
                await session.ws_connect(f"ws://{HOST}:{port}/ws")
            assert caught.value.code == "scheme-denied"
            for opener, scheme in ((session, "http"), (other, "ws")):
                async with opener.ws_connect(f"{scheme}://{HOST}:{port}/ws") as ws:
                    await ws.send_str("hello")
                    assert await ws.receive_str() == "hello"
            with pytest.raises(pinfold.Denied):
                await other.ws_connect("ws://inside.example.com/ws")

    run(work())


def test_a_policy_ends_a_websocket(guard: Any, names: Any) -> None:
    async def work() -> None:
        async with (
            echoing() as port,
            ClientSession(guard=guard) as session,
            session.ws_connect(f"http://{HOST}:{port}/ws") as ws,
        ):
            await ws.send_str("hello")
            assert await ws.receive_str() == "hello"
            await asyncio.to_thread(guard.swap, settings={"hosts": {"deny": [HOST]}})
            await ws.send_str("again")
            message = await ws.receive()
            # What aiohttp makes of any error of the connection.
            assert message.type is aiohttp.WSMsgType.CLOSED
            assert ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    run(work())


def test_exceptions_are_those_of_aiohttp_too(guard: Any, names: Any, server: Server) -> None:
    with socket.socket() as closed:
        closed.bind((PUBLIC, 0))
        refused = refusal(guard, f"http://{HOST}:{closed.getsockname()[1]}/")
    assert isinstance(refused, aiohttp.ClientConnectorError)
    assert isinstance(refused, pinfold.NetworkError)
    assert refused.host == HOST
    assert PUBLIC not in f"{refused} {refused.os_error}"
    missing = refusal(guard, "http://missing.example.com/")
    assert isinstance(missing, aiohttp.ClientConnectorDNSError)
    broken = refusal(guard, "http://[::1/")
    assert isinstance(broken, aiohttp.InvalidURL)
    for error in (refused, missing, broken):
        again = pickle.loads(pickle.dumps(error))  # made a line ago
        assert (type(again), again.code, str(again)) == (type(error), error.code, str(error))


def test_connect_timeout(guard: Any, answers: Any) -> None:
    with full_backlog() as port:
        answers.set(HOST, [PUBLIC])
        error = refusal(
            guard, f"http://{HOST}:{port}/", timeout=aiohttp.ClientTimeout(sock_connect=0.2), budget=Budget()
        )
    assert isinstance(error, aiohttp.ConnectionTimeoutError)
    assert isinstance(error, pinfold.Timeout)


def test_many_tasks(guard: Any, names: Any, numbered: Server) -> None:
    async def work() -> set[int]:
        async with ClientSession(guard=guard, connector=None) as session:

            async def one() -> int:
                async with session.get(numbered.url("/n", HOST)) as response:
                    return int(await response.text())

            return set(await asyncio.gather(*(one() for _ in range(100))))

    assert len(run(work())) <= 100
    assert len(numbered.seen) == 100


def test_limit_of_the_connector(guard: Any, names: Any, numbered: Server) -> None:
    async def work() -> set[int]:
        connector = TCPConnector(guard=guard, limit=4)
        async with ClientSession(connector=connector) as session:

            async def one() -> int:
                async with session.get(numbered.url("/n", HOST)) as response:
                    return int(await response.text())

            return set(await asyncio.gather(*(one() for _ in range(60))))

    assert run(work()) == {1, 2, 3, 4}


@pytest.mark.parametrize("phase", ["connect", "tls", "head", "body"])
def test_cancelled(guard: Any, names: Any, server: Server, phase: str) -> None:
    server.route("/stream")(lambda request: (200, {}, until_over(request)))
    server.route("/slow")(lambda request: (request.over.wait(LIMIT), None)[1])

    async def fetched(session: ClientSession, url: str) -> None:
        async with session.get(url) as response:
            while await response.content.readany():
                await asyncio.sleep(0.01)

    async def work(url: str) -> None:
        async with ClientSession(guard=guard) as session:
            for _ in range(10):
                await cancel(session)
            port = URL(url).port or 0
            while open_to(port) > own:
                # Closing takes some turns of the loop. The test has a limit.
                await asyncio.sleep(0.01)

    async def cancel(session: ClientSession) -> None:
        task = asyncio.create_task(fetched(session, url))
        while open_to(URL(url).port or 0) <= own:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with full_backlog() as full, silent() as mute:
        url = {
            "connect": f"http://{HOST}:{full}/",
            "tls": f"https://{HOST}:{mute}/",
            "head": server.url("/slow", HOST),
            "body": server.url("/stream", HOST),
        }[phase]
        own = open_to(URL(url).port or 0)
        run(work(url))


def test_uvloop(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    url = leads(server, "/r", internal_server.url("/secret"))

    async def work() -> None:
        async with ClientSession(guard=guard) as session:
            for _ in range(3):
                async with session.get(server.url("/x", HOST)) as response:
                    assert await response.text() == "/x"
            with pytest.raises(pinfold.Denied):
                await session.get(url)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
    assert server.connections == 1
    assert internal_server.connections == 0


def test_stock_session(guard: Any, names: Any, server: Server, internal_server: Server) -> None:
    url = leads(server, "/r", internal_server.url("/secret"))
    body = gzip.compress(b"\0" * 100_000)
    server.route("/bomb")(lambda _: (200, {"content-encoding": "gzip"}, body))

    async def work() -> None:
        connector = TCPConnector(guard=guard, budget=Budget(decoded_bytes=50_000))
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(server.url("/x", HOST)) as response:
                assert await response.text() == "/x"
            with pytest.raises(pinfold.Denied):
                await session.get(url)
            with pytest.raises(pinfold.BudgetExceeded):
                await (await session.get(server.url("/bomb", HOST))).read()

    run(work())
    assert internal_server.connections == 0


def test_request_of_the_module(guard: Any, names: Any, server: Server) -> None:
    async def work() -> None:
        async with pinfold.aiohttp.request("POST", server.url("/x", HOST), guard=guard, data=b"1") as response:
            assert (response.status, server.seen[0].body) == (200, b"1")
        pinfold.set_default_guard(guard)
        try:
            async with pinfold.aiohttp.request("GET", server.url("/x", HOST)) as response:
                assert response.status == 200
        finally:
            pinfold.set_default_guard(None)

    run(work())


def test_subject_and_labels(make_guard: MakeGuard, names: Any, server: Server) -> None:
    seen: list[pinfold.Decision] = []
    guard = make_guard(on_decision=seen.append)

    async def work() -> None:
        async with ClientSession(guard=guard, subject="somebody", labels={"a": "b"}) as session:
            await (await session.get(server.url("/x", HOST))).read()

    run(work())
    assert [decision.subject for decision in seen] == ["somebody"]


def test_rebinding(lab_guard: Any, lab: Lab) -> None:
    before = lab.leaks()

    async def work() -> None:
        async with ClientSession(guard=lab_guard) as session:
            for attack in lab.attacks:
                for turn in range(4):
                    with contextlib.suppress(pinfold.PinfoldError, aiohttp.ClientError):
                        async with session.get(lab.url(f"aiohttp{turn % 2}.{attack}")) as response:
                            assert lab.secret not in await response.text()

    asyncio.run(work())
    assert len(lab.attacks) >= 20
    assert lab.leaks() == before


def test_exceptions_are_named_as_they_are_imported() -> None:
    for name in pinfold.aiohttp.__all__:
        made = getattr(pinfold.aiohttp, name)
        assert (made.__module__, getattr(pinfold.aiohttp, made.__name__)) == ("pinfold.aiohttp", made)
