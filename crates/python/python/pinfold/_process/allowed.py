"""What an application lists: addresses, networks, names, sockets of its machine."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pinfold import errors
from pinfold._process.addresses import Address, Destination, text

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Seconds for which an address is taken for one of a name after the name last answered with it: pools connect late.
KEPT = 300.0
# Seconds between two lookups of one name: somebody who tries addresses must not make this process ask all the time.
PAUSE = 1.0
# Most addresses that are kept of one name.
MOST_ADDRESSES = 256

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
_FORMS = (
    "`10.0.0.5:5432`, `10.1.0.0/16:6379`, `[fd00::1]:5432`, `db.internal:5432`, `unix:/run/x.sock`, `family:netlink`"
)


@dataclass(frozen=True, slots=True)
class Ports:
    """A port, a range of them, or all."""

    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


class Allowed:
    """A list that grows. It is read without a lock: a longer one replaces it."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._list = _List()
        self._turn = threading.Lock()
        self.add(entries)

    def add(self, entries: Iterable[str]) -> None:
        """Raises `PolicyError` for an entry that cannot be read."""
        if isinstance(entries, str):
            raise _unread(entries, "a list of entries")
        made = [_entry(entry) for entry in entries]
        with self._turn:
            longer = self._list.copy()
            for add in made:
                add(longer)
            self._list = longer

    def holds(self, destination: Destination) -> bool:
        """Whether it is listed. Looks names up when the address is not known yet."""
        listed = self._list
        if destination.ip is not None:
            return not destination.scoped and (
                _in(listed.networks, destination.ip, destination.port)
                or any(name.has(destination.ip) for name, ports in listed.names if destination.port in ports)
            )
        if destination.name is not None:
            # C looks it up by itself: as good as the lookup of a name that is listed, if it is the very same one.
            asked = destination.name.lower().removesuffix(".")
            return any(name.text == asked for name, ports in listed.names if destination.port in ports)
        if destination.path is not None:
            return "*" in listed.paths or destination.path in listed.paths
        return destination.family in listed.families

    def may_ask(self, name: Any) -> bool:
        """Whether looking this up tells nobody anything: it is listed, or an address, or nothing."""
        if name is None or getattr(_LOOKING, "up", False):
            return True
        asked = text(name)
        if asked == "" or _is_address(asked):
            return True
        asked = asked.lower().removesuffix(".")
        return any(listed.text == asked for listed, _ in self._list.names)

    def forked(self) -> None:
        """Begins with locks that nobody holds."""
        self._turn = threading.Lock()
        for name, _ in self._list.names:
            name.forked()


@dataclass(slots=True)
class _List:
    networks: list[tuple[Network, Ports]] = field(default_factory=list)
    names: list[tuple[_Name, Ports]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    families: set[str] = field(default_factory=set)

    def copy(self) -> _List:
        return _List(list(self.networks), list(self.names), set(self.paths), set(self.families))


class _Name:
    """A name, and the addresses that it had of late."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._until: dict[Address, float] = {}
        self._again = 0.0
        self._turn = threading.Lock()

    def has(self, ip: Address) -> bool:
        if self._known(ip):
            return True
        # Somebody who is looking up in this very thread does not wait for himself.
        if getattr(_LOOKING, "up", False):
            return False
        with self._turn:
            if not self._known(ip) and time.monotonic() >= self._again:
                self._look_up()
        return self._known(ip)

    def forked(self) -> None:
        self._turn = threading.Lock()

    def _known(self, ip: Address) -> bool:
        return time.monotonic() < self._until.get(ip, 0.0)

    def _look_up(self) -> None:
        _LOOKING.up = True
        try:
            found = socket.getaddrinfo(self.text, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            found = []
        finally:
            _LOOKING.up = False
            now = time.monotonic()
            self._again = now + PAUSE
        fresh = {ip: until for ip, until in self._until.items() if now < until}
        for *_, told in found[:MOST_ADDRESSES]:
            fresh[ipaddress.ip_address(str(told[0]).partition("%")[0])] = now + KEPT
        self._until = dict(list(fresh.items())[-MOST_ADDRESSES:])


def _in(networks: list[tuple[Network, Ports]], ip: Address, port: int) -> bool:
    return any(port in ports and ip in network for network, ports in networks)


def _entry(entry: str) -> Any:
    """Reads an entry: something that adds it to a list."""
    if not isinstance(entry, str):
        raise _unread(entry, "text")
    kind, _, rest = entry.partition(":")
    if kind == "unix" and rest:
        return lambda listed: listed.paths.add(rest)
    if kind == "family" and rest.isidentifier():
        family = rest.lower().removeprefix("af_")
        if family in ("inet", "inet6"):
            raise _unread(entry, "a family without addresses and ports")
        return lambda listed: listed.families.add(family)
    host, port = _split(entry)
    ports = _ports(entry, port)
    network = _network(entry, host)
    if network is not None:
        return lambda listed: listed.networks.append((network, ports))
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit() or name.rpartition(".")[2].startswith("0x"):
        raise _unread(entry, _FORMS)
    return lambda listed: listed.names.append((_Name(name), ports))


def _split(entry: str) -> tuple[str, str]:
    host, colon, port = entry.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        raise _unread(entry, _FORMS)
    return (host[1:-1] if bracketed else host), port


def _ports(entry: str, text: str) -> Ports:
    if text == "*":
        return Ports(0, 65535)
    first, _, last = text.partition("-")
    last = last or first
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise _unread(entry, "a port, a range `8000-8099`, or `*`")
    ports = Ports(int(first), int(last))
    if not 0 < ports.first <= ports.last <= 65535:
        raise _unread(entry, "ports from 1 to 65535")
    return ports


def _network(entry: str, host: str) -> Network | None:
    if not re.fullmatch(r"[0-9.]+(/[0-9]+)?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[0-9]+)?", host):
        return None
    try:
        network = ipaddress.ip_network(host)
    except ValueError as error:
        raise _unread(entry, f"an address or a network ({error})") from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise _unread(entry, "the IPv4 address itself: an IPv4-mapped one is taken for it")
    return network


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _unread(entry: object, wanted: str) -> errors.PolicyError:
    return errors.PolicyError(
        f"cannot read `{entry}` of `allow`",
        hint=f"write {wanted}",
        code="option-invalid",
        problems=[("/allow", f"cannot read `{entry}`")],
    )


# Whether this thread is looking a listed name up.
_LOOKING = threading.local()
