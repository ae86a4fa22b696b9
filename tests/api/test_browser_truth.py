"""The page does not lie: old data is called old, a press is followed to its end, a motion is named first."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from robotics.faults import fault_by_name
from swap.config.loading import load_station
from swap.messages.answers import STORED, Answer, say
from swap.store import Store
from swap.tables import ControlRequest, FaultRow, Station, Swap
from tests.support.api.browsing import ServerProcess, Wire, chromium, opened, served
from tests.support.api.doors import NOW, STATION_FILE, busy_day, take_lease
from tests.support.api.people import PIN, session, the_administrator

pytestmark = [pytest.mark.browser, pytest.mark.system]
STATION = "yangquan-mine"
EMERGENCY = "Press the emergency stop button at the cell."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    busy_day(store)
    process = ServerProcess(store.url)
    yield process
    process.end()


@pytest.fixture
def lasting() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def address(app: FastAPI, store: Store) -> Iterator[str]:
    busy_day(store)
    with served(app) as address:
        yield address


def show(page: Page, address: str) -> None:
    page.goto(f"{address}/console?lang=en")
    expect(page.locator("#link")).to_have_text("live")


def sign_in(page: Page, address: str, store: Store) -> None:
    """As if the person had signed in meanwhile."""
    cookies = session(store, the_administrator(store))
    page.context.add_cookies([{"name": name, "value": value, "url": address} for name, value in cookies.items()])


def answer(store: Store, request_id: int, status: str, *parts: Answer) -> None:
    """As the controller does."""
    with store.transaction() as db:
        row = db.get_one(ControlRequest, request_id)
        row.status, row.answered_at = status, NOW
        row.answer, row.answer_parts = say(parts), STORED.dump_python(parts, mode="json")
        db.get_one(Station, STATION).version += 1


def fault(store: Store, name: str, source: str = "lane:L1") -> None:
    known = fault_by_name(name)
    with store.transaction() as db:
        db.add(
            FaultRow(
                station_id=STATION,
                code=known.code,
                level=known.level,
                source=source,
                open_key=f"{STATION}|{source}|{known.code}",
                raised_at=NOW,
            )
        )
        db.get_one(Station, STATION).version += 1


def hold_swap(store: Store) -> None:
    with store.transaction() as db:
        swap = db.get_one(Swap, "sw-0004")
        swap.phase, swap.hold_reason, swap.hold_detail = "held", "fault", {"fault": "command_failed"}
        for row in db.exec(select(FaultRow)):
            db.delete(row)
        db.get_one(Station, STATION).version += 1
    take_lease(store, load_station(STATION_FILE))


@pytest.mark.parametrize("loss", ["stopped", "killed", "cut"])
def test_what_is_old_is_greyed_within_three_seconds(
    browser: Browser, server: ServerProcess, lasting: ExitStack, loss: str
) -> None:
    """A8, A12: a frozen, killed or cut server."""
    wire = lasting.enter_context(closing(Wire(server.port)))
    address = f"http://127.0.0.1:{wire.port if loss == 'cut' else server.port}"
    ways: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "stopped": (lambda: server.send(signal.SIGSTOP), lambda: server.send(signal.SIGCONT)),
        "killed": (server.end, server.start),
        "cut": (wire.up.clear, wire.up.set),
    }
    lose, mend = ways[loss]
    with opened(browser, address, lossy=True) as page:
        show(page, address)
        expect(page.locator("body.stale")).to_have_count(0)
        lose()
        lost_s = time.monotonic()
        page.wait_for_selector("body.stale", timeout=5000)
        assert time.monotonic() - lost_s < 3.2
        expect(page.locator("#stale")).to_be_visible()
        expect(page.locator("#stale")).to_contain_text("No message from the server for")
        assert page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
        clock = page.locator("#clock").inner_text()
        expect(page.locator("#age")).to_have_text(re.compile(r"^data (4\.[5-9]|[5-9]\.\d) s old$"))
        assert page.locator("#clock").inner_text() == clock
        expect(page.locator("#hold")).to_be_enabled()
        mend()
        expect(page.locator("body.stale")).to_have_count(0, timeout=15_000)
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#clock")).not_to_have_text(clock)


def test_a_hold_pressed_on_a_frozen_server_calls_for_the_hardware_stop_and_is_not_executed_on_thaw(
    browser: Browser, server: ServerProcess, store: Store
) -> None:
    """A9: a request has a deadline."""
    address = f"http://127.0.0.1:{server.port}"
    with opened(browser, address, lossy=True) as page:
        show(page, address)
        server.send(signal.SIGSTOP)
        pressed_s = time.monotonic()
        page.locator("#hold").click()
        notice = page.locator("#hold-notice")
        expect(notice).to_have_attribute("data-state", "pending")
        expect(notice).to_contain_text(EMERGENCY, timeout=3000)
        assert 1.9 < time.monotonic() - pressed_s < 3.0
        expect(notice).to_have_attribute("data-state", "expired", timeout=12_000)
        expect(notice).to_contain_text(EMERGENCY)
        server.send(signal.SIGCONT)
        expect(page.locator("body.stale")).to_have_count(0, timeout=10_000)
        # A press of now is stored as the first: the one of before has left nothing.
        page.locator("#hold").click()
        expect(notice).to_contain_text("Request 1 is stored.")
    with store.reading() as db:
        assert [row.id for row in db.exec(select(ControlRequest))] == [1]


def test_a_hold_pressed_on_a_dead_server_has_failed(browser: Browser, server: ServerProcess) -> None:
    """A9: no answer of an earlier press."""
    address = f"http://127.0.0.1:{server.port}"
    with opened(browser, address, lossy=True) as page:
        show(page, address)
        server.end()
        page.locator("#hold").click()
        expect(page.locator("#hold-notice")).to_have_attribute("data-state", "failed")
        expect(page.locator("#hold-notice")).to_contain_text(EMERGENCY)


def test_a_hold_pressed_on_a_cut_network_is_not_executed_when_the_network_is_back(
    browser: Browser, server: ServerProcess, lasting: ExitStack, store: Store
) -> None:
    wire = lasting.enter_context(closing(Wire(server.port)))
    address = f"http://127.0.0.1:{wire.port}"
    with opened(browser, address, lossy=True) as page:
        show(page, address)
        wire.up.clear()
        pressed_s = time.monotonic()
        page.locator("#hold").click()
        notice = page.locator("#hold-notice")
        expect(notice).to_contain_text(EMERGENCY, timeout=3500)
        assert 1.9 < time.monotonic() - pressed_s < 3.5
        expect(notice).to_have_attribute("data-state", "expired", timeout=12_000)
        wire.up.set()
        expect(page.locator("body.stale")).to_have_count(0, timeout=15_000)
        page.locator("#hold").click()
        expect(notice).to_contain_text("Request 1 is stored.")
    with store.reading() as db:
        assert [row.id for row in db.exec(select(ControlRequest))] == [1]


def test_a_motion_asked_for_on_old_data_does_not_leave_the_page(
    browser: Browser, server: ServerProcess, store: Store
) -> None:
    address = f"http://127.0.0.1:{server.port}"
    hold_swap(store)
    with opened(browser, address, lossy=True) as page:
        sign_in(page, address, store)
        show(page, address)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#sure")).to_be_visible()
        server.send(signal.SIGSTOP)
        page.wait_for_selector("body.stale", timeout=5000)
        expect(page.locator("#sure")).to_be_hidden()
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#sure")).to_be_hidden()
        server.send(signal.SIGCONT)
        expect(page.locator("body.stale")).to_have_count(0, timeout=10_000)
    with store.reading() as db:
        assert list(db.exec(select(ControlRequest))) == []


def test_a_hold_needs_no_name_and_shows_no_answer_of_an_earlier_press(
    browser: Browser, address: str, store: Store
) -> None:
    """A9, A10: a stop always goes through."""
    held = Answer("held", {})
    with opened(browser, address) as page:
        show(page, address)
        notice = page.locator("#hold-notice")
        page.locator("#hold").click()
        expect(notice).to_contain_text("Request 1 is stored.")
        answer(store, 1, "done", held)
        expect(notice).to_have_attribute("data-state", "done")
        expect(notice).to_contain_text("done held")
        page.locator("#hold").click()
        expect(notice).to_contain_text("Request 2 is stored.")
        expect(notice).to_contain_text(EMERGENCY, timeout=3000)
        expect(notice).to_have_attribute("data-state", "pending")
        answer(store, 2, "done", held)
        expect(notice).to_have_attribute("data-state", "done")
        expect(notice).not_to_contain_text(EMERGENCY)
        page.locator("#hold").click()
        expect(notice).to_contain_text("Request 3 is stored.")
        answer(store, 3, "done", held, Answer("hold_unconfirmed", {"lane_id": "L1"}))
        expect(notice).to_have_attribute("data-state", "failed")
        expect(notice).to_contain_text(EMERGENCY)


def test_what_moves_a_robot_is_named_in_two_steps(browser: Browser, address: str, store: Store) -> None:
    """A10: disabled with its reason while it may not."""
    hold_swap(store)
    with opened(browser, address) as page:
        show(page, address)
        go_on = page.get_by_role("button", name="Continue")
        expect(go_on).to_be_disabled()
        expect(page.locator(".because").first).to_have_text("Sign in first.")
        sign_in(page, address, store)
        show(page, address)
        expect(go_on).to_be_enabled()
        go_on.click()
        expect(page.locator("#sure")).to_contain_text("the robot goes on with “Storing the spent pack”, truck YQ-002")
        with store.reading() as db:
            assert db.exec(select(ControlRequest)).first() is None
        page.locator("#sure-no").click()
        expect(page.locator("#sure")).to_be_hidden()
        go_on.click()
        page.locator("#sure-yes").click()
        expect(page.locator("#notice")).to_contain_text("Continue: This needs your PIN once more.")
        go_on.click()
        page.get_by_label("Your PIN").fill("0000")
        page.locator("#sure-yes").click()
        expect(page.locator("#notice")).to_contain_text("Continue: The PIN is wrong")
        go_on.click()
        expect(page.get_by_label("Your PIN")).to_have_value("")
        page.get_by_label("Your PIN").fill(PIN)
        page.locator("#sure-yes").click()
        expect(page.locator("#notice")).to_contain_text("Continue: Request 1 is stored.")
        go_on.click()
        fault(store, "gripper_jam")  # what was to be confirmed may not be done any more
        expect(page.locator("#sure")).to_be_hidden()
        expect(go_on).to_be_disabled()
        expect(page.locator(".lane .because").first).to_have_text("lane L1: The gripper is jammed.")


def test_the_bar_names_the_cause_and_stays_in_sight(browser: Browser, address: str, store: Store) -> None:
    """A11: the cause before its consequence, at 1366×768."""
    hold_swap(store)
    fault(store, "command_failed")
    fault(store, "command_aborted")
    fault(store, "gripper_jam")
    with opened(browser, address, 1366, 768) as page:
        show(page, address)
        bar = page.get_by_role("status").filter(has=page.locator(".next"))
        expect(bar).to_contain_text("Automatic")
        expect(bar).to_contain_text("lane L1: The gripper is jammed.")
        expect(bar).to_contain_text("open faults: 3, highest: stop at once")
        expect(bar.locator(".next")).to_have_text(fault_by_name("gripper_jam").action_en)
        expect(page.locator(".standing")).to_have_attribute("data-tone", "bad")
        expect(page.locator(".faults li b").first).to_have_text("The gripper is jammed.")
        expect(page.locator(".lane .call")).to_contain_text("The gripper is jammed.")
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        expect(bar).to_be_in_viewport()
        expect(page.locator("#hold")).to_be_in_viewport()
