"""`guard_process`: what it stops, what it lets pass, and what it cannot see.

A hook stays until the process ends: each test has processes of its own, and counts the connections that arrive here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pinfold
from pinfold._process.addresses import Destination
from pinfold._process.allowed import Allowed

PACKAGE = Path(pinfold.__file__).parents[1]
HOST = "127.0.0.3"

_BEGIN = """
import asyncio, json, os, socket, sys, threading
import pinfold
from pinfold.process import ConnectRefused, guard_process
host, unlisted, listed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
told = []

def attempt(work, port):
    try:
        work(port)
        return ["passed"]
    except BaseException as error:
        found = [type(error).__name__]
        reason = getattr(error, "reason", None) or getattr(error, "cause", None)
        while error is not None:
            found += [kind.__name__ for kind in type(error).__mro__]
            error = error.__cause__ or error.__context__
        return found
"""

_BOTH = """
handle = guard_process(allow=[f"{host}:{listed}"], on_event=told.append)
first = attempt(work, unlisted)
refused = handle.counts["refused"]
second = attempt(work, listed)
print(json.dumps({"first": first, "second": second, "refused": refused, "counts": handle.counts,
                  "told": [[one.destination, one.event, one.refused] for one in told]}))
"""


class Recorder:
    """Accepts connections and closes them, and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._listening = socket.create_server((HOST, 0), backlog=50)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with socket.socket() as last:
            last.bind((HOST, 0))
            self._last = last.getsockname()
            last.connect((HOST, self.port))
            self._thread.join(10)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            accepted, peer = self._listening.accept()
            accepted.close()
            if peer == getattr(self, "_last", None):
                return
            self.count += 1


@pytest.fixture
def recorders() -> Iterator[tuple[Recorder, Recorder]]:
    """One that is not listed, one that is."""
    pair = (Recorder(), Recorder())
    yield pair
    for recorder in pair:
        recorder.stop()


