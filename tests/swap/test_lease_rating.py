"""Rents by hand: every component, periods and days, versions and suspensions, packs on the road."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swap.commerce.custody.show import shared_out
from swap.commerce.leases.lease import LeaseHistory, Version
from swap.commerce.leases.measured import Facts, HeldPack
from swap.commerce.leases.periods import Calendar, Days, month_of, start_of
from swap.commerce.leases.rating import early_end_yuan, rate, residual_yuan
from swap.commerce.leases.states import LEASE, LeaseState
from swap.commerce.leases.terms import BuyOut, LeaseTerms
from tests.support.swap.leases import terms, terms_data

RATED = {"lfp": Decimal(282)}
JUNE = Days(date(2024, 6, 1), date(2024, 7, 1))


def lease(
    *versions: tuple[str, LeaseTerms], suspended: tuple[Days, ...] = (), ended: date | None = None
) -> LeaseHistory:
    made = tuple(
        Version(number, date.fromisoformat(day), given, RATED) for number, (day, given) in enumerate(versions, start=1)
    )
    return LeaseHistory("lc-1", made, made[0].terms.first_day, suspended, ended)


def one(**changed: Any) -> LeaseHistory:
    given = terms(**changed)
    return lease((given.first_day.isoformat(), given))


NOTHING = Facts()


def fen(of: LeaseHistory, period: Days, facts: Facts = NOTHING) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in rate(of, period, facts):
        name = f"{line.component}/{line.part}".rstrip("/")
        found[name] = found.get(name, 0) + line.amount_fen
    return found


def at(day: str, hour: int = 0) -> datetime:
    """An hour of a day in China."""
    return start_of(date.fromisoformat(day), terms().tz) + timedelta(hours=hour)


def held(from_day: str, until_day: str | None, kwh: str | None = None, **more: Any) -> HeldPack:
    energy = None if kwh is None else Decimal(kwh)
    until_at = None if until_day is None else at(until_day)
    return HeldPack("P", "V0", Decimal(282), at(from_day), until_at, energy, **more)


def test_a_quarter_that_is_part_covered_is_charged_by_its_own_days() -> None:
    """Lago PR#6194: 91 000 fen a quarter, 2024-05-20 … 06-20, is 32 days of 91."""
    fee = [{"id": "fee", "kind": "fixed", "yuan_per_period": "910.00"}]
    part = one(months=3, first_day="2024-05-20", last_day="2024-06-20", components=fee)
    assert fen(part, Days(date(2024, 4, 1), date(2024, 7, 1))) == {"fee": 32_000}


@pytest.mark.parametrize(
    ("first", "last", "fen_due"),
    [
        ("2024-01-01", None, 282_000),  # the whole of June: 282 kWh × 10 yuan
        ("2024-06-11", None, 188_000),  # 20 of 30 days
        ("2024-01-01", "2024-06-01", 9_400),  # one day
        ("2024-06-30", "2024-06-30", 9_400),
        ("2024-07-01", None, 0),
    ],
)
def test_a_month_that_begins_or_ends_inside_is_charged_by_its_days(first: str, last: str | None, fen_due: int) -> None:
    assert sum(fen(one(first_day=first, last_day=last), JUNE).values()) == fen_due


def test_february_of_a_leap_year_has_29_days() -> None:
    leap = Days(date(2024, 2, 1), date(2024, 3, 1))
    assert fen(one(last_day="2024-02-29"), leap) == {"rent": 282_000}
    assert fen(one(last_day="2024-02-28"), leap) == {"rent": 272_276}  # 2820 × 28/29 = 2722.7586
    assert fen(one(first_day="2023-01-01", last_day="2023-02-27"), Days(date(2023, 2, 1), date(2023, 3, 1))) == {
        "rent": 271_929  # 2820 × 27/28 = 2719.2857
    }


