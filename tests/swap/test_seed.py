"""The station file into the database: first fill, repeated, changed, and refused whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from swap.config.loading import parse_station
from swap.config.seed import STOCK_UNCONFIRMED, SyncError, import_register, sync_station
from swap.places import place_of
from swap.store import Store
from swap.tables import Bay, ChargeSession, Pack, PackKindRow, Party, Station, StationEvent, VehicleRow
from tests.support.swap.commerce import AT, arrive, code, station, station_data

LATER = AT + timedelta(days=1)


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    store = Store(sqlite_url)
    yield store
    store.close()


def places(store: Store) -> dict[str, str]:
    with store.reading() as db:
        return {pack.id: place_of(pack) for pack in db.exec(select(Pack))}


def test_first_fill(database_url: str) -> None:
    store = Store(database_url)
    report = sync_station(store, station(trucks=2, seats=2), AT)
    assert report.first
    register = {"party": 3, "pack_kind": 1, "vehicle_model": 1, "vehicle": 2}
    assert report.added == {**register, "station": 1, "bay": 4, "pack": 6}
    assert places(store) == {
        code(1): "bay:S:A1",
        code(2): "bay:S:A2",
        code(101): "vehicle:V0:1",
        code(102): "vehicle:V0:2",
        code(103): "vehicle:V1:1",
        code(104): "vehicle:V1:2",
    }
    with store.reading() as db:
        in_bay, on_truck = db.get_one(Pack, code(1)), db.get_one(Pack, code(101))
        assert (in_bay.state, in_bay.energy_kwh, in_bay.settled_soe_kwh) == ("received", None, None)
        assert on_truck.state == "on_vehicle"
        assert on_truck.settled_soe_kwh == pytest.approx(0.93 * 282)
        assert db.get_one(Station, "S").mode == "automatic"
        moved = db.exec(select(StationEvent).where(StationEvent.kind == "pack.moved")).all()
        assert {event.pack_id: event.data["to"] for event in moved} == places(store)
    store.close()


def test_again_changes_nothing(store: Store) -> None:
    sync_station(store, station(), AT)
    with store.reading() as db:
        before = db.get_one(Station, "S").version
    report = sync_station(store, station(), LATER)
    assert (report.first, report.added, report.changed) == (False, {}, {})
    with store.reading() as db:
        assert db.get_one(Station, "S").version == before


@pytest.mark.parametrize(
    ("devices", "mode", "reason"),
    [("simulated", "automatic", "first start"), ("real", "held", STOCK_UNCONFIRMED)],
)
def test_a_first_start_with_real_devices_waits_for_a_person(store: Store, devices: str, mode: str, reason: str) -> None:
    """S11: a new database believed the file's stock and moved at once. Only the first start is held by the file."""
    config = parse_station(station_data() | {"devices": devices})
    sync_station(store, config, AT)
    with store.reading() as db:
        row = db.get_one(Station, "S")
        assert (row.mode, row.mode_reason) == (mode, reason)
    with store.transaction() as whole:
        whole.get_one(Station, "S").mode = "automatic"
    sync_station(store, config, LATER)
    with store.reading() as db:
        assert db.get_one(Station, "S").mode == "automatic"


def test_a_pack_off_site(store: Store) -> None:
    data = station_data()
    data["packs"].append({"id": code(900), "kind": "lfp", "owner": "own"})
    sync_station(store, parse_station(data), AT)
    assert places(store)[code(900)] == "off_site"


def test_later_changes_follow_the_file_and_move_no_pack(store: Store) -> None:
    sync_station(store, station(), AT)
    with store.transaction() as db:
        pack = db.get_one(Pack, code(1))
        pack.bay_id = "S:A3"
    data = station_data(bays=5, trucks=4)
    data["station"]["name_en"] = "New name"
    data["parties"].append({"id": "fleet-b", "kind": "fleet", "name_zh": "乙", "name_en": "B"})
    data["packs"][1]["soh_pct"] = 50
    report = sync_station(store, parse_station(data), LATER)
    assert report.added == {"party": 1, "vehicle": 1, "bay": 1, "pack": 1}
    assert report.changed == {"station": 1}
    assert places(store)[code(1)] == "bay:S:A3"
    with store.reading() as db:
        assert db.get_one(Station, "S").name_en == "New name"
        assert db.get_one(Pack, code(2)).soh_pct == 100, "health is the BMS's word"


def test_tags_and_positions_may_be_exchanged(store: Store) -> None:
    sync_station(store, station(), AT)
    data = station_data()
    data["vehicles"][0]["tag"], data["vehicles"][1]["tag"] = 101, 100
    data["bays"][0]["position"], data["bays"][1]["position"] = 2, 1
    import_register(store, parse_station(data), AT)
    sync_station(store, parse_station(data), LATER)
    with store.reading() as db:
        assert [db.get_one(VehicleRow, v).tag for v in ("V0", "V1")] == [101, 100]
        assert [db.get_one(Bay, b).position for b in ("S:A1", "S:A2")] == [2, 1]


def test_an_empty_bay_leaves_and_its_position_is_free(store: Store) -> None:
    sync_station(store, station(), AT)
    data = station_data()
    data["bays"][3]["id"] = "B4"
    sync_station(store, parse_station(data), LATER)
    with store.reading() as db:
        assert [b.id for b in db.exec(select(Bay).order_by(col(Bay.position)))] == ["S:A1", "S:A2", "S:A3", "S:B4"]


