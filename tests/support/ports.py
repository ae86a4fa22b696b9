"""Ports of loopback for servers that tests start."""

from __future__ import annotations

import contextlib
import os
import socket

_COUNT = 10_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_FIRST = 20_000 + _COUNT * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Below the range that systems give to clients, so that no connection takes a port before its server does; each of the
processes that test beside each other has a part of its own, so that none takes what another has just found free."""
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