def run(code: str, *arguments: object, begin: str = _BEGIN, code_of: int = 0, **environment: str) -> Any:
    """What a process prints, as JSON."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", begin + textwrap.dedent(code), *map(str, arguments)],
        env={**clean, "PYTHONPATH": str(PACKAGE), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code_of, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def finish(recorders: tuple[Recorder, Recorder]) -> tuple[int, int]:
    """Counts after everything that is under way."""
    for recorder in recorders:
        recorder.stop()
        recorder.stop = lambda: None  # type: ignore[method-assign]  # it is done
    return recorders[0].count, recorders[1].count


# --- What it stops, each once where it is not listed and once where it is.

STOPPED = {
    "urllib": "import urllib.request\ndef work(port): urllib.request.urlopen(f'http://{host}:{port}/')",
    "http.client": (
        "import http.client\n"
        "def work(port):\n"
        "    connection = http.client.HTTPConnection(host, port)\n"
        "    connection.request('GET', '/')"
    ),
    "smtplib": "import smtplib\ndef work(port): smtplib.SMTP(host, port)",
    "ftplib": "import ftplib\ndef work(port): ftplib.FTP().connect(host, port)",
    "imaplib": "import imaplib\ndef work(port): imaplib.IMAP4(host, port)",
    "xmlrpc": "import xmlrpc.client\ndef work(port): xmlrpc.client.ServerProxy(f'http://{host}:{port}/').x()",
    "pymysql": "import pymysql\ndef work(port): pymysql.connect(host=host, port=port, user='u')",
    "requests": "import requests\ndef work(port): requests.get(f'http://{host}:{port}/')",
    "urllib3": "import urllib3\ndef work(port): urllib3.request('GET', f'http://{host}:{port}/', retries=False)",
    "httpx": "import httpx\ndef work(port): httpx.get(f'http://{host}:{port}/')",
    "httpx, asyncio": (
        "import httpx\n"
        "async def one(port):\n"
        "    async with httpx.AsyncClient() as client: await client.get(f'http://{host}:{port}/')\n"
        "def work(port): asyncio.run(one(port))"
    ),
    "aiohttp": (
        "import aiohttp\n"
        "async def one(port):\n"
        "    async with aiohttp.ClientSession() as session: await session.get(f'http://{host}:{port}/')\n"
        "def work(port): asyncio.run(one(port))"
    ),
    "trio": "import trio\ndef work(port): trio.run(trio.open_tcp_stream, host, port)",
    "asyncio.open_connection": "def work(port): asyncio.run(asyncio.open_connection(host, port))",
    "loop.sock_connect": (
        "async def one(port):\n"
        "    with socket.socket() as made:\n"
        "        made.setblocking(False)\n"
        "        await asyncio.get_running_loop().sock_connect(made, (host, port))\n"
        "def work(port): asyncio.run(one(port))"
    ),
    "uvloop, loop.sock_connect": (
        "import uvloop\n"
        "async def one(port):\n"
        "    with socket.socket() as made:\n"
        "        made.setblocking(False)\n"
        "        await asyncio.get_running_loop().sock_connect(made, (host, port))\n"
        "def work(port): uvloop.run(one(port))"
    ),
    "connect": "def work(port): socket.socket().connect((host, port))",
    "connect_ex": "def work(port): socket.socket().connect_ex((host, port))",
    "the C type": "import _socket\ndef work(port): _socket.socket().connect((host, port))",
    "bytes": "def work(port): socket.socket().connect((host.encode(), port))",
    "mapped": "def work(port): socket.socket(socket.AF_INET6).connect((f'::ffff:{host}', port))",
    "a thread": (
        "def work(port):\n"
        "    found = []\n"
        "    def one():\n"
        "        try: socket.create_connection((host, port))\n"
        "        except BaseException as error: found.append(error)\n"
        "    thread = threading.Thread(target=one); thread.start(); thread.join()\n"
        "    if found: raise found[0]"
    ),
    "a socket with another family on its face": (
        "class Odd(socket.socket):\n"
        "    family = socket.AF_UNIX\n"
        "def work(port): Odd().connect((host, port))"
    ),
    "TCP fast open": (
        "def work(port): socket.socket().sendto(b'x', getattr(socket, 'MSG_FASTOPEN', 0), (host, port))"
    ),
}  # fmt: skip
# They keep our exception to themselves, or tell it as text.
_NOT_CHAINED = {"trio"}


@pytest.mark.parametrize("client", STOPPED)
def test_it_stops_what_is_not_listed_and_nothing_else(client: str, recorders: tuple[Recorder, Recorder]) -> None:
    unlisted, listed = recorders
    told = run(STOPPED[client] + _BOTH, HOST, unlisted.port, listed.port)
    assert told["refused"] >= 1
    assert told["told"][0][0] == f"{HOST}:{unlisted.port}"
    assert told["counts"]["allowed"] >= 1
    if client not in _NOT_CHAINED:
        assert {"ConnectRefused", "PermissionError", "Denied"} <= set(told["first"])
    assert "ConnectRefused" not in told["second"]
    before, after = finish(recorders)
    assert before == 0
    # An old kernel, or one that is told so, does no TCP fast open.
    assert after >= 1 or client == "TCP fast open"


def test_datagrams(tmp_path: Path) -> None:
    """`sendto`, `sendmsg` and `connect` of UDP."""
    code = """
        def send(port): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (host, port))
        def message(port): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, (host, port))
        def connected(port):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.connect((host, port))
            made.sendmsg([b"x"])
        guard_process(allow=[f"{host}:{listed}"])
        print(json.dumps([["ConnectRefused" in attempt(work, port) for port in (unlisted, listed)]
                          for work in (send, message, connected)]))
    """
    with socket.socket(type=socket.SOCK_DGRAM) as unlisted, socket.socket(type=socket.SOCK_DGRAM) as listed:
        for receiver in (unlisted, listed):
            receiver.bind((HOST, 0))
            receiver.settimeout(10)
        assert run(code, HOST, unlisted.getsockname()[1], listed.getsockname()[1]) == [[True, False]] * 3
        assert [listed.recv(10) for _ in range(3)] == [b"x"] * 3
        unlisted.setblocking(False)
        with pytest.raises(BlockingIOError):
            unlisted.recv(10)


def test_unix_sockets_and_other_families(tmp_path: Path) -> None:
    code = """
        listed, other = sys.argv[4:6]
        handle = guard_process(allow=[f"unix:{listed}"])
        def unix(path): socket.socket(socket.AF_UNIX).connect(path)
        def netlink(_): socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).connect((0, 0))
        found = [attempt(unix, listed)[0], attempt(unix, other)[0], attempt(unix, "\\0abstract")[0],
                 attempt(unix, listed.encode())[0], attempt(netlink, 0)[0]]
        handle.allow("unix:*", "family:netlink")
        found += [attempt(unix, other)[0], attempt(netlink, 0)[0]]
        print(json.dumps([found, [one.destination for one in handle.report()]]))
    """
    found, report = run(code, HOST, 0, 0, tmp_path / "a", tmp_path / "b")
    missing = "FileNotFoundError"
    refused = "ConnectRefused"
    assert found == [missing, refused, refused, missing, refused, missing, "passed"]
    assert report == ["family:netlink", f"unix:{tmp_path / 'b'}", "unix:@abstract"]


def test_a_name_given_to_connect_is_refused_unless_it_is_listed(recorders: tuple[Recorder, Recorder]) -> None:
    """The C code looks it up by itself, and what it found is not told."""
    code = """
        def named(port): socket.socket().connect(("localhost", port))
        handle = guard_process(allow=["127.0.0.0/8:*"])
        found = [attempt(lambda _, spelt=spelt: socket.socket().connect((spelt, unlisted)), 0)[0]
                 for spelt in ("localhost", "127.1", "2130706433", "0x7f000003", "", "<broadcast>", "127.0.0.03")]
        handle.allow("localhost:*")
        print(json.dumps([found, attempt(named, unlisted)[0]]))
    """
    found, listed = run(code, HOST, recorders[0].port, recorders[1].port)
    # The system itself may not take all of these spellings for an address.
    assert set(found) <= {"ConnectRefused", "gaierror"}
    assert found[:4] == ["ConnectRefused"] * 4
    assert listed == "ConnectionRefusedError"
    assert finish(recorders) == (0, 0)


def test_what_an_object_says_of_itself_is_not_what_is_read(recorders: tuple[Recorder, Recorder]) -> None:
    """C reads what is in it. All of these say that they are what is listed."""
    code = """
        import enum
        guard_process(allow=[f"127.0.0.2:{unlisted}", f"{host}:{listed}"])
        class Text(str):
            def __str__(self): return "127.0.0.2"
            __repr__ = __format__ = __str__
            def __getitem__(self, at): return "127.0.0.2"[at]
        class Octets(bytes):
            def __bytes__(self): return b"127.0.0.2"
            def __buffer__(self, flags): return memoryview(b"127.0.0.2")
        class Array(bytearray):
            def __bytes__(self): return b"127.0.0.2"
            def __buffer__(self, flags): return memoryview(b"127.0.0.2")
        class Pair(tuple):
            def __getitem__(self, at): return ("127.0.0.2", unlisted)[at]
            def __iter__(self): return iter(("127.0.0.2", unlisted))
        class Port(int):
            def __int__(self): return listed
            __index__ = __int__
        class Word(str, enum.Enum):
            HOST = host
        def connects(told):
            with socket.socket() as sock:
                sock.connect(told)
        places = [(Text(host), unlisted), (Octets(host.encode()), unlisted), (Array(host.encode()), unlisted),
                  Pair((host, unlisted)), (host, Port(unlisted))]
        found = [attempt(connects, place)[0] for place in places]
        plain = [attempt(connects, place)[0] for place in [(Word.HOST, listed), (bytearray(host.encode()), listed)]]
        guard_process(lookups="refuse")
        asked = attempt(lambda name: socket.getaddrinfo(name, None), Text("localhost"))[0]
        print(json.dumps([found, plain, asked]))
    """
    found, plain, asked = run(code, HOST, recorders[0].port, recorders[1].port)
    assert finish(recorders) == (0, 2)
    assert found == ["ConnectRefused"] * 5
    assert plain == ["passed", "passed"]
    assert asked == "ConnectRefused"


def test_what_a_lookup_imports_is_there_before_a_fork() -> None:
    assert run("import sys\nprint(json.dumps('encodings.idna' in sys.modules))", HOST, 1, 1)


def test_a_scoped_address_is_refused() -> None:
    code = """
        handle = guard_process(allow=["[fe80::/10]:*"])
        print(json.dumps(attempt(lambda _: socket.socket(socket.AF_INET6).connect(("fe80::1", 9, 0, 1)), 0)))
    """
    assert run(code, HOST, 0, 0)[0] == "ConnectRefused"


def test_a_listed_name_is_looked_up_for_its_addresses() -> None:
    """`localhost` is what every system knows without a name server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        code = """
            handle = guard_process(allow=[f"localhost:{listed}"])
            print(json.dumps([attempt(lambda port: socket.create_connection(("127.0.0.1", port)).close(), listed)[0],
                              attempt(lambda port: socket.create_connection((host, port)), listed)[0]]))
        """
        assert run(code, HOST, 0, listening.getsockname()[1]) == ["passed", "ConnectRefused"]


