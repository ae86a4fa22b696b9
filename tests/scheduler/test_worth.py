"""What one more kW, or one more pack, is worth to a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf

import numpy as np
import pytest

from battery_bms.pack.ahead import laws_of
from scheduler.optimal.check import AnswerCheck
from scheduler.optimal.outlook import KnownTruck, Outlook, SpentPack, task_of
from scheduler.optimal.plan import NotBelieved, make_plan
from scheduler.optimal.solve import solve
from scheduler.optimal.worth import UnitWorth, unit_worths
from scheduler.rows import BayRow, KindRow, PackRow
from scheduler.types import ChargingPolicy, PackState, SiteLimits, TariffSlice
from tests.support.scheduler.optimal import BEGIN_AT, SPEC

KIND = KindRow("lfp", 240.0, -20.0, 60.0)


def bay(number: int, soc_pct: float, charger_kw: float) -> BayRow:
    row = BayRow(f"A{number}", number, max_charge_kw=charger_kw)
    pack = row.pack = PackRow(f"P{number}", KIND, PackState.WAITING, 282.0)
    pack.soc_pct, pack.temp_min_c, pack.temp_max_c = soc_pct, 20.0, 25.0
    pack.energy_kwh, pack.max_charge_kw, pack.reading_age_s = 2.82 * soc_pct, 240.0, 1.0
    return row


def outlook(limit_kw: float) -> Outlook:
    """Two packs, a slow charger; cheap for two hours, then dear; a truck in three hours, another in five."""
    prices = [
        TariffSlice(BEGIN_AT, BEGIN_AT + timedelta(hours=2), "valley", 0.3),
        TariffSlice(BEGIN_AT + timedelta(hours=2), BEGIN_AT + timedelta(hours=24), "peak", 0.9),
    ]
    trucks = tuple(KnownTruck(f"T{n}", 3.0 + 2 * n, ("lfp",), (SpentPack("lfp", 0.1),)) for n in range(2))
    return Outlook(
        BEGIN_AT,
        prices,
        lambda at: SiteLimits(limit_kw, base_load_kw=10.0, charger_efficiency=0.95),
        (),
        ChargingPolicy(reserve_ready=0),
        laws_of({"lfp": SPEC}),
        ("lfp",),
        [bay(1, 20.0, 60.0), bay(2, 20.0, 240.0)],
        (),
        trucks,
        None,
        horizon=timedelta(hours=8),
    )


def yuan(asked: Outlook) -> float:
    """What a plan of its own costs."""
    return make_plan(task_of(asked).problem).money_yuan


def of(found: tuple[UnitWorth, ...], resource: str, name: str = "") -> UnitWorth:
    (one,) = [one for one in found if (one.resource, one.name) == (resource, name)]
    return one


def test_each_is_what_a_plan_with_more_of_it_saves_and_what_its_row_prices_say() -> None:
    asked = outlook(150.0)
    found = unit_worths(asked, ["A1", "A2"])
    # Another amount than the one asked with: within it nothing bends.
    more = replace(asked, limits_at=lambda at: SiteLimits(150.5, base_load_kw=10.0, charger_efficiency=0.95))
    transformer = of(found, "transformer")
    assert transformer.yuan > 0.5, "two hours of 0.6 yuan less, the chargers' losses in"
    assert 2 * (yuan(asked) - yuan(more)) == pytest.approx(transformer.yuan, rel=0.01)
    answer = solve(task_of(asked).problem, wishes=False)
    matrix = answer.matrix
    rest = matrix.cost - matrix.times_rows(answer.row_price)
    imports = slice(matrix.blocks.grid_in, matrix.blocks.grid_in + len(task_of(asked).problem.hours))
    assert -float(np.minimum(rest[imports], 0.0).sum()) == pytest.approx(transformer.yuan, rel=0.01)

    faster = replace(asked, bays=[bay(1, 20.0, 60.5), bay(2, 20.0, 240.0)])
    slow = of(found, "charger", "A1")
    assert 2 * (yuan(asked) - yuan(faster)) == pytest.approx(slow.yuan, rel=0.01, abs=1e-3)
    assert of(found, "charger", "A2").yuan == pytest.approx(0.0, abs=1e-6), "its pack takes no more"

    spare = replace(asked, incoming=[SpentPack("lfp", 0.0)])
    store = next(one for one in task_of(spare).problem.stores if one.name == "incoming 1")
    saved = yuan(asked) - yuan(spare) - store.energy_kwh * store.end_yuan_per_kwh
    assert of(found, "pack", "lfp").yuan == pytest.approx(saved, rel=0.01, abs=0.02)


def test_what_lacks_less_is_told_beside_the_money() -> None:
    """With 30 kW nobody's pack is ready: a kW more buys energy, and less of it lacks."""
    found = unit_worths(outlook(30.0), [])
    transformer = of(found, "transformer")
    assert transformer.kwh == pytest.approx(5.0 * 0.95 * SPEC_EFFICIENCY, rel=0.02)
    assert transformer.yuan < 0.0
    assert transformer.handed_kwh == pytest.approx(transformer.kwh)


SPEC_EFFICIENCY = laws_of({"lfp": SPEC})("lfp", 100.0, 240.0).efficiency


def test_an_answer_that_is_not_believed_has_no_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.optimal.worth.check", lambda *_: AnswerCheck(inf, inf, ("a row is broken",)))
    with pytest.raises(NotBelieved, match="a row is broken"):
        unit_worths(outlook(150.0), [])
