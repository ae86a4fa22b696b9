"""Where messages may be sent. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Where messages may be sent, so that nobody lets this server call into a network of its own.

    Args:
        names: `name`, for port 443, or `name:port`; spoken to by HTTPS only.
        development: this machine may be sent to also, by HTTP too.
    """

    names: Collection[str] = ()
    development: bool = False

    def allow(self, url: str) -> bool:
        """Whether an address may be sent to."""
        if not is_visible(url):
            return False
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.fragment:
            return False
        if self.development and host in LOOPBACK and parts.scheme in ("http", "https"):
            return True
        named = host if port in (None, 443) else f"{host}:{port}"
        return parts.scheme == "https" and named in self.names


def is_visible(url: str) -> bool:
    """Whether an address has visible ASCII characters only: none that whoever sends refuses, or that ends a line."""
    return all("!" <= char <= "~" for char in url)
