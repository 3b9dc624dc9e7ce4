"""One guard and many threads: it lets go of the interpreter while it works, and mixes nothing up."""

from __future__ import annotations

import functools
import gc
import io
import socket
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pinfold

Make = Callable[..., pinfold.Guard]


def test_others_go_on_while_a_lookup_hangs(make_guard: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        guard = make_guard(resolver=[f"127.0.0.1:{silent.getsockname()[1]}"], limits={"resolve": 0.5})
        codes: list[str | None] = []
        thread = threading.Thread(target=lambda: codes.append(guard.check("http://slow.example/").code))
        thread.start()
        turns = 0
        while thread.is_alive():
            turns += 1
        # With the lock held it would have been a handful.
        assert turns > 1000
        assert codes == ["resolve-timeout"]


def test_others_go_on_while_a_policy_is_loaded(guard: pinfold.Guard) -> None:
    thread = threading.Thread(target=lambda: guard.swap(settings={"hosts": {"deny": _names(20_000)}}))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
    assert turns > 1000


def test_eight_threads(guard: pinfold.Guard, answers: pinfold.FixedAnswers) -> None:
    for number in range(40):
        answers[f"n{number}.example"] = "127.0.0.2" if number % 2 else "127.0.0.3"
    heard: list[str] = []
    guard.on_decision(lambda decision: heard.append(decision.correlation_id))

    def judged(number: int) -> bool:
        decision = guard.check(f"http://n{number % 40}.example/", subject=str(number))
        assert decision.subject == str(number)
        assert decision.target == f"http://n{number % 40}.example:80"
        return decision.allowed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(judged, range(2000))) == [bool(number % 2) for number in range(2000)]
    assert len(heard) == len(set(heard)) == 2000


def test_swaps_while_others_judge(make_guard: Make) -> None:
    guard = make_guard(layers=[pinfold.Layer("a"), pinfold.Layer("b")])
    stop = threading.Event()
    seen: set[tuple[bool, int]] = set()

    def judges() -> None:
        while not stop.is_set():
            decision = guard.check("http://127.0.0.2/")
            seen.add((decision.allowed, decision.generation % 2))

    threads = [threading.Thread(target=judges) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        guard.swap(settings={"ports": [81]}, layer="b")
        guard.swap(layer="b")
    stop.set()
    for thread in threads:
        thread.join()
    assert guard.generation == 11
    # Refused under even generations, allowed under odd ones.
    assert seen <= {(True, 1), (False, 0)}


def test_swaps_of_two_layers_at_the_same_time(make_guard: Make) -> None:
    guard = make_guard(layers=[pinfold.Layer("a"), pinfold.Layer("b")])
    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            one = pool.submit(guard.swap, settings={"ports": [80 + number]}, layer="a")
            other = pool.submit(guard.swap, settings={"schemes": ["http"]}, layer="b")
            one.result()
            other.result()
    assert guard.check("http://127.0.0.2:84/")
    assert guard.check("http://127.0.0.2:83/").code == "port-denied"
    assert guard.check("https://127.0.0.2:84/").code == "scheme-denied"


def test_nothing_keeps_a_guard(make_guard: Make) -> None:
    guard = make_guard()
    # A cycle of Python's own.
    guard.on_decision(functools.partial(print, guard, file=io.StringIO()))
    exchange = guard.exchange()
    pin = exchange.pin("http://127.0.0.2/")
    gone = weakref.ref(guard)
    del guard, exchange
    gc.collect()
    assert gone() is None
    # What was pinned is still good.
    assert pin.hand_over().verdict == "allow"


def _names(count: int) -> list[str]:
    return [f"n{number}.example" for number in range(count)]
