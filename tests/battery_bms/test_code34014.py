"""GB/T 34014 codes against the published examples of tests/vectors/gbt34014.json (sources named there)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_bms.code34014 import BatteryCodeError, Product, normalise_code, parse_code

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gbt34014.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["code"])
def test_published_codes(vector: dict[str, Any]) -> None:
    code, expect = parse_code(vector["code"]), vector["expect"]
    assert code.produced_on is not None
    assert {
        "vendor": code.vendor,
        "product": code.product.value,
        "chemistry": code.chemistry,
        "spec": code.spec,
        "trace": code.trace,
        "date_code": code.date_code,
        "date": code.produced_on.isoformat(),
        "serial": code.serial,
    } == expect
    assert code.text == vector["code"]


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["why"])
def test_refused_codes(vector: dict[str, Any]) -> None:
    with pytest.raises(BatteryCodeError, match=vector["code"]):
        parse_code(vector["code"])


@pytest.mark.parametrize(("letter", "year"), VECTORS["year_table"].items())
def test_every_year_letter(letter: str, year: int) -> None:
    produced_on = parse_code(f"001PB240000003{letter}3C0221953").produced_on
    assert produced_on is not None
    assert produced_on.year == year


def test_blanks_and_case_do_not_matter() -> None:
    assert parse_code(" 0rjpea00 hau0aaf1310 01955\n").text == "0RJPEA00HAU0AAF131001955"
    assert parse_code("001MZ240000003B3C0221953").product is Product.MODULE


def test_a_day_on_which_decoders_differ_leaves_the_date_open() -> None:
    code = parse_code("001PB240000003B3X0221953")
    assert code.date_code == "B3X"
    assert code.produced_on is None
    with pytest.raises(BatteryCodeError):
        parse_code("001PB240000003B3O0221953")


@given(st.text(max_size=30))
def test_any_text_is_either_a_code_or_refused_with_our_error(text: str) -> None:
    try:
        code = parse_code(text)
    except BatteryCodeError:
        return
    assert code.text == normalise_code(text)
