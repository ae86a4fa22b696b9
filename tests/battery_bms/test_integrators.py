"""The page about chargers, BMS and meter is what maps and drivers say, and says all of it (found fault S20)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from battery_bms.config import BayPointSection, BaySection, RackDeviceSection
from battery_bms.entries import BAY_CHARGES, BAY_COMMAND, BAY_NEEDED, BAY_READ, METER_READ
from battery_bms.integrators import BAY_MAP, METER_MAP, PAGES, SITE_MAPS, render
from battery_bms.rack_device import RackDevice
from robotics.modbus_link.page import Language
from robotics.modbus_link.registers import load_map
from tests.support.battery_bms.charger import ChargeController, FakeClock, FakeLink

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES: list[Language] = ["en", "zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_committed_page_is_the_generated_one(language: Language) -> None:
    """S20."""
    committed = (DOCS / PAGES[language]).read_text(encoding="utf-8")
    assert committed == render(language), "run: python -m battery_bms.integrators"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [BAY_MAP, METER_MAP, *SITE_MAPS.values()])
def test_every_register_is_on_the_page(name: str, language: Language) -> None:
    page = render(language)
    assert "{{" not in page
    for entry in load_map(name).entries.values():
        register = str(entry.address) if entry.words == 1 else f"{entry.address}…{entry.last}"
        named = [r for r in page.splitlines() if r.startswith(f"| {register} |") and f"`{entry.name}`" in r]
        said = [entry.type, getattr(entry, language), *(f"{v.raw} `{v.means}`" for v in entry.values)]
        assert any(all(part in row for part in said) for row in named), entry.name


def test_both_languages_have_the_same_shape() -> None:
    def shape(text: str) -> list[str]:
        return [re.sub(r"[^#|`]", "", line)[:1] for line in text.splitlines() if line[:1] in "#|`"]

    assert shape(render("en")) == shape(render("zh"))


async def test_the_names_of_the_page_are_those_that_the_driver_asks_for() -> None:
    """Every name that the driver looks up in a reading, and none besides, is among those that maps are judged by."""
    register_map, clock = load_map(BAY_MAP), FakeClock()
    controller = ChargeController((0,))
    section = BaySection(id="A1", position=1, charger_kw=240, point=BayPointSection(device="r", base_address=0))
    device = RackDevice(
        RackDeviceSection(id="r", port=1),
        [(section, BayPointSection(device="r", base_address=0))],
        register_map,
        FakeLink(controller, clock),
        lambda: datetime(2026, 1, 1, tzinfo=UTC),
        clock,
    )
    asked: set[str] = set()

    class Watched(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.add(key)
            return super().get(key, default)

    values = Watched(register_map.decode("status", controller.words))
    device._watch_bms(device.bays["A1"], values)
    device._reading(device.bays["A1"], values, datetime(2026, 1, 1, tzinfo=UTC))
    assert asked | {"setpoint_counter"} == set(BAY_READ)  # the counter is read with the echo
    assert set(BAY_NEEDED) <= set(BAY_READ) | set(BAY_COMMAND)
    assert set(BAY_CHARGES) <= set(BAY_READ)
    assert set(METER_READ) == set(load_map(METER_MAP).entries)
