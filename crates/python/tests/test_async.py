"""The guard in asyncio: cancelled, closed, side by side, and never a socket left open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

import pinfold

Make = Callable[..., pinfold.Guard]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a loop of each kind."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


@pytest.fixture
def public() -> Iterator[int]:
    """A port at 127.0.0.2 that accepts."""
    with socket.create_server(("127.0.0.2", 0), backlog=512) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[str]:
    """A name server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_all_of_it(guard: pinfold.Guard, answers: pinfold.FixedAnswers, public: int, run: Run) -> None:
    answers["a.example"] = "127.0.0.2"

    async def main() -> None:
        url = f"http://a.example:{public}/"
        assert await guard.acheck(url)
        assert (await guard.acheck("http://\ud800/")).code == "url-invalid"
        assert (await guard.aresolve(url)).addresses == (("127.0.0.2", public),)
        with await guard.aconnect("a.example", public, scheme="http") as opened:
            assert opened.getpeername() == ("127.0.0.2", public)
            assert not opened.getblocking()
        with pytest.raises(pinfold.Denied) as raised:
            await guard.aconnect("127.0.0.3", public)
        assert raised.value.code == "address-floor"
        exchange = guard.exchange()
        assert await exchange.acheck(url)
        assert (await exchange.acheck("//127.0.0.3/", redirect=True)).code == "address-floor"

    run(main())


def test_many_side_by_side(guard: pinfold.Guard, answers: pinfold.FixedAnswers, run: Run) -> None:
    for number in range(100):
        answers[f"n{number}.example"] = "127.0.0.2" if number % 2 else "127.0.0.3"

    async def main() -> list[pinfold.Decision]:
        return await asyncio.gather(*(guard.acheck(f"http://n{number}.example/") for number in range(100)))

    assert [decision.allowed for decision in run(main())] == [bool(number % 2) for number in range(100)]


def test_the_loop_goes_on_while_a_lookup_hangs(make_guard: Make, silent: str, run: Run) -> None:
    guard = make_guard(resolver=[silent], limits={"resolve": 0.5})

    async def main() -> None:
        turns = 0
        task = asyncio.create_task(guard.acheck("http://slow.example/"))
        while not task.done():
            turns += 1
            await asyncio.sleep(0.01)
        assert (await task).code == "resolve-timeout"
        assert turns > 5

    run(main())


def test_a_task_that_is_cancelled_ends_the_work(make_guard: Make, silent: str, run: Run) -> None:
    guard = make_guard(resolver=[silent], limits={"resolve": 30})
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(guard.acheck("http://slow.example/"), 0.2)
        while not heard:
            await asyncio.sleep(0.01)

    run(main())
    assert [decision.code for decision in heard] == ["abandoned"]


def test_cancelled_connections_leave_no_socket(
    guard: pinfold.Guard, answers: pinfold.FixedAnswers, public: int, run: Run
) -> None:
    """Cancelled at every moment: before, while, and just after it is connected."""
    answers["a.example"] = "127.0.0.2"

    async def one(delay: float) -> None:
        task = asyncio.ensure_future(guard.aconnect("a.example", public, scheme="http"))
        await asyncio.sleep(delay)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await task).close()

    async def main() -> None:
        for _ in range(3):
            await asyncio.gather(*(one(number * 0.00005) for number in range(100)))
        await asyncio.sleep(0.2)

    run(main())
    _assert_no_connection_to(public)


def test_a_task_that_is_cancelled_in_the_moment_it_is_done(guard: pinfold.Guard, public: int, run: Run) -> None:
    """The result is there, the task has not taken it, and is cancelled."""

    async def main() -> None:
        task = asyncio.ensure_future(guard.aconnect("127.0.0.2", public))
        while not task.done():
            waits_for = getattr(task, "_fut_waiter", None)
            if waits_for is not None and waits_for.done() and isinstance(waits_for.result(), tuple):
                task.cancel()
            await asyncio.sleep(0)
        if not task.cancelled():
            (await task).close()

    for _ in range(20):
        run(main())
    _assert_no_connection_to(public)


def test_a_coroutine_that_is_thrown_away(guard: pinfold.Guard, public: int) -> None:
    loop = asyncio.new_event_loop()
    coroutine = guard.aconnect("127.0.0.2", public)

    async def begin() -> None:
        try:
            coroutine.send(None)
        except StopIteration as done:
            # The connection was there at once: nothing is thrown away.
            done.value.close()
        await asyncio.sleep(0.05)

    loop.run_until_complete(begin())
    coroutine.close()
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
    _assert_no_connection_to(public)


def test_a_loop_that_is_closed(make_guard: Make, silent: str, recwarn: pytest.WarningsRecorder) -> None:
    guard = make_guard(resolver=[silent], limits={"resolve": 0.3})
    heard: list[pinfold.Decision] = []
    guard.on_decision(heard.append)
    loop = asyncio.new_event_loop()
    coroutine = guard.acheck("http://slow.example/")

    async def begin() -> None:
        coroutine.send(None)

    loop.run_until_complete(begin())
    loop.close()
    for _ in range(100):
        if heard:
            break
        asyncio.run(asyncio.sleep(0.02))
    assert [decision.code for decision in heard] == ["resolve-timeout"]
    coroutine.close()
    assert not recwarn.list


def test_without_a_loop_it_says_so(guard: pinfold.Guard) -> None:
    with pytest.raises(RuntimeError, match="asyncio loop"):
        guard.acheck("http://127.0.0.2/").send(None)
    trio = pytest.importorskip("trio")
    with pytest.raises(RuntimeError, match="trio"):
        trio.run(guard.acheck, "http://127.0.0.2/")


def _assert_no_connection_to(port: int) -> None:
    gc.collect()
    left = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(fd))) as found:
                if found.getpeername()[1] == port:
                    left.append(fd)
        except (OSError, IndexError, TypeError):
            continue
    assert left == []


def test_what_is_told_at_once_may_be_interrupted(guard: pinfold.Guard) -> None:
    """A signal that comes in the middle of it is for who asked: nothing else would end his waiting."""

    def interrupted(result: object, error: object) -> None:
        raise KeyboardInterrupt

    session = guard.native().session()
    with pytest.raises(KeyboardInterrupt):
        session.pin_soon(interrupted, "http://127.0.0.2/")


def test_what_is_done_at_once_lets_others_run(guard: pinfold.Guard) -> None:
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def judging() -> None:
        other = asyncio.ensure_future(ticking())
        for _ in range(100):
            await guard.acheck("http://127.0.0.2/")
        other.cancel()

    asyncio.run(judging())
    assert ticks >= 100
