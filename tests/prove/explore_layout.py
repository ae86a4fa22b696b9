"""The station that the exploration explores."""

from __future__ import annotations

from typing import Any

from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.station.sequence.permissives import SeatPlan
from swap.station.sequence.recipe import StepTable, load_recipe
from tests.prove.explore_station import LANE, TRANSFER_BAY, VEHICLE

TAG = 101
QUARANTINE_BAY = "Q1"


def pack_code(number: int) -> str:
    return f"0SXPB171000YQ1G51{number:07d}"


def explored_station(table: StepTable, *, quarantine: bool = False) -> StationConfig:
    """One lane, a charged pack and an empty bay for each seat; packs of 171 kWh, several on one truck where asked.

    Args:
        quarantine: with a quarantine bay, into which unfit packs of trucks go.
    """
    seats = table.pack_count
    bays: list[dict[str, Any]] = [
        {"id": f"A{n}", "position": n, "charger_kw": 240, "point": {"device": "rack-1", "base_address": 100 * n}}
        for n in range(1, 2 * seats + 1)
    ]
    bays.append({"id": TRANSFER_BAY, "position": 9, "role": "transfer"})
    incoming = dict.fromkeys(("wrong_code", "hot", "alarm", "leak"), "quarantine") if quarantine else {}
    if quarantine:
        bays.append({"id": QUARANTINE_BAY, "position": 10, "role": "quarantine"})
    packs = [
        {"id": pack_code(n), "kind": "lfp-171", "owner": "owner", "bay": f"A{n}", "soc_pct": 95}
        for n in range(1, seats + 1)
    ]
    packs += [{"id": pack_code(10 + n), "kind": "lfp-171", "owner": "owner", "soc_pct": 30} for n in range(seats)]
    return parse_station(
        {
            "station": {"id": "explored", "name_zh": "验证站", "name_en": "Explored", "operator": "op"},
            "site": {"transformer_kva": 2000, "base_load_kw": 20},
            "operation": {"incoming": incoming},
            "pack_kinds": [{"id": "lfp-171", "rated_kwh": 171, "max_charge_kw": 171}],
            "vehicle_models": [
                {
                    "id": "truck",
                    "pack_kinds": ["lfp-171"],
                    "packs_per_vehicle": seats,
                    "swap_mode": load_recipe(table.recipe).swap_mode,
                }
            ],
            "rack_devices": [{"id": "rack-1", "port": 15801}],
            "lanes": [
                {
                    "id": LANE,
                    "recipe": table.recipe,
                    "swap_order": table.swap_order,
                    "cell": {"address": {"port": 15802}},
                }
            ],
            "bays": bays,
            "parties": [
                {"id": "op", "name_zh": "运营", "name_en": "Operator", "kind": "station_operator"},
                {"id": "owner", "name_zh": "资产", "name_en": "Owner", "kind": "battery_owner"},
                {"id": "fleet", "name_zh": "车队", "name_en": "Fleet", "kind": "fleet"},
            ],
            "vehicles": [
                {
                    "id": VEHICLE,
                    "tag": TAG,
                    "model": "truck",
                    "fleet": "fleet",
                    "packs": [pack_code(10 + n) for n in range(seats)],
                }
            ],
            "packs": packs,
        }
    )


def seat_plans(table: StepTable) -> tuple[SeatPlan, ...]:
    """Out-In: the spent pack goes to an empty bay; In-Out: into the bay that the charged one has left."""
    plans = []
    for seat in range(1, table.pack_count + 1):
        old = seat if table.swap_order == "in_out" else table.pack_count + seat
        new_bay, old_bay = f"explored:A{seat}", f"explored:A{old}"
        plans.append(SeatPlan(seat, pack_code(9 + seat), pack_code(seat), old_bay, old, new_bay, seat))
    return tuple(plans)
