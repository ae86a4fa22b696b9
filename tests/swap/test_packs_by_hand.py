"""Packs that people carry out of the station and bring in: what is on record follows what is seen, and custody both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swap.audit import audit
from swap.messages.packs import PackMoved
from swap.places import OFF_SITE, bay_place
from swap.tables import HotPack
from tests.support.sim.plant import code, station
from tests.support.swap.station import Bench, blocked

SPENT, PACK, OTHER = code(11), code(2), code(3)
"""On the truck V1; in bay A2; in bay A3."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, station(), speed=20.0)
    await bench.start()
    await bench.run(10)
    yield bench
    bench.close()


def carry(bench: Bench, pack_id: str, place: str) -> None:
    """People carry a pack; nobody has told the station."""
    bench.plant.rack.move(pack_id, place, bench.plant.now_us)


async def asked(bench: Bench, kind: str, **arguments: str) -> tuple[str, str]:
    return await bench.settled(bench.ask(kind, "Han Mei", **arguments))


def told(bench: Bench, pack_id: str) -> list[tuple[str, str, str]]:
    """Source, target and who, of each move of a pack."""
    moves = [e for e in bench.events() if e.kind == PackMoved.kind and e.pack_id == pack_id]
    return [(e.data["from"], e.data["to"], bench.who(e)) for e in moves]


async def test_a_quarantined_pack_is_carried_out_and_its_bay_used_again(bench: Bench) -> None:
    bench.plant.inject("wrong_code", "A2", code=code(99))
    await bench.run(5)
    assert bench.pack(PACK).state == "quarantined"
    assert await asked(bench, "take_out_pack", pack_id=PACK) == (
        "refused",
        "bay A2 still holds a pack: what is there is carried out first",
    )
    assert bench.recorded_places()[PACK] == "bay:A2"
    bench.plant.clear("wrong_code", "A2")
    carry(bench, PACK, OFF_SITE)
    await bench.run(5)
    assert await asked(bench, "take_out_pack", pack_id=PACK, reason="to the works") == (
        "done",
        f"pack {PACK} is off site",
    )
    pack = bench.pack(PACK)
    assert (pack.off_site, pack.bay_id, pack.state) == (True, None, "quarantined")
    assert told(bench, PACK)[-1] == (bay_place("test:A2"), OFF_SITE, "Han Mei")
    assert blocked(bench) == {}
    assert bench.open_faults() == {}
    await bench.run(60)
    assert bench.recorded_places() == bench.places()
    bench.audited()


async def test_a_pack_that_was_carried_off_before_anybody_told_the_station(bench: Bench) -> None:
    carry(bench, PACK, OFF_SITE)
    await bench.run(300)
    assert bench.pack(PACK).state == "blocked"
    assert "bms_silent" in bench.open_faults()
    assert (await asked(bench, "take_out_pack", pack_id=PACK))[0] == "done"
    assert "bms_silent" not in bench.open_faults()
    await bench.run(60)
    assert bench.open_faults() == {}
    assert bench.recorded_places() == bench.places()
    bench.audited()


async def test_a_healthy_pack_goes_and_comes_back_into_another_bay(bench: Bench) -> None:
    """Also where it is set down before anybody has told the station: the bay is blocked until then."""
    carry(bench, PACK, OFF_SITE)
    await bench.run(5)
    assert (await asked(bench, "take_out_pack", pack_id=PACK))[0] == "done"
    assert bench.pack(PACK).state == "blocked"
    assert await asked(bench, "bring_in_pack", pack_id=PACK, bay_id="A4") == (
        "refused",
        "bay A4 does not read this pack now; it reads: -",
    )
    carry(bench, PACK, "bay:A4")
    await bench.run(5)
    assert blocked(bench) == {"A4": "bay_occupancy_mismatch"}
    assert await asked(bench, "bring_in_pack", pack_id=PACK, bay_id="A3") == (
        "refused",
        f"pack {OTHER} is on record in bay A3: it is taken off site first",
    )
    assert await asked(bench, "bring_in_pack", pack_id=PACK, bay_id="A4") == (
        "done",
        f"pack {PACK} is in bay A4; it is identified anew",
    )
    await bench.run(60)
    assert bench.pack(PACK).state in ("ready", "charging", "waiting", "cooling")
    assert blocked(bench) == {}
    assert bench.open_faults() == {}
    assert bench.recorded_places() == bench.places()
    assert [(source, target) for source, target, _ in told(bench, PACK)][-2:] == [
        (bay_place("test:A2"), OFF_SITE),
        (OFF_SITE, bay_place("test:A4")),
    ]
    bench.audited()


