"""A floor of the import: what the rule's guides leave for it, and what an optimiser's plan makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import nan

import numpy as np
import pytest

from scheduler.guide import Guide, PriceRule
from scheduler.optimal.flows import read_flows
from scheduler.optimal.plan import make_plan
from scheduler.optimal.problem import ChargeProblem, Goal, Tier
from scheduler.optimal.solve import solve
from scheduler.response.floor import ImportFloor, RaisedPlanner, floor_at, output_for_import_kw, raised
from scheduler.types import ChargingPolicy, SiteLimits, TariffSlice
from tests.support.scheduler.optimal import pack, problem, site

AT = datetime(2026, 6, 18, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
FLOOR = ImportFloor(AT + HOUR, AT + 2 * HOUR, 500.0)
LIMITS = SiteLimits(grid_limit_kw=2000.0, base_load_kw=50.0, charger_efficiency=0.9)
DEAR = (TariffSlice(AT, AT + 3 * HOUR, "peak", 1.2),)


def of(limits: SiteLimits, floor_kw: float) -> float:
    return output_for_import_kw(limits, floor_kw)


class TestOutput:
    """What the chargers put out for an import."""

    def test_base_load_and_sun_are_the_rest_of_the_site(self) -> None:
        assert of(LIMITS, 500.0) == pytest.approx(405.0)
        assert of(replace(LIMITS, pv_kw=100.0), 500.0) == pytest.approx(495.0)
        assert of(LIMITS, 20.0) == 0.0

    def test_the_meter_says_better(self) -> None:
        # 300 kW of import, 180 kW of them into the chargers: 100 kW are the rest, whatever was counted on.
        assert of(replace(LIMITS, measured_import_kw=300.0, charging_kw=180.0), 500.0) == pytest.approx(360.0)
        for unknown in (None, nan):
            assert of(replace(LIMITS, measured_import_kw=unknown, charging_kw=180.0), 500.0) == pytest.approx(405.0)

    @pytest.mark.parametrize("unknown", [{"base_load_kw": nan}, {"charger_efficiency": 0.0}, {"pv_kw": nan}])
    def test_of_a_site_that_is_not_known_nothing_is_asked(self, unknown: dict[str, float]) -> None:
        assert of(replace(LIMITS, **unknown), 500.0) == 0.0


class TestRaised:
    """Guides, raised."""

    def test_the_price_rule_lets_go_of_the_floor_within_its_time_alone(self) -> None:
        planner = RaisedPlanner(PriceRule(ChargingPolicy(), ("lfp",)), (FLOOR,), partial(of, LIMITS))
        for minutes, most_kw, until_min in ((0, 0.0, 60), (60, 405.0, 120), (119, 405.0, 120), (120, 0.0, 180)):
            guide = planner.guide_at(AT + timedelta(minutes=minutes), DEAR)
            assert guide is not None
            assert guide.most_kw == pytest.approx(most_kw)
            assert guide.until_at == AT + timedelta(minutes=until_min)
            assert guide.least_ready == {"lfp": ChargingPolicy().reserve_ready}

    def test_where_nothing_is_held_back_there_is_nothing_to_raise(self) -> None:
        assert raised(None, (FLOOR,), FLOOR.from_at, partial(of, LIMITS)) is None

    def test_a_plan_that_draws_enough_stays_as_it_is(self) -> None:
        guide = Guide(FLOOR.until_at, 600.0, {}, {"P1": 200.0}, {"lfp": [0.0]})
        assert raised(guide, (FLOOR,), FLOOR.from_at, partial(of, LIMITS)) is guide

    def test_a_plan_that_draws_less_leaves_it_to_the_most_urgent(self) -> None:
        guide = Guide(FLOOR.until_at + HOUR, 100.0, {}, {"P1": 20.0}, {"lfp": [0.0]})
        found = raised(guide, (FLOOR, replace(FLOOR, floor_kw=300.0)), FLOOR.from_at, partial(of, LIMITS))
        assert found is not None
        assert found.most_kw == pytest.approx(405.0)
        assert (found.pack_kw, found.reach_h) == ({}, guide.reach_h)
        assert found.until_at == FLOOR.until_at

    def test_the_highest_of_several_counts(self) -> None:
        several = (FLOOR, ImportFloor(FLOOR.from_at, FLOOR.until_at, 700.0))
        assert [floor_at(several, FLOOR.from_at + n * HOUR) for n in (-1, 0, 1)] == [0.0, 700.0, 0.0]


def floored(asked: ChargeProblem, floor_kw: list[float]) -> ChargeProblem:
    return replace(asked, site=replace(asked.site, import_floor_kw=np.array(floor_kw)))


class TestPlan:
    """A floor in the linear program: dearer than energy, cheaper than a truck."""

    goal = Goal(4.0, 200.0, Tier.FORECAST)

    def test_charging_moves_into_the_window_although_it_is_dear(self) -> None:
        asked = problem([0.3, 0.3, 1.5, 0.3], pack(energy_kwh=60.0, goals=(self.goal,)))
        assert make_plan(asked).flows.import_kw[2] == pytest.approx(0.0, abs=0.1)
        plan = make_plan(floored(asked, [0.0, 0.0, 120.0, 0.0]))
        assert plan.flows.import_kw[2] == pytest.approx(120.0, abs=0.1)
        assert plan.shortfalls == ()
        assert plan.guide_kw[2] == pytest.approx(plan.flows.output_kw[2])

    def test_room_is_kept_for_it(self) -> None:
        """At one price a pack is charged at once; not where that would leave nothing to absorb."""
        asked = problem([0.3, 0.3, 0.3, 0.3], pack(energy_kwh=180.0, goals=(Goal(4.0, 250.0),)))
        assert make_plan(asked).flows.import_kw[3] == pytest.approx(0.0, abs=0.1)
        assert make_plan(floored(asked, [0.0, 0.0, 0.0, 70.0])).flows.import_kw[3] == pytest.approx(70.0, abs=0.5)

    def test_no_truck_waits_for_it(self) -> None:
        soon = pack(energy_kwh=60.0, until_h=1.0, goals=(Goal(1.0, 250.0, Tier.FORECAST),))
        asked = problem([0.3, 0.3], soon)
        with_floor = make_plan(floored(asked, [0.0, 240.0]))
        assert with_floor.flows.energy_kwh[0] == pytest.approx(make_plan(asked).flows.energy_kwh[0], abs=0.01)
        assert with_floor.flows.import_kw[1] == pytest.approx(0.0, abs=0.1), "there is no pack that could take it"

    def test_no_limit_is_broken_for_it(self) -> None:
        plan = make_plan(floored(problem([0.3], pack(energy_kwh=60.0), limit_kw=100.0), [400.0]))
        assert plan.flows.import_kw[0] == pytest.approx(100.0, abs=0.01)
        assert plan.verdict.good

    def test_nothing_is_exported_to_be_imported(self) -> None:
        sunny = replace(
            site([0.3], limit_kw=500.0), pv_kw=np.array([100.0]), export_yuan_per_kwh=np.array([0.2]),
            export_limit_kw=100.0, import_floor_kw=np.array([300.0]),
        )  # fmt: skip
        asked = ChargeProblem(AT, np.array([1.0]), sunny, (pack(energy_kwh=250.0),))
        flows = read_flows(asked, (answer := solve(asked)).matrix, answer.x)
        assert not (flows.import_kw[0] > 0.01 and flows.export_kw[0] > 0.01)

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(ValueError, match="import_floor_kw holds a value that is not a number"):
            floored(problem([0.3], pack()), [nan])
        with pytest.raises(ValueError, match=r"import_floor_kw has \(2,\) values for 1 slots"):
            floored(problem([0.3], pack()), [0.0, 1.0])