def test_what_a_guard_handed_out_passes(recorders: tuple[Recorder, Recorder]) -> None:
    code = """
        answers = pinfold.FixedAnswers()
        answers.set("public.example.com", [host])
        guard = pinfold.Guard(resolver=answers, grants=[host])
        other = pinfold.Guard(resolver=answers, grants=[host])
        handle = guard_process(guard=guard)
        def work(port):
            address = guard.resolve(f"http://public.example.com:{port}/").addresses[0]
            socket.create_connection(address).close()
        def foreign(port):
            socket.create_connection(other.resolve(f"http://{host}:{port}/").addresses[0])
        def unasked(port): socket.create_connection((host, port))
        def native(port): guard.connect("public.example.com", port, scheme="http").close()
        print(json.dumps([attempt(work, listed)[0], attempt(unasked, unlisted)[0], attempt(foreign, unlisted)[0],
                          attempt(native, unlisted)[0], handle.counts]))
    """
    *found, counts = run(code, HOST, recorders[0].port, recorders[1].port)
    assert found == ["passed", "ConnectRefused", "ConnectRefused", "passed"]
    assert counts == {"allowed": 0, "approved": 1, "refused": 2, "reported": 0}
    assert finish(recorders) == (1, 1)


def test_adapters_keep_working(recorders: tuple[Recorder, Recorder]) -> None:
    """Their sockets are connected by the native half."""
    code = """
        import pinfold.urllib
        guard_process()
        guard = pinfold.Guard(grants=[host])
        print(json.dumps(attempt(lambda port: pinfold.urllib.urlopen(f"http://{host}:{port}/", guard=guard), listed)))
    """
    assert "ConnectRefused" not in run(code, HOST, recorders[0].port, recorders[1].port)
    assert finish(recorders) == (0, 1)