@pytest.mark.parametrize("day", [29, 30, 31])
def test_an_anniversary_never_drifts(day: int) -> None:
    calendar = Calendar.of(date(2023, 12, day), 1, anniversary=True)
    months = ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2025-02", "2025-03"]
    periods = [calendar.ending_in(month) for month in months]
    firsts = [period.first for period in periods if period is not None]
    ends = {2: {2024: 29, 2025: 28}, 4: {2024: 30, 2025: 30}}
    assert firsts == [date(d.year, d.month, min(day, ends.get(d.month, {}).get(d.year, 31))) for d in firsts]
    assert len(firsts) == len(months)
    assert all(calendar.period_of(period.first) == period for period in periods if period is not None)


@given(
    st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    st.dates(date(2020, 1, 1), date(2034, 12, 31)),
    st.sampled_from([1, 3, 12]),
)
def test_periods_join_and_each_belongs_to_one_month(first: date, day: date, months: int) -> None:
    calendar = Calendar.of(first, months, anniversary=True)
    period = calendar.period_of(day)
    assert period.first <= day < period.until
    assert calendar.period_of(period.until).first == period.until
    assert calendar.ending_in(month_of(period.until - timedelta(days=1))) == period


def test_a_day_is_that_of_the_contracts_zone() -> None:
    """A swap at 00:30 on the 1st in China is still one of the month before in Newfoundland."""
    swaps = (("V0", at("2024-07-01") + timedelta(minutes=30)),)
    part = {"components": [{"id": "swap", "kind": "usage", "per": "swap", "yuan": "30"}]}
    assert fen(one(**part), JUNE, Facts(swaps=swaps)) == {}
    assert fen(one(zone="America/St_Johns", **part), JUNE, Facts(swaps=swaps)) == {"swap": 3000}


def test_a_price_that_changes_in_the_middle_of_a_month() -> None:
    dearer = terms(components=[{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "12"}])
    # 2820 × 14/30 + 3384 × 16/30
    assert fen(lease(("2024-01-01", terms()), ("2024-06-15", dearer)), JUNE) == {"rent": 131_600 + 180_480}


def test_a_newer_version_counts_from_its_day_whatever_was_said_before() -> None:
    dear = terms(components=[{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "12"}])
    cheap = terms(components=[{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "5"}])
    both = lease(("2024-01-01", terms()), ("2024-06-16", dear), ("2024-06-11", cheap))
    assert fen(both, JUNE) == {"rent": 94_000 + 94_000}  # 10 days at 10, 20 days at 5


@given(st.lists(st.integers(2, 30), max_size=6, unique=True))
def test_versions_that_say_the_same_split_nothing(days: list[int]) -> None:
    """A month cut into versions of equal price is one line, to the fen."""
    parts = [
        {"id": "rent", "kind": "two_part", "floor_yuan_per_kwh_month": "3.3333", "overage_yuan_per_kwh": "0.7777"},
        {"id": "km", "kind": "usage", "per": "km", "yuan": "0.6231", "minimum": "3333.33"},
    ]
    given = terms(components=parts)
    facts = Facts(
        held=(held("2024-05-28", "2024-06-10", "1234.56"), held("2024-06-10", None)),
        meters={("V0", "odometer_km"): [(at("2024-05-30"), Decimal(100)), (at("2024-07-02"), Decimal(4100))]},
    )
    split = lease(("2024-01-01", given), *((f"2024-06-{day:02d}", given) for day in sorted(days)))
    assert fen(split, JUNE, facts) == fen(lease(("2024-01-01", given)), JUNE, facts)


def test_suspended_days_cost_the_share_of_the_contract_over_a_month_end() -> None:
    given = terms(suspension_share="0.25")
    paused = lease(("2024-01-01", given), suspended=(Days(date(2024, 6, 26), date(2024, 7, 6)),))
    assert fen(paused, JUNE) == {"rent": 246_750}  # 2820 × (25 + 5/4) / 30
    assert fen(paused, Days(date(2024, 7, 1), date(2024, 8, 1))) == {"rent": 247_887}  # 2820 × (26 + 5/4) / 31


