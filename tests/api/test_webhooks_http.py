"""Webhooks over HTTP: made, seen by their own firm only, replayed, renewed and ended; and over a real connection."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from swap.commerce.payments.taking import NewPayment, take
from swap.commerce.webhooks.hosts import AllowedHosts
from swap.commerce.webhooks.pump import WebhookPump, over_http
from swap.identity.sign_in import tokens_for
from swap.store import Store
from tests.support.api.doors import NOW
from tests.support.api.people import account
from tests.support.swap.receiving import Receiver

V1 = "http://station/api/v1/webhooks"
URL = "http://127.0.0.1:9/told"


def person(store: Store, role: str, firm: str, name: str) -> dict[str, str]:
    user = account(store, role, organisation_id=firm, name=name)
    with store.identity() as db:
        return {"Authorization": f"Bearer {tokens_for(db, user.user_id, datetime.now(UTC)).access_token}"}


async def made(client: httpx.AsyncClient, who: dict[str, str], **more: Any) -> dict[str, Any]:
    answer = await client.post(V1, json={"url": URL} | more, headers=who)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


async def test_a_firm_has_its_own_webhooks(client: httpx.AsyncClient, store: Store) -> None:
    fleet = person(store, "fleet_operator", "fleet-a", "Zhao")
    owner = person(store, "battery_owner", "battery-owner", "Qian")
    new = await made(client, fleet, kinds=["payment.taken"])
    webhook_id = new["webhook"]["webhook_id"]
    assert new["secret"].startswith("whsec_")
    assert new["webhook"]["organisation_id"] == "fleet-a"
    for number in (1, 2):
        with store.commerce() as db:
            take(db, NewPayment("bank", f"N{number}", "fleet-a", "station-operator", 5000), NOW)
    url = f"{V1}/{webhook_id}"
    waiting = (await client.get(f"{url}/deliveries", headers=fleet)).json()["items"]
    assert [(one["kind"], one["outcome"], one["tries"]) for one in waiting] == [("payment.taken", None, 0)] * 2
    page = (await client.get(f"{url}/deliveries", params={"limit": 1}, headers=fleet)).json()
    rest = await client.get(f"{url}/deliveries", params={"limit": 1, "cursor": page["next_cursor"]}, headers=fleet)
    assert page["items"] + rest.json()["items"] == waiting
    receiver = Receiver(new["secret"])
    secret = client._transport.app.state.doors.settings.secret.get_secret_value()  # type: ignore[attr-defined]
    pump = WebhookPump(
        store, "yangquan-mine", secret, AllowedHosts(development=True), lambda: datetime.now(UTC), receiver
    )
    await pump.cycle()
    assert receiver.kinds == ["payment.taken"] * 2
    again = await client.post(f"{url}/replay", json={"event_id": waiting[1]["event_id"]}, headers=fleet)
    assert again.status_code == 202
    await pump.cycle()
    assert receiver.came == [one["event_id"] for one in reversed(waiting)] * 2
    renewed = (await client.post(f"{url}/secret", headers=fleet)).json()
    assert renewed["secret"] != new["secret"]

    assert (await client.get(V1, headers=owner)).json()["items"] == []
    event = {"event_id": waiting[0]["event_id"]}
    for method, path, body in (
        ("GET", url, None),
        ("GET", f"{url}/deliveries", None),
        ("DELETE", url, None),
        ("POST", f"{url}/secret", None),
        ("POST", f"{url}/replay", event),
    ):
        answer = await client.request(method, path, json=body, headers=owner)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await client.post(V1, json={"url": URL, "organisation_id": "fleet-a"}, headers=owner)).status_code == 404
    driver = person(store, "driver", "fleet-a", "Sun")
    assert (await client.get(V1, headers=driver)).status_code == 403

    ended = await client.delete(url, headers=fleet)
    assert ended.json()["ended_why"] == "owner"
    assert (await client.get(url, headers=fleet)).json() == ended.json()
    refused = await client.post(f"{url}/replay", json=event, headers=fleet)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_an_address_elsewhere_is_refused_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.post(V1, json={"url": "https://169.254.169.254/latest"})
    (field,) = answer.json()["problems"]
    assert (answer.status_code, field["field"], field["value"]) == (422, "url", "https://169.254.169.254/latest")
    assert "SWAP_WEBHOOK_HOSTS" in field["allowed"]
    unknown = await client.post(V1, json={"url": URL, "kinds": ["weather"]})
    assert unknown.json()["problems"][0]["field"] == "kinds.0"


@pytest.mark.system
async def test_a_message_goes_over_a_real_connection_and_no_redirection_is_followed() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4))
        head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"
        writer.write(head)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, over_http() as post:
        url = f"http://127.0.0.1:{port}/told"
        status = await post(url, b'{"a"', {"webhook-id": "ev-1"})
        await post(url, b'{"b"', {})
        server.close()
        for wrong in (url, "http://127.0.0.1:9/\n"):
            with pytest.raises(OSError, match=r".+"):
                await post(wrong, b"{}", {})
    assert (status, len(heads)) == (302, 2)
    assert b"cookie" not in heads[1].lower(), "what a receiver says is not carried to the next message"
    assert heads[0].startswith(b"POST /told HTTP/1.1")
    assert b"webhook-id: ev-1" in heads[0]
    assert heads[0].endswith(b'{"a"')
