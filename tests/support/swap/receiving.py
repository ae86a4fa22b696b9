"""A receiver of webhooks that can be away, and checks each signature by its own reading of the convention."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass
class Receiver:
    """Keeps each message once, by its id, in the order in which it came first.

    Args:
        secret: as the owner of the endpoint was shown it.
    """

    secret: str = ""
    status: int = 200
    """What it answers; 0: nothing."""
    messages: dict[str, Any] = field(default_factory=dict)
    came: list[str] = field(default_factory=list)
    """Every id as it came, also again."""
    signatures: int = 0
    """On the newest message."""

    async def __call__(self, _url: str, body: bytes, headers: Mapping[str, str]) -> int:
        if self.status == 0:
            raise ConnectionRefusedError("refused")
        said = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        made = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
        given = headers["webhook-signature"].split(" ")
        assert f"v1,{made}" in given
        self.signatures = len(given)
        self.came.append(headers["webhook-id"])
        if 200 <= self.status < 300:
            self.messages.setdefault(headers["webhook-id"], json.loads(body))
        return self.status

    @property
    def kinds(self) -> list[str]:
        """What it was told, in order."""
        return [message["type"] for message in self.messages.values()]


class Seconds:
    """Real time that passes only when it is told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def step(self, seconds: float) -> None:
        """Later."""
        self.at += timedelta(seconds=seconds)
