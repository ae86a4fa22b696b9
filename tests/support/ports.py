"""Ports of loopback for servers that tests start."""

from __future__ import annotations

import contextlib
import os
import socket

_FIRST, _COUNT = 20_000, 10_000
"""Below the range that systems give to clients, so that no connection takes a port before its server does."""
_next = os.getpid() * 40 % _COUNT


def own_ports(count: int) -> list[int]:
    """Ports that nothing uses now and that this process has not given out before."""
    global _next  # noqa: PLW0603
    ports: list[int] = []
    while len(ports) < count:
        _next = (_next + 1) % _COUNT
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", _FIRST + _next))
            ports.append(_FIRST + _next)
    return ports
