"""Published stations as oracles: what real stations say about themselves must come out of the study engine.

Each oracle is a function that simulates a station and returns what it saw beside the bounds derived in its
docstring from published figures. It runs twice: on the engine as it is, where every bound must hold, and on
engines made wrong on purpose (charging 4 % slower or faster, a lane 4 % slower, a transformer 4 % stronger),
where at least one bound must break. So none of them passes whatever the engine does.

Sources are press pages, read for the field notes: their figures are claims. "Derived" is arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

import sim.study.layout
from battery_bms.pack import Curve
from sim.network.file import build_network, parse_network
from sim.network.network import simulate_network_once
from sim.scenario.file import EquipmentSection, Scenario
from sim.scenario.load import parse_scenario
from sim.study.study import RunResult, simulate_once
from sim.study.swap_times import SwapPlan, swap_plan
from swap.station.sequence.recipe import load_recipe
from tests.support.sim.study import scenario_data

DAYS = 4.0


class Check(NamedTuple):
    """What was seen, and the range it must lie in."""

    what: str
    seen: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        return self.low <= self.seen <= self.high


Oracle = Callable[[Path], list[Check]]


def near(what: str, seen: float, expected: float, share: float = 0.01) -> Check:
    return Check(what, seen, expected * (1 - share), expected * (1 + share))


def station(
    *, packs: int, rated_kwh: float, charger_kw: float, swap_min: float, arrive_pct: float = 0.0, **over: Any
) -> Scenario:
    """What the published arithmetic assumes: constant power, no losses, full packs. Trucks never stop coming."""
    equipment = {
        "packs": {"p": packs},
        "charger_kw": charger_kw,
        "transformer_kva": 50_000,
        "power_factor": 1.0,
        "base_load_kw": 0,
        "charger_efficiency": 1.0,
        "swap_s": swap_min * 60,
        "swap_cv": 0,
    } | over.pop("equipment", {})
    kind = {"id": "p", "rated_kwh": rated_kwh, "max_charge_kw": 2000, "taper_from_soc_pct": 100, "taper_end_share": 1.0}
    soc = {"min_pct": arrive_pct, "max_pct": arrive_pct, "mode_pct": arrive_pct}
    data = scenario_data(
        pack_kinds=[kind | {"charge_efficiency": 1.0}],
        vehicle_models=[{"id": "truck", "pack_kinds": ["p"]}],
        fleets=[{"id": "f", "model": "truck", "vehicles": 4000, "arrive_soc": soc}],
        charging={"offer_soc_pct": 100, "target_soc_pct": 100, "tariff_aware": False, "min_setpoint_kw": 0},
        demand={"trucks_per_hour_by_hour": [60.0] * 24, "follows_cold": False},
        patience={"balk_at": 10},
        equipment=equipment,
    )
    return parse_scenario(data | over.pop("sections", {}), folder=over.pop("folder", None))


def run(made: Scenario, days: float = DAYS) -> RunResult:
    return simulate_once(made, 1, days=days)


def swaps(made: Scenario, days: float = DAYS) -> float:
    return run(made, days).means["swaps_per_day"]


def stored_after_s(swap_min: float, order: Literal["out_in", "in_out"] = "out_in") -> float:
    """From the call of a truck until its spent pack stands in its bay, from the rows of the top-lift recipe."""
    rows = load_recipe("top_lift", Path()).table(1, order).forward
    whole_s = sum(row.nominal_s for row in rows)
    at_s = 0.0
    for row in rows:
        at_s += row.nominal_s
        if row.move is not None and (row.move.pack, row.move.target) == ("old", "old_bay"):
            return at_s / whole_s * swap_min * 60
    raise AssertionError("the recipe never puts the spent pack down")


def seven_packs(folder: Path) -> list[Check]:
    """Ziyang on the Chengdu-Chongqing corridor (zslijia.com/article/69098.html, 2023): 7 packs of 350 kWh, full in
    about an hour, 3-5 min a swap, "max 168 swaps in 24 h". Guancun, Changzhi, says the same: 8 stalls, 168 a day.

    Derived: a pack is ready again after its hour, so 7 x 24 h / 1 h = 168 a day, if it were in the rack all the time.
    Between the call of a truck and the moment its spent pack stands in the bay nothing is charged: 7 x 24 h /
    (1 h + that time), which is below 168 and reaches it when a swap takes no time. The lane alone: 24 h / 5 min = 288.
    """
    made = station(packs=7, rated_kwh=350, charger_kw=350, swap_min=5)
    found = swaps(made)
    return [
        Check("swaps a day", found, 0, 168),
        near("swaps a day with the time out of the rack", found, 7 * 86_400 / (3600 + stored_after_s(5)), 0.005),
        near("swaps a day when a swap takes a second", swaps(made.with_equipment(swap_s=1.0)), 168, 0.005),
        near("swaps a day with packs to spare", swaps(made.with_equipment(packs=30)), 288, 0.005),
    ]


def two_thousand_kva(folder: Path) -> list[Check]:
    """The same station behind 2 000 kVA (the vendor's box for 8-10 chargers of 300 kW, cnboda.cn/neizhan/1563.html).

    Derived: seven chargers of 350 kW ask for 2 450 kW. With 2 000 kW at power factor 1, 2 000 x 24 / 350 = 137 swaps
    of 350 kWh a day, 168 x 2 000 / 2 450; the transformer gives all it has.
    """
    made = station(packs=7, rated_kwh=350, charger_kw=350, swap_min=5, equipment={"transformer_kva": 2000})
    found = run(made)
    return [
        near("swaps a day", found.means["swaps_per_day"], 2000 * 24 / 350, 0.01),
        Check("highest import, kW", found.means["peak_hour_kw"], 1990, 2000.001),
        Check("transformer load", found.means["transformer_utilisation"], 0.985, 1.0),
    ]


def eight_chargers(folder: Path) -> list[Check]:
    """Fuhai Xinhe, Shenzhen (chinaautoms.com, 2021): 8 chargers of 300 kW, 150 swaps a day, 9 GWh a year, 5 min.

    Derived: 9 GWh / 365 / 150 = 164 kWh a swap, so 8 x 300 x 24 / 164 = 351 a day by energy. One lane gives 288 at
    most; with two the chargers bind. 150 a day are 43 % of 351: so busy are the chargers at that demand.
    """
    made = station(
        packs=24, rated_kwh=282, charger_kw=300, swap_min=5, arrive_pct=100 * (1 - 164 / 282), equipment={"chargers": 8}
    )
    most = 8 * 300 * 24 / 164
    both = run(made.with_equipment(lanes=2))
    rate = made.demand.model_copy(update={"trucks_per_hour_by_hour": (150 / 24,) * 24})
    observed = run(made.model_copy(update={"demand": rate}), days=20)
    return [
        near("swaps a day with two lanes", both.means["swaps_per_day"], most, 0.005),
        near("chargers busy with two lanes", both.means["charger_utilisation"], 1.0, 0.005),
        near("swaps a day with one lane", swaps(made), 288, 0.005),
        near("swaps a day with one lane and 8 packs", swaps(made.with_equipment(packs=8)), 288, 0.01),
        near("swaps a day at the observed demand", observed.means["swaps_per_day"], 150, 0.06),
        near(
            "chargers busy for each swap a day",
            observed.means["charger_utilisation"] / observed.means["swaps_per_day"],
            1 / most,
            0.01,
        ),
    ]


def thirteen_packs(folder: Path) -> list[Check]:
    """Oyu Tolgoi (electriccarsreport.com 2024-11; teknolojikizi.com): 8 trucks, 13 packs of 800 kWh, about 7 min, a
    pack lasts up to 8 h.

    Derived: 8 trucks that come every 8 h are one an hour, and 5 packs are in the rack. The pack given back at one
    full hour is needed five hours later. So nobody waits while charging takes 5 h less the time until the spent pack
    is in its bay (800 kWh / 5 h = 160 kW), and every truck waits when it takes longer by a minute. At 8 h the rack
    gives 5 packs in 8 h, 0.625 an hour: it is empty for most trucks.
    """
    rows = [f"{hour * 3600},truck-{hour % 8},0" for hour in range(24)]
    (folder / "hourly.csv").write_text("\n".join(["at,vehicle,soc_pct", *rows]) + "\n", encoding="utf-8")
    longest_h = 5 - stored_after_s(7) / 3600

    def hourly(charge_h: float) -> RunResult:
        demand = {"demand": {"mode": "trace", "trace": "hourly.csv"}, "patience": {"balk_at": 4}}
        made = station(packs=5, rated_kwh=800, charger_kw=800 / charge_h, swap_min=7, sections=demand, folder=folder)
        return run(made, days=8)

    in_time, late, slow = hourly(longest_h - 1 / 60), hourly(longest_h + 1 / 60), hourly(8.0)
    quick = hourly(4.5)
    return [
        Check("longest wait when just in time, min", float(in_time.waits_min.max()), 0, 0),
        Check("stock-outs when just in time", in_time.stockouts, 0, 0),
        near("swaps a day when just in time", in_time.means["swaps_per_day"], 24, 0.001),
        Check("longest wait at 4.5 h, min", float(quick.waits_min.max()), 0, 0),
        Check("longest wait at 8 h, min", float(slow.waits_min.max()), 60, 10_000),
        Check("shortest wait when a minute late, min", float(late.waits_min.min()), 0.1, 60),
        near("stock-outs when a minute late", late.stockouts / late.arrived, 1.0, 0.01),
        near("swaps a day at 8 h", slow.means["swaps_per_day"], 5 * 24 / (8 + stored_after_s(7) / 3600), 0.01),
    ]


def ten_bays(folder: Path) -> list[Check]:
    """Zangang, Xiong'an (933sd.com/news/news-1170617-1.html, 2024): 10 bays, 4 min, "over 200 a day".

    Derived: 10 x 24 h / 200 = 72 min from swap to swap of a bay. With the charged pack in first (in-out) it leaves
    its bay for the one that comes, so a bay turns in the time until the spent pack is in plus the charge. With the
    spent pack out first the same holds for a pack, as one bay is spare.
    """

    def with_turnaround(minutes: float, order: Literal["out_in", "in_out"] = "in_out") -> float:
        charge_h = (minutes * 60 - stored_after_s(4, order)) / 3600
        bays = {"swap_order": order, "spare_bays": 0 if order == "in_out" else 1}
        return swaps(station(packs=10, rated_kwh=282, charger_kw=282 / charge_h, swap_min=4, equipment=bays))

    return [
        near("swaps a day at 72 min", with_turnaround(72), 200, 0.004),
        Check("swaps a day at 71 min", with_turnaround(71), 200.5, 210),
        Check("swaps a day at 73 min", with_turnaround(73), 190, 199.5),
        near("swaps a day at 72 min, spent pack out first", with_turnaround(72, "out_in"), 200, 0.004),
        Check("swaps a day at 80 min of charge, spent pack out first", with_turnaround(82, "out_in"), 160, 185),
    ]


def two_stations(folder: Path) -> list[Check]:
    """Weiqiao bauxite (Xinhua, 2025-05-28): 200 trucks, 18 GWh a year.

    Derived: 18 GWh / 365 / 200 = 247 kWh a truck and day, 49.4 MWh a day; at 164 kWh a swap 301 swaps. One lane of
    5 min gives 288: the trucks wait until they need no more than that. Two stations do all of it. Here 200 trucks
    drive: 4 trips use 164 kWh and take 164/247 of a day, less the 5 min of the swap.
    """
    round_min = 164 / 247 * 1440 - 5
    trips = {
        "km_loaded": 20,
        "km_empty": 20,
        "kwh_per_km_loaded": 164 / 4 / 20,
        "kwh_per_km_empty": 0,
        "speed_kmh": 60,
        "load_unload_min": round_min / 4 - 40,
        "cv": 0.0,
        "swap_below_pct": 100 * (1 - 164 / 282) - 0.5,
    }

    def fleet(vehicles: int) -> Scenario:
        sections = {
            "fleets": [{"id": "f", "model": "truck", "vehicles": vehicles, "trips": trips}],
            "demand": {"mode": "fleet"},
            "patience": {},
        }
        return station(packs=40, rated_kwh=282, charger_kw=300, swap_min=5, sections=sections)

    two = {"id": "two", "name_zh": "两站", "name_en": "Two stations"}
    ends = {"stations": [{"id": "a", "scenario": ""}, {"id": "b", "scenario": ""}]}
    road = {"roads": [{"between": ["a", "b"], "km": 5, "minutes": 10}]}
    network = build_network(parse_network(two | ends | road), [fleet(100), fleet(100)])
    one = simulate_once(fleet(200), 1, days=10, warmup_days=5)
    both = simulate_network_once(network, 1, days=10, warmup_days=5).stations
    wanted = 200 * 247 / 164
    return [
        near("swaps a day of one station", one.means["swaps_per_day"], 288, 0.005),
        Check("its lane busy", one.means["lane_utilisation"], 0.995, 1.0),
        near("its energy a day, kWh", one.means["charged_kwh_per_day"], 288 * 164, 0.005),
        near("swaps a day of two stations", sum(run.means["swaps_per_day"] for run in both), wanted, 0.01),
        near("their energy a day, kWh", sum(run.means["charged_kwh_per_day"] for run in both), 200 * 247, 0.01),
        near("a lane of two busy", both[0].means["lane_utilisation"], wanted / 2 / 288, 0.05),
    ]


ORACLES: tuple[Oracle, ...] = (
    seven_packs,
    two_thousand_kva,
    eight_chargers,
    thirteen_packs,
    ten_bays,
    two_stations,
)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.__name__)
def test_the_engine_agrees(oracle: Oracle, tmp_path: Path) -> None:
    assert [check for check in oracle(tmp_path) if not check.holds] == []


# -- engines made wrong on purpose


@contextmanager
def charging_at(share: float) -> Iterator[None]:
    """Charge at this share of the right speed."""

    class Wrong(Curve):
        __slots__ = ()

        def __init__(self, spec: Any, soh_pct: float) -> None:
            super().__init__(spec, soh_pct)
            self.per_s *= share
            self.decay_per_s *= share

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim.study.layout, "curve_of", Wrong)
        yield


@contextmanager
def slow_lane() -> Iterator[None]:
    """A swap takes 4 % longer than it should."""
    right = swap_plan

    def wrong(*args: Any) -> SwapPlan:
        plan = right(*args)
        return SwapPlan(plan.nominal_s * 1.04, plan.moves)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim.study.layout, "swap_plan", wrong)
        yield


@contextmanager
def strong_transformer() -> Iterator[None]:
    """The site's limit is 4 % higher than it should be."""
    right = EquipmentSection.__dict__["grid_limit_kw"].fget
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EquipmentSection, "grid_limit_kw", property(lambda self: 1.04 * right(self)))
        yield


WRONG: dict[str, Callable[[], Any]] = {
    "charging 4 % slower": lambda: charging_at(0.96),
    "charging 4 % faster": lambda: charging_at(1.04),
    "lane 4 % slower": slow_lane,
    "transformer 4 % stronger": strong_transformer,
}
SEEN_BY: dict[str, tuple[Oracle, ...]] = {
    "charging 4 % slower": (seven_packs, two_thousand_kva, eight_chargers, thirteen_packs, ten_bays),
    "charging 4 % faster": (seven_packs, two_thousand_kva, eight_chargers, thirteen_packs, ten_bays),
    "lane 4 % slower": (seven_packs, eight_chargers, two_stations),
    "transformer 4 % stronger": (two_thousand_kva,),
}


@pytest.mark.parametrize(
    ("wrong", "oracle"),
    [(wrong, oracle) for wrong, oracles in SEEN_BY.items() for oracle in oracles],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_wrong_engine_is_found_out(wrong: str, oracle: Oracle, tmp_path: Path) -> None:
    with WRONG[wrong]():
        checks = oracle(tmp_path)
    assert not all(check.holds for check in checks)
