"""Nobody is left without a reason: lanes and trucks say what they wait for, and until when (S15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from battery_bms.port import PackReading
from robotics.port import CellStatus, LinkFault, LinkTrouble, Refused, RobotCommand
from scheduler.types import StationMode
from scheduler.waiting import Wait
from swap.config.loading import parse_station
from swap.messages.events import SwapDispatched, SwapHeld
from swap.messages.packs import PackStateChanged
from swap.reading.lists import list_swaps
from swap.reading.now import station_state
from swap.reading.records import StationState, WaitRecord
from swap.station.reasons.published import Reasons
from tests.support.sim.plant import station, station_data
from tests.support.swap.station import Bench


async def state(bench: Bench) -> StationState:
    """As the HTTP interface and the page read it, after the controller has published."""
    await (
        bench.controller.lease_cycle()
    )  # of this real moment: what an ended controller has published counts for nothing
    await bench.controller.reasons_cycle()
    with bench.store.reading_station(bench.config.station.id) as db:
        return station_state(db, bench.config)


async def lane(bench: Bench, lane_id: str = "L1") -> WaitRecord:
    found = next(record.waits_for for record in (await state(bench)).lanes if record.lane_id == lane_id)
    assert found is not None
    return found


async def trucks(bench: Bench) -> dict[str, WaitRecord]:
    found = {entry.vehicle_id: entry.waits_for for entry in (await state(bench)).queue}
    assert None not in found.values()
    return {vehicle: waits for vehicle, waits in found.items() if waits is not None}


def come(bench: Bench, *vehicles: str) -> None:
    """Trucks one after the other."""
    for vehicle in vehicles:
        bench.arrive(vehicle)
        bench.seconds += 1


def spent(**options: Any) -> dict[str, Any]:
    """The example station with empty packs."""
    data = station_data(**options)
    for pack in data["packs"]:
        if "bay" in pack:
            pack["soc_pct"] = 50 + 10 * int(pack["bay"][1:])
    return data


async def test_a_calm_station_waits_for_trucks(bench: Bench) -> None:
    assert (await lane(bench)).cause is Wait.NO_TRUCK
    for _ in range(5):
        await bench.run(5)
        with bench.store.reading_station(bench.config.station.id) as db:
            before = db.station().version
        assert (await state(bench)).station.version == before, "what stays the same was written again"


async def test_a_truck_that_waits_for_charging_is_told_when_its_pack_is_expected(tmp_path: Path) -> None:
    """The instant comes from the charging plan carried forward: the pack is ready within two minutes of it."""
    bench = Bench(tmp_path, parse_station(spent()))
    await bench.start()
    await bench.run(30)
    come(bench, "V1", "V2")
    waits = await trucks(bench)
    assert [(w.cause, w.names) for w in waits.values()] == [(Wait.NOT_CHARGED, ("lfp",)), (Wait.KIND_AWAITED, ("V1",))]
    first, second = (w.until_at for w in waits.values())
    assert first is not None
    assert second is not None
    assert bench.clock.now() + timedelta(minutes=2) < first < second
    with bench.store.reading_station(bench.config.station.id) as db:  # and when it is expected to be called
        starts = {swap.vehicle_id: swap.estimated_start_at for swap in list_swaps(db, bench.config.station.id).items}
    assert starts["V1"] is not None
    assert starts["V2"] is not None
    assert abs(starts["V1"] - first) <= timedelta(minutes=1)
    assert starts["V2"] >= second - timedelta(minutes=1)
    assert starts["V2"] - starts["V1"] >= timedelta(seconds=bench.config.bookings.nominal_swap_s - 60)
    assert (await lane(bench)).cause is Wait.FIRST_TRUCK
    in_bay = {bay.bay_id: bay.ready_at for bay in (await state(bench)).bays if bay.ready_at is not None}
    assert set(in_bay) == {"A1", "A2", "A3"}
    assert min(in_bay.values()) == first
    ready = await bench.run_until(PackStateChanged.kind, 3600, 5.0, to="ready")
    assert abs((ready.at - first).total_seconds()) <= 120
    await bench.run(10)
    assert [record.vehicle_id for record in (await state(bench)).queue] == ["V2"]
    bench.close()


async def test_two_lanes_and_one_empty_bay(tmp_path: Path) -> None:
    bench = Bench(tmp_path, station(lanes=2), speed=20.0)
    await bench.start()
    await bench.run(5)
    come(bench, "V1", "V2")
    await bench.run_until(SwapDispatched.kind)
    waits = await trucks(bench)
    assert {vehicle: w.cause for vehicle, w in waits.items()} == {"V2": Wait.NO_EMPTY_BAY}
    idle = next(lane_id for lane_id, runner in bench.controller.lanes.items() if runner.session is None)
    assert ((await lane(bench, idle)).cause, (await lane(bench, idle)).names) == (Wait.FIRST_TRUCK, ("V2",))
    bench.close()


async def test_every_moment_of_a_swap_has_a_reason(tmp_path: Path) -> None:
    """From arrival to the next truck: no look finds a lane or a truck without one, and each phase has its own."""
    data = station_data()
    data["packs"] = [pack for pack in data["packs"] if pack.get("bay") != "A3"]
    bench = Bench(tmp_path, parse_station(data), speed=20.0)
    await bench.start()
    await bench.run(5)
    come(bench, "V1", "V2")
    seen: dict[Wait, WaitRecord] = {}
    for _ in range(600):
        await bench.tick(1.0)
        now = await state(bench)
        told = [record.waits_for for record in now.lanes] + [entry.waits_for for entry in now.queue]
        assert None not in told
        seen |= {waits.cause: waits for waits in told if waits is not None}
        if len(now.queue) == 0:
            break
    assert {Wait.LANE_BUSY, Wait.COMMAND_UNHEARD, Wait.MOTION, Wait.CHECKS} <= set(seen)
    assert seen[Wait.LANE_BUSY].names == ("L1",)
    assert seen[Wait.MOTION].number is not None
    assert seen[Wait.MOTION].until_at is not None
    bench.close()


async def test_a_held_station_and_a_held_swap(bench: Bench) -> None:
    come(bench, "V1", "V2")
    await bench.run_until(SwapDispatched.kind)
    bench.plant.inject("estop", "L1")
    await bench.run_until(SwapHeld.kind, 60, 1.0)
    await bench.run(5)
    found = await lane(bench)
    assert (found.cause, found.names) == (Wait.CONFIRMED_STATION, ("trip",))
    assert {v: (w.cause, w.names) for v, w in (await trucks(bench)).items()} == {
        "V2": (Wait.STATION_HELD, ("estop_ok",))
    }


async def test_a_swap_that_waits_for_a_person(bench: Bench) -> None:
    bench.arrive("V1")
    await bench.run_until(SwapDispatched.kind)
    await bench.run_until("swap.step_started", state="unlocking")
    bench.plant.inject("handbrake_released", "L1")
    await bench.run_until(SwapHeld.kind, 60, 1.0)
    assert bench.controller.context.mode is StationMode.AUTOMATIC
    found = await lane(bench)
    assert (found.cause, found.names) == (Wait.PERSON, ("unsecured",))


async def test_what_keeps_a_cell_from_a_truck_is_named(bench: Bench) -> None:
    bench.robots["L1"].cut = True
    await bench.run(120, 10.0)
    assert (await lane(bench)).cause is Wait.CELL_SILENT
    bench.robots["L1"].cut = False
    await bench.run(40, 5.0)
    bench.plant.inject("frozen_heartbeat", "L1")
    await bench.run(80, 5.0)
    assert (await lane(bench)).cause is Wait.CELL_FROZEN
    bench.plant.clear("frozen_heartbeat", "L1")
    await bench.run(20)
    assert bench.controller.context.mode is StationMode.AUTOMATIC
    bench.controller.context.owner_token = 7
    bench.plant.cell("L1").owner = 9
    await bench.controller.lanes["L1"].look()
    assert ((await lane(bench)).cause, (await lane(bench)).number) == (Wait.CELL_OWNED, 9)


async def test_after_a_start_a_bms_that_is_not_heard_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that never compares record and sensors, since one BMS is silent, was a queue that stood for ever."""
    bench = Bench(tmp_path, station(), speed=20.0)
    monitor = bench.controller.rack.monitor
    read = monitor.read_bays

    async def but_one() -> Mapping[str, PackReading]:
        return {bay: reading for bay, reading in (await read()).items() if bay != "A2"}

    monkeypatch.setattr(monitor, "read_bays", but_one)
    await bench.start()
    bench.arrive("V1")
    await bench.run(30)
    waits = await trucks(bench)
    assert (waits["V1"].cause, waits["V1"].names) == (Wait.NOT_COMPARED, ("A2",))
    assert ((await lane(bench)).cause, (await lane(bench)).names) == (Wait.NOT_COMPARED, ("A2",))
    monkeypatch.undo()
    await bench.run(30)
    assert bench.swap((await state(bench)).lanes[0].swap.swap_id).vehicle_id == "V1"  # type: ignore[union-attr]
    bench.close()


