"""Policies and settings that are replaced when files change."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

import pinfold

Make = Callable[..., pinfold.Guard]


class Heard:
    """Keeps what a watch tells."""

    def __init__(self) -> None:
        self.swaps: list[pinfold.Swap] = []
        self._more = threading.Condition()

    def __call__(self, swap: pinfold.Swap) -> None:
        with self._more:
            self.swaps.append(swap)
            self._more.notify_all()

    def wait_for(self, count: int) -> pinfold.Swap:
        with self._more:
            assert self._more.wait_for(lambda: len(self.swaps) >= count, 10)
            return self.swaps[count - 1]


@pytest.fixture
def heard() -> Heard:
    """A listener."""
    return Heard()


@pytest.mark.parametrize(("name", "text"), [("s.json", '{{"ports": [{}]}}'), ("s.toml", "ports = [{}]")])
def test_settings_that_change(guard: pinfold.Guard, heard: Heard, tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text.format(80))
    before = _watching()
    with guard.watch(settings=file, interval=0.01, on_swap=heard):
        # At once, since the guard has no settings.
        assert heard.wait_for(1) == pinfold.Swap(2, None)
        assert guard.check("http://127.0.0.2:81/").code == "port-denied"
        replace(file, text.format(81))
        assert heard.wait_for(2) == pinfold.Swap(3, None)
        assert guard.check("http://127.0.0.2:81/")
        replace(file, text.format("no number"))
        error = heard.wait_for(3).error
        assert isinstance(error, pinfold.PolicyError)
        assert error.hint
        assert guard.check("http://127.0.0.2:81/")
    # It waited for the thread that watched.
    replace(file, text.format(82))
    assert _watching() == before
    assert len(heard.swaps) == 3


def test_settings_that_are_loaded_already_are_not_loaded_again(make_guard: Make, heard: Heard, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"ports": [80], "schemes": ["http"]}')
    guard = make_guard(settings=file)
    with guard.watch(settings=file, interval=0.01, on_swap=heard):
        time.sleep(0.1)
    assert guard.generation == 1
    assert heard.swaps == []


def test_what_is_not_watched_stays(make_guard: Make, heard: Heard, tmp_path: Path) -> None:
    """Settings of a policy of one's own are not given to the shipped one; nor does a layer beside it change."""
    layers = [pinfold.Layer("first", settings={"schemes": ["http"]}), pinfold.Layer("second")]
    guard = make_guard(layers=layers)
    file = tmp_path / "s.json"
    file.write_text('{"ports": [80]}')
    with guard.watch(settings=file, layer="second", interval=0.01, on_swap=heard):
        guard.swap(settings={"schemes": ["https"]}, layer="first")
        replace(file, '{"ports": [81]}')
        heard.wait_for(2)
        assert guard.check("http://127.0.0.2:81/").code == "scheme-denied"
        guard.swap(layer="first")
        assert guard.check("http://127.0.0.2:81/")
        assert guard.check("http://127.0.0.2:80/").code == "port-denied"


@pytest.mark.parametrize("text", [None, "{", '{"ports": [0]}'])
def test_files_that_are_bad_at_once(guard: pinfold.Guard, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "s.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(pinfold.PolicyError) as raised:
        guard.watch(settings=file)
    assert raised.value.hint
    assert guard.generation == 1
    with pytest.raises(pinfold.PolicyError):
        guard.watch(layer="nobody")
    with pytest.raises(ValueError, match="positive"):
        guard.watch(interval=0)


def test_a_watch_that_is_stopped_by_its_listener(guard: pinfold.Guard, heard: Heard, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text("{}")
    watches: list[pinfold.Watch] = []

    def stops(swap: pinfold.Swap) -> None:
        watches[0].stop()
        heard(swap)

    watches.append(guard.watch(settings=file, interval=0.01, on_swap=stops))
    replace(file, '{"ports": [80]}')
    heard.wait_for(1)
    watches[0].stop()
    replace(file, '{"ports": [81]}')
    time.sleep(0.1)
    assert len(heard.swaps) == 1


def test_a_listener_that_fails(
    guard: pinfold.Guard, heard: Heard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "s.json"
    file.write_text("{}")

    def fails(swap: pinfold.Swap) -> None:
        heard(swap)
        raise ValueError("no")

    with guard.watch(settings=file, interval=0.01, on_swap=fails):
        replace(file, '{"ports": [80]}')
        heard.wait_for(1)
        replace(file, '{"ports": [81]}')
        heard.wait_for(2)
    assert "`on_swap` failed" in caplog.text


def test_a_guard_that_is_gone_is_watched_for_no_longer(make_guard: Make, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text("{}")
    guard = make_guard()
    # Unnamed: the guard keeps it.
    before = _watching()
    guard.watch(settings=file, interval=0.01, on_swap=guard.on_decision)
    _wait_for(lambda: _watching() > before)
    gone = weakref.ref(guard)
    del guard
    gc.collect()
    assert gone() is None
    _wait_for(lambda: _watching() <= before)


@pytest.mark.parametrize("text", ["", "# later\n", "[hosts]\n", "[hosts]\n[networks]\n"])
def test_a_toml_file_that_is_written_in_place_lifts_nothing(
    make_guard: Make, heard: Heard, tmp_path: Path, text: str
) -> None:
    """What stands there meanwhile is TOML as well: an editor empties a file first, and a disk may be full."""
    file = tmp_path / "s.toml"
    file.write_text("ports = [81]\n")
    guard = make_guard(settings=file)
    with guard.watch(settings=file, interval=0.01, on_swap=heard):
        replace(file, text)
        error = heard.wait_for(1).error
        assert isinstance(error, pinfold.PolicyError)
        assert "says nothing any more" in str(error)
        assert guard.check("http://127.0.0.2/").code == "port-denied"
        replace(file, "ports = [80]\n")
        assert heard.wait_for(2).generation == 2
    # One that never said anything may go on so.
    file.write_text("")
    with make_guard().watch(settings=file, interval=0.01):
        pass


def replace(file: Path, text: str) -> None:
    """As a file that is watched should be: no look finds half of it."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _watching() -> int:
    """Threads of this process that watch."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        # It may end while it is looked at.
        with contextlib.suppress(OSError):
            count += (task / "comm").read_text().startswith("pinfold-watch")
    return count
