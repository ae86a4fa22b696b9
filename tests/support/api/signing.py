"""An app whose real time is moved by hand, and what a client does to sign in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx

from tests.support.api.people import PASSWORD

V1 = "/api/v1"


class RealTime:
    """Real time, moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 5, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def step(self, seconds: float) -> None:
        """Later, or earlier where the clock is set back."""
        self.at += timedelta(seconds=seconds)


async def login(http: httpx.AsyncClient, name: str = "OperatorA", password: str = PASSWORD) -> httpx.Response:
    """The answer to a sign-in."""
    return await http.post(f"{V1}/auth/login", json={"login": name, "password": password})


def bearer(answer: httpx.Response) -> dict[str, str]:
    """Headers with the access token of a sign-in."""
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def code(answer: httpx.Response) -> str:
    """Code of a problem."""
    return str(answer.json()["code"])


async def confirm(http: httpx.AsyncClient, headers: dict[str, str], pin: str | None) -> httpx.Response:
    """Ask for what may move a robot."""
    given = headers | ({} if pin is None else {"Swap-Pin": pin})
    sent = {name.encode(): value.encode() for name, value in given.items()}
    return await http.post(f"{V1}/requests", json={"kind": "confirm"}, headers=sent)
