"""Vehicles with one to four packs: recipes, facts, maps, plant, registers, bill and study go by the vehicle's model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from robotics.modbus_link import registers
from robotics.modbus_link.registers import MapError, parse_map
from robotics.port import SEATS, CommandCode, DriverSign, ResultCode, RobotCommand, Signal
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from sim.study.study import simulate_once
from sim.study.swap_times import swap_plan
from swap.commerce.bills.issuing import run_commerce
from swap.config.loading import ConfigError, parse_station
from swap.config.station_file import StationConfig
from swap.messages.events import SwapCompleted, SwapHeld, SwapPacksTold, SwapStepStarted
from swap.places import vehicle_place
from swap.station.file_check import check_recipes
from swap.station.sequence.recipe import carried_orders, load_recipe, shipped_recipes
from swap.station.sequence.session import Refusal, Send, StepFailed
from swap.station.sequence.signs import packs_told
from swap.store import Store
from swap.tables import Bill, BillLine, Swap, SwapSeat
from tests.robotics.test_registers import cell_data
from tests.support.ports import own_ports
from tests.support.sim.devices import running, until_done
from tests.support.sim.plant import bay, code, seat, station_data
from tests.support.sim.study import scenario
from tests.support.swap.databases import migrated_sqlite
from tests.support.swap.sequence import Cycle, heads, kinds, of
from tests.support.swap.station import START_AT, Bench

FOUR = "swap_cell_v2_seats4"
MAPS = Path(registers.__file__).with_name("maps")


def truck_station(seats: int, *, map_name: str = FOUR, **options: Any) -> StationConfig:
    """A rack with a charged pack and an empty bay for each of `seats`, and trucks with packs from 11 on."""
    data = station_data(seats=seats, map_name=map_name, **options)
    rack = [
        {"id": f"A{n}", "position": n, "charger_kw": 240, "point": {"device": "rack-1", "base_address": 100 * n}}
        for n in range(1, 2 * seats + 1)
    ]
    data["bays"] = [*rack, {"id": "T1", "position": 2 * seats + 1, "role": "transfer"}]
    charged = [
        {"id": code(n), "kind": "lfp", "owner": "owner", "bay": f"A{n}", "soc_pct": 95} for n in range(1, seats + 1)
    ]
    data["packs"] = charged + [pack for pack in data["packs"] if "bay" not in pack]
    return parse_station(data)


# The table, for each number of seats.


@pytest.mark.parametrize("name", shipped_recipes())
@pytest.mark.parametrize("packs", SEATS)
def test_a_table_has_the_rows_of_every_seat(name: str, packs: int) -> None:
    recipe = load_recipe(name)
    for order in carried_orders(recipe):
        table = recipe.table(packs, order)
        for command in (CommandCode.UNLOCK, CommandCode.LOCK):
            worked_on = [row.seat for row in table.forward if row.command is command]
            assert worked_on == list(range(1, packs + 1))
        assert len({row.state for row in table.rows}) == len(table.rows)
        assert table.nominal_s > (packs - 1) * 200


@pytest.mark.parametrize("packs", [3, 4])
@pytest.mark.parametrize("last", [False, None])
def test_a_vehicle_is_not_released_before_its_last_seat_is_accepted(packs: int, last: bool | None) -> None:
    swap = Cycle("releasing", packs=packs, opened=True)
    swap.signals |= {Signal(f"seat_{n}_accepted"): True for n in range(1, packs)}
    swap.signals[Signal(f"seat_{packs}_accepted")] = last
    assert [m.name for m in of(swap.step(), Refusal).missing] == ["all_packs_accepted"]
    swap.signals[Signal(f"seat_{packs}_accepted")] = True
    swap.see(pack_accepted=False)  # what is said of all of them counts as well
    assert kinds(swap.step()) == []
    swap.see(pack_accepted=True)
    assert kinds(swap.step()) == ["Send"]


def test_each_seat_is_accepted_by_what_is_told_of_it() -> None:
    swap = Cycle("accepting_2", packs=3).see(pack_accepted=False)
    swap.signals |= {Signal.SEAT_1_ACCEPTED: True, Signal.SEAT_2_ACCEPTED: False, Signal.SEAT_3_ACCEPTED: True}
    assert kinds(swap.step()) == []
    swap.signals[Signal.SEAT_2_ACCEPTED] = True
    assert kinds(swap.step()) == ["StepDone"]
    assert swap.session.state == "unlocking_3"


def test_the_third_seat_is_open_by_its_own_heads_or_by_what_is_told_of_it() -> None:
    swap = Cycle("lifting_old_3", packs=3).see(locks_open=False, locks_closed=False)
    swap.see(heads_open=heads("0000", "1111", "0000"))
    assert [m.name for m in of(swap.step(), Refusal).missing] == ["locks_open"]
    swap.see(heads_open=heads("0000", "0000", "1111"))
    assert of(swap.step(), Send).command.source == seat(3)
    told = Cycle("lifting_old_3", packs=3).see(locks_open=False, locks_closed=False, heads_open=(), heads_closed=())
    told.signals |= {Signal.SEAT_3_LOCKS_OPEN: None}
    assert [m.value for m in of(told.step(), Refusal).missing] == [None]
    told.signals |= {Signal.SEAT_3_LOCKS_OPEN: True}
    assert kinds(told.step()) == ["Send"]


def test_heads_that_fail_are_those_of_the_rows_seat() -> None:
    swap = Cycle("locking_3", packs=3).see(locks_closed=False)
    swap.sent()
    swap.see(heads_closed=heads("0000", "1111", "1011"))
    failed = of(swap.ended(ResultCode.FAILED).step(), StepFailed)
    assert (failed.fault.failed_heads, failed.fault.head_count) == ((1,), 4)


# Files against each other.


def _checked(config: StationConfig) -> str:
    try:
        check_recipes(config)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_map_must_carry_every_seat_of_the_vehicles() -> None:
    assert _checked(truck_station(3)) == _checked(truck_station(4)) == ""
    assert _checked(truck_station(2, map_name="swap_cell_v2")) == ""
    found = _checked(truck_station(3, map_name="swap_cell_v2"))
    assert "asks for seat_3_occupied, which the map does not carry" in found
    assert "seat_2_occupied" not in found
    assert "asks for heads_open" in _checked(truck_station(2, map_name="gantry_flags_v1"))
    with pytest.raises(ConfigError, match=r"packs_per_vehicle.*5"):
        truck_station(5)


def test_locks_told_seat_by_seat_need_no_heads(tmp_path: Path) -> None:
    text = (MAPS / f"{FOUR}.toml").read_text("utf-8")
    blocks = [b for b in text.split("[[entries]]") if not re.search(r'name = "heads_(open|closed|fitted)"', b)]
    for number, seat_no in enumerate(SEATS):
        for bit, what in ((number, "locks_open"), (number + 4, "locks_closed")):
            blocks.append(
                f'\nname = "seat_{seat_no}_{what}"\nblock = "fast"\naddress = 36\ntype = "bool"\nbit = {bit}\n'
                'zh = "锁"\nen = "lock"\n'
            )
    (tmp_path / "own.toml").write_text("[[entries]]".join(blocks).replace(FOUR, "own"), "utf-8")
    data = station_data(seats=2, map_name="own.toml")
    assert _checked(parse_station(data, folder=tmp_path)) == ""
    blocks.pop()
    (tmp_path / "lacks.toml").write_text("[[entries]]".join(blocks).replace(FOUR, "lacks"), "utf-8")
    data = station_data(seats=4, map_name="lacks.toml")
    assert "asks for seat_4_locks_closed" in _checked(parse_station(data, folder=tmp_path))


def test_the_map_of_four_seats_is_the_own_one_with_more() -> None:
    own, four = (
        {e["name"]: e for e in tomllib.loads((MAPS / f"{name}.toml").read_text("utf-8"))["entries"]}
        for name in ("swap_cell_v2", FOUR)
    )
    heads_of = {"heads_fitted", "heads_open", "heads_closed"}
    assert {name: four[name] for name in own if name not in heads_of} == {
        name: entry for name, entry in own.items() if name not in heads_of
    }
    more = {"seat_3_occupied", "seat_4_occupied"}
    more |= {f"seat_{n}_{what}" for n in SEATS for what in ("accepted", "new_pack_code")}
    assert four.keys() - own.keys() == more


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"heads_open": {"type": "bits(30)"}}, r"'heads_open' type = 'bits\(30\)': the map has 4 seats"),
        (
            {"seat_4_new_pack_code": {"type": "ascii(20)"}},
            r"'seat_4_new_pack_code' type = 'ascii\(20\)': allowed",
        ),
        ({"seat_1_accepted": {"block": "command", "address": 300}}, "'seat_1_accepted' block = 'command'"),
    ],
)
def test_a_map_whose_seats_do_not_fit_is_refused(change: dict[str, dict[str, Any]], problem: str) -> None:
    data = cell_data(FOUR)
    for entry in data["entries"]:
        entry |= change.get(entry["name"], {})
    with pytest.raises(MapError, match=problem):
        parse_map(data)


# A truck with three packs.


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, truck_station(3), speed=20.0)
    bench.plant.takes_codes = True
    await bench.start()
    yield bench
    bench.close()


def _commands(bench: Bench) -> list[str]:
    return [e.data["command"] for e in bench.events() if e.kind == SwapStepStarted.kind]


async def test_a_third_pack_that_is_not_accepted_keeps_the_truck(three: Bench) -> None:
    """S10: seats 1 and 2 are accepted, the third is not: nothing is released until it is."""
    three.plant.inject("pack_refused", "V1", seat=3)
    swap_id = three.arrive("V1", 30)
    held = await three.run_until(SwapHeld.kind, limit_s=3000, step_s=None)
    assert held.data["state"] == "accepting_3"
    assert "RELEASE" not in _commands(three)
    assert (await three.settled(three.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    assert (await three.run_until(SwapHeld.kind, step_s=None)).data["state"] == "accepting_3"
    assert "RELEASE" not in _commands(three)
    assert three.plant.yard.truck("V1").place == "lane"
    three.plant.clear("pack_refused", "V1")
    assert (await three.settled(three.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    done = await three.run_until(SwapCompleted.kind, step_s=None)
    assert done.data["exchanged"] == [1, 2, 3]
    three.audited()


async def test_a_third_pack_that_is_never_accepted_comes_off_again(three: Bench) -> None:
    """The way back of one seat: the truck leaves with its own third pack, two are billed."""
    three.plant.inject("pack_refused", "V1", seat=3)
    swap_id = three.arrive("V1", 30)
    await three.run_until(SwapHeld.kind, limit_s=3000, step_s=None)
    assert (await three.settled(three.ask("decide", swap_id=swap_id, decision="unwind")))[0] == "done"
    await three.run_until(SwapStepStarted.kind, limit_s=3000, step_s=None, state="relocking_3")
    three.plant.clear("pack_refused", "V1")
    done = await three.run_until(SwapCompleted.kind, limit_s=3000, step_s=None)
    assert done.data["exchanged"] == [1, 2]
    assert three.places()[code(13)] == "vehicle:V1:3"
    with three.store.reading_station("test") as db:
        assert [s.exchanged for s in db.exec(select(SwapSeat).order_by(col(SwapSeat.seat)))] == [True, True, False]
    three.audited()


async def test_the_vehicle_is_told_which_pack_to_accept(three: Bench) -> None:
    """S9: told seat by seat, told in the journal, forgotten after the release; another pack is refused."""
    three.arrive("V1", 30)
    await three.run_until(SwapStepStarted.kind, step_s=None, state="locking_1")
    truck = three.plant.yard.truck("V1")
    assert list(truck.told) == [code(1), "", "", ""]
    assert three.plant.yard.accepts_seat(truck, 1)
    truck.told = (code(2), "", "", "")
    assert not three.plant.yard.accepts_seat(truck, 1)
    await three.run_until(SwapCompleted.kind, limit_s=3000, step_s=None)
    told = [e.data["packs"] for e in three.events() if e.kind == SwapPacksTold.kind]
    assert told[-1] == {"1": code(1), "2": code(2), "3": code(3)}
    assert [len(packs) for packs in told] == [1, 2, 3]
    assert three.plant.yard.truck("V1").told == ()
    three.audited()


async def test_a_cell_that_takes_no_codes_is_told_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, truck_station(1, map_name="swap_cell_v2"), speed=20.0)
    await bench.start()
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=None)
    assert SwapPacksTold.kind not in {e.kind for e in bench.events()}
    bench.close()


def test_on_the_way_back_the_vehicle_is_told_its_own_pack() -> None:
    assert packs_told((swap := Cycle("verifying")).table, swap.session) == {}
    assert packs_told((swap := Cycle("locking_2", packs=3, exchanged=frozenset({1}))).table, swap.session) == {
        1: "NEW1",
        2: "NEW2",
    }
    back = Cycle("relocking_2", packs=3, exchanged=frozenset({1}))
    assert packs_told(back.table, back.session) == {1: "NEW1", 2: "OLD2", 3: "OLD3"}
    gone = Cycle("releasing", released=True)
    assert packs_told(gone.table, gone.session) == {}


async def test_a_virtual_station_swaps_and_bills_three_packs(tmp_path: Path) -> None:
    """S10: the live controller on virtual time; three seats are exchanged, and three are paid for."""
    config = truck_station(3)
    store = Store(migrated_sqlite(tmp_path / "three.db"))
    live = VirtualStation(config, store, Plant(config, seed=5, start_at=START_AT))
    await live.start()
    live.arrive("V1", [30.0, 31.0, 32.0])
    await live.run(START_AT + timedelta(minutes=40))
    run_commerce(store, config, live.now_at)
    with store.reading_station("test") as db:
        swap = db.exec(select(Swap)).one()
        assert (swap.state, swap.pack_count) == ("completed", 3)
        seats = db.exec(select(SwapSeat).order_by(col(SwapSeat.seat))).all()
        assert [(s.new_pack_id, s.exchanged) for s in seats] == [(code(n), True) for n in (1, 2, 3)]
        bill = db.exec(select(Bill)).one()
        lines = db.exec(select(BillLine).where(BillLine.bill_id == bill.id)).all()
        energy = {line.seat: line.energy_centi_kwh for line in lines if line.kind == "energy"}
        assert sorted(energy, key=str) == [1, 2, 3]
    assert [live.plant.rack.pack(code(n)).place for n in (1, 2, 3)] == [vehicle_place("V1", n) for n in (1, 2, 3)]
    await live.stop()
    store.close()


def test_the_study_takes_packs_by_the_vehicles_model() -> None:
    """S10: a truck with three packs takes three packs' energy and the rows of three seats."""
    one, three_packs = (
        simulate_once(
            scenario(
                demand={"trucks_per_hour_by_hour": [1.0] * 24, "follows_cold": False},
                vehicle_models=[{"id": "tractor", "pack_kinds": ["lfp-282"], "packs_per_vehicle": seats}],
                equipment={"packs": {"lfp-282": 30}, "transformer_kva": 20_000, "spare_bays": 6},
            ),
            seed=1,
            days=3,
            warmup_days=0.5,
        )
        for seats in (1, 3)
    )
    assert len(one.waits_min) == len(three_packs.waits_min) > 50
    ratio = sum(three_packs.kwh_by_period.values()) / sum(one.kwh_by_period.values())
    assert 2.5 < ratio < 3.2
    table = load_recipe("top_lift").table(3, "out_in")
    plan = swap_plan(table, None)
    assert [seat_no for _, what, seat_no in plan.moves if what == "fetch"] == [1, 2, 3]
    assert plan.nominal_s == table.nominal_s