def test_the_entitlement_is_charged_whatever_is_held() -> None:
    more = one(entitlement=[{"kind": "lfp", "number": 7}])
    assert fen(more, JUNE) == {"rent": 1_974_000}
    assert fen(more, JUNE, Facts(held=(held("2024-06-01", "2024-06-02", "100"),))) == {"rent": 1_974_000}


@pytest.mark.parametrize(("used", "overage_fen"), [("11280", 0), ("11280.04", 1), ("15000", 93_000)])
def test_two_part_rent_by_counters(used: str, overage_fen: int) -> None:
    part = [{"id": "r", "kind": "two_part", "floor_yuan_per_kwh_month": "10", "overage_yuan_per_kwh": "0.25"}]
    expected = {"r/floor": 282_000} | ({"r/overage": overage_fen} if overage_fen else {})
    assert fen(one(components=part), JUNE, Facts(held=(held("2024-06-02", "2024-06-20", used),))) == expected


@pytest.mark.parametrize(
    ("more", "km", "expected"),
    [
        ({"yuan": "0.6"}, "5000", {"km": 300_000}),
        ({"yuan": "0.6", "minimum": "6000"}, "5000", {"km": 360_000}),
        ({"yuan": "0.6", "allowance": "6000"}, "5000", {}),
        ({"yuan": "0.6", "allowance": "3000"}, "5000", {"km": 120_000}),
        ({"steps": [("0", "1"), ("2000", "0.5")]}, "5000", {"km/step1": 200_000, "km/step2": 150_000}),
        ({"steps": [("0", "1"), ("2000", "0.5")], "stepping": "whole"}, "5000", {"km/step2": 250_000}),
        ({"steps": [("0", "1"), ("2000", "0.5")], "stepping": "whole"}, "1999.99", {"km/step1": 199_999}),
        ({"steps": [("0", "1"), ("2000", "0.5")]}, "2000", {"km/step1": 200_000}),
    ],
)
def test_distance(more: dict[str, Any], km: str, expected: dict[str, int]) -> None:
    if "steps" in more:
        more = more | {"steps": [{"from_quantity": bound, "yuan": yuan} for bound, yuan in more["steps"]]}
    part = [{"id": "km", "kind": "usage", "per": "km", **more}]
    meter = [(at("2024-06-01"), Decimal(1000)), (at("2024-06-30"), Decimal(1000) + Decimal(km))]
    assert fen(one(components=part), JUNE, Facts(meters={("V0", "odometer_km"): meter})) == expected


def test_minimum_and_allowance_are_for_the_days_that_are_covered() -> None:
    part = [{"id": "km", "kind": "usage", "per": "km", "yuan": "1", "minimum": "3000"}]
    assert fen(one(first_day="2024-06-21", components=part), JUNE) == {"km": 100_000}


def test_swaps_tonnes_and_hours() -> None:
    parts = [
        {"id": "swap", "kind": "usage", "per": "swap", "yuan": "30", "allowance": "1"},
        {"id": "t", "kind": "usage", "per": "tonne", "yuan": "0.35"},
        {"id": "h", "kind": "usage", "per": "hour", "yuan": "12.5"},
    ]
    facts = Facts(
        swaps=(
            ("V0", at("2024-06-01")), ("V0", at("2024-06-30", 23)), ("V0", at("2024-07-01")), ("V1", at("2024-06-05")),
        ),
        meters={
            ("V0", "tonnes"): [(at("2024-05-31"), Decimal(9)), (at("2024-06-01"), Decimal("40.5")),
                               (at("2024-06-09"), Decimal(60))],
            ("V0", "engine_h"): [(at("2024-06-01"), Decimal(100)), (at("2024-06-30"), Decimal("110.25"))],
        },
    )  # fmt: skip
    assert fen(one(components=parts), JUNE, facts) == {"swap": 3000, "t": 3518, "h": 12_813}


