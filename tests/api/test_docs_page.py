"""The page of the interface's description: whole without any other server, under the console's content policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from tests.support.api.browsing import chromium, opened, served


async def test_its_files_come_from_this_server(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs", params={"lang": "en"})
    assert page.status_code == 200
    assert "script-src" not in page.headers["content-security-policy"], "scripts are 'self' by default-src"
    files = re.findall(r'(?:src|href|data-document)="([^"]+)"', page.text)
    assert len(files) == 5
    for address in files:
        assert address.startswith("/")
        assert (await client.get(address)).status_code == 200, address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.browser
@pytest.mark.system
def test_it_shows_every_operation(app: FastAPI, browser: Browser) -> None:
    document: dict[str, Any] = app.openapi()
    count = sum(len(methods) for methods in document["paths"].values())
    with served(app) as address, opened(browser, address) as page:
        page.goto(f"{address}/docs")
        expect(page.locator(".opblock")).to_have_count(count, timeout=60_000)
        page.locator("#operations-bookings-book .opblock-summary-control").click()
        expect(page.locator("#operations-bookings-book .opblock-body")).to_contain_text("YQ-001")
