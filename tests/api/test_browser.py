"""The page in a real browser against a real server: it shows a change of the database without a reload."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from scheduler.types import PackState
from swap.events import append_event
from swap.messages.packs import PackStateChanged
from swap.store import Store
from swap.tables import Bay, Pack
from tests.support.api.browsing import ROOT, SHOTS, chromium, opened, served
from tests.support.api.doors import NOW, busy_day
from tests.support.api.people import PASSWORD, account

pytestmark = [pytest.mark.browser, pytest.mark.system]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def address(app: FastAPI, store: Store) -> Iterator[str]:
    if not (ROOT / "api/console/static/vendor/htmx/htmx.min.js").is_file():
        pytest.fail("the console's browser files are missing: run make setup")
    busy_day(store)
    with served(app) as address:
        yield address


def test_a_change_shows_without_reload(browser: Browser, address: str, store: Store) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with opened(browser, address) as page:
        page.goto(f"{address}/console?lang=zh")
        expect(page.locator("#link")).to_have_text("实时")
        expect(page.locator("#bay-A5")).to_contain_text("待充")
        expect(page.locator("#power canvas")).to_be_visible()
        page.screenshot(path=SHOTS / "console-zh.png", full_page=True)
        page.evaluate("window.sameDocument = true; document.querySelector('#power').dataset.kept = 'yes'")

        with store.transaction() as db:
            bay = db.get_one(Bay, "yangquan-mine:A5")
            bay.charge_kw, bay.setpoint_kw, bay.limited_by = 188.0, 188.0, "grid"
            pack = db.get_one(Pack, "0SXPB280000YQ1G510000005")
            pack.state, pack.soc_pct = "charging", 48.2
            append_event(
                db,
                PackStateChanged(before=PackState.WAITING, after=PackState.CHARGING, trigger="charge"),
                station_id="yangquan-mine",
                at=NOW,
                pack_id=pack.id,
                bay_id=bay.id,
            )
        expect(page.locator("#bay-A5")).to_contain_text("充电中")
        expect(page.locator("#bay-A5")).to_contain_text("188 kW")
        assert page.evaluate("window.sameDocument") is True
        # The chart draws itself: the change of the page around it must not touch it.
        assert page.locator("#power").get_attribute("data-kept") == "yes"


def test_a_person_signs_in_and_acts(browser: Browser, address: str, store: Store) -> None:
    account(store)
    with opened(browser, address, lossy=True) as page:  # a refused sign-in is a 401, which the browser reports
        page.goto(f"{address}/console?lang=en")
        expect(page.locator("#link")).to_have_text("live")
        page.get_by_text("Mode", exact=True).click()
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#notice")).to_have_text("Close: Sign in first.")
        page.get_by_role("link", name="Sign in").click()
        for password in ("a wrong password", PASSWORD):
            page.get_by_label("Login").fill("operatora")
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Sign in").click()
            if password != PASSWORD:
                expect(page.get_by_role("alert")).to_contain_text("Login or password is wrong")
                page.screenshot(path=SHOTS / "login-en.png")
        expect(page.locator("#person")).to_have_text("Operator A")
        page.get_by_text("Mode", exact=True).click()
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#notice")).to_have_text("Close: Request 1 is stored.")
        page.get_by_role("button", name="Acknowledge").first.click()
        expect(page.locator(".faults")).to_contain_text("seen by Operator A")
        page.screenshot(path=SHOTS / "console-en.png", full_page=True)
        page.reload()
        expect(page.locator("#person")).to_have_text("Operator A")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_page_fits_the_screen(browser: Browser, address: str, width: int) -> None:
    with opened(browser, address, width=width) as page:
        page.goto(f"{address}/console")
        expect(page.locator("#link")).to_have_text("实时")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=SHOTS / f"console-{width}.png", full_page=True)