@pytest.mark.system
async def test_seats_and_codes_go_over_the_wire() -> None:
    """The real driver with the map of four seats: heads, acceptance and codes of a truck with three packs."""
    config = truck_station(3, ports=own_ports(4))
    async with running(config=config) as bench:
        robot = bench.robot()
        await robot.connect()
        bench.plant.arrive("V1", [30, 30, 30])
        for step in (
            RobotCommand(1, CommandCode.ADMIT, vehicle_tag=101),
            RobotCommand(2, CommandCode.LOCATE),
            RobotCommand(3, CommandCode.UNLOCK, target=seat(3)),
        ):
            await robot.send(step)
            status = await until_done(bench, robot, step.seq)
        assert status.seats == 4
        assert status.heads_open == (
            *((False,) * 4 + (None,) * 4) * 2,
            *(True,) * 4,
            *(None,) * 12,
        )
        assert [status.signals[Signal(f"seat_{n}_occupied")] for n in SEATS] == [True, True, True, False]
        assert [status.signals[Signal(f"seat_{n}_accepted")] for n in SEATS] == [True, True, True, False]
        assert await robot.show(DriverSign.DO_NOT_MOVE, swap_mode=True, packs={3: code(1)})
        await robot.send(RobotCommand(4, CommandCode.PICK, source=seat(3)))
        status = await until_done(bench, robot, 4)
        assert bench.plant.yard.truck("V1").told == ("", "", code(1), "")
        assert status.signals[Signal.SEAT_3_OCCUPIED] is False
        await robot.send(RobotCommand(5, CommandCode.PUT, target=bay(4)))
        await until_done(bench, robot, 5)
        await robot.close()