# --- What it does not stop. That is what docs/python-process.md says.

NOT_SEEN = {
    "psycopg2": (
        "import psycopg2\n"
        "def work(port): psycopg2.connect(host=host, port=port, user='u', connect_timeout=5, sslmode='disable')"
    ),
    "pycurl": (
        "import pycurl\n"
        "def work(port):\n"
        "    curl = pycurl.Curl(); curl.setopt(pycurl.URL, f'http://{host}:{port}/'); curl.perform()"
    ),
    "uvloop": "import uvloop\ndef work(port): uvloop.run(asyncio.open_connection(host, port))",
    "a subprocess": (
        "import subprocess\n"
        "code = 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))'\n"
        "def work(port): subprocess.run([sys.executable, '-c', code, host, str(port)], check=True)"
    ),
    "ctypes": (
        "import ctypes, struct\n"
        "def work(port):\n"
        "    address = struct.pack('=H', socket.AF_INET) + struct.pack('!H', port)\n"
        "    address += socket.inet_aton(host) + bytes(8)\n"
        "    made = socket.socket()\n"
        "    if ctypes.CDLL(None, use_errno=True).connect(made.fileno(), address, len(address)):\n"
        "        raise OSError(ctypes.get_errno(), 'connect')"
    ),
}  # fmt: skip


@pytest.mark.parametrize("client", NOT_SEEN)
def test_it_does_not_see(client: str, recorders: tuple[Recorder, Recorder]) -> None:
    unlisted, listed = recorders
    told = run(NOT_SEEN[client] + _BOTH, HOST, unlisted.port, listed.port)
    assert told["counts"]["refused"] == 0
    assert finish(recorders)[0] >= 1


