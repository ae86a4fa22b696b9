"""A small station for tests of the plant and of its devices, and a driver that works a cell by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from robotics.port import AckCode, CommandCode, Location, LocationKind, ResultCode, RobotCommand
from sim.plant.plant import Plant
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig

START_AT = datetime(2026, 1, 5, 0, 0, tzinfo=UTC)
PORTS = (15800, 15801, 15802, 15803)
BAYS = ("A1", "A2", "A3", "A4")


DIRECT_PROGRAMME: dict[str, Any] = {
    "id": "direct",
    "name_zh": "直控",
    "name_en": "Direct control",
    "payer": "grid",
    "control": "direct",
    "notice_min": 5,
    "price_yuan_per_kwh": "2",
    "penalty_yuan_per_kwh": "1",
    "baseline": {"like_days": 2, "least_days": 2, "alike": "any"},
}
"""A demand-response programme of direct control, as a station file would give it."""


def code(number: int) -> str:
    return f"0SXPB280000YQ1G51{number:07d}"


def station_data(
    *,
    lanes: int = 1,
    seats: int = 1,
    trucks: int = 4,
    ports: Sequence[int] = (15800, 15801, 15802, 15803),
    map_name: str = "swap_cell_v2",
) -> dict[str, Any]:
    """Four charging bays, packs 1…3 in A1…A3, a transfer and a quarantine bay, trucks with packs from 11 on.

    `ports` are those of the rack, the meter and the lanes.
    """
    bays: list[dict[str, Any]] = [
        {"id": bay, "position": i + 1, "charger_kw": 240, "point": {"device": "rack-1", "base_address": 100 * (i + 1)}}
        for i, bay in enumerate(BAYS)
    ]
    bays.append({"id": "T1", "position": 5, "role": "transfer"})
    bays.append({"id": "Q1", "position": 6, "role": "quarantine"})
    vehicles: list[dict[str, Any]] = []
    packs = [{"id": code(i + 1), "kind": "lfp", "owner": "owner", "bay": BAYS[i], "soc_pct": 90} for i in range(3)]
    for truck in range(trucks):
        codes = [code(11 + truck * seats + seat) for seat in range(seats)]
        packs += [{"id": pack, "kind": "lfp", "owner": "owner", "soc_pct": 40} for pack in codes]
        vehicles.append(
            {"id": f"V{truck + 1}", "tag": 101 + truck, "model": "tractor", "fleet": "fleet", "packs": codes}
        )
    return {
        "station": {"id": "test", "name_zh": "测试站", "name_en": "Test", "operator": "op"},
        "site": {
            "transformer_kva": 2000,
            "base_load_kw": 20,
            "meter": {"address": {"port": ports[1]}},
        },
        "pack_kinds": [{"id": "lfp", "rated_kwh": 282, "max_charge_kw": 282}],
        "vehicle_models": [{"id": "tractor", "pack_kinds": ["lfp"], "packs_per_vehicle": seats}],
        "rack_devices": [{"id": "rack-1", "port": ports[0]}],
        "lanes": [
            {
                "id": f"L{i + 1}",
                "cell": {"address": {"port": ports[2 + i]}, "register_map": map_name},
            }
            for i in range(lanes)
        ],
        "bays": bays,
        "parties": [
            {"id": "op", "name_zh": "运营", "name_en": "Operator", "kind": "station_operator"},
            {"id": "owner", "name_zh": "资产", "name_en": "Owner", "kind": "battery_owner"},
            {"id": "fleet", "name_zh": "车队", "name_en": "Fleet", "kind": "fleet"},
            {"id": "grid", "name_zh": "电网", "name_en": "Grid", "kind": "energy_seller"},
        ],
        "vehicles": vehicles,
        "packs": packs,
    }


def station(**options: Any) -> StationConfig:
    """The station of `station_data`."""
    return parse_station(station_data(**options))


def plant(**options: Any) -> Plant:
    return Plant(station(**options), seed=7, start_at=START_AT)


def bay(position: int) -> Location:
    return Location(LocationKind.BAY, position)


def seat(index: int = 1) -> Location:
    return Location(LocationKind.SEAT, index)


class Hand:
    """Works one cell command by command, as a station would."""

    def __init__(self, plant: Plant, lane_id: str = "L1", seq: int = 0) -> None:
        self.plant = plant
        self.lane_id = lane_id
        self.seq = seq

    def send(
        self, what: CommandCode, *, source: Location | None = None, target: Location | None = None, tag: int = 0
    ) -> AckCode:
        """A command with the next number."""
        self.seq += 1
        return self.plant.command(self.lane_id, RobotCommand(self.seq, what, source, target, tag))

    def run(
        self, what: CommandCode, *, source: Location | None = None, target: Location | None = None, tag: int = 0
    ) -> ResultCode:
        """A command to its end, acknowledged. Fails the test when it is refused or does not end in 10 minutes."""
        answer = self.send(what, source=source, target=target, tag=tag)
        assert answer is AckCode.ACCEPTED, f"{what.name}: {answer.name}"
        return self.finish()

    def finish(self) -> ResultCode:
        """Wait for the running command and acknowledge its result."""
        cell = self.plant.cell(self.lane_id)
        for _ in range(600):
            if cell.active is None:
                break
            self.plant.advance(1.0)
        assert cell.active is None, f"command {cell.active_seq} does not end"
        result = cell.result
        self.plant.done_ack(self.lane_id, self.seq)
        return result

    def admit(self, vehicle: str = "V1", soc_pct: float = 30.0) -> None:
        """A truck comes, is called in and measured."""
        self.plant.arrive(vehicle, [soc_pct] * self.plant.yard.truck(vehicle).seats)
        self.run_admitted(vehicle)

    def run_admitted(self, vehicle: str) -> None:
        """A truck of the yard is called in and measured."""
        assert self.run(CommandCode.ADMIT, tag=self.plant.yard.truck(vehicle).tag) is ResultCode.DONE
        assert self.run(CommandCode.LOCATE) is ResultCode.DONE

    def swap(self, old_bay: int, new_bay: int) -> None:
        """Exchange the pack in seat 1 and let the truck go."""
        for what, source, target in (
            (CommandCode.UNLOCK, None, seat()),
            (CommandCode.PICK, seat(), None),
            (CommandCode.PUT, None, bay(old_bay)),
            (CommandCode.PICK, bay(new_bay), None),
            (CommandCode.PUT, None, seat()),
            (CommandCode.LOCK, None, seat()),
            (CommandCode.HOME, None, None),
            (CommandCode.RELEASE, None, None),
        ):
            assert self.run(what, source=source, target=target) is ResultCode.DONE, what
