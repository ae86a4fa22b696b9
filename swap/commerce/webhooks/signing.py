"""Signatures by the convention of Standard Webhooks 1.0: HMAC-SHA-256 of `id.timestamp.body`, base64, after `v1,`.

The secret of an endpoint is made of the secret of the server, the endpoint's id and a number (`SWAP_SECRET`), so that
none is stored and the database alone signs nothing. It is shown when it is made; another secret of the server makes
all of them anew.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable

from swap.identity.secrets import derived

PREFIX = "whsec_"


def endpoint_key(server_secret: str, endpoint_id: str, number: int) -> bytes:
    """The key with which an endpoint's messages are signed: 32 bytes."""
    return derived(server_secret, "webhook", f"{endpoint_id}:{number}")


def shown_secret(key: bytes) -> str:
    """A key as its owner is shown it."""
    return PREFIX + base64.b64encode(key).decode()


def signature_headers(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message.

    Args:
        keys: each signs; two while the secret is being changed.
        timestamp: seconds since 1970 UTC at which it is sent.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    made = [f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(made),
    }
