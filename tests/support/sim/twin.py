"""Small stations with their scenarios for the twin and for replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from scheduler.site import StorageSection
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
    kinds: Sequence[Mapping[str, Any]] = (),
    takes_all: bool = False,
    site: Mapping[str, Any] = MappingProxyType({}),
    bay: Callable[[int], dict[str, Any]] = lambda number: {},
    lane: Callable[[int], dict[str, Any]] = lambda number: {},
    **charging: Any,
) -> StationConfig:
    """A rack of `bays` with `packs` charged packs in the first of them, transfer bays, trucks with empty packs.

    Args:
        healths_pct: states of health that the packs have in turn.
        kinds: what differs between the kinds of pack, which packs and trucks have in turn; empty: one kind.
        takes_all: trucks take every kind, not only their own.
        site: what the site has besides transformer and meter, or None for what it has not.
        bay: more of the bay of a number from 1 on.
        lane: more of the lane of a number from 1 on.
    """
    names = ["lfp", *(f"lfp{n}" for n in range(2, len(kinds) + 1))]
    models = ["truck", *(f"truck{n}" for n in range(2, len(kinds) + 1))]
    rack: list[dict[str, Any]] = [
        {"id": f"B{n}", "position": n, "charger_kw": 240, "point": {"device": "rack-1", "base_address": 100 * n}}
        | bay(n)
        for n in range(1, bays + 1)
    ]
    stock: list[dict[str, Any]] = [
        {"id": _code(n), "kind": names[n % len(names)], "owner": "owner", "bay": f"B{n}"} for n in range(1, packs + 1)
    ]
    vehicles: list[dict[str, Any]] = []
    for truck in range(1, trucks + 1):
        codes, kind = [_code(100 * truck + seat) for seat in range(seats)], truck % len(names)
        stock += [{"id": code, "kind": names[kind], "owner": "owner", "soc_pct": 40} for code in codes]
        vehicles.append(
            {"id": f"V{truck:02d}", "tag": 100 + truck, "model": models[kind], "fleet": "fleet", "packs": codes}
        )
    for number, item in enumerate(stock):
        item["soh_pct"] = healths_pct[number % len(healths_pct)]
    return parse_station(
        {
            "station": {"id": "twin", "name_zh": "孪生站", "name_en": "Twin", "operator": "op"},
            "site": {
                "transformer_kva": transformer_kva,
                "base_load_kw": 20,
                "meter": {"address": {"port": 15801}},
            }
            | dict(site),
            "charging": {"reserve_ready": 1} | charging,
            "pack_kinds": [
                {"id": name, "rated_kwh": rated_kwh, "max_charge_kw": 282} | dict(over)
                for name, over in zip(names, kinds or [{}], strict=True)
            ],
            "vehicle_models": [
                {"id": model, "pack_kinds": names if takes_all else [name], "packs_per_vehicle": seats}
                for model, name in zip(models, names, strict=True)
            ],
            # Readings may be old, so that they need not be renewed during each swap.
            "rack_devices": [{"id": "rack-1", "port": 15800, "max_age_s": 120}],
            "lanes": [
                {"id": f"L{n}", "swap_order": swap_order, "cell": {"address": {"port": 15802 + n}}} | lane(n)
                for n in range(1, lanes + 1)
            ],
            "bays": [*rack, *_transfers(lanes, bays, swap_order)],
            "parties": [
                {"id": "op", "name_zh": "运营", "name_en": "Operator", "kind": "station_operator"},
                {"id": "owner", "name_zh": "资产", "name_en": "Owner", "kind": "battery_owner"},
                {"id": "fleet", "name_zh": "车队", "name_en": "Fleet", "kind": "fleet"},
            ],
            "vehicles": vehicles,
            "packs": stock,
        }
    )


def _transfers(lanes: int, bays: int, swap_order: str) -> list[dict[str, Any]]:
    """One for each lane where each swap sets a pack down, else one."""
    if swap_order == "out_in" or lanes == 1:
        return [{"id": "T1", "position": bays + 1, "role": "transfer"}]
    return [{"id": f"T{n}", "position": bays + n, "role": "transfer", "lanes": [f"L{n}"]} for n in range(1, lanes + 1)]


def twin_scenario(config: StationConfig, trucks_per_hour: float, **over: Any) -> Scenario:
    """The scenario of a station: trucks around the clock at this rate; `over` replaces whole sections."""
    rack = [bay for bay in config.bays if bay.role == "rack"]
    stock = Counter(pack.kind for pack in config.packs if pack.bay is not None)
    site, models = config.site, [model.id for model in config.vehicle_models]
    of_model = {model: tuple(v.id for v in config.vehicles if v.model == model) for model in models}
    fleets = {f"fleet{n}" if n else "fleet": model for n, model in enumerate(models)}
    equipment = {
        "lanes": len(config.lanes),
        "swap_order": config.lanes[0].swap_order,
        "packs": dict(stock),
        "spare_bays": len(rack) - stock.total(),
        "charger_kw": rack[0].charger_kw,
        "transformer_kva": config.site.transformer_kva,
        "power_factor": config.site.power_factor,
        "base_load_kw": config.site.base_load_kw,
        "charger_efficiency": config.site.charger_efficiency,
    }
    data: dict[str, Any] = {
        "id": "twin",
        "name_zh": "孪生",
        "name_en": "Twin",
        "timezone": config.station.timezone,
        "fleets": [{"id": name, "model": model, "vehicles": len(of_model[model])} for name, model in fleets.items()],
        "demand": {"trucks_per_hour_by_hour": [trucks_per_hour] * 24, "follows_cold": False},
        "pack_kinds": [kind.model_dump() for kind in config.pack_kinds],
        "vehicle_models": [model.model_dump() for model in config.vehicle_models],
        "charging": config.charging.model_dump(),
        "tariff": config.tariff.model_dump(),
        "climate": {"mean_c_by_month": [18.0] * 12, "swing_c": 4},
        "equipment": equipment | over.pop("equipment", {}),
        "dr_events": [event.model_dump() for event in site.demand_response],
        "study": {"start_on": "2026-06-01"},
    }
    if site.pv is not None:
        data["pv"] = {"peak_kw": site.pv.peak_kw}
    if site.storage is not None:
        data["storage"] = {name: getattr(site.storage, name) for name in StorageSection.model_fields}
    scenario = parse_scenario(data | over)
    ids = {name: of_model[model] for name, model in fleets.items()}
    return scenario.model_copy(update={"vehicle_ids": ids})
