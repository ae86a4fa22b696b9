"""`docs/api.md`: each call of a fleet's and of a lessor's story, sent as the page has it, and answered as it says.

Of an answer the page shows what matters. A text that ends in `…` is but begun, and is known by its field's name from
then on (`$booking_id`); a list that ends in `…` goes on. What happens between two calls stands as a comment.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.settings import Settings
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.custody.take import take_journals
from swap.commerce.leases.contracts import move
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.states import LeaseTrigger
from swap.commerce.posting import PostingMark, post_due
from swap.config.station_file import StationConfig
from swap.identity import secrets
from swap.store import Store
from swap.tables import UserAccount
from tests.support.api.doors import StoppedClock
from tests.support.api.people import PASSWORD, TEST_HASHER, account
from tests.support.swap.commerce import AT, STATION, arrive, charge_packs, exchange, filled_store, station

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOW = datetime(2026, 12, 1, 2, tzinfo=UTC)
"""Ten in the morning of the day after the month."""
FLEET, LESSOR = "A fleet in ten calls", "A lessor in eight"
_PART = re.compile(
    r"^## (?P<head>[^\n]+)$|^<!-- (?P<then>[^\n]+) -->$|^```sh\n(?P<call>.*?)^```\n\n```json\n(?P<said>.*?)^```",
    re.M | re.S,
)


@dataclass(frozen=True)
class Step:
    """A call with its answer, or what happens between two calls."""

    call: str = ""
    said: str = ""
    then: str = ""


def story(page: str, head: str) -> list[Step]:
    """The steps under a heading."""
    steps: list[Step] = []
    inside = False
    for found in _PART.finditer(page):
        if found["head"]:
            inside = found["head"] == head
        elif inside:
            steps.append(Step(found["call"] or "", found["said"] or "", found["then"] or ""))
    return steps


PAGE = (DOCS / "api.md").read_text("utf-8")


@dataclass
class World:
    """A server with a month behind it, and what the reader of the page knows."""

    store: Store
    config: StationConfig
    client: httpx.AsyncClient
    clock: StoppedClock
    codes: Iterator[str] = field(default_factory=lambda: iter(()))
    """What the lessor's device shows, one after the other."""
    known: dict[str, str] = field(default_factory=lambda: {"PASSWORD": PASSWORD, "URL": "http://station"})

    async def take(self, step: Step) -> None:
        """Do a step, and compare the answer."""
        if step.then:
            happens = {"the truck is swapped": self.swapped, "the fleet signs": self.signed}
            (happens | {"the month is over": self.month_over})[step.then]()
            return
        if "$code" in step.call:
            self.known["code"] = next(self.codes)
        method, url, headers, body = curl(step.call, self.known)
        answer = await self.client.request(method, url, headers=headers, content=body)
        assert answer.is_success, f"{step.call}{answer.status_code} {answer.text}"
        self.compare(json.loads(step.said), answer.json(), step.call.split("\n")[0])

    def swapped(self) -> None:
        exchange(self.store, self.known["swap_id"], self.clock.at + timedelta(minutes=6))
        self.clock.at += timedelta(minutes=10)
        bill_completed_swaps(self.store, STATION, self.clock.at)

    def signed(self) -> None:
        with self.store.commerce() as db:
            move(db, self.known["contract_id"], LeaseTrigger.SIGN, at=self.clock.at, actor="person:fleet")

    def month_over(self) -> None:
        take_journals(self.store)
        run_rent(self.store, "2026-11", NOW)

    def compare(self, shown: Any, given: Any, where: str) -> None:
        """Whether an answer is what the page shows of it; what is but begun is known from now on."""
        if isinstance(shown, dict):
            assert set(shown) <= set(given), f"{where}: no {set(shown) - set(given)} in {list(given)}"
            for name, value in shown.items():
                self.compare(value, given[name], f"{where} {name}")
                if isinstance(value, str) and value.endswith("…"):
                    self.known[name] = given[name]
        elif isinstance(shown, list):
            more = bool(shown) and shown[-1] == "…"
            wanted = shown[:-1] if more else shown
            assert len(given) > len(wanted) if more else len(given) == len(wanted), f"{where}: {len(given)} items"
            for number, value in enumerate(wanted):
                self.compare(value, given[number], f"{where} {number}")
        elif isinstance(shown, str) and shown.endswith("…"):
            assert given.startswith(shown[:-1]), f"{where}: {given}"
        else:
            assert shown == given, where


