"""Periods and prices against the notice's vectors, over clock changes, years and bad tables."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scheduler.config import TariffSection
from scheduler.tariff import Doubt, Tariff
from scheduler.tariff_files import TariffError, load_profile, load_tariff

SHANGHAI = ZoneInfo("Asia/Shanghai")
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "shanxi_tou_2026.json").read_text(encoding="utf-8"))
instants = st.datetimes(datetime(2025, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


def tariff(**changes: object) -> Tariff:
    return load_tariff(TariffSection.model_validate(changes), SHANGHAI)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["at"])
def test_period_and_ratio_of_the_notice(case: dict[str, object]) -> None:
    at = datetime.fromisoformat(str(case["at"]))
    shanxi = tariff()
    assert shanxi.period_at(at) == case["period"]
    assert float(shanxi.profile.ratios[str(case["period"])]) == case["ratio"]


def test_hours_of_a_day_in_each_season() -> None:
    shanxi = tariff()
    for season, month in (("spring", 4), ("summer", 7), ("autumn", 10), ("winter", 12)):
        start = local(f"2026-{month:02}-20T00:00:00")
        hours: dict[str, float] = {"critical": 0, "peak": 0, "flat": 0, "valley": 0}
        for part in shanxi.slices(start, start + timedelta(days=1)):
            hours[part.period] += (part.until_at - part.from_at).total_seconds() / 3600
        assert hours == VECTORS["hours_per_day"][season]


def test_price_is_energy_part_times_ratio_plus_adders() -> None:
    example = VECTORS["price_formula"]["example"]
    shanxi = tariff()
    assert shanxi.price_at(local("2026-09-01T08:00")) == Decimal(str(example["flat"]))
    assert shanxi.price_at(local("2026-09-01T17:00")) == Decimal(str(example["peak"]))
    assert shanxi.price_at(local("2026-07-15T18:00")) == Decimal(str(example["critical"]))
    assert shanxi.price_at(local("2026-09-01T11:00")) == Decimal(str(example["valley"]))
    assert shanxi.price_at(local("2026-10-01T13:00")) == Decimal(str(example["deep_valley"]))


def test_price_is_rounded_half_up_to_a_hundredth_of_a_fen() -> None:
    shanxi = tariff(energy_price_yuan_per_kwh="0.3799", adders_yuan_per_kwh="0")
    # 0.3799 × 0.45 = 0.170955 and 0.3799 × 1.92 = 0.729408
    assert shanxi.price_at(local("2026-09-01T11:00")) == Decimal("0.1710")
    assert shanxi.price_at(local("2026-07-15T18:00")) == Decimal("0.7294")
    half = tariff(energy_price_yuan_per_kwh="0.0010", adders_yuan_per_kwh="0")
    assert half.price_at(local("2026-09-01T11:00")) == Decimal("0.0005")  # 0.00045


@pytest.mark.parametrize("field", ["energy_price_yuan_per_kwh", "adders_yuan_per_kwh"])
def test_a_price_finer_than_its_unit_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="no more than 4 decimal places"):
        TariffSection.model_validate({field: "0.38005"})


def test_prices_of_single_months_begin_at_local_midnight() -> None:
    shanxi = tariff(months={"2026-10": {"energy_price_yuan_per_kwh": "0.40", "adders_yuan_per_kwh": "0.20"}})
    assert shanxi.price_at(local("2026-09-30T23:59")) == Decimal("0.7780")
    assert shanxi.price_at(local("2026-10-01T00:00")) == Decimal("0.6000")
    assert shanxi.price_at(local("2026-11-01T00:00")) == Decimal("0.5500")
    assert shanxi.next_change_at(local("2026-09-30T23:00")) == local("2026-10-01T00:00")


def test_own_holidays_replace_those_of_the_profile_year_by_year() -> None:
    own = tariff(holidays=[date(2026, 10, 8)])
    assert own.period_at(local("2026-10-08T13:30")) == "deep_valley"
    assert own.period_at(local("2026-10-01T13:30")) == "valley"
    assert own.period_at(local("2027-10-01T13:30")) == "deep_valley"
    assert 2026 not in own.assumed_years
    assert 2027 in own.assumed_years
    assert tariff().period_at(local("2029-10-01T13:30")) == "valley"  # a year nobody has announced


def test_before_may_2026() -> None:
    old = tariff(profile="shanxi_2021")
    assert [old.period_at(local(f"2026-01-10T{hour:02}:30")) for hour in (0, 7, 8, 11, 13, 17, 23)] == [
        "valley",
        "flat",
        "peak",
        "valley",
        "flat",
        "peak",
        "flat",
    ]


def test_flat_profile_never_changes() -> None:
    flat = tariff(profile="flat")
    start = local("2026-02-01T00:00")
    (only,) = flat.slices(start, start + timedelta(days=40))
    assert (only.from_at, only.until_at) == (start, start + timedelta(days=40))
    assert flat.next_change_at(start) is None
    assert flat.price_at(start) == Decimal("0.5500")


@given(instants, st.integers(0, 200))
def test_slices_have_no_gap_and_agree_with_single_instants(start: datetime, hours: int) -> None:
    shanxi = tariff()
    end = start + timedelta(hours=hours)
    slices = shanxi.slices(start, end)
    if hours == 0:
        assert slices == ()
        return
    assert slices[0].from_at == start
    assert slices[-1].until_at == end
    for left, right in pairwise(slices):
        assert left.until_at == right.from_at
        assert (left.period, left.price_yuan_per_kwh) != (right.period, right.price_yuan_per_kwh)
    for part in slices:
        for at in (part.from_at, part.until_at - timedelta(microseconds=1)):
            assert shanxi.period_at(at) == part.period
            assert float(shanxi.price_at(at)) == part.price_yuan_per_kwh
    change = shanxi.next_change_at(start)
    assert change is not None
    assert change == (slices[0].until_at if len(slices) > 1 else change)
    assert shanxi.price_at(change) != shanxi.price_at(start)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_changes_of_the_clock_leave_no_gap(day: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    there = load_tariff(TariffSection(), berlin)
    start = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=berlin).astimezone(UTC)
    slices = there.slices(start, start + timedelta(days=1))
    assert sum(((s.until_at - s.from_at) for s in slices), timedelta()) == timedelta(days=1)
    assert there.period_at(datetime.fromisoformat(f"{day}T04:59").replace(tzinfo=berlin)) == "valley"
    assert there.period_at(datetime.fromisoformat(f"{day}T05:00").replace(tzinfo=berlin)) == "flat"


def test_naive_instants_are_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        tariff().price_at(datetime(2026, 9, 1))


FLAT_TOML = Path(__file__).parents[2] / "scheduler" / "tariffs" / "flat.toml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[ratios]", "[ratios]\npaek = 2", "paek is none of"),
        ('flat = "1.00"', "", "flat is missing"),
        ("11, 12]", "11]", "each day must belong to exactly one season; 12-01 is in 0"),
        ("11, 12]", '11, 12]\nfrom = "01-01"\nto = "12-31"', "give months, or from and to"),
        ("months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", 'from = "01-01"', "give months, or from and to"),
        ("months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", 'from = "02-30"\nto = "12-31"', "day is out of range"),
        ("11, 12]", "11, 12]\ndeep_valley = [[1, 5]]", "deep_valley is missing"),
        ("11, 12]", "11, 12]\n[seasons.weekend]\nvalley = [[1, 5]]", "valley is missing"),
        ("11, 12]", "11, 12]\npeak = [[8, 11]]", "peak is missing"),
        ("11, 12]", "11, 12]\npeak = [[11, 8]]", "end must be after"),
        ("11, 12]", "11, 12]\npeak = [[8, 11]]\nvalley = [[10, 12]]", "10 h is both"),
        ("11, 12]", "11, 12]\npeak = [[8.1, 11]]", "multiple of 0.25"),
        ("11, 12]", "11, 12]\npeek = []", "Extra inputs"),
        ("[ratios]", "[ratios", "no valid TOML"),
    ],
)
def test_bad_tables_name_file_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = FLAT_TOML.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(TariffError, match=message) as caught:
        load_profile("own.toml", tmp_path)
    assert "own.toml" in str(caught.value)


OWN_TOML = """
name = "own"
name_zh = "自有"
name_en = "own"
source = "test"
valid_from = 2026-01-01
valid_until = 2026-12-31
[ratios]
flat = "1.00"
peak = "1.50"
valley = "0.50"
deep_valley = "0.25"
[[seasons]]
name = "summer"
from = "06-15"
to = "09-14"
peak = [[18, 22]]
valley = [[0, 8]]
deep_valley = [[2, 4]]
[seasons.weekend]
valley = [[0, 12]]
[[seasons]]
name = "rest of the year"
from = "09-15"
to = "06-14"
peak = [[8, 11]]
[deep_valley]
hours = [[13, 15]]
[[deep_valley.days]]
name = "a day"
from = 2026-05-01
to = 2026-05-01
"""


def own_tariff(folder: Path) -> Tariff:
    (folder / "own.toml").write_text(OWN_TOML, encoding="utf-8")
    return load_tariff(TariffSection(profile="own.toml"), SHANGHAI, folder)


@pytest.mark.parametrize(
    ("at", "period"),
    [
        ("2026-06-14T19:00", "flat"),  # the season turns in the middle of a month
        ("2026-06-15T19:00", "peak"),
        ("2026-09-14T19:00", "peak"),
        ("2026-09-11T19:00", "peak"),
        ("2026-09-15T09:00", "peak"),
        ("2026-01-01T09:00", "peak"),  # over the turn of the year
        ("2028-02-29T09:00", "peak"),
        ("2026-06-20T11:00", "valley"),  # Saturday
        ("2026-06-19T11:00", "flat"),  # Friday
        ("2026-06-21T19:00", "flat"),
        ("2026-06-19T03:00", "deep_valley"),  # each day of the season
        ("2026-12-19T03:00", "flat"),
        ("2026-05-01T13:30", "deep_valley"),
    ],
)
def test_weekends_deep_valley_by_season_and_seasons_from_mid_month(tmp_path: Path, at: str, period: str) -> None:
    assert own_tariff(tmp_path).period_at(local(at)) == period


def test_instants_outside_of_what_the_table_knows_are_doubtful(tmp_path: Path) -> None:
    own = own_tariff(tmp_path)
    assert own.doubt_at(local("2026-06-01T12:00")) is None
    assert own.doubt_at(local("2025-12-31T23:59")) is Doubt.OUTSIDE_VALIDITY
    assert own.doubt_at(local("2027-01-01T00:00")) is Doubt.OUTSIDE_VALIDITY
    shanxi = tariff()
    assert shanxi.doubt_at(local("2026-04-30T12:00")) is Doubt.OUTSIDE_VALIDITY
    assert shanxi.doubt_at(local("2030-02-03T13:30")) is Doubt.DAYS_UNKNOWN  # Spring Festival, not announced
    assert shanxi.doubt_at(local("2030-02-03T12:30")) is None  # it would be the same hour on any day
    assert tariff(holidays=[date(2030, 2, 3)]).doubt_at(local("2030-02-03T13:30")) is None
    assert shanxi.years_unknown((2026, 2030)) == (2030,)
    assert tariff(profile="flat").years_unknown((2030,)) == ()


def test_a_price_says_what_it_is_made_of() -> None:
    shanxi = tariff()
    assert shanxi.parts_at(local("2026-09-01T11:00")) == (Decimal("0.38"), Decimal("0.45"), Decimal("0.17"))


def test_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(TariffError, match="flat, shanxi_2021, shanxi_2026"):
        tariff(profile="shanxi_1999")
