"""Rounding, tax, measures and prices of a bill: rules with published cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swap.commerce.bills.capitals import LARGEST_FEN, in_capitals
from swap.commerce.bills.money import CENTI_KWH, FEN, taxed
from swap.commerce.bills.pricing import charging_cost, energy_price, moving_average, price_swap
from swap.commerce.bills.quantity import ChargeReading, Flag, Meter, SeatEnergy, billed_energy
from swap.commerce.bills.terms import EnergyPrice, Measure, SaleTerms, SwapTerms
from swap.commerce.charges import Sale, half_up, whole
from swap.config.prices import StationPrices, read_prices, told_prices
from tests.support.swap.commerce import AT, station

OWN = SaleTerms("op", "fleet", Sale.OWN, None, "electricity", Decimal("0.13"), True)
TOLERANCE = Decimal("0.05")


def prices(**tariff: Any) -> StationPrices:
    config = station()
    section = config.tariff.model_copy(update=tariff)
    return read_prices(1, told_prices(config.model_copy(update={"tariff": section})))


def terms(**more: Any) -> SwapTerms:
    values: dict[str, Any] = {
        "measure": Measure.SOE_DIFFERENCE,
        "energy_price": EnergyPrice.TARIFF_AT_SWAP,
        "flat_price_yuan": None,
        "service_price_yuan": Decimal("0.40"),
        "tolerance_kwh": TOLERANCE,
        "energy": OWN,
        "service": OWN,
    }
    return SwapTerms(**(values | more))


# Rounding and tax: public cases, each with its right value under the declared policy (half up, line by line)


def test_each_line_is_rounded_and_the_total_is_their_sum() -> None:
    """Two prices with 30 % in: by line 1384.61, on one line 1384.62. Ours is by line."""
    thirty = Decimal("0.30")
    lines = [taxed(Decimal(amount), thirty, included=True) for amount in (1000, 800)]
    assert [line.net_yuan for line in lines] == [Decimal("769.23"), Decimal("615.38")]
    assert sum(line.net_yuan for line in lines) == Decimal("1384.61")
    assert taxed(Decimal(1800), thirty, included=True).net_yuan == Decimal("1384.62")


def test_an_amount_is_rounded_once_from_the_exact_product() -> None:
    """348.35 × 16 less 4 %, with 22 % on top: 6527.80; rounded in between it would be 6527.81."""
    exact = Decimal("348.35") * 16 * Decimal("0.96")
    line = taxed(exact, Decimal("0.22"), included=False)
    assert (line.net_yuan, line.tax_yuan, line.gross_yuan) == (
        Decimal("5350.66"),
        Decimal("1177.14"),
        Decimal("6527.80"),
    )


def test_a_half_goes_up_though_no_binary_number_holds_it() -> None:
    """8180 × 9.975 % is 815.955: 815.96. In binary floating point it is a little less, and would go down."""
    assert taxed(Decimal(8180), Decimal("0.09975"), included=False).tax_yuan == Decimal("815.96")


def test_quantities_are_rounded_half_up_and_never_to_blocks() -> None:
    """The open charging interface rounds up to a block (115.2 Wh in steps of 1 Wh: 116; 3 + 3 + 3 kWh at 2, 5 and 2
    in blocks of 10 kWh: 29.00). A swap is billed by what was used: no blocks, so 27.00 for the 9 kWh."""
    assert half_up(Decimal("0.1152"), CENTI_KWH) == Decimal("0.12")
    assert half_up(Decimal("0.1152"), Decimal("0.001")) == Decimal("0.115")
    parts = [(Decimal(3), Decimal(2)), (Decimal(3), Decimal(5)), (Decimal(3), Decimal(2))]
    assert sum(half_up(kwh * price, FEN) for kwh, price in parts) == Decimal("27.00")
    average = moving_average([(3 * n * Decimal(1), kwh, kwh * price) for n, (kwh, price) in enumerate(parts)])
    assert average is not None
    assert half_up(9 * average, FEN) == Decimal("27.00")


def test_lines_of_two_prices() -> None:
    """12 minutes at 2.40 an hour and 15 at 1.00: 0.73, where a published example says 0.80."""
    lines = [(Decimal(12) / 60, Decimal("2.40")), (Decimal(15) / 60, Decimal("1.00"))]
    assert sum(half_up(hours * price, FEN) for hours, price in lines) == Decimal("0.73")


@given(
    amount=st.decimals(0, 10**9, places=6),
    rate=st.integers(0, 10_000).map(lambda bp: Decimal(bp) / 10_000),
    included=st.booleans(),
)
def test_net_and_tax_are_the_gross(amount: Decimal, rate: Decimal, included: bool) -> None:
    line = taxed(amount, rate, included=included)
    assert line.net_yuan + line.tax_yuan == line.gross_yuan
    assert min(line.net_yuan, line.tax_yuan) >= 0
    exact = amount * rate / (1 + rate) if included else amount * rate
    assert abs(line.tax_yuan - exact) <= Decimal("0.005")


def test_a_value_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        whole(Decimal("0.001"), FEN)


# Measures


def seat(lsoe: str | None, usoe: str | None, **more: Any) -> SeatEnergy:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return SeatEnergy(1, "P", Decimal(282), number(lsoe), number(usoe), **more)


def charged(
    start: str, end: str, meters: tuple[str | None, str | None] = (None, None), bay: str = "A1", number: int = 1
) -> ChargeReading:
    first, last = (None if text is None else Decimal(text) for text in meters)
    return ChargeReading(number, bay, AT, AT + timedelta(hours=1), Decimal(start), Decimal(end), first, last)


@pytest.mark.parametrize(
    ("lsoe", "usoe", "kwh", "flags", "note"),
    [
        ("100", "100", "0.00", (), None),
        ("0", "0", "0.00", (), None),
        ("0.5", "0.2", "0.30", (), None),
        ("-1", "0", "0.00", (Flag.IMPLAUSIBLE,), None),
        ("282", "0", "282.00", (), None),
        ("100", "100.004", "0.00", (), "usoe above lsoe"),
        ("100", "100.05", "0.00", (), "usoe above lsoe"),
        ("100", "100.051", "0.00", (Flag.CHARGED_ELSEWHERE,), None),
        ("282.005", "0", "282.00", (), "difference above rated"),
        ("282.05", "0", "282.00", (), "difference above rated"),
        ("282.051", "0", "0.00", (Flag.IMPLAUSIBLE,), None),
        ("282.005", "82.005", "200.00", (), None),
    ],
)
def test_readings_that_contradict_each_other_by_rounding(
    lsoe: str, usoe: str, kwh: str, flags: tuple[Flag, ...], note: str | None
) -> None:
    found = billed_energy(seat(lsoe, usoe), Measure.SOE_DIFFERENCE, TOLERANCE, date(2026, 11, 1))
    assert (str(found.energy_kwh), found.flags, found.basis["within_tolerance"]) == (kwh, flags, note)


@pytest.mark.parametrize(
    ("before", "after", "kwh", "flags"),
    [
        ("1000.5", "1180.25", "179.75", ()),
        ("1000", "1400", "400.00", ()),  # charged elsewhere in between: the counter knows
        (None, "1180", "0.00", (Flag.UNMEASURED,)),
        ("1000", None, "0.00", (Flag.UNMEASURED,)),
        ("1180", "1000", "0.00", (Flag.IMPLAUSIBLE,)),
        ("1000", "1000", "0.00", ()),
        ("0", "5", "5.00", ()),
        ("0.5", "5", "4.50", ()),
        ("-1", "5", "0.00", (Flag.IMPLAUSIBLE,)),
        ("NaN", "5", "0.00", (Flag.IMPLAUSIBLE,)),
        ("5", "NaN", "0.00", (Flag.IMPLAUSIBLE,)),
        ("5", "Infinity", "0.00", (Flag.IMPLAUSIBLE,)),
    ],
)
def test_the_counter_of_the_bms(before: str | None, after: str | None, kwh: str, flags: tuple[Flag, ...]) -> None:
    counters = {
        "counter_before_kwh": None if before is None else Decimal(before),
        "counter_after_kwh": None if after is None else Decimal(after),
    }
    found = billed_energy(seat("260", "80", **counters), Measure.BMS_COUNTER, TOLERANCE, date(2026, 11, 1))
    assert (str(found.energy_kwh), found.flags) == (kwh, flags)


METER = Meter("DC-0017", "B", date(2026, 10, 31))


@pytest.mark.parametrize(
    ("measure", "sessions", "kwh", "flags"),
    [
        (Measure.CHARGED_ENERGY, [charged("80", "150"), charged("150", "262.5")], "182.50", ()),
        (Measure.CHARGED_ENERGY, [], "0.00", (Flag.UNMEASURED,)),
        (Measure.CHARGED_ENERGY, [charged("0", "282.02")], "282.00", ()),
        (Measure.CHARGED_ENERGY, [charged("0", "283")], "0.00", (Flag.IMPLAUSIBLE,)),
        (Measure.CHARGED_ENERGY, [charged("0", "282.05")], "282.00", ()),
        (Measure.CHARGED_ENERGY, [charged("80", "70")], "0.00", (Flag.IMPLAUSIBLE,)),
        (Measure.CHARGED_ENERGY, [charged("80", "79.95")], "0.00", ()),
        (Measure.CHARGED_ENERGY, [charged("80", "NaN")], "0.00", (Flag.IMPLAUSIBLE,)),
        (Measure.VERIFIED_METER, [charged("0", "280", ("0", "300"))], "300.00", (Flag.METER_EXPIRED,)),
        (Measure.VERIFIED_METER, [charged("0", "9", (None, "9"))], "0.00", (Flag.UNMEASURED, Flag.METER_EXPIRED)),
        (Measure.VERIFIED_METER, [charged("0", "9", ("0", None))], "0.00", (Flag.UNMEASURED, Flag.METER_EXPIRED)),
        (Measure.VERIFIED_METER, [charged("80", "260", ("1000", "1192.31"))], "192.31", (Flag.METER_EXPIRED,)),
        (
            Measure.VERIFIED_METER,
            [charged("80", "260", ("1000", "1192.31"), "A2")],
            "192.31",
            (Flag.METER_UNVERIFIED,),
        ),
        (Measure.VERIFIED_METER, [charged("80", "260")], "0.00", (Flag.UNMEASURED, Flag.METER_EXPIRED)),
        (
            Measure.VERIFIED_METER,
            [charged("80", "260", ("0", "400"))],
            "0.00",
            (Flag.IMPLAUSIBLE, Flag.METER_EXPIRED),
        ),
    ],
)
def test_what_was_charged_and_what_the_verified_meter_says(
    measure: Measure, sessions: list[ChargeReading], kwh: str, flags: tuple[Flag, ...]
) -> None:
    reading = seat("260", "80", charged=tuple(sessions), meters=(("A1", METER),))
    found = billed_energy(reading, measure, TOLERANCE, date(2026, 11, 1))
    assert (str(found.energy_kwh), found.flags) == (kwh, flags)


@pytest.mark.parametrize(("end", "note"), [("282", None), ("282.02", "charged above rated")])
def test_more_than_the_pack_holds_by_rounding_stands_in_the_basis(end: str, note: str | None) -> None:
    reading = seat(None, None, charged=(charged("0", end),))
    found = billed_energy(reading, Measure.CHARGED_ENERGY, TOLERANCE, date(2026, 11, 1))
    assert (str(found.energy_kwh), found.basis["within_tolerance"]) == ("282.00", note)


def test_what_was_charged_into_a_pack_that_nobody_knows_is_not_billed() -> None:
    unknown = replace(seat(None, None, charged=(charged("0", "9"),)), rated_kwh=None)
    found = billed_energy(unknown, Measure.CHARGED_ENERGY, TOLERANCE, date(2026, 11, 1))
    assert (str(found.energy_kwh), found.flags) == ("0.00", (Flag.IMPLAUSIBLE,))


def test_a_meter_is_good_on_its_last_day_and_stands_in_the_basis() -> None:
    reading = seat(None, None, charged=(charged("80", "260", ("1000", "1192.31")),), meters=(("A1", METER),))
    found = billed_energy(reading, Measure.VERIFIED_METER, TOLERANCE, date(2026, 10, 31))
    assert found.flags == ()
    assert (found.basis["meters"], found.basis["readings_kwh"]) == ("DC-0017/B/2026-10-31", "1000-1192.31")


# Prices


def test_the_moving_average_weighs_what_was_there_with_what_came() -> None:
    assert moving_average([]) is None
    assert moving_average([(Decimal(50), Decimal(0), Decimal(0))]) is None
    first = (Decimal(50), Decimal(100), Decimal(60))  # the 50 that were there cost what the first charging cost
    second = (Decimal(100), Decimal(100), Decimal(30))
    assert moving_average([first]) == Decimal("0.6")
    assert moving_average([first, second]) == Decimal("0.45")
    for held in (0, -5):  # nothing was there: only what came counts
        assert moving_average([first, (Decimal(held), Decimal(100), Decimal(30))]) == Decimal("0.3")
    assert moving_average([(Decimal(0), Decimal("0.001"), Decimal("0.002"))]) == 2


def test_the_cost_of_a_charging_has_its_losses_in() -> None:
    flat = prices().tariff
    by_meter = charging_cost(charged("80", "180", ("1000", "1110")), flat, Decimal("0.94"))
    assert by_meter == (Decimal(100), Decimal("60.5"))
    assert charging_cost(charged("80", "180", ("5", "5")), flat, Decimal("0.94"))[1] == 0
    for meters in ((None, "110"), ("0", None), ("110", "0")):  # not read, or it went back
        assert charging_cost(charged("80", "174", meters), flat, Decimal("0.94"))[1] == Decimal("55.00")
    at_once = replace(charged("80", "174"), ended_at=AT)
    assert charging_cost(at_once, flat, Decimal("0.94"))[1] == Decimal("55.00")
    gained, cost = charging_cost(charged("80", "174"), flat, Decimal("0.94"))
    assert (gained, half_up(cost, FEN)) == (Decimal(94), Decimal("55.00"))


def test_a_charging_over_a_change_of_price_costs_both() -> None:
    shanxi = prices(profile="shanxi_2026").tariff
    start_at = datetime(2026, 9, 1, 6, tzinfo=UTC)  # 14:00 local, valley until 15:00
    reading = ChargeReading(
        1, "A1", start_at, start_at + timedelta(hours=2), Decimal(0), Decimal(100), Decimal(0), Decimal(100)
    )
    valley, flat = shanxi.price_at(start_at), shanxi.price_at(start_at + timedelta(minutes=90))
    assert valley < flat
    assert charging_cost(reading, shanxi, Decimal("0.94"))[1] == 50 * valley + 50 * flat
    change_at, half_s = start_at + timedelta(hours=1), timedelta(milliseconds=500)
    short = replace(reading, started_at=change_at - half_s, ended_at=change_at + half_s)
    assert charging_cost(short, shanxi, Decimal("0.94"))[1] == 50 * valley + 50 * flat


def test_each_source_of_the_price() -> None:
    at_swap = energy_price(terms(), prices(), AT)
    assert (str(at_swap.yuan), at_swap.period, at_swap.flags) == ("0.5500", "flat", ())
    assert at_swap.basis["tariff_parts"] == "0.38 × 1.00 + 0.17"
    flat = terms(energy_price=EnergyPrice.FLAT, flat_price_yuan=Decimal("0.65"))
    assert (str(energy_price(flat, prices(), AT).yuan), energy_price(flat, prices(), AT).flags) == (
        "0.6500",
        (Flag.ABOVE_COST,),
    )
    cheap = terms(energy_price=EnergyPrice.FLAT, flat_price_yuan=Decimal("0.50"))
    assert energy_price(cheap, prices(), AT).flags == ()
    average = terms(energy_price=EnergyPrice.MOVING_AVERAGE)
    unknown = energy_price(average, prices(), AT)
    assert (str(unknown.yuan), unknown.flags) == ("0.5500", (Flag.AVERAGE_UNKNOWN,))
    known = energy_price(average, prices(), AT, [(charged("80", "180", ("0", "110")), prices())])
    assert (str(known.yuan), known.flags) == ("0.6050", ())
    assert (known.basis["average_yuan"], unknown.basis["average_yuan"]) == ("0.6050", None)


def test_a_table_that_is_not_in_force_makes_the_price_doubtful_only_where_it_makes_the_price() -> None:
    early = datetime(2026, 4, 1, tzinfo=UTC)
    shanxi = prices(profile="shanxi_2026")
    assert energy_price(terms(), shanxi, early).flags == (Flag.TARIFF_DOUBTFUL,)
    flat = terms(energy_price=EnergyPrice.FLAT, flat_price_yuan=Decimal("0.10"))
    assert energy_price(flat, shanxi, early).flags == ()
    average = terms(energy_price=EnergyPrice.MOVING_AVERAGE)
    assert energy_price(average, shanxi, early).flags == (Flag.AVERAGE_UNKNOWN, Flag.TARIFF_DOUBTFUL)


def test_every_seat_has_its_own_price() -> None:
    with pytest.raises(ValueError, match="shorter"):
        price_swap([seat("260", "80")] * 2, [energy_price(terms(), prices(), AT)], terms(), prices(), AT)


def test_a_price_without_tax_is_owed_with_it() -> None:
    without = SaleTerms("op", "fleet", Sale.COLLECTED, "grid", "electricity", Decimal("0.13"), False)
    both = terms(energy=without)
    energy = energy_price(both, prices(), AT)
    priced = price_swap([seat("262.26", "78.95")], [energy], both, prices(), AT)
    line, service = priced.lines
    assert (str(line.amount_yuan), str(line.tax.tax_yuan), str(line.tax.gross_yuan)) == ("100.82", "13.11", "113.93")
    assert priced.total_yuan == line.tax.gross_yuan + service.amount_yuan
    assert (line.sale.sale, line.sale.for_id) == (Sale.COLLECTED, "grid")


# Capitals


@pytest.mark.parametrize(
    ("fen", "said"),
    [
        (0, "零圆整"),
        (5, "伍分"),
        (50, "伍角整"),
        (100, "壹圆整"),
        (32504, "叁佰贰拾伍圆零肆分"),
        (140950, "壹仟肆佰零玖圆伍角整"),
        (168032, "壹仟陆佰捌拾圆叁角贰分"),
        (1640902, "壹万陆仟肆佰零玖圆零贰分"),
        (10700053, "壹拾万柒仟圆伍角叁分"),
        (600714, "陆仟零柒圆壹角肆分"),
        (10000000100, "壹亿零壹圆整"),
        (100000000000000000, "壹仟万亿圆整"),
        (-17414, "（负数）壹佰柒拾肆圆壹角肆分"),
    ],
)
def test_amounts_in_capitals(fen: int, said: str) -> None:
    assert in_capitals(fen) == said


_VALUES = {digit: n for n, digit in enumerate("零壹贰叁肆伍陆柒捌玖")}


def read_back(said: str) -> int:
    """The fen that capitals say, read by their places."""
    said = said.removeprefix("（负数）")
    whole, _, rest = said.rpartition("圆") if "圆" in said else ("", "", said)

    def yuan(text: str) -> int:
        for name, base in (("亿", 10**8), ("万", 10**4)):
            if name in text:
                high, _, low = text.rpartition(name) if name == "亿" else text.partition(name)
                return yuan(high) * base + yuan(low)
        total, digit = 0, 0
        for character in text:
            if character in _VALUES:
                digit = _VALUES[character]
            else:
                total += digit * {"拾": 10, "佰": 100, "仟": 1000}[character]
                digit = 0
        return total + digit

    fen, digit = yuan(whole) * 100, 0
    for character in rest:
        if character in _VALUES:
            digit = _VALUES[character]
        elif character in "角分":
            fen += digit * (10 if character == "角" else 1)
    return fen


@given(st.integers(0, LARGEST_FEN))
def test_capitals_say_the_amount_and_never_two_zeros(fen: int) -> None:
    said = in_capitals(fen)
    assert read_back(said) == fen
    assert "零零" not in said
    assert in_capitals(-fen).endswith(said)


def test_capitals_have_an_end() -> None:
    with pytest.raises(ValueError, match="allowed"):
        in_capitals(LARGEST_FEN + 1)