def test_a_bay_with_charging_records_stays_blocked_until_it_is_back(store: Store) -> None:
    sync_station(store, station(), AT)
    with store.transaction() as db:
        session = {"station_id": "S", "pack_id": code(1), "bay_id": "S:A4", "start_energy_kwh": 1}
        db.add(ChargeSession.model_validate({**session, "started_at": AT, "ended_at": AT}))
    for _ in range(2):
        sync_station(store, station(bays=3), LATER)
    with store.reading() as db:
        bay = db.get_one(Bay, "S:A4")
        assert (bay.blocked, bay.blocked_reason) == (True, "not in the station file")
        assert bay.position < 0
    sync_station(store, station(), LATER)
    with store.reading() as db:
        bay = db.get_one(Bay, "S:A4")
        assert (bay.blocked, bay.blocked_reason, bay.position) == (False, "", 4)


def drop_bay(data: dict[str, Any]) -> None:
    del data["bays"][0]
    del data["packs"][0]


def drop_truck(data: dict[str, Any]) -> None:
    del data["vehicles"][0]


def new_pack_in_a_taken_bay(data: dict[str, Any]) -> None:
    data["packs"][0]["id"] = code(77)


def other_kind(data: dict[str, Any]) -> None:
    data["pack_kinds"].append({"id": "nmc", "rated_kwh": 300, "max_charge_kw": 300})
    data["packs"][0]["kind"] = "nmc"


def taken_tag(data: dict[str, Any]) -> None:
    del data["vehicles"][0]
    data["vehicles"][0]["tag"] = 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_bay, f"bay S:A1 left the file, but holds {code(1)}"),
        (drop_truck, f"vehicle V0 left the file, but holds {code(101)}"),
        (new_pack_in_a_taken_bay, f"pack {code(77)} is new and starts at bay:S:A1, where {code(1)} is"),
        (other_kind, f"pack {code(1)}: kind 'nmc' in the file, 'lfp' in the database"),
        (taken_tag, "vehicle V1: tag 100 is that of V0, which is not in the file"),
    ],
)
def test_refused_whole(store: Store, change: Callable[[dict[str, Any]], None], message: str) -> None:
    sync_station(store, station(), AT)
    data = station_data()
    data["parties"].append({"id": "x", "kind": "fleet", "name_zh": "x", "name_en": "x"})
    change(data)
    with pytest.raises(SyncError) as caught:
        sync_station(store, parse_station(data), LATER)
    assert any(message in problem for problem in caught.value.problems)
    with store.reading() as db:
        assert db.get(Party, "x") is None, "half of it was written"


def test_a_truck_with_an_open_swap_does_not_leave(store: Store) -> None:
    config = station()
    sync_station(store, config, AT)
    swap_id = arrive(store, config, "V0").swap_id
    data = station_data()
    del data["vehicles"][0]
    with pytest.raises(SyncError, match=f"swap {swap_id} is open"):
        sync_station(store, parse_station(data), LATER)


def test_the_shipped_example(store: Store) -> None:
    from pathlib import Path

    from swap.config.loading import load_station

    config = load_station(Path(__file__).parents[2] / "examples" / "yangquan_mine" / "station.toml")
    report = sync_station(store, config, AT)
    assert report.added["pack"] == len(config.packs)
    assert not sync_station(store, config, LATER).changed


def other_fleet(data: dict[str, Any]) -> None:
    data["parties"].append({"id": "fleet-b", "kind": "fleet", "name_zh": "乙", "name_en": "B"})
    data["vehicles"][0]["fleet"] = "fleet-b"


def other_name(data: dict[str, Any]) -> None:
    data["parties"][2]["name_en"] = "Other"


def other_rating(data: dict[str, Any]) -> None:
    data["pack_kinds"][0]["max_charge_kw"] = 300


def other_model(data: dict[str, Any]) -> None:
    data["vehicle_models"][0]["swap_mode"] = "side_grab"


def other_owner(data: dict[str, Any]) -> None:
    data["parties"].append({"id": "own-b", "kind": "battery_owner", "name_zh": "乙", "name_en": "B"})
    data["packs"][0]["owner"] = "own-b"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_fleet, "vehicle V0: fleet_id 'fleet-b' in the file, 'fleet' in the register"),
        (other_name, "party fleet: name_en 'Other' in the file, 'Fleet' in the register"),
        (other_rating, "pack kind lfp: ratings"),
        (other_model, "vehicle model truck: swap_mode 'side_grab' in the file, 'top_lift' in the register"),
        (other_owner, f"pack {code(1)}: owner_id 'own-b' in the file, 'own' in the register"),
    ],
)
def test_the_register_keeps_its_word_until_a_person_takes_the_files(
    store: Store, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    sync_station(store, station(), AT)
    data = station_data()
    change(data)
    with pytest.raises(SyncError) as caught:
        sync_station(store, parse_station(data), LATER)
    assert [p for p in caught.value.problems if p.startswith(message)], caught.value.problems
    assert import_register(store, parse_station(data), AT).changed
    assert not sync_station(store, parse_station(data), LATER).changed


def test_a_rating_that_is_new_to_the_register_is_no_contradiction(store: Store) -> None:
    sync_station(store, station(), AT)
    with store.transaction() as db:
        kind = db.get_one(PackKindRow, "lfp")
        ratings = dict(kind.ratings)
        del ratings["taper_end_share"], ratings["limits"]
        kind.ratings = ratings
    sync_station(store, station(), LATER)
    with store.reading() as db:
        assert db.get_one(PackKindRow, "lfp").ratings == station().pack_kinds[0].model_dump(mode="json")
