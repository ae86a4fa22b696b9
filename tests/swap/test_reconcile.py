"""Record against sensors: every difference is named, what is unknown is none, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from battery_bms.port import ChargerState, PackReading
from robotics.port import CellStatus, Signal
from swap.messages.events import Reconciled, SwapDispatched
from swap.messages.packs import PackStateChanged
from swap.station.reconcile import BayOnRecord, Mismatch, compare, reconcile
from swap.store import Store
from swap.tables import Bay, Pack, StationEvent
from tests.support.sim.plant import START_AT, code, station
from tests.support.swap.databases import fill
from tests.support.swap.station import Bench, blocked


def reading(bay: str, pack_id: str | None, present: bool = True) -> PackReading:
    return PackReading(
        bay_id=bay,
        at=START_AT,
        present=present,
        pack_id=pack_id,
        soc_pct=None,
        energy_kwh=None,
        soh_pct=None,
        voltage_v=None,
        current_a=None,
        temp_max_c=None,
        temp_min_c=None,
        cell_max_v=None,
        cell_min_v=None,
        insulation_ohm_per_v=None,
        max_charge_kw=None,
        alarm_level=0,
        alarm_bits=0,
        charger_state=ChargerState.IDLE,
        charger_fault=0,
        charge_kw=0.0,
        setpoint_kw=0.0,
        meter_kwh=0.0,
    )


A1 = BayOnRecord("A1", 1, "P1", in_motion=False)
A2 = BayOnRecord("A2", 2, None, in_motion=False)


@pytest.mark.parametrize(
    ("occupied", "readings", "found"),
    [
        ({1: True, 2: False}, {"A1": "P1"}, []),
        ({}, {}, []),  # nothing is known
        ({1: None, 2: None}, {"A1": None}, []),
        ({1: False, 2: False}, {}, [Mismatch("bay:A1", "P1", "empty")]),
        ({1: True, 2: True}, {}, [Mismatch("bay:A2", "empty", "occupied")]),
        ({1: True, 2: False}, {"A1": "P9"}, [Mismatch("bay:A1", "P1", "P9")]),
        ({1: True}, {"A2": "P9"}, [Mismatch("bay:A2", "empty", "P9")]),
        ({1: False, 2: True}, {}, [Mismatch("bay:A1", "P1", "empty"), Mismatch("bay:A2", "empty", "occupied")]),
    ],
)
def test_bays(occupied: dict[int, bool | None], readings: dict[str, str | None], found: list[Mismatch]) -> None:
    seen = {bay: reading(bay, pack) for bay, pack in readings.items()}
    assert compare([A1, A2], occupied, seen, {}) == found


def test_bays_of_a_swap_under_way_are_left_to_its_step() -> None:
    moving = BayOnRecord("A1", 1, "P1", in_motion=True)
    assert compare([moving], {1: False}, {"A1": reading("A1", "P9")}, {}) == []


@pytest.mark.parametrize(
    ("gripper", "found"),
    [
        ((None, False, False), []),
        (("P1", True, False), []),
        ((None, None, False), []),
        ((None, True, False), [Mismatch("gripper:L1", "empty", "loaded")]),
        (("P1", False, False), [Mismatch("gripper:L1", "P1", "empty")]),
        ((None, True, True), []),
    ],
)
def test_grippers(gripper: tuple[str | None, bool | None, bool], found: list[Mismatch]) -> None:
    assert compare([], {}, {}, {"L1": gripper}) == found


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([None, True, False]), st.booleans()), max_size=8),
)
def test_a_difference_is_found_where_and_only_where_a_known_sensor_differs(
    bays: list[tuple[bool, bool | None, bool]],
) -> None:
    records = [
        BayOnRecord(f"A{n}", n, f"P{n}" if full else None, moving) for n, (full, _, moving) in enumerate(bays, 1)
    ]
    occupied = {n: seen for n, (_, seen, _) in enumerate(bays, 1)}
    found = {m.where for m in compare(records, occupied, {}, {})}
    differing = {
        f"bay:A{n}"
        for n, (full, seen, moving) in enumerate(bays, 1)
        if seen is not None and seen != full and not moving
    }
    assert found == differing


def reconciled(bench: Bench) -> Iterable[list[str]]:
    return [e.data["mismatches"] for e in bench.events() if e.kind == Reconciled.kind]


async def restart(bench: Bench, *, clean: bool) -> None:
    if clean:
        await bench.controller.stop()
    bench.seconds += 15  # longer than a lease lives without its controller
    bench.build()
    assert ((await bench.start()).cause is None) is clean


@pytest.mark.parametrize("clean", [True, False], ids=["after a stop", "after a kill"])
async def test_a_start_compares_the_record_with_the_sensors(bench: Bench, clean: bool) -> None:
    assert list(reconciled(bench)) == [[]]
    await restart(bench, clean=clean)
    bench.plant.rack.move(code(2), "bay:A4", bench.plant.now_us)  # somebody worked here meanwhile
    await bench.run(10)
    assert list(reconciled(bench))[-1] == [f"bay:A2: {code(2)} / empty", "bay:A4: empty / occupied"]
    assert set(blocked(bench)) == {"A2", "A4"}
    assert bench.pack(code(2)).state == "quarantined"
    assert bench.pack(code(2)).bay_id == "test:A2"


async def test_no_truck_is_called_before_the_comparison(bench: Bench) -> None:
    await bench.controller.stop()
    bench.seconds += 15
    bench.build()
    for robot in bench.robots.values():  # not everything has been seen
        robot.cut, robot._last = True, CellStatus(robot.lane_id, None, None)
    await bench.start()
    bench.arrive("V1", 30)
    await bench.run_while_still(30)
    assert len(list(reconciled(bench))) == 1
    for robot in bench.robots.values():
        robot.cut = False
    await bench.run_until(SwapDispatched.kind, 60)
    assert len(list(reconciled(bench))) == 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The example station, with nothing running."""
    url = f"sqlite:///{tmp_path / 'swap.db'}"
    fill(url, station(), START_AT)
    store = Store(url)
    yield store
    store.close()


