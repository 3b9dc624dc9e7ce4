"""`pinfold.httpx` while it runs: kept connections, budgets, swaps, cancelled tasks."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import ssl
import threading
import zlib
from typing import Any

import anyio
import anyio.to_thread
import httpx as plain
import pytest

import pinfold
from pinfold import httpx
from pinfold._httpx import errors as words
from pinfold._httpx.dial import in_thread
from support.httpx_asking import Ask, ask
from support.lab import Lab
from support.server import Server

__all__ = ["ask"]  # A fixture.


def _connections(server: Server) -> list[int]:
    return [seen.connection for seen in server.seen]


def _open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_a_kept_connection_is_used_again(ask: Ask, guard: Any, server: Server) -> None:
    ask(guard, server.url(), server.url(), server.url())
    assert _connections(server) == [1, 1, 1]


def test_not_for_another_generation(ask: Ask, guard: Any, server: Server) -> None:
    ask(guard, server.url(), guard.swap, server.url(), server.url())
    assert _connections(server) == [1, 2, 2]


def test_not_for_another_name(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    answers.set("one.example", ["127.0.0.2"])
    answers.set("two.example", ["127.0.0.2"])
    ask(guard, server.url(host="one.example"), server.url(host="two.example"), server.url(host="one.example"))
    assert _connections(server) == [1, 2, 1]


def test_not_for_another_address(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    url = server.url(host="turning.example")
    answers.set("turning.example", ["127.0.0.2"])
    outcomes = ask(
        guard,
        url,
        lambda: answers.set("turning.example", ["127.0.0.3"]),
        url,
        lambda: answers.set("turning.example", ["::1"]),
        url,
        lambda: answers.set("turning.example", ["127.0.0.2"]),
        url,
    )
    assert outcomes[0].status_code == 200
    assert isinstance(outcomes[2], words.Denied)
    assert isinstance(outcomes[4], words.ConnectError)
    assert outcomes[6].status_code == 200
    assert _connections(server) == [1, 2]


def test_a_policy_that_refuses_it_now_is_asked(ask: Ask, guard: Any, answers: Any, server: Server) -> None:
    url = server.url(host="one.example")
    answers.set("one.example", ["127.0.0.2"])
    outcomes = ask(guard, url, lambda: guard.swap(settings={"hosts": {"deny": ["one.example"]}}), url)
    assert isinstance(outcomes[2], words.Denied)
    assert len(server.seen) == 1


def test_a_connection_that_the_server_closed_is_not_used(ask: Ask, guard: Any, server: Server) -> None:
    outcomes = ask(guard, server.url(), server.drop_connections, lambda: threading.Event().wait(0.2), server.url())
    assert outcomes[-1].status_code == 200
    assert _connections(server) == [1, 2]


def test_all_rebinding_attacks_come_to_nothing(ask: Ask, lab_guard: Any, lab: Lab) -> None:
    before = lab.leaks()
    urls = [lab.url(f"httpx{turn}.{attack}") for attack in lab.attacks for turn in range(2)]
    ask(lab_guard, *[url for url in urls for _ in range(3)])
    assert len(lab.attacks) >= 20
    assert lab.leaks() == before
    [response] = ask(lab_guard, lab.url("public"))
    assert response.status_code == 200


def _bomb(encoding: str) -> bytes:
    megabytes = b"\0" * (64 << 20)
    if encoding == "deflate":
        return zlib.compress(megabytes, 9)
    if encoding == "raw":
        made = zlib.compressobj(9, wbits=-15)
        return made.compress(megabytes) + made.flush()
    once = gzip.compress(megabytes, 9)
    return gzip.compress(once, 9) if encoding == "gzip, gzip" else once


# httpx leaves its generators to the collector when decoding fails, and trio says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw", "gzip, gzip"])
def test_a_bomb_is_stopped(ask: Ask, guard: Any, server: Server, encoding: str) -> None:
    bomb = _bomb(encoding)

    @server.route("/bomb")
    def page(_: Any) -> Any:
        return 200, {"content-encoding": encoding.replace("raw", "deflate"), "content-length": str(len(bomb))}, bomb

    [error] = ask(guard, server.url("/bomb"), budget=pinfold.Budget(decoded_bytes=1 << 20))
    assert isinstance(error, words.TooLarge)
    assert error.code == "response-inflated"


def test_a_bomb_is_not_in_memory(guard: Any, server: Server) -> None:
    import tracemalloc

    bomb = _bomb("gzip")

    @server.route("/bomb")
    def page(_: Any) -> Any:
        return 200, {"content-encoding": "gzip", "content-length": str(len(bomb))}, bomb

    with httpx.Client(guard=guard, budget=pinfold.Budget(decoded_bytes=1 << 20)) as client:
        client.get(server.url("/"))
        tracemalloc.start()
        with pytest.raises(words.TooLarge), client.stream("GET", server.url("/bomb")) as response:
            for _ in response.iter_bytes():
                pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 << 20


# httpcore leaves its generators to the collector when a body is not read to its end, and trio says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1])
def test_bytes_are_counted(ask: Ask, guard: Any, server: Server, size: int) -> None:
    @server.route("/large")
    def page(_: Any) -> Any:
        return 200, {}, (b"x" * 4096 for _ in range(size // 4096 + bool(size % 4096)))

    [outcome] = ask(guard, server.url("/large"), budget=pinfold.Budget(response_bytes=1 << 20))
    if size == 1 << 20:
        assert len(outcome.content) == size
    else:
        assert outcome.code == "response-too-large"
        assert isinstance(outcome, plain.ReadError)


def test_the_deadline_is_for_all_of_it(ask: Ask, guard: Any, server: Server) -> None:
    @server.route("/slow")
    def page(request: Any) -> Any:
        def drops() -> Any:
            while not request.over.wait(0.1):
                yield b"."

        return 200, {}, drops()

    [error] = ask(guard, server.url("/slow"), budget=pinfold.Budget(total=1.0), timeout=5)
    assert isinstance(error, words.DeadlineExceeded)
    assert isinstance(error, plain.TimeoutException)


def _forever(server: Server) -> None:
    @server.route("/forever")
    def page(request: Any) -> Any:
        def drops() -> Any:
            while not request.over.wait(0.02):
                yield b"." * 1000

        return 200, {}, drops()


def test_a_swapped_policy_ends_a_stream(guard: Any, answers: Any, server: Server) -> None:
    answers.set("one.example", ["127.0.0.2"])
    _forever(server)
    with httpx.Client(guard=guard) as client, client.stream("GET", server.url("/forever", "one.example")) as response:
        chunks = response.iter_bytes()
        next(chunks)
        guard.swap(settings={"hosts": {"deny": ["other.example"]}})
        next(chunks)
        guard.swap(settings={"hosts": {"deny": ["one.example"]}})
        with pytest.raises(words.Denied):
            for _ in chunks:
                pass


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_swapped_policy_ends_a_stream_of_a_task(guard: Any, answers: Any, server: Server, backend: str) -> None:
    answers.set("one.example", ["127.0.0.2"])
    _forever(server)

    async def main() -> None:
        async with (
            httpx.AsyncClient(guard=guard) as client,
            client.stream("GET", server.url("/forever", "one.example")) as response,
        ):
            chunks = response.aiter_bytes()
            await anext(chunks)
            guard.swap(settings={"hosts": {"deny": ["one.example"]}})
            with pytest.raises(words.Denied):
                async for _ in chunks:
                    pass

    anyio.run(main, backend=backend)


# The server is surprised by half an upload.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("path", ["/head", "/forever", "/upload"])
def test_a_cancelled_task_leaves_nothing_open(guard: Any, server: Server, path: str, backend: str) -> None:
    _forever(server)

    @server.route("/head")
    def page(request: Any) -> Any:
        request.over.wait(10)
        return 200, {}, b""

    async def endless() -> Any:
        while True:
            yield b"x" * 1000
            await anyio.sleep(0.01)

    async def cancelled(client: plain.AsyncClient) -> None:
        content = endless() if path == "/upload" else None
        with anyio.move_on_after(0.3) as scope:
            await client.request("POST", server.url(path), content=content)
        assert scope.cancelled_caught

    async def main() -> tuple[int, int]:
        async with httpx.AsyncClient(guard=guard, limits=plain.Limits(max_connections=1)) as client:
            await client.get(server.url("/"))
            before = _open_files()
            for _ in range(3):
                await cancelled(client)
            # The place was given back, and the connection was not kept.
            assert (await client.get(server.url("/"))).status_code == 200
            return before, _open_files()

    before, after = anyio.run(main, backend=backend)
    server.stop()
    assert after <= before + 6  # At most the server's own ends of them.


def test_cancelled_at_any_step_nothing_stays_open(guard: Any, tls_server: Server) -> None:
    async def at(steps: int) -> None:
        async with httpx.AsyncClient(
            guard=guard, verify=ssl.create_default_context(cafile=tls_server.ca_file)
        ) as client:
            task = asyncio.ensure_future(client.get(tls_server.url("/")))
            for _ in range(steps):
                await asyncio.sleep(0)
            await asyncio.sleep(steps / 5000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not client._guarded._pool._shelf._active
        await asyncio.sleep(0.01)

    async def main() -> None:
        for steps in range(60):
            await at(steps)

    with pytest.MonkeyPatch.context() as patch:
        opened: list[Any] = []
        take = pinfold.PinnedSocket.take.__func__  # type: ignore[attr-defined] # A class method.
        patch.setattr(
            pinfold.PinnedSocket, "take", classmethod(lambda cls, *of: (opened.append(take(cls, *of)), opened[-1])[1])
        )
        asyncio.run(main())
        assert opened
        assert all(each.fileno() == -1 for each in opened)


def test_what_a_thread_opens_for_nobody_is_closed() -> None:
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go.wait(10)
        return "socket"

    async def main() -> None:
        with anyio.move_on_after(0.05):
            await in_thread(work, lambda _: closed.set())
        assert begun.is_set()
        go.set()
        assert await anyio.to_thread.run_sync(closed.wait, 10)

    anyio.run(main, backend="trio")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_hundred_tasks(guard: Any, server: Server, backend: str) -> None:
    results: list[int] = []

    async def main() -> None:
        async with httpx.AsyncClient(guard=guard, limits=plain.Limits(max_connections=10)) as client:

            async def one(turn: int) -> None:
                response = await client.post(server.url(f"/{turn}"), content=str(turn), timeout=20)
                results.append(response.status_code)

            async with anyio.create_task_group() as group:
                for turn in range(100):
                    group.start_soon(one, turn)

    anyio.run(main, backend=backend)
    assert results == [200] * 100
    assert server.connections <= 10


def test_eight_threads(guard: Any, server: Server) -> None:
    with httpx.Client(guard=guard, limits=plain.Limits(max_connections=4), timeout=20) as client:
        results: list[int] = []
        work = lambda: results.extend(client.get(server.url()).status_code for _ in range(20))  # noqa: E731
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == [200] * 160
    assert server.connections <= 4


def test_pool_timeout_and_live_limit(guard: Any, server: Server) -> None:
    _forever(server)
    with httpx.Client(guard=guard, limits=plain.Limits(max_connections=1)) as client:
        with client.stream("GET", server.url("/forever")), pytest.raises(plain.PoolTimeout):
            client.get(server.url(), timeout=plain.Timeout(5, pool=0.1))
        assert client.get(server.url()).status_code == 200


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pool_timeout_of_tasks(guard: Any, server: Server, backend: str) -> None:
    _forever(server)

    async def main() -> None:
        async with httpx.AsyncClient(guard=guard, limits=plain.Limits(max_connections=1)) as client:
            async with client.stream("GET", server.url("/forever")):
                with pytest.raises(plain.PoolTimeout):
                    await client.get(server.url(), timeout=plain.Timeout(5, pool=0.1))
            assert (await client.get(server.url())).status_code == 200

    anyio.run(main, backend=backend)


def test_kept_connections_are_limited_and_expire(guard: Any, answers: Any, server: Server) -> None:
    for name in ("one", "two", "three"):
        answers.set(f"{name}.example", ["127.0.0.2"])
    with httpx.Client(guard=guard, limits=plain.Limits(max_keepalive_connections=2)) as client:
        for name in ("one", "two", "three"):
            client.get(server.url(host=f"{name}.example"))
        assert len(client._guarded._pool._shelf._idle) == 2
    with httpx.Client(guard=guard, limits=plain.Limits(keepalive_expiry=0)) as client:
        server.clear()
        client.get(server.url())
        client.get(server.url())
    assert len(set(_connections(server))) == 2


def test_a_child_does_not_use_the_connections_of_its_parent(guard: Any, server: Server) -> None:
    with httpx.Client(guard=guard) as client:
        client.get(server.url("/parent"))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if client.get(server.url("/child")).status_code == 200 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.get(server.url("/parent"))
    parent, forked, again = server.seen
    assert parent.connection == again.connection != forked.connection
