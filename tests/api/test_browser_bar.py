"""The one-second test: whatever happens, the bar alone tells whether the station runs, why not, and what is next.

Read is the text of the element with the role `status` and nothing else of the page.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Locator, Page, expect
from sqlmodel import select

from robotics.faults import fault_by_name
from scheduler.types import StationMode
from scheduler.waiting import Wait
from swap.config.loading import load_station
from swap.station.life.database import DatabaseState
from swap.station.life.status import ControlBoard, ControlStatus
from swap.store import Store
from swap.tables import FaultRow, Station, Swap
from tests.support.api.browsing import ROOT, SHOTS, ServerProcess, chromium, opened, served
from tests.support.api.doors import NOW, STATION_FILE, busy_day, make_app, take_lease
from tests.support.api.people import session, the_administrator

pytestmark = [pytest.mark.browser, pytest.mark.system]
STATION = "yangquan-mine"
AXE = ROOT / "build" / "browser_tests" / "axe.min.js"
Act = Callable[[Store], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def address(app: FastAPI, store: Store) -> Iterator[str]:
    busy_day(store)
    with store.transaction() as db:
        for row in db.exec(select(FaultRow)):
            db.delete(row)
    with served(app) as address:
        yield address


def fault(name: str, source: str = "lane:L1", **data: Any) -> Act:
    known = fault_by_name(name)

    def act(store: Store) -> None:
        with store.transaction() as db:
            key = f"{STATION}|{source}|{known.code}"
            row = FaultRow(
                station_id=STATION,
                code=known.code,
                level=known.level,
                source=source,
                open_key=key,
                raised_at=NOW,
                data=data,
            )
            db.add(row)

    return act


def mode(value: StationMode, reason: str) -> Act:
    def act(store: Store) -> None:
        with store.transaction() as db:
            station = db.get_one(Station, STATION)
            station.mode, station.mode_reason = value.value, reason

    return act


def swap(phase: str, hold_reason: str | None = None, **detail: Any) -> Act:
    def act(store: Store) -> None:
        with store.transaction() as db:
            row = db.get_one(Swap, "sw-0004")
            row.phase, row.hold_reason, row.hold_detail = phase, hold_reason, detail
            row.entered_at = NOW - timedelta(minutes=2)

    return act


def waiting(key: str, cause: Wait, *names: str, until_min: float | None = None) -> Act:
    def act(store: Store) -> None:
        with store.transaction() as db:
            station = db.get_one(Station, STATION)
            until_at = None if until_min is None else (NOW + timedelta(minutes=until_min)).isoformat()
            data = {"cause": cause.value, "names": list(names), "number": 7, "until_at": until_at}
            station.waiting = {**station.waiting, key: data}

    return act


def nothing_in_the_lane(store: Store) -> None:
    with store.transaction() as db:
        row = db.get_one(Swap, "sw-0004")
        row.open_lane_id, row.ended_at, row.open_vehicle_id, row.state = None, NOW, None, "completed"


FIRST = "truck:sw-0010"
CASES: dict[str, tuple[tuple[Act, ...], str, str, str, str]] = {
    "calm": ((), "good", "Automatic", "No open fault", "Lane 1: YQ-002"),
    "calm and idle": (
        (nothing_in_the_lane, waiting(FIRST, Wait.NEXT, "L1")),
        "good",
        "Automatic",
        "No open fault",
        "Next truck: YQ-013",
    ),
    "e-stop": (
        (mode(StationMode.HELD, "estop_ok"), fault("estop_pressed"), swap("held", "trip", signal="estop_ok")),
        "bad",
        "Held",
        fault_by_name("estop_pressed").en,
        fault_by_name("estop_pressed").action_en,
    ),
    "curtain": (
        (
            fault("light_curtain_broken"),
            fault("permissive_lost"),
            swap("held", "guard_lost", missing=[{"name": "curtain_clear"}]),
        ),
        "busy",
        "Automatic",
        fault_by_name("light_curtain_broken").en,
        fault_by_name("light_curtain_broken").action_en,
    ),
    "link to the cell lost": (
        (
            mode(StationMode.HELD, "link_lost"),
            fault("cell_link_lost", link="no_meaning(ack_code, 9)"),
            fault("bms_silent", "bay:A7"),
        ),
        "busy",
        "Held",
        "register “ack_code” reads 9",
        fault_by_name("cell_link_lost").action_en,
    ),
    "no pack ready": (
        (nothing_in_the_lane, waiting(FIRST, Wait.NOT_CHARGED, "lfp-282", until_min=25)),
        "busy",
        "Automatic",
        "YQ-013: No pack is charged yet: lfp-282. Expected about",
        "Goes on by itself when packs are charged.",
    ),
    "two lanes, one empty bay": (
        (waiting(FIRST, Wait.NO_EMPTY_BAY),),
        "busy",
        "Automatic",
        "YQ-013: No bay is empty for the pack that comes off.",
        "Goes on when a bay becomes empty",
    ),
    "gripper jam": (
        (fault("command_failed"), fault("gripper_jam"), swap("held", "fault", fault="command_failed")),
        "bad",
        "Automatic",
        fault_by_name("gripper_jam").en,
        fault_by_name("gripper_jam").action_en,
    ),
    "command refused": (
        (swap("pending"), waiting("lane:L1", Wait.PERMISSIVES, "curtain_clear", "!gripper_loaded")),
        "busy",
        "Automatic",
        "Before the next motion, this must be so: light curtain clear",
        "See to it at the cell",
    ),
    "vehicle not secured": (
        (
            fault("permissive_lost", state="lifting_old", missing=[{"name": "handbrake_on"}]),
            swap("held", "guard_lost", missing=[{"name": "handbrake_on"}]),
        ),
        "busy",
        "Automatic",
        "handbrake on",
        fault_by_name("permissive_lost").action_en,
    ),
    "restart held": (
        (mode(StationMode.HELD, "restart"), fault("bms_silent", "bay:A7")),
        "busy",
        "Held",
        "the controller was restarted",
        "A named person looks, then lets the station go on.",
    ),
    "meter silent": (
        (fault("meter_silent", "controller"),),
        "busy",
        "Automatic",
        fault_by_name("meter_silent").en,
        fault_by_name("meter_silent").action_en,
    ),
}


def happened(store: Store, acts: tuple[Act, ...]) -> None:
    for act in acts:
        act(store)
    with store.transaction() as db:
        db.get_one(Station, STATION).version += 1
    take_lease(store, load_station(STATION_FILE))


def read_bar(page: Page, address: str, lang: str = "en") -> Locator:
    page.goto(f"{address}/console?lang={lang}")
    bar = page.locator("#bar")
    expect(bar).to_have_attribute("role", "status")
    expect(bar).to_be_in_viewport()
    return bar


def told(page: Page) -> str | None:
    return page.locator(".standing").get_attribute("data-tone")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bar_alone_tells(browser: Browser, address: str, store: Store, case: str) -> None:
    acts, tone, word, why, following = CASES[case]
    happened(store, acts)
    with opened(browser, address, 1366, 768) as page:
        bar = read_bar(page, address)
        expect(bar.locator("b")).to_have_text(word)
        expect(bar.locator(".why")).to_contain_text(why)
        expect(bar.locator(".next")).to_contain_text(following)
        assert told(page) == tone
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"bar-{case.replace(' ', '-')}-en.png")
        bar = read_bar(page, address, "zh")
        page.screenshot(path=SHOTS / f"bar-{case.replace(' ', '-')}-zh.png")
        for part in ("b", ".why", ".next"):
            text = bar.locator(part).inner_text()
            assert re.search(r"[一-鿿]", text) or text == "Lane 1: YQ-002", part
            assert re.findall(r"\b[a-z]+_[a-z_]+\b", text.replace("ack_code", "")) == [], part


@pytest.mark.parametrize(
    ("state", "word", "why", "following"),
    [
        (
            DatabaseState.LOST,
            "Held",
            "The database is lost: robots on hold, chargers at 0 kW.",
            "Bring the database back",
        ),
        (None, "Stopped", "nobody runs this station", "Start the controller."),
    ],
)
def test_the_bar_tells_of_the_database_and_of_the_controller(
    browser: Browser, store: Store, state: DatabaseState | None, word: str, why: str, following: str
) -> None:
    busy_day(store)
    board = ControlBoard(lambda: 50.0)
    board.publish(
        ControlStatus(
            at_s=50.0,
            since_at=NOW,
            mode=StationMode.AUTOMATIC,
            held_why="",
            database=state or DatabaseState.OK,
            database_reason="gone",
            oldest_write_s=None,
            loop_lag_s=0.0,
            gap_s=0.1,
        )
    )
    if state is None:
        board.stop()
    with served(make_app(store, control=board)) as address, opened(browser, address, 1366, 768) as page:
        bar = read_bar(page, address)
        expect(bar.locator("b")).to_have_text(word)
        expect(bar.locator(".why")).to_contain_text(why)
        expect(bar.locator(".next")).to_contain_text(following)
        assert told(page) == "bad"


def test_the_bar_says_that_old_data_say_nothing(browser: Browser, store: Store) -> None:
    busy_day(store)
    server = ServerProcess(store.url)
    address = f"http://127.0.0.1:{server.port}"
    try:
        with opened(browser, address, 1366, 768, lossy=True) as page:
            bar = read_bar(page, address)
            expect(bar.locator("b")).to_have_text("Automatic")
            server.send(signal.SIGSTOP)
            expect(bar.locator("b")).to_have_text("Not known", timeout=4000)
            expect(bar.locator(".why")).to_contain_text("whether the station runs is not known")
            expect(bar.locator(".next")).to_contain_text("press the emergency stop button at the cell")
            assert told(page) == "bad"
            page.screenshot(path=SHOTS / "bar-old-en.png")
            server.send(signal.SIGCONT)
            expect(bar.locator("b")).to_have_text("Automatic", timeout=10_000)
    finally:
        server.send(signal.SIGCONT)
        server.end()


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("case", ["calm", "e-stop", "gripper jam", "no pack ready"])
def test_no_serious_barrier(browser: Browser, address: str, store: Store, lang: str, case: str) -> None:
    """A14: axe-core finds nothing serious or critical, contrast (4.5 : 1) among it."""
    if not AXE.is_file():
        pytest.fail("axe-core is missing: run make setup")
    happened(store, CASES[case][0])
    with opened(browser, address, 1366, 768, person=session(store, the_administrator(store))) as page:
        read_bar(page, address, lang)
        expect(page.locator("#bar b")).not_to_be_empty()
        expect(page.locator("#person")).to_have_text("Operator A")
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 20, "axe has looked at nothing"
        serious = [
            (one["id"], node["target"], node["failureSummary"])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        assert serious == []
