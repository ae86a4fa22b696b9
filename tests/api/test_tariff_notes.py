"""What makes prices doubtful is said by the console and by `swap check`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from api.tariff_notes import tariff_notes
from api.words import load_language
from scheduler.config import TariffSection
from swap.config.station_file import StationConfig
from tests.support.swap.commerce import station


def config(**tariff: object) -> StationConfig:
    return station().model_copy(update={"tariff": TariffSection.model_validate(tariff)})


@pytest.mark.parametrize(
    ("tariff", "at", "said"),
    [
        ({"profile": "flat"}, "2035-01-01", []),
        ({"profile": "shanxi_2026"}, "2026-06-01", []),
        ({"profile": "shanxi_2026"}, "2026-03-01", ["in force from 2026-05-01 until …, not on 2026-03-01"]),
        ({"profile": "shanxi_2021"}, "2026-04-15", ["not on 2026-05-16"]),
        ({"profile": "shanxi_2026"}, "2029-12-20", ["days of 2029", "days of 2030"]),
        ({"profile": "shanxi_2026", "holidays": [date(2029, 10, 1)]}, "2029-10-01", []),
    ],
)
def test_notes(tariff: dict[str, object], at: str, said: list[str]) -> None:
    language = load_language("en", ZoneInfo("Asia/Shanghai"))
    notes = tariff_notes(config(**tariff), datetime.fromisoformat(at).replace(tzinfo=UTC), language)
    assert len(notes) == len(said)
    for note, part in zip(notes, said, strict=True):
        assert part in note


def test_notes_in_chinese() -> None:
    language = load_language("zh_CN", ZoneInfo("Asia/Shanghai"))
    (note,) = tariff_notes(config(profile="shanxi_2026"), datetime(2030, 6, 1, tzinfo=UTC), language)
    assert "2030 年的深谷日期尚未给出" in note