async def test_the_tank_is_emptied_by_people(bench: Bench) -> None:
    bench.plant.inject("pack_heats", PACK, c_per_s=2.0)
    for _ in range(60):
        await bench.run(10)
        if bench.pack(PACK).state == "evacuated":
            break
    assert bench.recorded_places()[PACK] == "tank"
    assert (await asked(bench, "release_pack", pack_id=PACK))[0] == "refused"
    carry(bench, PACK, OFF_SITE)
    assert (await asked(bench, "take_out_pack", pack_id=PACK))[0] == "done"
    pack = bench.pack(PACK)
    assert (pack.off_site, pack.tank_station_id, pack.state) == (True, None, "evacuated")
    bench.audited()


@pytest.mark.parametrize(("place", "barks"), [(OFF_SITE, True), ("bay:test:A1", False)])
async def test_only_people_carry_a_pack_off(bench: Bench, place: str, barks: bool) -> None:
    """What a machine moves stays in the station: the audit finds one that it is said to have carried out."""
    with bench.store.station("test") as db:
        db.append(PackMoved(source="bay:test:A2", target=place), at=bench.clock.now(), pack_id=PACK)
    with bench.store.reading() as db:
        (found,) = (one for one in audit(db).invariants if one.name == "actors_known")
    assert bool(found.violations) is barks


@pytest.mark.parametrize(
    ("kind", "arguments", "answer"),
    [
        ("take_out_pack", {"pack_id": "x"}, "no pack 'x'"),
        ("take_out_pack", {"pack_id": SPENT}, f"pack {SPENT} is in no bay and not in the tank of this station"),
        ("bring_in_pack", {"pack_id": "x", "bay_id": "A4"}, "no pack 'x'"),
        ("bring_in_pack", {"pack_id": PACK, "bay_id": "Z9"}, "no bay 'Z9'"),
        ("bring_in_pack", {"pack_id": PACK, "bay_id": "A4"}, f"pack {PACK} is not off site"),
    ],
)
async def test_what_cannot_be_is_refused(bench: Bench, kind: str, arguments: dict[str, str], answer: str) -> None:
    before = bench.recorded_places()
    assert await asked(bench, kind, **arguments) == ("refused", answer)
    assert bench.recorded_places() == before


async def test_a_pack_that_a_truck_is_promised_stays(bench: Bench) -> None:
    bench.arrive("V1")
    await bench.run_until("swap.dispatched")
    (promised,) = (pack for pack in (code(number) for number in (1, 2, 3)) if bench.pack(pack).state == "reserved")
    assert await asked(bench, "take_out_pack", pack_id=promised) == (
        "refused",
        f"pack {promised} is promised to a truck, or a swap is moving it",
    )


@pytest.mark.parametrize(("stage", "status"), [("detected", "refused"), ("isolated", "done")])
async def test_a_hot_pack_is_dealt_with_first(bench: Bench, stage: str, status: str) -> None:
    carry(bench, PACK, OFF_SITE)
    await bench.run(5)
    with bench.store.station("test") as db:
        db.add(HotPack(station_id="test", bay_id="test:A2", detected_at=bench.clock.now(), stage=stage))
    assert (await asked(bench, "take_out_pack", pack_id=PACK))[0] == status


async def test_a_bay_takes_its_kinds_only(tmp_path: Path) -> None:
    config = station()
    bays = tuple(b.model_copy(update={"kinds": ("other",)}) if b.id == "A4" else b for b in config.bays)
    bench = Bench(tmp_path, config.model_copy(update={"bays": bays}), speed=20.0)
    await bench.start()
    carry(bench, PACK, OFF_SITE)
    await bench.run(5)
    assert (await asked(bench, "take_out_pack", pack_id=PACK))[0] == "done"
    carry(bench, PACK, "bay:A4")
    await bench.run(5)
    status, answer = await asked(bench, "bring_in_pack", pack_id=PACK, bay_id="A4")
    assert (status, answer.startswith("bay A4 takes no pack of kind")) == ("refused", True)
    bench.close()
