"""A stub resolver for a process under attack: the one that its system would have, if an attacker owned the names.

`install` replaces `socket.getaddrinfo`: one name server is asked for names, anew each time; literals go to the real
one.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

# Shorter than a real one's, so that silent strategies do not hold the test up.
WAIT = 0.3
TRIES = 2
ALIASES = 8


def install(server: str) -> None:
    """From now on `server` ("address:port") answers what this process looks up."""
    address, _, port = server.rpartition(":")
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, service: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002  # As in `socket`.
        if host is None or _is_literal(host):
            return real(host, service, family, type, proto, flags)
        found = [(kind, text) for kind in _kinds(family) for text in _lookup(host, kind, address, int(port))]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        parts = [real(text, service, family, type, proto, flags) for _, text in found]
        return [info for part in parts for info in part]

    socket.getaddrinfo = getaddrinfo


def _is_literal(host: str | bytes) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host.partition("%")[0])
    except ValueError:
        return False
    return True


def _kinds(family: int) -> list[dns.rdatatype.RdataType]:
    wanted = [(socket.AF_INET, dns.rdatatype.A), (socket.AF_INET6, dns.rdatatype.AAAA)]
    return [kind for of, kind in wanted if family in (0, of)]


def _lookup(host: str | bytes, kind: dns.rdatatype.RdataType, address: str, port: int) -> list[str]:
    name = dns.name.from_text(host.decode() if isinstance(host, bytes) else host)
    for _ in range(ALIASES):
        reply = _ask(name, kind, address, port)
        if reply is None:
            return []
        try:
            chain = reply.resolve_chaining()
        except dns.exception.DNSException:
            return []
        if chain.answer is not None:
            return [record.address for record in chain.answer]
        if chain.canonical_name == name:
            return []
        name = chain.canonical_name
    return []


def _ask(name: dns.name.Name, kind: dns.rdatatype.RdataType, address: str, port: int) -> dns.message.Message | None:
    question = dns.message.make_query(name, kind)
    for _ in range(TRIES):
        try:
            reply, _ = dns.query.udp_with_fallback(question, address, WAIT, port)
        except (dns.exception.DNSException, OSError):
            continue
        if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return reply
    return None
