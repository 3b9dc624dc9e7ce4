"""A guard across forks, and at the end of the interpreter: no hang, no crash, no socket of the parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pinfold

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# Where the package is that is tested: the folder of the checkout, or an installed wheel.
PACKAGE = Path(pinfold.__file__).parents[1]

# What each script begins with. `silent` is a name server that never answers, `full` a port that never accepts.
BEGINNING = """
import asyncio, faulthandler, os, signal, socket, sys, threading, time
import pinfold
faulthandler.dump_traceback_later(30, exit=True)
answers = pinfold.FixedAnswers({"a.example": "127.0.0.2", "b.example": "127.0.0.3"})
def guard(**options):
    options = {"resolver": answers, "grants": ["127.0.0.2"], "code_cache": CACHE, **options}
    return pinfold.Guard(**options)
def silent():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    KEPT.append(server)
    return "127.0.0.1:%d" % server.getsockname()[1]
def full():
    server = socket.socket()
    server.bind(("127.0.0.2", 0))
    server.listen(0)
    KEPT.append(server)
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(server.getsockname())
        KEPT.append(client)
    time.sleep(0.1)
    return server.getsockname()[1]
KEPT = []
def replace(file, text):
    # A file that is written in place is empty at first.
    open(file + ".new", "w").write(text)
    os.replace(file + ".new", file)