def test_energy_is_charged_at_the_tariff_of_its_swap_and_a_markup() -> None:
    part = [{"id": "power", "kind": "usage", "per": "kwh", "yuan": "0.05", "tariff": True}]
    facts = Facts(
        held=(
            held("2024-06-01", "2024-06-02", "100.00", tariff_yuan=Decimal("0.3")),
            held("2024-06-02", "2024-06-03", "50.00", tariff_yuan=Decimal("0.8")),
            held("2024-06-03", "2024-06-04", "70.00", tariff_yuan=Decimal("0.3")),
            held("2024-06-04", "2024-06-05", "70.00"),  # its price is not known yet
        )
    )
    assert fen(one(components=part), JUNE, facts) == {"power/at0.3": 5950, "power/at0.8": 4250}


def test_packs_on_the_road_at_the_end_of_a_month() -> None:
    part = [{"id": "e", "kind": "usage", "per": "kwh", "yuan": "1"}]
    done = held("2024-06-01", "2024-06-11", "1000")  # 100 kWh a day
    july = Days(date(2024, 7, 1), date(2024, 8, 1))
    trued, whole = one(components=part), one(components=part, open_spans="with_swap")
    on_the_road = Facts(held=(done, held("2024-06-29", None)))
    back = Facts(held=(done, held("2024-06-29", "2024-07-03", "240")))
    assert fen(trued, JUNE, on_the_road) == {"e": 120_000}  # 1000 and two days at 100
    assert fen(trued, JUNE, back) == {"e": 112_000}  # 2 of 4 days of 240
    assert fen(trued, july, back) == {"e": 12_000}
    assert fen(whole, JUNE, on_the_road) == fen(whole, JUNE, back) == {"e": 100_000}
    assert fen(whole, july, back) == {"e": 24_000}