async def test_without_a_controller_nothing_is_claimed(bench: Bench) -> None:
    bench.arrive("V1")
    bench.controller.context.mode = StationMode.CLOSED
    assert (await trucks(bench))["V1"].cause is Wait.STATION_CLOSED
    await bench.controller.stop()
    with bench.store.reading_station(bench.config.station.id) as db:
        now = station_state(db, bench.config)
    assert [record.waits_for for record in now.lanes] + [entry.waits_for for entry in now.queue] == [None, None]


async def test_a_reload_publishes_anew(bench: Bench) -> None:
    reasons = Reasons(bench.controller.context, bench.controller.lanes)
    await reasons.cycle()
    with bench.store.station(bench.config.station.id) as db:
        db.station().waiting = {}
    await reasons.cycle()
    assert (await published(bench)) == {}
    reasons.load()
    await reasons.cycle()
    assert (await published(bench))["lane:L1"]["cause"] == Wait.NO_TRUCK


async def published(bench: Bench) -> dict[str, Any]:
    with bench.store.reading_station(bench.config.station.id) as db:
        return dict(db.station().waiting)


async def test_the_reason_of_a_plc_reaches_fault_state_and_answer(bench: Bench) -> None:
    """S14: "the cell does not answer" was all that a person was told."""
    robot = bench.robots["L1"]
    trouble = LinkTrouble(LinkFault.NO_MEANING, "ack_code", "9")
    robot.cut = True
    assert robot._last is not None
    robot._last = replace(robot._last, trouble=trouble)
    await bench.run(120, 10.0)
    found = await lane(bench)
    assert (found.cause, found.names) == (Wait.CELL_SILENT, ("no_meaning(ack_code, 9)",))
    (fault,) = [fault for fault in (await state(bench)).faults if fault.source == "lane:L1"]
    assert fault.data == {"link": "no_meaning(ack_code, 9)"}
    status, answer = await bench.settled(bench.ask("reset", lane_id="L1"))
    assert (status, answer) == ("refused", "lane L1: what the cell says cannot be used: no_meaning(ack_code, 9)")


async def test_the_reason_of_a_refused_command_is_told(bench: Bench) -> None:
    """S14: Modbus exception 2 for every command write."""
    robot = bench.robots["L1"]

    async def refuse(command: RobotCommand, epoch: int | None = None) -> None:
        raise Refused("exception 2")

    robot.send = refuse  # type: ignore[method-assign]
    look = robot.status

    async def status() -> CellStatus:
        return replace(await look(), refusal=LinkTrouble(LinkFault.EXCEPTION, value="2"))

    robot.status = status  # type: ignore[method-assign]
    bench.arrive("V1")
    await bench.run_until(SwapDispatched.kind)
    await bench.run(5)
    found = await lane(bench)
    assert (found.cause, found.names) == (Wait.COMMAND_REFUSED, ("exception(2)",))
    await bench.run_until(SwapHeld.kind, 1200, 5.0)
    (fault,) = [fault for fault in (await state(bench)).faults if fault.source == "lane:L1"]
    assert fault.data["link"] == "exception(2)"
