"""Which names this server answers to, and which pages may use it.

A browser lets a page of any name speak to an address that the name resolves to, also 127.0.0.1 (DNS rebinding). The
name then stands in `Host`: only known names are answered, over HTTP and WebSocket. An address is known where the
connection itself has come to it: no name can be bound to that. `Origin`, which browsers send, must be the server
itself or a listed page; programs send none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def split_host(host: str) -> tuple[str, str]:
    """Name and port of a `Host` value, `[::1]:8080` included; the port is empty where none is given."""
    name, colon, port = host.strip().rpartition(":")
    if not colon or (name.count(":") and not name.endswith("]")):
        name, port = host.strip(), ""
    return name.strip("[]").lower().rstrip("."), port


class KnownHosts:
    """The allow-list of one server.

    Args:
        bound: the host that the server listens on.
        listed: further `name` or `name:port`; a name without a port is good at every port, as behind a proxy.
    """

    def __init__(self, bound: str, listed: Collection[str] = ()) -> None:
        self._known = {split_host(entry) for entry in (*LOOPBACK, bound, *listed)}

    def knows(self, host: str | None, address: str | None) -> bool:
        """Whether a `Host` names this server.

        Args:
            host: the header; None where it is missing.
            address: the server's own end of the connection.
        """
        if not host:
            return False
        name, port = split_host(host)
        return {(name, ""), (name, port)} & self._known != set() or _same_address(name, address)

    def lets_in(self, origin: str | None, host: str | None) -> bool:
        """Whether a page may use this server: none (a program), the server's own, or one of a listed host."""
        if origin is None:
            return True
        scheme, separator, place = origin.partition("://")
        if not separator or scheme not in ("http", "https") or not host:
            return False
        return place.lower() == host.strip().lower() or self._listed(place)

    def _listed(self, place: str) -> bool:
        """A page of another port of a loopback name is another program's: only what is listed with its port counts."""
        name, port = split_host(place)
        return port != "" and (name, port) in self._known


def _same_address(name: str, address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return False
