"""From a bill down to the registers: what the rack was read with is journalled with the readings that bill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from battery_bms.port import PackReading, WireRead
from swap.audit import audit
from swap.commerce.bills.records import LineWhy
from swap.commerce.bills.why import explain
from swap.messages.events import SwapCompleted
from swap.messages.packs import ChargeEnded, ChargeStarted, PackRead
from swap.reading.lists import list_bills
from tests.support.swap.station import Bench
from tests.swap.test_commerce_alone import A, config, live

SCALES = {"energy_kwh": 0.000001, "meter_kwh": 0.01}


def wired(reading: PackReading) -> PackReading:
    """The reading as a driver of registers gives it: unit 7, and the address says which value it is."""
    wire = {}
    for address, (name, scale) in enumerate(SCALES.items(), start=40):
        value = getattr(reading, name)
        if value is not None:
            raw = round(value / scale)
            words = (raw >> 16, raw & 0xFFFF)
            wire[name] = WireRead(7, 3, address, words, "u32", "big", raw, scale, 0.0, 0)
    return replace(reading, wire=wire)


async def billed(
    folder: Path, url: str, *, registers: bool, measure: str, swaps: int = 1
) -> tuple[Bench, list[LineWhy]]:
    """The lines of the last swap that is billed by a measure; the rack tells its registers or does not."""
    waits = {} if measure == "soe_difference" else {"charging_wait_s": 36_000}
    bench = Bench(folder, config(A, 1, basis=measure, **waits), url=url, speed=20.0)
    monitor = bench.controller.rack.monitor
    plain = monitor.read_bays

    async def read_bays() -> Mapping[str, PackReading]:
        return {bay: wired(reading) if registers else reading for bay, reading in (await plain()).items()}

    monitor.read_bays = read_bays  # type: ignore[method-assign]
    await bench.start()
    await bench.run(5)
    for _ in range(swaps):
        await live(bench, 1, charge=measure != "soe_difference")
    await bench.run(600, 20)
    with bench.store.reading_station(A) as db:
        bills = sorted(list_bills(db).items, key=lambda bill: bill.swap_id)
        assert len(bills) == swaps
        return bench, list(explain(db, bills[-1].bill_id).lines)


async def test_a_reading_that_bills_names_its_registers(tmp_path: Path, database_url: str) -> None:
    bench, lines = await billed(tmp_path, database_url, registers=True, measure="soe_difference")
    put_on, read = lines[0].readings
    assert (put_on.quantity, put_on.registers) == ("energy_kwh", None)
    assert str(put_on.value_kwh).startswith(str(lines[0].basis["lsoe_kwh"])[:5])
    shown = read.registers
    assert shown is not None
    assert (shown.unit_id, shown.function_code, shown.address, shown.count) == (7, 3, 40, 2)
    raw = int("".join(word.removeprefix("0x") for word in shown.words), 16)
    assert raw * 0.000001 == pytest.approx(read.value_kwh, abs=1e-6)
    assert shown.how.startswith(f"{shown.words[0]} {shown.words[1]} = {raw} × 1e-06 = ")
    assert shown.read_at <= read.at
    with bench.store.reading_station(A) as db:
        (told,) = [PackRead.read(event.data) for event in db.events(PackRead)]
        assert set(told.registers) == {"energy_kwh"}, "and of no other value"
        assert [event.kind for event in db.events(SwapCompleted)] == [SwapCompleted.kind]
        assert {i.name: i.violations for i in audit(db).invariants if i.violations} == {}
    bench.close()


async def test_what_a_pack_was_put_on_with_names_the_registers_at_the_end_of_its_charging(
    tmp_path: Path, sqlite_url: str
) -> None:
    bench, lines = await billed(tmp_path, sqlite_url, registers=True, measure="soe_difference", swaps=2)
    charged, put_on, read = lines[0].readings
    assert charged.value_kwh == put_on.value_kwh > read.value_kwh
    assert charged.event_id < put_on.event_id < read.event_id
    assert [one.registers is not None for one in (charged, put_on, read)] == [True, False, True]
    bench.close()


async def test_a_charging_that_bills_names_its_registers(tmp_path: Path, sqlite_url: str) -> None:
    bench, lines = await billed(tmp_path, sqlite_url, registers=True, measure="charged_energy")
    started, ended = lines[0].readings
    assert [one.quantity for one in (started, ended)] == ["energy_kwh", "energy_kwh"]
    assert [one.registers and one.registers.address for one in (started, ended)] == [40, 40]
    with bench.store.reading_station(A) as db:
        events: list[Any] = [*db.events(ChargeStarted), *db.events(ChargeEnded)]
        assert {name for event in events for name in event.data["registers"]} == {"energy_kwh", "meter_kwh"}
    bench.close()


async def test_where_none_were_kept_it_says_so(tmp_path: Path, database_url: str) -> None:
    bench, lines = await billed(tmp_path, database_url, registers=False, measure="soe_difference")
    assert [one.registers for one in lines[0].readings] == [None, None]
    with bench.store.reading_station(A) as db:
        assert all("registers" not in event.data for event in db.events(PackRead, ChargeStarted, ChargeEnded))
    bench.close()
