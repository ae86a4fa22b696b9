"""Small stations with their scenarios for the twin and for replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig


def _code(number: int) -> str:
    return f"0SXPB280000YQ1G51{number:07d}"


def twin_station(
    *,
    lanes: int = 1,
    bays: int = 4,
    packs: int = 3,
    seats: int = 1,
    trucks: int = 12,
    swap_order: str = "out_in",
    rated_kwh: float = 141,
    transformer_kva: float = 2000,
    healths_pct: Sequence[float] = (100.0,),
    **charging: Any,
) -> StationConfig:
    """A rack of `bays` with `packs` charged packs in the first of them, a transfer bay, trucks with empty packs.

    The packs have the states of health in turn.
    """
    rack: list[dict[str, Any]] = [
        {"id": f"B{n}", "position": n, "charger_kw": 240, "point": {"device": "rack-1", "base_address": 100 * n}}
        for n in range(1, bays + 1)
    ]
    stock: list[dict[str, Any]] = [
        {"id": _code(n), "kind": "lfp", "owner": "owner", "bay": f"B{n}"} for n in range(1, packs + 1)
    ]
    vehicles: list[dict[str, Any]] = []
    for truck in range(1, trucks + 1):
        codes = [_code(100 * truck + seat) for seat in range(seats)]
        stock += [{"id": code, "kind": "lfp", "owner": "owner", "soc_pct": 40} for code in codes]
        vehicles.append({"id": f"V{truck:02d}", "tag": 100 + truck, "model": "truck", "fleet": "fleet", "packs": codes})
    for number, item in enumerate(stock):
        item["soh_pct"] = healths_pct[number % len(healths_pct)]
    return parse_station(
        {
            "station": {"id": "twin", "name_zh": "孪生站", "name_en": "Twin", "operator": "op"},
            "site": {
                "transformer_kva": transformer_kva,
                "base_load_kw": 20,
                "meter": {"address": {"port": 15801}},
            },
            "charging": {"reserve_ready": 1} | charging,
            "pack_kinds": [{"id": "lfp", "rated_kwh": rated_kwh, "max_charge_kw": 282}],
            "vehicle_models": [{"id": "truck", "pack_kinds": ["lfp"], "packs_per_vehicle": seats}],
            # Readings may be old, so that they need not be renewed during each swap.
            "rack_devices": [{"id": "rack-1", "port": 15800, "max_age_s": 120}],
            "lanes": [
                {"id": f"L{n}", "swap_order": swap_order, "cell": {"address": {"port": 15802 + n}}}
                for n in range(1, lanes + 1)
            ],
            "bays": [*rack, {"id": "T1", "position": bays + 1, "role": "transfer"}],
            "parties": [
                {"id": "op", "name_zh": "运营", "name_en": "Operator", "kind": "station_operator"},
                {"id": "owner", "name_zh": "资产", "name_en": "Owner", "kind": "battery_owner"},
                {"id": "fleet", "name_zh": "车队", "name_en": "Fleet", "kind": "fleet"},
            ],
            "vehicles": vehicles,
            "packs": stock,
        }
    )


def twin_scenario(config: StationConfig, trucks_per_hour: float, **over: Any) -> Scenario:
    """The scenario of a station: trucks around the clock at this rate; `over` replaces whole sections."""
    rack = [bay for bay in config.bays if bay.role == "rack"]
    stock = sum(pack.bay is not None for pack in config.packs)
    equipment = {
        "lanes": len(config.lanes),
        "swap_order": config.lanes[0].swap_order,
        "packs": {"lfp": stock},
        "spare_bays": len(rack) - stock,
        "charger_kw": rack[0].charger_kw,
        "transformer_kva": config.site.transformer_kva,
        "power_factor": config.site.power_factor,
        "base_load_kw": config.site.base_load_kw,
    }
    data: dict[str, Any] = {
        "id": "twin",
        "name_zh": "孪生",
        "name_en": "Twin",
        "timezone": config.station.timezone,
        "fleets": [{"id": "fleet", "model": "truck", "vehicles": len(config.vehicles)}],
        "demand": {"trucks_per_hour_by_hour": [trucks_per_hour] * 24, "follows_cold": False},
        "pack_kinds": [kind.model_dump() for kind in config.pack_kinds],
        "vehicle_models": [model.model_dump() for model in config.vehicle_models],
        "charging": config.charging.model_dump(),
        "tariff": config.tariff.model_dump(),
        "climate": {"mean_c_by_month": [18.0] * 12, "swing_c": 4},
        "equipment": equipment | over.pop("equipment", {}),
        "study": {"start_on": "2026-06-01"},
    }
    scenario = parse_scenario(data | over)
    ids = {"fleet": tuple(vehicle.id for vehicle in config.vehicles)}
    return scenario.model_copy(update={"vehicle_ids": ids})