def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            work()
            os._exit(0)
        except BaseException as error:
            print("child:", repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return pid
def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.fixture
def run(code_cache: Path) -> Callable[..., str]:
    """Runs a script and gives what it printed; it must end well, and say nothing about errors."""

    def done(script: str, *, code: int = 0, before: str = "") -> str:
        process = _start(script, code_cache, before)
        out, err = process.communicate(timeout=40)
        assert process.returncode == code, err
        assert err == ""
        return out

    return done


@pytest.fixture
def start(code_cache: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a script."""
    return lambda script: _start(script, code_cache)


def _start(script: str, code_cache: Path, before: str = "") -> subprocess.Popen[str]:
    """`before` is run before the package is imported."""
    text = f"{textwrap.dedent(before)}\nCACHE = {str(code_cache)!r}\n{BEGINNING}\n{textwrap.dedent(script)}"
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", "-c", text],
        env={"PYTHONPATH": str(PACKAGE), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_child_judges_and_so_do_parent_and_grandchild(run: Callable[..., str]) -> None:
    assert (
        run(
            """
        g = guard(settings={"ports": [80]})
        def judges():
            assert g.check("http://a.example/") and not g.check("http://b.example/")
            assert g.check("http://a.example:81/").code == "port-denied"
        judges()
        pid = child(lambda: (judges(), ended(child(judges)) and os._exit(3)))
        assert ended(pid) == 0
        # A grandchild of a child that never used it.
        assert ended(child(lambda: ended(child(judges)) and os._exit(3))) == 0
        judges()
        print("well")
        """
        )
        == "well\n"
    )


def test_a_child_has_what_was_swapped_and_watched(run: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"ports": [80]}')
    assert (
        run(
            f"""
        file = {str(file)!r}
        g = guard()
        watch = g.watch(settings=file, interval=0.01)
        assert g.check("http://a.example:81/").code == "port-denied"
        def changed():
            # The file was changed between the fork and the first use, and changes once more.
            assert g.check("http://a.example:80/").code == "port-denied"
            assert g.check("http://a.example:81/")
            replace(file, '{{"ports": [82]}}')
            while not g.check("http://a.example:82/"):
                time.sleep(0.01)
        r, w = os.pipe()
        pid = child(lambda: (os.read(r, 1), changed()))
        replace(file, '{{"ports": [81]}}')
        os.write(w, b"x")
        assert ended(pid) == 0
        g2 = guard()
        g2.swap(settings={{"ports": [83]}})
        def swapped():
            assert g2.check("http://a.example:83/")
            assert not g2.check("http://a.example:80/")
            assert g2.swap() and g2.check("http://a.example:80/")
        assert ended(child(swapped)) == 0
        assert g2.check("http://a.example:83/")
        print("well")
        """
        )
        == "well\n"
    )


def test_what_is_the_parents_is_an_error_in_a_child(run: Callable[..., str]) -> None:
    assert (
        run(
            """
        server = socket.create_server(("127.0.0.2", 0))
        g = guard()
        exchange = g.exchange()
        pin = exchange.pin("http://a.example:%d/" % server.getsockname()[1])
        spent = g.connect("a.example", server.getsockname()[1], scheme="http")
        def refused():
            own = g.exchange().pin("http://a.example:%d/" % server.getsockname()[1])
            for use in (
                lambda: exchange.pin("http://a.example/"),
                lambda: exchange.check("http://a.example/"),
                lambda: exchange.open(pin),
                pin.hand_over,
                spent.confirm,
                lambda: own.accepts(spent.link),
                lambda: own.reuse(spent.link),
            ):
                try:
                    use()
                except pinfold.ForkError as error:
                    assert error.hint
                else:
                    raise AssertionError("it was used")
            assert own.hand_over().verdict == "allow"
        assert ended(child(refused)) == 0
        spent.confirm()
        assert exchange.open(pin).decision
        print("well")
        """
        )
        == "well\n"
    )


def test_forks_while_others_load_judge_and_change_answers(run: Callable[..., str]) -> None:
    """A child inherits no lock that another thread held."""
    assert (
        run(
            """
        g = guard()
        stop = threading.Event()
        def loads():
            while not stop.is_set():
                g.swap(settings={"ports": [80]})
                guard()
        def judges():
            while not stop.is_set():
                g.check("http://a.example/")
        def answers_change():
            while not stop.is_set():
                answers["c.example"] = ["127.0.0.2"]
        threads = [threading.Thread(target=work) for work in (loads, judges, judges, answers_change)]
        for thread in threads:
            thread.start()
        def works():
            answers["c.example"] = ["127.0.0.2"]
            assert g.check("http://a.example/") and g.check("http://c.example/")
            assert pinfold.Guard(resolver=answers, grants=["127.0.0.2"], code_cache=CACHE).check("http://a.example/")
        for _ in range(15):
            assert ended(child(works)) == 0
        stop.set()
        for thread in threads:
            thread.join()
        print("well")
        """
        )
        == "well\n"
    )


def test_a_fork_while_the_default_guard_is_made(run: Callable[..., str]) -> None:
    assert (
        run(
            """
        thread = threading.Thread(target=pinfold.default_guard)
        thread.start()
        pids = [child(lambda: pinfold.default_guard().check("http://127.0.0.1/")) for _ in range(3)]
        thread.join()
        assert [ended(pid) for pid in pids] == [0, 0, 0]
        print("well")
        """
        )
        == "well\n"
    )


def test_a_swap_while_a_child_begins_anew(run: Callable[..., str]) -> None:
    assert (
        run(
            """
        g = guard()
        def both():
            threads = [threading.Thread(target=lambda: g.swap(settings={"ports": [80]})) for _ in range(3)]
            threads += [threading.Thread(target=lambda: g.check("http://a.example/")) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert g.check("http://a.example:81/").code == "port-denied"
            assert g.generation == 4
        assert ended(child(both)) == 0
        print("well")
        """
        )
        == "well\n"
    )


def test_a_child_with_a_request_of_the_parent_in_flight(run: Callable[..., str]) -> None:
    assert (
        run(
            """
        g = guard(resolver=[silent()])
        thread = threading.Thread(target=lambda: g.check("http://slow.example/"))
        thread.start()
        time.sleep(0.2)
        assert ended(child(lambda: g.check("http://127.0.0.2/") or os._exit(3))) == 0
        thread.join()
        print("well")
        """
        )
        == "well\n"
    )


def test_multiprocessing_and_a_pool_of_it(run: Callable[..., str]) -> None:
    assert (
        run(
            """
        import multiprocessing
        g = guard()
        def judge(url):
            return g.check(url).verdict
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(judge, ["http://a.example/", "http://b.example/"] * 2))
        """
        )
        == "['allow', 'deny', 'allow', 'deny']\n"
    )


ENDS = {
    "a blocked lookup in a daemon thread": """
        g = guard(resolver=[silent()])
        for _ in range(8):
            threading.Thread(target=lambda: g.check("http://slow.example/"), daemon=True).start()
        time.sleep(0.3)
    """,
    "a blocked connection in a daemon thread": """
        g, port = guard(), full()
        for _ in range(8):
            threading.Thread(target=lambda: g.connect("a.example", port, scheme="http"), daemon=True).start()
        time.sleep(0.3)
    """,
    "daemon threads that judge all the time": """
        g = guard(on_decision=lambda decision: None)
        def judges():
            while True:
                g.check("http://a.example/")
        for _ in range(8):
            threading.Thread(target=judges, daemon=True).start()
        time.sleep(0.3)
    """,
    "an asynchronous check that nobody waits for": """
        g = guard(resolver=[silent()], on_decision=lambda decision: None)
        async def main():
            asyncio.create_task(g.acheck("http://slow.example/"))
            await asyncio.sleep(0.1)
        asyncio.run(main())
    """,
    "a loop that is never closed": """
        g = guard(resolver=[silent()], limits={"resolve": 0.4})
        loop = asyncio.new_event_loop()
        task = loop.create_task(g.acheck("http://slow.example/"))
        loop.run_until_complete(asyncio.sleep(0.39))
        task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    """,
    "a watch": """
        g = guard()
        open("SETTINGS", "w").write("{}")
        w = g.watch(settings="SETTINGS", interval=0.01, on_swap=lambda swap: time.sleep(0.05))
        def writes():
            n = 0
            while True:
                n += 1
                replace("SETTINGS", '{"ports": [%d]}' % (n % 60000 + 1))
                time.sleep(0.03)
        threading.Thread(target=writes, daemon=True).start()
        time.sleep(0.5)
    """,
    "a guard that is made": """
        threading.Thread(target=pinfold.Guard, daemon=True).start()
        time.sleep(0.05)
    """,
    "a check at the very end": """
        import atexit
        g = guard()
        atexit.register(lambda: print(g.check("http://a.example/").verdict, flush=True))
        class Late:
            def __del__(self):
                try:
                    g.check("http://a.example/")
                except Exception:
                    pass
        late = Late()
    """,
    "an exit out of a listener": """
        g = guard(on_decision=lambda decision: os._exit(0))
        g.check("http://a.example/")
    """,
}


@pytest.mark.parametrize("name", ENDS)
def test_the_interpreter_ends_with(name: str, run: Callable[..., str], tmp_path: Path) -> None:
    script = ENDS[name].replace("SETTINGS", str(tmp_path / "settings.json"))
    for _ in range(3):
        run(script)


LATE = {
    "a thread": """
        found = []
        thread = threading.Thread(target=lambda: found.append(g.check("http://a.example/").verdict))
        thread.start()
        thread.join()
        print(found, seen)
    """,
    "asyncio": """
        print([asyncio.run(g.acheck("http://slow.example/")).verdict], seen)
    """,
}


@pytest.mark.parametrize("name", LATE)
def test_an_exit_handler_that_was_there_before_may_wait(name: str, run: Callable[..., str]) -> None:
    """Such handlers run last: those of whoever sends what is left, for instance."""
    before = f"""
        import atexit
        def last():
            exec({textwrap.dedent(LATE[name])!r}, globals())
        atexit.register(last)
    """
    script = """
        g = guard(**OPTIONS)
        seen = []
        g.on_decision(lambda decision: seen.append(decision.verdict))
    """
    slow = name == "asyncio"
    options = "OPTIONS = {'resolver': [silent()], 'limits': {'resolve': 0.3}}" if slow else "OPTIONS = {}"
    expected = "['failed'] ['failed']" if slow else "['allow'] ['allow']"
    assert run(f"{options}\n{textwrap.dedent(script)}", before=before).strip() == expected


def test_exit_handlers_that_are_only_forgotten_end_nothing(run: Callable[..., str]) -> None:
    """`multiprocessing` does so in a child."""
    assert run('import atexit; g = guard(); atexit._clear(); print(g.check("http://a.example/").verdict)') == "allow\n"


def test_a_fork_while_a_guard_is_made_by_who_configures_logging(run: Callable[..., str]) -> None:
    """He has the lock of logging, which a fork takes as well."""
    assert (
        run(
            """
        import logging
        ends = threading.Event()
        def configures():
            while not ends.is_set():
                with logging._lock:
                    guard()
        thread = threading.Thread(target=configures)
        thread.start()
        for _ in range(30):
            assert ended(child(lambda: logging.getLogger().setLevel("INFO"))) == 0
        ends.set()
        thread.join()
        print("well")
        """
        )
        == "well\n"
    )


@pytest.mark.parametrize(
    "blocked",
    [
        "g, port = guard(), full(); work = lambda: g.connect('a.example', port, scheme='http')",
        "g = guard(resolver=[silent()], limits={'resolve': 40}); work = lambda: g.check('http://slow.example/')",
        "g = guard(resolver=[silent()], limits={'resolve': 40});"
        " work = lambda: asyncio.run(g.aresolve('http://slow.example/'))",
    ],
    ids=["connection", "lookup", "asyncio"],
)
def test_a_signal_interrupts(start: Callable[[str], subprocess.Popen[str]], blocked: str) -> None:
    process = start(
        f"""
        # Whoever runs the tests in the background of a shell has it ignored, and so have its children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        {blocked}
        seen = []
        g.on_decision(seen.append)
        print("ready", flush=True)
        try:
            work()
        except KeyboardInterrupt:
            while not seen:
                time.sleep(0.01)
            print("interrupted", [decision.code for decision in seen], flush=True)
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("interrupted ['abandoned']\n", "", 0)