def test_it_does_not_see_sockets_that_were_connected_before(recorders: tuple[Recorder, Recorder]) -> None:
    code = """
        with socket.create_server((host, 0)) as listening:
            made = socket.create_connection(listening.getsockname())
            handle = guard_process()
            made.sendall(b"x")
            print(json.dumps([listening.accept()[0].recv(10).decode(), handle.counts["refused"]]))
    """
    assert run(code, HOST, 0, 0) == ["x", 0]


def test_lookups_are_refused_only_when_that_is_asked_for() -> None:
    code = """
        def look(name): socket.getaddrinfo(name, 80)
        handle = guard_process(allow=["localhost:80"])
        found = ["ConnectRefused" in attempt(look, "a.invalid")]
        handle = guard_process(allow=["localhost:80"], lookups="refuse")
        found += ["ConnectRefused" in attempt(look, name) for name in ("a.invalid", b"a.invalid", "localhost", host)]
        found += ["ConnectRefused" in attempt(socket.gethostbyname, "b.invalid")]
        print(json.dumps([found, [one.destination for one in handle.report()]]))
    """
    found, report = run(code, HOST, 0, 0)
    assert found == [False, True, True, False, False, True]
    assert report == ["lookup:a.invalid", "lookup:a.invalid", "lookup:b.invalid"] or set(report) == {
        "lookup:a.invalid",
        "lookup:b.invalid",
    }


# --- Report mode.


def test_report_mode_refuses_nothing_and_tells_who(recorders: tuple[Recorder, Recorder], tmp_path: Path) -> None:
    program = tmp_path / "application.py"
    program.write_text(
        _BEGIN
        + textwrap.dedent("""
        import logging, urllib.request
        def broken(event):
            told.append(event)
            raise RuntimeError("a listener that fails")
        logs = []
        class Keep(logging.Handler):
            def emit(self, record): logs.append(record.getMessage())
        logging.getLogger("pinfold.process").addHandler(Keep())
        handle = guard_process(mode="report", on_event=broken)
        for _ in range(3):
            attempt(lambda port: urllib.request.urlopen(f"http://{host}:{port}/"), unlisted)
        attempt(lambda port: asyncio.run(asyncio.open_connection(host, port)), listed)
        print(json.dumps({"mode": handle.mode, "counts": handle.counts, "told": len(told), "logs": len(logs),
                          "report": [[one.destination, one.caller, one.count] for one in handle.report()]}))
        """)
    )
    line = next(n for n, text in enumerate(program.read_text().splitlines(), 1) if "urlopen(" in text)
    found = run(
        "import runpy\nrunpy.run_path(sys.argv.pop())",
        HOST, recorders[0].port, recorders[1].port, program, begin="import sys\n",
    )  # fmt: skip
    assert finish(recorders) == (3, 1)
    assert found["mode"] == "report"
    assert found["counts"]["reported"] == found["told"] == 4
    # The log has each once.
    assert found["logs"] == 2
    assert found["report"][0] == [f"{HOST}:{recorders[0].port}", f"{program}:{line}", 3]
    assert found["report"][1][0] == f"{HOST}:{recorders[1].port}"


@pytest.mark.parametrize("installed", [True, False])
def test_a_report_names_no_line_of_this_package(
    recorders: tuple[Recorder, Recorder], tmp_path: Path, installed: bool
) -> None:
    """A pool has no line of the application on its stack; nor does what is run here."""
    found = tmp_path / ("site-packages" if installed else "source")
    found.mkdir()
    (found / "pinfold").symlink_to(PACKAGE / "pinfold")
    code = """
        import concurrent.futures, urllib.request
        assert pinfold.__file__.startswith(sys.argv[4]), pinfold.__file__
        handle = guard_process(mode="report")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pool.submit(urllib.request.urlopen, f"http://{host}:{unlisted}/").exception()
        attempt(lambda port: urllib.request.urlopen(f"http://{host}:{port}/"), listed)
        print(json.dumps([one.caller for one in handle.report()]))
    """
    callers = run(code, HOST, recorders[0].port, recorders[1].port, found, PYTHONPATH=str(found))
    assert finish(recorders) == (1, 1)
    assert len(callers) == 2
    assert not any("pinfold" in caller for caller in callers)