@pytest.mark.parametrize(("soh", "factor_fen"), [("95", 282_000), ("90", 267_167), ("60", 225_600)])
def test_the_soh_factor_has_a_floor_and_never_raises(soh: str, factor_fen: int) -> None:
    part = [
        {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10", "soh": {"reference_pct": "95", "floor": "0.8"}}
    ]
    facts = Facts(held=(held("2024-06-01", None, soh_pct=Decimal(soh)),))
    assert fen(one(components=part), JUNE, facts) == {"rent": factor_fen}  # 90 ÷ 95 = 0.9474


def test_the_mean_soh_is_weighted_with_time() -> None:
    part = [{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10", "soh": {"floor": "0.5"}}]
    facts = Facts(
        held=(held("2024-05-01", "2024-06-11", soh_pct=Decimal(100)), held("2024-06-11", None, soh_pct=Decimal(70)))
    )
    assert fen(one(components=part), JUNE, facts) == {"rent": 225_600}  # (10 × 100 + 20 × 70) / 30 = 80 %


def test_a_deposit_comes_with_the_first_day_and_changes_with_the_packs() -> None:
    parts = [{"id": "deposit", "kind": "deposit", "yuan_per_pack": "20000"}]
    two, three = (terms(components=parts, entitlement=[{"kind": "lfp", "number": n}]) for n in (2, 3))
    both = lease(("2024-01-01", two), ("2024-06-15", three))
    assert fen(both, Days(date(2024, 1, 1), date(2024, 2, 1))) == {"deposit": 4_000_000}
    assert fen(both, JUNE) == {"deposit": 2_000_000}
    assert fen(both, Days(date(2024, 7, 1), date(2024, 8, 1))) == {}


def test_packs_held_after_the_end_are_charged_until_they_are_back() -> None:
    parts = [{"id": "late", "kind": "occupancy", "yuan_per_kwh_day": "0.5"}]
    given = terms(components=parts)
    ended = lease(("2024-01-01", given), ended=date(2024, 6, 10))
    back = Facts(held=(held("2024-06-08", "2024-06-14"),))
    assert fen(ended, JUNE, back) == {"late": 3 * 14_100}  # on the 11th, 12th and 13th
    assert fen(ended, JUNE, Facts(held=(held("2024-06-08", None),))) == {"late": 20 * 14_100}
    taken_over = Facts(held=(held("2024-06-08", None),), elsewhere={"V0": (Days(date(2024, 6, 13), date.max),)})
    assert fen(ended, JUNE, taken_over) == {"late": 2 * 14_100}
    assert fen(ended, Days(date(2024, 5, 1), date(2024, 6, 1)), back) == {}


def test_an_early_end_costs_its_share_of_the_days_left() -> None:
    parts = [
        {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"},
        {"id": "exit", "kind": "early_end", "share": "0.3", "days_max": 45},
    ]
    agreed = one(last_day="2024-12-31", components=parts)
    # 21 days of June and 24 of July: (2820 × 21/30 + 2820 × 24/31) × 0.3
    assert early_end_yuan(agreed, date(2024, 6, 9)) == Decimal("1247.17")
    assert early_end_yuan(agreed, date(2024, 12, 31)) == 0
    assert early_end_yuan(one(components=parts), date(2024, 6, 9)) == 0  # no last day was agreed


def test_a_residual() -> None:
    part = BuyOut(id="b", kind="buy_out", new_yuan_per_kwh=Decimal("650"), second_hand=Decimal("0.55"))
    assert residual_yuan(part, Decimal(282), Decimal("83.7")) == Decimal("84382.16")  # 282 × 650 × 0.837 × 0.55


@given(st.integers(-(10**9), 10**9), st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), max_size=6))
def test_shares_add_up(amount_fen: int, weights: dict[str, int]) -> None:
    parts = shared_out(amount_fen, {name: Fraction(weight) for name, weight in weights.items()})
    assert sum(parts.values()) == (amount_fen if any(weights.values()) else 0)
    backwards = {name: Fraction(weights[name]) for name in reversed(list(weights))}
    assert shared_out(amount_fen, backwards) == parts


BAD: dict[str, dict[str, Any]] = {
    "last_day": {"last_day": "2023-12-31"},
    "zone": {"zone": "Mars/Olympus"},
    "greater_than_equal": {"components": [{"id": "r", "kind": "capacity", "yuan_per_kwh_month": "-1"}]},
    "decimal_text": {"components": [{"id": "r", "kind": "capacity", "yuan_per_kwh_month": 13.3}]},
    "decimal_max_places": {"components": [{"id": "r", "kind": "capacity", "yuan_per_kwh_month": "0.12345"}]},
    "union_tag_invalid": {"components": [{"id": "r", "kind": "magic"}]},
    "extra_forbidden": {"colour": "red"},
    "twice": {"components": [{"id": "r", "kind": "fixed", "yuan_per_period": "1"}] * 2},
    "usage_price": {"components": [{"id": "r", "kind": "usage", "per": "km"}]},
    "usage_minimum": {"components": [{"id": "r", "kind": "usage", "per": "km", "yuan": "1", "minimum": "1",
                                      "allowance": "1"}]},
    "steps": {"components": [{"id": "r", "kind": "usage", "per": "km", "steps": [
        {"from_quantity": "5", "yuan": "1"}]}]},
    "tariff": {"components": [{"id": "r", "kind": "usage", "per": "km", "yuan": "1", "tariff": True}]},
    "components": {"components": []},
    "lessee": {"lessee_id": "own"},
    "too_short": {"vehicles": []},
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_terms_that_cannot_be_are_refused_by_name(kind: str) -> None:
    with pytest.raises(ValidationError) as refused:
        LeaseTerms.model_validate(terms_data(**BAD[kind]))
    assert [item["type"] for item in refused.value.errors()] == [kind]


def test_the_table_of_states() -> None:
    assert LEASE.initial is LeaseState.DRAFT
    assert LEASE.ends == {LeaseState.SETTLED, LeaseState.WITHDRAWN}
    assert LEASE.reachable() == set(LeaseState)
    assert "| `ended` | settle | `settled` |" in LEASE.markdown()
    assert not LEASE.allows(LeaseState.ENDED, next(row.trigger for row in LEASE.rows if row.trigger == "activate"))
