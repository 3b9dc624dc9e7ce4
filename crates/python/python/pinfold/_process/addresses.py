"""What a socket is told to connect to, read as the C code reads it, and strictly."""

from __future__ import annotations

import _socket
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Any, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# Not the attribute: a subclass of `socket` may say something else of itself.
_FAMILY = _socket.socket.family.__get__
_UNIX = getattr(socket, "AF_UNIX", None)


@dataclass(frozen=True, slots=True)
class Destination:
    """Exactly one of `ip`, `name`, `path` and `family` is given; what is none of the first three is told by family."""

    ip: Address | None = None
    # Text that C looks up by itself: also `127.1` and `0x7f.1`, `` (any address) and `<broadcast>`.
    name: str | None = None
    path: str | None = None
    family: str | None = None
    port: int = 0
    # An address of one interface.
    scoped: bool = False

    @property
    def address(self) -> str:
        """The address as text, or nothing."""
        return "" if self.ip is None or self.scoped else str(self.ip)

    def __str__(self) -> str:
        if self.ip is not None:
            text = f"[{self.ip}]" if self.ip.version == 6 else str(self.ip)
            return f"{text}:{self.port}"
        if self.name is not None:
            return f"{self.name!r}:{self.port}" if not self.name.isprintable() else f"{self.name}:{self.port}"
        return f"unix:{self.path}" if self.path is not None else f"family:{self.family}"


def read(sock: Any, told: Any) -> Destination:
    """Of a socket and of what it is told to connect to."""
    family = _FAMILY(sock)
    if family == _UNIX:
        return Destination(path=_path(told))
    if family not in (socket.AF_INET, socket.AF_INET6):
        return Destination(family=_name_of(family))
    parts = _parts(told)
    host, port = text(parts[0]), index(parts[1])
    ip = _ip(host)
    if ip is None:
        return Destination(name=host, port=port)
    scoped = family == socket.AF_INET6 and ("%" in host or (len(parts) > 3 and index(parts[3]) != 0))
    return Destination(ip=_unmapped(ip), port=port, scoped=bool(scoped))


def text(told: Any) -> str:
    """What C reads, whatever a subclass says of itself. Raises `TypeError` for what C does not take."""
    if isinstance(told, str):
        return str.__getitem__(told, slice(None))
    return octets(told).decode("latin-1")


def octets(told: Any) -> bytes:
    """As `text`. A subclass may have a buffer of its own, which C reads at one place and not at another."""
    if type(told) in (bytes, bytearray, memoryview):
        return bytes(told)
    raise TypeError(f"neither text nor bytes: {type(told).__name__}")


def index(told: Any) -> int:
    """As `text`, for a number. What only says that it is one could say another one to C: it is refused."""
    if isinstance(told, int):
        return int.__index__(told)
    raise TypeError(f"no number: {type(told).__name__}")


def _parts(told: Any) -> tuple[Any, ...]:
    if isinstance(told, tuple):
        return tuple.__getitem__(told, slice(None))
    raise TypeError(f"no tuple: {type(told).__name__}")


def _ip(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unmapped(ip: Address) -> Address:
    """The address that is dialled: the kernel takes an IPv4-mapped one for the IPv4 address inside."""
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return ip if inner is None else inner


def _path(told: Any) -> str:
    """An abstract name begins with `@`, as `ss` shows it."""
    path = text(told) if isinstance(told, str) else os.fsdecode(octets(told))
    return f"@{path[1:]}" if path.startswith("\0") else path


def _name_of(family: int) -> str:
    try:
        return socket.AddressFamily(family).name.removeprefix("AF_").lower()
    except ValueError:
        return str(family)