def test_report_mode_breaks_nothing_when_the_hook_itself_fails(recorders: tuple[Recorder, Recorder]) -> None:
    code = """
        import pinfold.process
        def broken(*_): raise ZeroDivisionError
        pinfold.process.read = broken
        handle = guard_process(mode="report")
        found = attempt(lambda port: socket.create_connection((host, port)).close(), unlisted)[0]
        handle = guard_process(mode="enforce", allow=[f"{host}:{listed}"])
        print(json.dumps([found, attempt(lambda port: socket.create_connection((host, port)), listed)[0]]))
    """
    assert run(code, HOST, recorders[0].port, recorders[1].port) == ["passed", "ConnectRefused"]
    assert finish(recorders) == (1, 0)


def test_a_report_is_bounded() -> None:
    code = """
        handle = guard_process()
        for port in range(1, 1101):
            attempt(lambda port: socket.create_connection((host, port)), port)
        report = handle.report()
        print(json.dumps([len(report), report[-1].destination, report[-1].count, handle.counts["refused"]]))
    """
    assert run(code, HOST, 0, 0) == [1001, "(more)", 100, 1100]


# --- The process.


def test_a_second_call_replaces_the_first(recorders: tuple[Recorder, Recorder]) -> None:
    code = """
        def work(port): socket.create_connection((host, port)).close()
        first = guard_process(allow=[f"{host}:{unlisted}"])
        found = [attempt(work, unlisted)[0]]
        second = guard_process(allow=[f"{host}:{listed}"])
        found += [attempt(work, unlisted)[0], attempt(work, listed)[0]]
        second.mode = "report"
        found += [attempt(work, unlisted)[0]]
        print(json.dumps([found, first.counts["allowed"], second.counts]))
    """
    found, first, second = run(code, HOST, recorders[0].port, recorders[1].port)
    assert found == ["passed", "ConnectRefused", "passed", "passed"]
    assert first == 1
    assert second == {"allowed": 1, "approved": 0, "refused": 1, "reported": 1}


def test_a_child_inherits_it(recorders: tuple[Recorder, Recorder]) -> None:
    """As workers of a server that loads the application first, while other threads connect."""
    code = """
        handle = guard_process(allow=[f"{host}:{listed}", "localhost:9"])
        def work(port): socket.create_connection((host, port)).close()
        # CPython imports a module at the first lookup, and a fork amid an import is one that never ends.
        attempt(work, unlisted)
        over = threading.Event()
        def busy():
            while not over.is_set(): attempt(work, unlisted)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads: thread.start()
        statuses = []
        for _ in range(10):
            child = os.fork()
            if not child:
                good = attempt(work, unlisted)[0] == "ConnectRefused" and attempt(work, listed)[0] == "passed"
                handle.allow(f"{host}:{unlisted}")
                handle.report()
                os._exit(0 if good and attempt(work, listed)[0] == "passed" else 1)
            statuses.append(os.waitpid(child, 0)[1])
        over.set()
        for thread in threads: thread.join()
        print(json.dumps([statuses, attempt(work, unlisted)[0]]))
    """
    assert run(code, HOST, recorders[0].port, recorders[1].port) == [[0] * 10, "ConnectRefused"]
    assert finish(recorders) == (0, 20)


def test_many_threads(recorders: tuple[Recorder, Recorder]) -> None:
    code = """
        handle = guard_process(allow=[f"{host}:{listed}"])
        def work(port): socket.create_connection((host, port)).close()
        def many():
            for _ in range(50): attempt(work, unlisted)
            attempt(work, listed)
        threads = [threading.Thread(target=many) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(json.dumps(handle.counts))
    """
    assert run(code, HOST, recorders[0].port, recorders[1].port) == {
        "allowed": 8, "approved": 0, "refused": 400, "reported": 0,
    }  # fmt: skip
    assert finish(recorders) == (0, 8)


def test_a_log_that_goes_over_the_network_does_not_recur() -> None:
    code = """
        import logging.handlers
        handler = logging.handlers.SocketHandler(host, unlisted or 9)
        handler.handleError = lambda record: None
        logging.getLogger("pinfold.process").addHandler(handler)
        handle = guard_process(on_event=lambda event: attempt(lambda port: socket.create_connection((host, 7)), 7))
        first = attempt(lambda port: socket.create_connection((host, 8)), 8)[0]
        print(json.dumps([first, sorted(one.destination for one in handle.report())]))
    """
    assert run(code, HOST, 0, 0) == ["ConnectRefused", [f"{HOST}:7", f"{HOST}:8", f"{HOST}:9"]]