def curl(call: str, known: dict[str, str]) -> tuple[str, str, dict[str, str], str | None]:
    """Method, address, headers and body of a call."""
    words = iter(shlex.split(call.replace("\\\n", " ")))
    assert next(words) == "curl"
    method, url, body, headers = "", "", None, dict[str, str]()
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = _filled(value, known)
        elif word == "--json":  # as curl does it
            body = _filled(next(words), known)
            headers |= {"Content-Type": "application/json", "Accept": "application/json"}
        else:
            assert not url, f"a second address: {word}"
            url = _filled(word, known)
    return method or ("GET" if body is None else "POST"), url, headers, body


def _filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], text)


@pytest.fixture
async def world(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """The small station: in November its trucks swapped nine times, were billed, and the month was closed."""
    monkeypatch.setattr(secrets, "HASHER", TEST_HASHER)
    config, clock = station(), StoppedClock(NOW)
    with filled_store(database_url, config) as store:
        for number in range(9):
            at = AT + timedelta(days=3 * number)
            swap_id = arrive(store, config, f"V{number % 3}", at).swap_id
            exchange(store, swap_id, at + timedelta(minutes=6))
            bill_completed_swaps(store, STATION, at + timedelta(hours=1))
        post_due(store, STATION, NOW, PostingMark())
        take_journals(store)
        close_period(store, "2026-11", at=NOW, zone=config.station.zone, name="Li")
        charge_packs(store)
        account(store, "fleet_operator", organisation_id="fleet", name="fleet_operator")
        lessor = account(store, "battery_owner", organisation_id="own", name="battery_owner")
        with store.identity() as identity:
            row = identity.get_one(UserAccount, lessor.user_id)
            row.totp_salt, row.totp_confirmed = "ts-of-the-story", True
        settings = Settings(station_file=tmp_path / "station.toml", hosts=("station",))
        device, now_s = secrets.totp(settings.identity.secret, "ts-of-the-story"), int(datetime.now(UTC).timestamp())
        codes = (device.at(now_s + step * secrets.TOTP_STEP_S) for step in (-1, 0, 1))
        transport = httpx.ASGITransport(create_app(store, config, clock, settings=settings))
        async with httpx.AsyncClient(transport=transport) as client:
            yield World(store, config, client, clock, codes)


async def test_the_stories_are_true(world: World) -> None:
    for head, calls in ((FLEET, 10), (LESSOR, 8)):
        steps = story(PAGE, head)
        assert len([step for step in steps if step.call]) == calls
        for step in steps:
            await world.take(step)


def test_the_chinese_page_has_the_same_calls() -> None:
    def blocks(page: str) -> Iterator[str]:
        return (found[0] for found in _PART.finditer(page) if not found["head"])

    assert list(blocks((DOCS / "api.zh-CN.md").read_text("utf-8"))) == list(blocks(PAGE))


def test_an_answer_that_differs_is_seen() -> None:
    given = {"a": "x1", "b": [1, 2], "c": {"d": None}}
    known: dict[str, str] = {}
    world = World(None, None, None, StoppedClock(), known=known)  # type: ignore[arg-type]
    world.compare({"a": "x…", "b": [1, "…"], "c": {"d": None}}, given, "")
    assert known == {"a": "x1"}
    for wrong in ({"a": "y…"}, {"b": [1]}, {"b": [1, 2, "…"]}, {"c": {"d": 0}}, {"e": 1}):
        with pytest.raises(AssertionError):
            world.compare(wrong, given, "")