def compared(
    store: Store, occupied: dict[int, bool | None], *, loaded: bool = False, busy: bool = False, more: str = ""
) -> list[str]:
    """Where record and sensors differ; nothing is reported by a BMS."""
    positions = {"A1": 1, "A4": 4} | ({more: 9} if more else {})
    cell = CellStatus("L1", None, None, signals={Signal.GRIPPER_LOADED: loaded})
    with store.station("test") as db:
        found = reconcile(
            db,
            station_id="test",
            at=START_AT,
            actor="controller",
            positions=positions,
            in_motion=set(),
            busy_lanes={"L1"} if busy else set(),
            occupied=occupied,
            readings={},
            cells={"L1": cell},
        )
        return [item.where for item in found]


def told(store: Store) -> Mapping[str, object]:
    with store.reading() as db:
        return db.exec(select(StationEvent.data).where(StationEvent.kind == Reconciled.kind)).one()


def bays_and_states(store: Store) -> tuple[set[str], str]:
    """Blocked bays, and the state of the pack of A1."""
    with store.reading() as db:
        bays = {bay.name for bay in db.exec(select(Bay)).all() if bay.blocked}
        return bays, db.get_one(Pack, code(1)).state


@pytest.mark.parametrize("busy", [True, False])
def test_a_gripper_at_work_is_left_to_its_step(store: Store, busy: bool) -> None:
    assert compared(store, {1: True, 4: False}, loaded=True, busy=busy) == ([] if busy else ["gripper:L1"])
    assert told(store)["examined"] == 3  # two bays, one gripper
    assert bays_and_states(store)[0] == set()


def test_a_bay_with_a_stranger_in_it_is_blocked_and_one_that_is_not_on_record_is_only_told(store: Store) -> None:
    assert compared(store, {1: True, 4: True, 9: True}, more="X9") == ["bay:A4", "bay:X9"]
    assert bays_and_states(store)[0] == {"A4"}


def test_a_pack_in_quarantine_stays_there_and_its_bay_is_blocked(store: Store) -> None:
    with store.station("test") as db:
        pack = db.get_one(Pack, code(1))
        pack.state = "quarantined"
        db.add(pack)
    assert compared(store, {1: False, 4: False}) == ["bay:A1"]
    assert bays_and_states(store) == ({"A1"}, "quarantined")
    with store.reading() as db:
        kinds = db.exec(select(StationEvent.kind).where(StationEvent.kind == PackStateChanged.kind)).all()
    assert kinds == []