def test_a_hook_that_lets_no_other_in_is_noticed() -> None:
    code = """
        def jealous(event, arguments):
            if event == "sys.addaudithook": raise RuntimeError("no")
        sys.addaudithook(jealous)
        try:
            guard_process()
        except pinfold.PolicyError as error:
            print(json.dumps(error.code))
    """
    assert run(code, HOST, 0, 0) == "hook-refused"


def test_subinterpreters() -> None:
    """They have no hook: what docs/python-process.md says of them."""
    code = """
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        guard_process()
        made = interpreters.create()
        program = f"import socket\\ntry: socket.create_connection(('{host}', {unlisted}))\\n" \\
                  "except PermissionError: raise SystemExit\\nexcept ConnectionError: pass"
        try:
            result = interpreters.run_string(made, program)
        except BaseException as error:
            result = error
        print(json.dumps(result is None))
    """
    with socket.create_server((HOST, 0)) as listening:
        assert run(code, HOST, listening.getsockname()[1], 0) is True
        listening.settimeout(10)
        listening.accept()[0].close()


# --- The exception, and the list.


def test_the_exception_names_no_address_in_its_text() -> None:
    code = """
        guard_process()
        try:
            socket.create_connection((host, 9))
        except OSError as error:
            print(json.dumps([str(error), error.code, error.stage, error.detail, error.status, error.errno, error.hint,
                              isinstance(error, pinfold.Denied), bool(error.correlation_id)]))
    """
    text, code_of, stage, detail, status, number, hint, denied, correlated = run(code, HOST, 0, 0)
    assert text == "refused at stage `process`: process-connect-refused"
    assert (code_of, stage, detail, status) == ("process-connect-refused", "process", f"{HOST}:9", 403)
    assert number == 13
    assert HOST not in hint
    assert "allow=[" in hint
    assert denied
    assert correlated


ENTRIES = [
    # entry, destination, whether it holds
    ("10.0.0.5:5432", ("10.0.0.5", 5432), True),
    ("10.0.0.5:5432", ("10.0.0.5", 5433), False),
    ("10.0.0.5:5432", ("10.0.0.6", 5432), False),
    ("10.1.0.0/16:6379", ("10.1.255.255", 6379), True),
    ("10.1.0.0/16:6379", ("10.2.0.0", 6379), False),
    ("[fd00::1]:5432", ("fd00::1", 5432), True),
    ("[fd00::/8]:5432", ("fd12::1", 5432), True),
    ("[::/0]:*", ("10.0.0.5", 80), False),
    ("0.0.0.0/0:443", ("1.1.1.1", 443), True),
    ("10.0.0.5:*", ("10.0.0.5", 1), True),
    ("10.0.0.5:8000-8099", ("10.0.0.5", 8099), True),
    ("10.0.0.5:8000-8099", ("10.0.0.5", 8100), False),
]


@pytest.mark.parametrize(("entry", "to", "holds"), ENTRIES)
def test_entries(entry: str, to: tuple[str, int], holds: bool) -> None:
    import ipaddress

    assert Allowed([entry]).holds(Destination(ip=ipaddress.ip_address(to[0]), port=to[1])) is holds


@pytest.mark.parametrize(
    "entry",
    ["", "10.0.0.5", "10.0.0.5:", "10.0.0.5:0", "10.0.0.5:65536", "10.0.0.5:90-80", "10.0.0.5/8:1", "10.0.0:1", ":5432",
     "fd00::1:5432", "[fd00::1:5432", "*.internal:5432", "a b:1", "127.1:80", "0x7f.0.0.1:80", "1.2.3.0x4:80",
     "[::ffff:10.0.0.5]:80", "unix:", "family:inet", "http://db:5432/", "db:http", "10.0.0.5:٣"],
)  # fmt: skip
def test_entries_that_cannot_be_read(entry: str) -> None:
    with pytest.raises(pinfold.PolicyError) as refused:
        Allowed(["10.0.0.1:1", entry])
    assert refused.value.hint


def test_a_text_is_no_list() -> None:
    with pytest.raises(pinfold.PolicyError):
        Allowed("10.0.0.5:5432")
