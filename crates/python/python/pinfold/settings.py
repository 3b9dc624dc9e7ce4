"""Settings in the words of a service; the document of the shipped policy is made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pinfold.budget import Budget


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a service lets strangers' URLs reach, and how much of it.

    Without any, `http` and `https` may be fetched from any port of any public address, and nothing else.
    """

    trusted_networks: Sequence[str] = ()
    partners: Sequence[str] = ()
    denied_hosts: Sequence[str] = ()
    internal_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ports: Sequence[int | str] = ()
    https_only: bool = False
    timeout: float | tuple[float, float] | None = None
    total_timeout: float | None = None
    max_bytes: int | None = None
    max_decoded_bytes: int | None = None
    redirects: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The settings of the shipped policy."""
        document: dict[str, Any] = dict(self.more)
        if self.partners:
            document.setdefault("hosts", {})["allow"] = list(self.partners)
        if self.denied_hosts:
            document.setdefault("hosts", {})["deny"] = list(self.denied_hosts)
        if self.trusted_networks:
            document.setdefault("networks", {})["allow"] = list(self.trusted_networks)
        if self.ports:
            document["ports"] = list(self.ports)
        if self.https_only:
            document["schemes"] = ["https"]
        return document

    def budget(self) -> Budget:
        """The bounds of each fetch."""
        usual = Budget()
        connect, read = self.timeout if isinstance(self.timeout, tuple) else (self.timeout, self.timeout)
        return Budget(
            connect=usual.connect if connect is None else connect,
            read=usual.read if read is None else read,
            total=usual.total if self.total_timeout is None else self.total_timeout,
            response_bytes=usual.response_bytes if self.max_bytes is None else self.max_bytes,
            decoded_bytes=usual.decoded_bytes if self.max_decoded_bytes is None else self.max_decoded_bytes,
            redirects=usual.redirects if self.redirects is None else self.redirects,
        )
