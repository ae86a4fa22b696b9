"""The truck's own pack is judged before a head is opened, where the truck tells of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from robotics.port import Location, LocationKind, VehiclePack
from swap.config.loading import ConfigError, parse_station
from swap.config.station_file import StationConfig
from swap.messages.events import (
    SwapCompleted,
    SwapDiverted,
    SwapHeld,
    SwapRefused,
    SwapReturned,
    SwapStepStarted,
)
from swap.station.context import StationContext
from swap.station.power.view import quarantine_bay
from swap.station.records import load_session
from swap.station.sequence.incoming import QuarantineBay, judge_incoming
from swap.station.sequence.permissives import BayFact
from swap.station.sequence.session import Diverted, HoldReason, Phase, Refusal, Send
from swap.station_db import StationDb
from swap.tables import Bill, Pack, Swap, SwapSeat
from tests.support.sim.plant import code, station, station_data
from tests.support.swap.sequence import Cycle, kinds, of
from tests.support.swap.station import Bench, blocked

EVERYTHING = frozenset({"code", "temp_max_c", "alarm_level", "leak"})
SOUND = VehiclePack(EVERYTHING, "OLD1", 35.0, 0, False)

FOUND = [
    (VehiclePack(EVERYTHING, "OTHER", 35.0, 0, False), "incoming_code", False),
    (VehiclePack(EVERYTHING, "OLD1", 50.0, 0, False), "incoming_cool", False),
    (VehiclePack(EVERYTHING, "OLD1", 35.0, 2, False), "incoming_no_alarm", False),
    (VehiclePack(EVERYTHING, "OLD1", 35.0, 0, True), "incoming_tight", False),
    (VehiclePack(EVERYTHING, None, 35.0, 0, False), "incoming_code", None),
    (VehiclePack(EVERYTHING, "OLD1", None, 0, False), "incoming_cool", None),
    (VehiclePack(EVERYTHING, "OLD1", float("nan"), 0, False), "incoming_cool", False),
    (VehiclePack(EVERYTHING, "OLD1", 35.0, None, False), "incoming_no_alarm", None),
    (VehiclePack(EVERYTHING, "OLD1", 35.0, 0, None), "incoming_tight", None),
]


@pytest.mark.parametrize(("pack", "name", "value"), FOUND)
def test_what_speaks_against_a_pack_is_named(pack: VehiclePack, name: str, value: bool | None) -> None:
    """S8: hot, alarmed, leaking, of another code; what is carried and not known speaks against it as well."""
    assert [(m.name, m.value) for m in judge_incoming(pack, "OLD1", 50.0, 0.1)] == [(name, value)]
    swap = Cycle("unlocking").see(vehicle_packs={1: pack})
    assert [(m.name, m.value) for m in of(swap.step(), Refusal).missing] == [(name, value)]
    swap.step(61)
    assert swap.session.hold_reason is HoldReason.FAULT
    assert not swap.session.opened


def test_a_sound_pack_and_one_that_nobody_tells_of_are_taken() -> None:
    assert judge_incoming(SOUND, "OLD1", 50.0, 0.1) == []
    assert judge_incoming(VehiclePack(frozenset({"code"}), "OLD1"), "OLD1", 50.0, 0.1) == []
    for packs in ({1: SOUND}, {}):
        assert kinds(Cycle("unlocking").see(vehicle_packs=packs).step()) == ["Send"]


def test_each_seat_is_judged_before_its_own_unlock_and_a_new_pack_is_not_taken_for_the_old_one() -> None:
    hot = VehiclePack(EVERYTHING, "OLD2", 70.0, 3, False)
    second = Cycle("unlocking_2", packs=2, opened=True).see(vehicle_packs={1: SOUND, 2: hot})
    assert {m.name for m in of(second.step(), Refusal).missing} == {"incoming_cool", "incoming_no_alarm"}
    lifting = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    lifting.see(vehicle_packs={1: VehiclePack(EVERYTHING, "OLD1", 70.0, 3, False)})
    assert kinds(lifting.step()) == ["Send"]  # its heads are open: it is judged before that
    freeing = Cycle("freeing_new").see(vehicle_packs={1: VehiclePack(EVERYTHING, "NEW1", 35.0, 0, False)})
    assert kinds(freeing.step()) == ["Send"]


@pytest.fixture
async def telling(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, station(), speed=20.0)
    bench.plant.vehicles_tell = True
    await bench.start()
    yield bench
    bench.close()


async def test_a_truck_with_a_leaking_pack_leaves_locked_with_it(telling: Bench) -> None:
    """S8: seen before UNLOCK, told to a person, and the truck goes as it came."""
    telling.plant.inject("pack_leaks", code(11))
    swap_id = telling.arrive("V1", 30)
    refused = await telling.run_until(SwapRefused.kind, step_s=None, state="unlocking")
    assert refused.data["missing"][0]["name"] == "incoming_tight"
    held = await telling.run_until(SwapHeld.kind, step_s=None)
    assert held.data["state"] == "unlocking"
    assert (await telling.settled(telling.ask("decide", swap_id=swap_id, decision="unwind")))[0] == "done"
    await telling.run_until(SwapReturned.kind, step_s=None)
    sent = [e.data["command"] for e in telling.events() if e.kind == SwapStepStarted.kind]
    assert "UNLOCK" not in sent
    assert sent[-1] == "RELEASE"
    assert telling.places()[code(11)] == "vehicle:V1:1"
    telling.audited()


# Quarantine instead of refusal, where the station file says so.

HOT = VehiclePack(EVERYTHING, "OLD1", 61.0, 0, False)
ALL = frozenset({"incoming_code", "incoming_cool", "incoming_no_alarm", "incoming_tight"})
FREE_BAY = QuarantineBay("s:Q1", 6)


def test_a_pack_that_goes_to_quarantine_changes_its_bay_before_the_heads_open() -> None:
    swap = Cycle("unlocking").see(vehicle_packs={1: HOT})
    swap.quarantined_for, swap.quarantine_bay = ALL, FREE_BAY
    diverted = of(swap.step(), Diverted)
    assert [m.name for m in diverted.unfit] == ["incoming_cool"]
    assert (diverted.before.old_bay, diverted.plan.old_bay) == ("s:A3", "s:Q1")
    assert swap.session.seats[0].quarantine
    assert not swap.session.opened
    swap.quarantine_bay = QuarantineBay("s:Q2", 7)  # another one is free: the pack has its own by now
    assert kinds(swap.step()) == ["Send"]
    at_bay = Cycle("storing_old", seats=swap.session.seats)
    at_bay.bays[6] = BayFact(False, power_off=True)
    at_bay.see(gripper_loaded=True, seat_1_occupied=False, locks_open=True, locks_closed=False)
    assert of(at_bay.step(), Send).command.target == Location(LocationKind.BAY, 6)


@pytest.mark.parametrize(("pack", "name", "value"), [found for found in FOUND if found[2] is None])
def test_what_is_not_known_is_never_taken_off(pack: VehiclePack, name: str, value: bool | None) -> None:
    swap = Cycle("unlocking").see(vehicle_packs={1: pack})
    swap.quarantined_for, swap.quarantine_bay = ALL, FREE_BAY
    assert [(m.name, m.value) for m in of(swap.step(), Refusal).missing] == [(name, value)]


def test_one_cause_that_is_refused_keeps_the_pack_on_the_truck() -> None:
    both = VehiclePack(EVERYTHING, "OTHER", 61.0, 0, False)
    swap = Cycle("unlocking").see(vehicle_packs={1: both})
    swap.quarantined_for, swap.quarantine_bay = ALL - {"incoming_code"}, FREE_BAY
    assert [m.name for m in of(swap.step(), Refusal).missing] == ["incoming_code", "incoming_cool"]
    swap.session = replace(swap.session, seats=(replace(swap.session.seats[0], quarantine=True),))
    assert kinds(swap.step()) == []  # refused before, and still


def test_without_a_free_bay_it_is_refused_with_that_as_its_reason() -> None:
    swap = Cycle("unlocking").see(vehicle_packs={1: HOT})
    swap.quarantined_for = ALL
    assert [m.name for m in of(swap.step(), Refusal).missing] == ["incoming_cool", "quarantine_bay"]
    swap.step(61)
    assert swap.session.hold_reason is HoldReason.FAULT
    assert not swap.session.opened


def test_a_pack_in_quarantine_is_put_on_no_vehicle_again() -> None:
    plain = Cycle("accepting").see(pack_accepted=False)
    plain.bay(3, occupied=True)
    plain.step(61)
    assert kinds(plain.step(decide="unwind")) == ["Resumed"]
    swap = Cycle("accepting").see(pack_accepted=False)
    swap.bay(3, occupied=True)
    swap.session = replace(swap.session, seats=(replace(swap.session.seats[0], quarantine=True),))
    swap.step(61)
    assert swap.session.phase is Phase.HELD
    assert swap.step(decide="unwind") == ()
    swap.see(pack_accepted=True)
    assert kinds(swap.step(decide="continue")) == ["Resumed"]


def _quarantining(**rules: str) -> StationConfig:
    data = station_data()
    data["bays"][-1]["point"] = {"device": "rack-1", "base_address": 600}
    return parse_station(data | {"operation": {"incoming": rules}})


async def _bench(folder: Path, **rules: str) -> Bench:
    bench = Bench(folder, _quarantining(**rules), speed=20.0)
    bench.plant.vehicles_tell = True
    await bench.start()
    return bench


async def test_a_leaking_pack_goes_straight_to_quarantine_and_the_truck_is_served(tmp_path: Path) -> None:
    """S8: the way into the quarantine bay, told, blocked, billed by its reading, released by a person."""
    bench = await _bench(tmp_path, leak="quarantine")
    bench.plant.inject("pack_leaks", code(11))
    swap_id = bench.arrive("V1", 30)
    told = await bench.run_until(SwapDiverted.kind, step_s=None)
    assert (told.swap_id, told.data["bay"], told.data["pack"]) == (swap_id, "Q1", code(11))
    assert [m["name"] for m in told.data["missing"]] == ["incoming_tight"]
    await bench.run_until(SwapCompleted.kind, step_s=None)
    sent = [e.data["command"] for e in bench.events() if e.kind == SwapStepStarted.kind]
    assert sent.index("UNLOCK") > 0
    assert bench.places()[code(11)] == bench.recorded_places()[code(11)] == "bay:Q1"
    assert bench.pack(code(11)).state == "quarantined"
    assert blocked(bench) == {"Q1": "incoming_unfit"}
    assert bench.open_faults()["incoming_pack_unfit"] == "bay:Q1"
    await bench.run(60)
    with bench.store.reading_station("test") as db:
        bill = db.exec(select(Bill)).one()
        seat = db.exec(select(SwapSeat).where(SwapSeat.swap_id == swap_id)).one()
        assert (bill.swap_id, "reading" in bill.flags) == (swap_id, False)
        assert seat.returned_soc_pct == pytest.approx(30.0, abs=1.0)
    bench.audited()
    assert (await bench.settled(bench.ask("release_bay", bay_id="Q1")))[0] == "done"
    assert "incoming_pack_unfit" not in bench.open_faults()
    bench.audited()
    bench.close()


async def test_a_second_leaking_pack_finds_no_quarantine_bay_and_stays_on_its_truck(tmp_path: Path) -> None:
    bench = await _bench(tmp_path, leak="quarantine")
    bench.plant.inject("pack_leaks", code(11))
    bench.plant.inject("pack_leaks", code(12))
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=None)
    second = bench.arrive("V2", 30)
    refused = await bench.run_until(SwapRefused.kind, step_s=None, state="unlocking")
    assert refused.swap_id == second
    assert [m["name"] for m in refused.data["missing"]] == ["incoming_tight", "quarantine_bay"]
    await bench.run_until(SwapHeld.kind, step_s=None)
    assert bench.swap(second).state == "unlocking"
    commands = [e.data["command"] for e in bench.events() if e.kind == SwapStepStarted.kind and e.swap_id == second]
    assert "UNLOCK" not in commands
    assert (await bench.settled(bench.ask("decide", swap_id=second, decision="unwind")))[0] == "done"
    await bench.run_until(SwapReturned.kind, step_s=None)
    assert bench.places()[code(12)] == "vehicle:V2:1"
    bench.audited()
    bench.close()


async def test_a_bay_that_is_taken_meanwhile_is_not_promised_twice(tmp_path: Path) -> None:
    bench = await _bench(tmp_path, leak="quarantine")
    bench.plant.inject("pack_leaks", code(11))
    bench.arrive("V1", 30)
    taken: list[str | None] = []

    def chosen_then_filled(
        context: StationContext, db: StationDb, lane_id: str, pack_id: str | None
    ) -> QuarantineBay | None:
        bay = quarantine_bay(context, db, lane_id, pack_id)
        if bay is not None and not taken:
            with bench.store.station("test") as other:  # another lane's swap, stored in between
                row = other.get_one(Pack, code(3))
                taken.append(row.bay_id)
                row.bay_id = bay.key
                other.add(row)
        return bay

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("swap.station.lane.facts.quarantine_bay", chosen_then_filled)
        refused = await bench.run_until(SwapRefused.kind, step_s=None, state="unlocking")
    assert "quarantine_bay" in [m["name"] for m in refused.data["missing"]]
    assert SwapDiverted.kind not in [e.kind for e in bench.events()]
    bench.close()


@pytest.mark.parametrize("bays", ["none", "other lane", "other kind"])
def test_a_file_that_quarantines_needs_a_bay_for_it(bays: str) -> None:
    data = station_data() | {"operation": {"incoming": {"hot": "quarantine"}}}
    if bays == "none":
        data["bays"] = data["bays"][:-1]
    data["bays"][-1] |= {"other lane": {"lanes": ["L2"]}, "other kind": {"kinds": ["kind-b"]}}.get(bays, {})
    with pytest.raises(ConfigError, match='role = "quarantine" that takes them'):
        parse_station(data)
    parsed = parse_station(station_data() | {"operation": {"incoming": {"hot": "quarantine"}}})
    assert parsed.operation.incoming.quarantined_for == {"incoming_cool"}


async def test_a_restart_finds_the_pack_still_on_its_way_to_quarantine(tmp_path: Path) -> None:
    bench = await _bench(tmp_path, leak="quarantine")
    bench.plant.inject("pack_leaks", code(11))
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapDiverted.kind, step_s=None)
    with bench.store.reading_station("test") as db:
        session = load_session(db, db.get_one(Swap, swap_id))
    assert [(plan.old_bay, plan.quarantine) for plan in session.seats] == [("test:Q1", True)]
    bench.close()
