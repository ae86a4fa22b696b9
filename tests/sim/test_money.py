"""Money for a board: cash flows worked out by hand, rents by the rules of the rent run, candidates side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.cli.__main__ import app
from sim.scenario.contracts import contracts_of
from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from sim.sizing.board import Board, board_of, km_per_kwh, tonnes_per_kwh
from sim.sizing.compare import OtherTrucks, compare
from sim.sizing.money import CashPlan, Served, payback_years, present_value, rates_of_return
from sim.sizing.rents import TruckYear, rent_yuan
from sim.sizing.trial import Trial
from sim.sizing.year import plain_span, weeks_of
from sim.study.design import Bought, capital_parts, capital_yuan_per_year, design_of, investment_yuan
from sim.study.parallel import Workers
from sim.study.study import simulate_once
from swap.config.loading import ConfigError
from tests.support.sim.study import SMALL_FILE, scenario, scenario_data

ALONE = Workers(None, 1)


def test_present_value_rate_of_return_and_payback_of_a_small_spreadsheet() -> None:
    flows = (-1000.0, 500.0, 500.0, 500.0)
    # 500 / 1.1 = 454.545, / 1.21 = 413.223, / 1.331 = 375.657; together 1243.426.
    assert present_value(flows, 0.1) == pytest.approx(243.426, abs=0.001)
    # An annuity factor of 2 over three years is 23.375 %.
    assert list(rates_of_return(flows)) == pytest.approx([0.23375], abs=1e-5)
    assert payback_years(flows) == pytest.approx(2.0)
    # After two years 132.231 are missing, and the third brings 375.657.
    assert payback_years(flows, 0.1) == pytest.approx(2 + 132.231 / 375.657, abs=1e-5)


def test_a_rate_of_return_that_is_not_unique_or_not_there_is_no_number() -> None:
    # The pump of the textbooks: 0 at 25 % and at 400 %.
    assert list(rates_of_return((-1600.0, 10_000.0, -10_000.0))) == pytest.approx([0.25, 4.0])
    assert rates_of_return((-100.0, -10.0)) == ()
    assert rates_of_return((100.0, 10.0)) == ()
    # Two changes of sign, and never 0: 1 - 2 x + 3 x² has no real root.
    assert rates_of_return((1.0, -2.0, 3.0)) == ()
    # One that touches 0 is one: -(1 - 1.1 x)².
    assert list(rates_of_return((-1.0, 2.2, -1.21))) == pytest.approx([0.1], abs=1e-5)
    # A loss is a rate below 0: -100 + 90 / (1 + r).
    assert list(rates_of_return((-100.0, 90.0))) == pytest.approx([-0.1])
    long = (-1000.0, *[120.0] * 40)
    (rate,) = rates_of_return(long)
    assert present_value(long, rate) == pytest.approx(0, abs=1e-6)


@given(st.floats(1.0, 1e9), st.lists(st.floats(0.0, 1e9), min_size=1, max_size=40), st.floats(-0.5, 2.0))
def test_what_is_paid_once_and_earned_later_has_one_rate_at_which_it_is_worth_nothing(
    paid: float, earned: list[float], rate: float
) -> None:
    # Scaled so that this rate is the right one.
    worth = present_value([0.0, *earned], rate)
    assume(worth > 1e-3 and max(earned) < 1e6 * worth)
    flows = [-worth, *earned]
    (found,) = rates_of_return(flows)
    assert found == pytest.approx(rate, abs=1e-6)
    assert payback_years(flows, rate - 0.01) is not None
    assert payback_years([-paid - sum(earned), *earned]) is None


def test_payback_waits_for_a_replacement_that_takes_the_sum_below_nothing_again() -> None:
    assert payback_years((-100.0, 120.0, -60.0, 80.0)) == pytest.approx(2.5)
    assert payback_years((-100.0, 40.0)) is None
    assert payback_years((50.0, 10.0)) == 0


def test_cash_flows_of_a_small_spreadsheet() -> None:
    plan = CashPlan(
        years=3,
        discount=0.08,
        bought=(Bought("packs", 600.0, 2.0), Bought("lanes", 400.0, 10.0)),
        fixed_yuan=100.0,
        swap_factors=(1.0, 1.1, 1.0),
        kwh_factors=(1.0, 1.2, 1.0),
        yuan_per_swap=10.0,
        yuan_per_kwh=0.5,
        other_yuan=(50.0, 50.0, 50.0),
        subsidies=((0, 100.0), (2, 30.0), (9, 99.0)),
        residual_share=0.5,
    )
    assert plan.flows(Served(swaps=50, kwh=400, energy_yuan=200)) == pytest.approx(
        (
            -1000 + 100,
            500 + 200 + 50 - 200 - 100,
            550 + 240 + 50 - 240 - 100 + 30 - 600,  # new packs
            450 + 0.5 * (600 * 1 / 2 + 400 * 7 / 10),
        )
    )


CONTRACT = """
lessor_id = "bank"
lessee_id = "carrier"
first_day = 2026-06-11
last_day = 2027-06-10
vehicles = ["f1-001", "f1-002"]
entitlement = [{ kind = "lfp-282", number = 3 }]
stations = ["test-yard"]
components = [
  { id = "rent", kind = "capacity", yuan_per_kwh_month = "10", soh = { floor = "0.8" } },
  { id = "fee", kind = "usage", per = "swap", yuan = "2" },
  { id = "far", kind = "usage", per = "km", yuan = "0.5", minimum = "1500" },
  { id = "load", kind = "usage", per = "tonne", steps = [
      { from_quantity = "0", yuan = "1" }, { from_quantity = "100", yuan = "0.5" } ] },
  { id = "current", kind = "usage", per = "kwh", yuan = "0.05", tariff = true },
  { id = "hold", kind = "deposit", yuan_per_pack = "5000" },
]
"""
TRIPS = {"km_loaded": 20, "km_empty": 20, "kwh_per_km_loaded": 2.0, "kwh_per_km_empty": 1.0, "load_t": 30}


def leased(folder: Path, contract: str = CONTRACT, **over: Any) -> Scenario:
    (folder / "lease.toml").write_text(contract, encoding="utf-8")
    trips = over.pop("trips", TRIPS)
    fleet = {
        "id": "f1",
        "model": "tractor",
        "vehicles": 2,
        "arrive_soc": {"min_pct": 15, "max_pct": 45},
        "trips": trips,
    }
    data = scenario_data(fleets=[fleet], revenue={"contracts": ["lease.toml"]}, **over)
    return parse_scenario(data, folder=folder)


def test_rents_of_a_year_are_those_of_the_rent_run(tmp_path: Path) -> None:
    read = leased(tmp_path)
    (terms,) = contracts_of(read)
    trucks = {"f1-001": TruckYear(600, 12_000, 12_000, 2400), "f1-002": TruckYear(300, 6000, 24_000, 600)}
    rent = 12 * 3 * 282 * 10 * 0.95  # packs at 95 % of their capacity
    fee = 900 * 2
    far = 12 * (1500 + 2000) * 0.5  # the first truck drives 1000 km a month and pays for 1500
    load = 12 * (100 * 1 + 100 * 0.5 + 50 * 1)  # 200 t and 50 t a month
    current = 18_000 * (0.40 + 0.05)
    assert rent_yuan(read, terms, trucks, 95.0, 0.40) == pytest.approx(rent + fee + far + load + current, abs=0.5)
    # A truck that does not come pays what counts by time and its minimum.
    assert rent_yuan(read, terms, {}, 100.0, 0.40) == pytest.approx(12 * (3 * 282 * 10 + 2 * 1500 * 0.5), abs=0.5)


def test_a_contract_that_asks_what_the_scenario_does_not_tell_is_refused_by_name(tmp_path: Path) -> None:
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "vehicles: X-1 are in no fleet": (CONTRACT.replace("f1-002", "X-1"), {}),
        "no such pack kind 'nmc'": (CONTRACT.replace("lfp-282", "nmc"), {}),
        "components.far: counts km; give every fleet its": (CONTRACT, {"trips": None}),
        "components.load: counts tonnes": (CONTRACT, {"trips": TRIPS | {"load_t": None}}),
        "components.fee: counts engine-hours": (CONTRACT.replace('per = "swap"', 'per = "hour"'), {}),
        "lessor_id: Field required": (CONTRACT.replace("lessor_id", "lessor"), {}),
        "is no TOML": ("]", {}),
    }
    for message, (contract, over) in cases.items():
        with pytest.raises(ConfigError, match=message):
            leased(tmp_path, contract, **over)
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_scenario(scenario_data(revenue={"contracts": ["none.toml"]}), folder=tmp_path)


def trial_of(read: Scenario, days: float = 1.0) -> Trial:
    design = design_of(read)
    runs = [simulate_once(read, 3, n, days=days, warmup_days=0.5) for n in range(2)]
    return Trial(design, read, capital_yuan_per_year(read, design), (plain_span(read, days, 0.5),), [runs])


def board(read: Scenario, days: float = 1.0) -> Board:
    return board_of(trial_of(read, days))


def test_costs_for_one_are_the_yearly_cost_divided_by_how_many_and_what_nobody_tells_is_undefined() -> None:
    read = scenario(costs={"staff_yuan_per_year": 500_000, "lost_swap_yuan": 1e6, "wait_yuan_per_h": 1e4})
    found = board(read)
    design, swaps = design_of(read), found.yearly["swap"]
    assert swaps is not None
    assert found.investment_yuan == investment_yuan(read, design)
    # What a lost swap or a waiting truck is held to cost is nobody's bill.
    assert found.yearly_yuan.mean < sum(capital_parts(read, design).values()) + 365 * 24 * 6 * 282 * 1.2
    for name in ("swap", "kwh"):
        many, one = found.yearly[name], found.per[name]
        assert many is not None
        assert one is not None
        assert one.mean * many.mean == pytest.approx(found.yearly_yuan.mean)
    assert found.yearly["kwh"].mean / swaps.mean == pytest.approx(282 * 0.65, rel=0.1)  # type: ignore[union-attr]
    assert (found.per["km"], found.per["t"], found.present_value_yuan, found.irr, found.payback_years) == (None,) * 5


def test_the_sun_is_paid_for_by_its_peak_power() -> None:
    dark, sunny = scenario(), scenario(pv={"peak_kw": 400}, costs={"pv_yuan_per_kw": 2500})
    design = design_of(dark)
    assert investment_yuan(sunny, design) - investment_yuan(dark, design) == pytest.approx(1_000_000)
    assert capital_parts(dark, design)["pv"] == 0
    assert capital_parts(sunny, design)["pv"] > 1_000_000 / 15


def test_kilometres_and_tonnes_come_from_the_trips(tmp_path: Path) -> None:
    fleet = {"id": "f1", "model": "tractor", "vehicles": 30, "trips": TRIPS}
    read = scenario(fleets=[fleet])
    # 40 km and 30 t take 20 × 2 + 20 × 1 = 60 kWh.
    assert km_per_kwh(read) == pytest.approx(40 / 60)
    assert tonnes_per_kwh(read) == pytest.approx(30 / 60)
    found = board(read)
    kwh, km = found.per["kwh"], found.per["km"]
    assert kwh is not None
    assert km is not None
    assert km.mean == pytest.approx(kwh.mean * 60 / 40)
    without = scenario(fleets=[fleet, {"id": "f2", "model": "tractor", "vehicles": 3}])
    assert km_per_kwh(without) is None


def test_the_fleet_grows_packs_age_and_are_replaced_over_the_life() -> None:
    life = {"years": 4, "growth_per_year": 0.1, "soh_pct_by_year": [95, 90]}
    read = scenario(
        life=life,
        costs={"pack_life_years": 2},
        revenue={"yuan_per_swap": 100, "yuan_per_kwh": 1.0},
        finance={"subsidies": [{"year": 1, "yuan": 250_000}]},
    )
    trial = trial_of(read)
    span = weeks_of(read)[0]
    trial.spans = (span,)
    found = board_of(trial)
    assert found.plan is not None
    growth = [1.1**n for n in range(4)]
    assert found.plan.kwh_factors == pytest.approx([by / (sum(growth) / 4) for by in growth])
    soh = [95, 90, 95, 90]
    assert found.plan.swap_factors == pytest.approx(
        [by / s / (sum(growth) / 4 / 92.5) for by, s in zip(growth, soh, strict=True)]
    )
    assert found.flows is not None
    served = Served(*(trial.over_the_year(of).mean for of in _served(read)))
    packs_yuan = 600.0 * 8 * 282
    year_2 = (
        100 * served.swaps * found.plan.swap_factors[1]
        + (served.kwh - served.energy_yuan) * found.plan.kwh_factors[1]
        - packs_yuan
    )
    assert found.flows[2] == pytest.approx(year_2)
    assert found.flows[0] == -found.investment_yuan
    value = found.present_value_yuan
    assert value is not None
    assert value.mean == pytest.approx(present_value(found.flows, 0.08))


def _served(read: Scenario) -> list[Any]:
    from sim.sizing.board import served_in

    return [lambda run, n=n: getattr(served_in(read, run), n) for n in ("swaps", "kwh", "energy_yuan")]


def test_rents_earn_by_year(tmp_path: Path) -> None:
    read = leased(tmp_path, life={"years": 2, "growth_per_year": 0.5}, costs={"pack_life_years": 8})
    found = board(read)
    assert found.plan is not None
    first, second = found.plan.other_yuan
    assert first > 12 * 3 * 282 * 10 * 0.95, "at least the rent by time"
    # Half as many trucks more have such contracts; packs hold 95 instead of 97.5 %.
    assert second == pytest.approx(1.5 * first, rel=0.03)


# Candidates


def test_a_candidate_beside_itself_differs_by_nothing_and_a_dearer_one_by_its_price() -> None:
    read = scenario(revenue={"yuan_per_kwh": 1.2}, study={"days": 7, "replications": 2})
    more = read.model_copy(update={"costs": read.costs.model_copy(update={"lane_yuan": read.costs.lane_yuan + 1e6})})
    spans = (plain_span(read, 1.0, 0.5),)
    found = compare({"a": read, "b": read, "dear": more}, ALONE, spans, 2)
    same, dear = found.gaps
    assert (same.share.mean, same.share.half_width) == (0, 0)
    assert (same.yearly_yuan.mean, same.yearly_yuan.half_width) == (0, 0)
    assert dear.investment_yuan == pytest.approx(1e6)
    assert dear.share.half_width == 0
    # The same trucks: what differs is certain, though each candidate's value is not.
    assert dear.present_value_yuan is not None
    assert dear.present_value_yuan.mean == pytest.approx(-1e6)
    assert dear.present_value_yuan.half_width < 1e-3
    assert found.candidates[0].board.present_value_yuan is not None
    assert found.candidates[0].board.present_value_yuan.half_width > 1e3


def test_candidates_with_other_trucks_are_refused() -> None:
    read = scenario()
    other = scenario(demand={"trucks_per_hour_by_hour": [7.0] * 24})
    with pytest.raises(OtherTrucks, match="b: differs from a in demand"):
        compare({"a": read, "b": other}, ALONE, (plain_span(read, 1.0, 0.5),), 2)


def test_compare_prints_what_it_gives_as_json(tmp_path: Path) -> None:
    (tmp_path / "sized").mkdir()
    earning = SMALL_FILE + "[revenue]\nyuan_per_kwh = 1.2\n[finance]\nyears = 3\n"
    (tmp_path / "scenario.toml").write_text(earning, encoding="utf-8")
    (tmp_path / "sized" / "scenario.toml").write_text(
        earning.replace('"lfp-282" = 8', '"lfp-282" = 5'), encoding="utf-8"
    )
    command = [
        "compare",
        str(tmp_path / "scenario.toml"),
        str(tmp_path / "sized"),
        "--days",
        "0.5",
        "-n",
        "2",
        "-p",
        "1",
    ]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    first, second = found["candidates"]
    assert second["name"] == "sized"
    assert second["station"]["packs"] == {"lfp-282": 5}
    assert second["share_within_promise"]["mean"] < first["share_within_promise"]["mean"]
    (gap,) = found["more_than_the_first"]
    assert gap["investment_yuan"] == pytest.approx(-3 * (282 * 600 + 240 * 350 + 25_000))
    assert gap["share_within_promise"]["mean"] == pytest.approx(
        second["share_within_promise"]["mean"] - first["share_within_promise"]["mean"]
    )
    money = first["money"]
    assert money["yuan_per"]["km"] is None
    assert len(money["cash_flows_yuan"]) == 4
    said = CliRunner().invoke(app, ["--lang", "en", *command]).output
    assert "Net present value, 3 years at 8.000%" in said
    assert "Differences, pair by pair" in said
    assert CliRunner().invoke(app, command[:2]).exit_code == 2
