"""Small scenarios for the tests of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario, parse_scenario

EXAMPLES = Path(__file__).parents[3] / "examples"


SMALL_FILE = """
id = "small-yard"
name_zh = "小站"
name_en = "Small yard"
fleets = [{ id = "f1", model = "tractor", vehicles = 30 }]
pack_kinds = [{ id = "lfp-282", rated_kwh = 282, max_charge_kw = 282 }]
vehicle_models = [{ id = "tractor", pack_kinds = ["lfp-282"] }]
demand = { trucks_per_hour_by_hour = [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5] }
equipment = { packs = { "lfp-282" = 8 }, transformer_kva = 2000 }
promise = { target_share = 0.6 }
"""
"""A scenario file that a test adds its `[sizing]` to."""
WEAK_FILE = SMALL_FILE.replace("transformer_kva = 2000", "transformer_kva = 600")
"""No number of packs keeps the promise: the transformer is too small."""


def yangquan() -> Scenario:
    """The example with a station file."""
    return load_scenario(EXAMPLES / "yangquan_mine" / "scenario.toml")


def scenario_data(**over: Any) -> dict[str, Any]:
    """A whole scenario as the file would give it; `over` replaces whole sections."""
    data: dict[str, Any] = {
        "id": "test-yard",
        "name_zh": "测试站",
        "name_en": "Test yard",
        "fleets": [
            {"id": "f1", "model": "tractor", "vehicles": 30, "arrive_soc": {"min_pct": 15, "max_pct": 45}},
        ],
        "demand": {"trucks_per_hour_by_hour": [6.0] * 24, "follows_cold": False},
        "pack_kinds": [{"id": "lfp-282", "rated_kwh": 282, "max_charge_kw": 282}],
        "vehicle_models": [{"id": "tractor", "pack_kinds": ["lfp-282"]}],
        "equipment": {"packs": {"lfp-282": 8}, "charger_kw": 240, "transformer_kva": 2500, "swap_cv": 0.1},
        "climate": {"mean_c_by_month": [20.0] * 12},
        "study": {"days": 7, "replications": 4},
    }
    return data | over


def scenario(**over: Any) -> Scenario:
    """The same, parsed."""
    return parse_scenario(scenario_data(**over))


def plain_scenario(**equipment: Any) -> Scenario:
    """No taper, no losses, no temperature, no price: a charge from 0 to 100 % at 282 kW takes exactly an hour."""
    return scenario(
        pack_kinds=[
            {
                "id": "lfp-282",
                "rated_kwh": 282,
                "max_charge_kw": 282,
                "taper_from_soc_pct": 100,
                "taper_end_share": 1.0,
                "charge_efficiency": 1.0,
            }
        ],
        fleets=[
            {
                "id": "f1",
                "model": "tractor",
                "vehicles": 3000,
                "arrive_soc": {"min_pct": 0, "max_pct": 0, "mode_pct": 0},
            }
        ],
        charging={"offer_soc_pct": 100, "target_soc_pct": 100, "tariff_aware": False, "min_setpoint_kw": 0},
        equipment={
            "packs": {"lfp-282": 8},
            "charger_kw": 282,
            "transformer_kva": 50_000,
            "power_factor": 1.0,
            "base_load_kw": 0,
            "charger_efficiency": 1.0,
            "swap_s": 300,
            "swap_cv": 0,
        }
        | equipment,
    )
