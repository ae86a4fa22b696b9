"""The page for those who connect chargers, BMS and the site meter, made from the register maps in either language.

`python -m battery_bms.integrators` writes `docs/chargers.md` and `docs/chargers.zh-CN.md`; a test keeps them equal to
what maps and drivers say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from battery_bms.config import CHARGER_EFFICIENCY, MeterSection, RackDeviceSection
from battery_bms.entries import BAY_CHARGES, BAY_COMMAND, BAY_NEEDED, BAY_READ, METER_NEEDED, METER_READ
from battery_bms.limits import AlarmBit
from battery_bms.port import BMS_VALUES
from robotics.modbus_link.page import (
    Language,
    code_list,
    filled,
    markdown_table,
    read_list,
    register_tables,
    word,
    write_pages,
)
from robotics.modbus_link.registers import RegisterMap, Value, load_map

PAGES: dict[Language, str] = {"en": "chargers.md", "zh": "chargers.zh-CN.md"}
BAY_MAP = "bay_charger_v1"
METER_MAP = "site_meter_v1"
_TEXT = Path(__file__).with_name("integrators_text.toml")


def render(language: Language) -> str:
    """The page in one language."""
    bay, meter = load_map(BAY_MAP), load_map(METER_MAP)
    rack = RackDeviceSection.model_fields
    first, last = bay.block_span("command")
    fields = {
        "bay_map": bay.name,
        "meter_map": meter.name,
        "bay_reads": read_list(bay, language),
        "meter_reads": read_list(meter, language),
        "bay_registers": register_tables(bay, language),
        "meter_registers": register_tables(meter, language),
        "bay_span": str(bay.span[1] + 1),
        "command_span": word("registers_of", language, last - first + 1, first),
        "command": code_list(BAY_COMMAND),
        "needed": code_list(BAY_NEEDED),
        "charges": code_list(BAY_CHARGES),
        "from_bms": code_list(("pack_code", *BMS_VALUES)),
        "optional": code_list([name for name in BAY_READ if name not in (*BAY_NEEDED, *BAY_CHARGES)]),
        "meter_needed": code_list(METER_NEEDED),
        "meter_optional": code_list([name for name in METER_READ if name not in METER_NEEDED]),
        "alarm_bits": ", ".join(f"{bit.value} `{bit.name.lower()}`" for bit in AlarmBit),
        "timeout_s": f"{rack['timeout_s'].default:g}",
        "max_age_s": f"{rack['max_age_s'].default:g}",
        "expires_s": f"{rack['setpoint_expires_s'].default:g}",
        "meter_age_s": f"{MeterSection.model_fields['max_age_s'].default:g}",
        "efficiency": f"{CHARGER_EFFICIENCY:g}",
        "example": _example(bay, language),
        "mbpoll": _mbpoll(bay, meter),
    }
    return filled(_TEXT, language, fields)


def _mbpoll(bay: RegisterMap, meter: RegisterMap) -> str:
    shown = (
        (bay, "bms_counter", "pack_present", "CHARGER_ADDRESS"),
        (bay, "pack_code", "pack_code", "CHARGER_ADDRESS"),
        (bay, "setpoint_kw", "setpoint_counter", "CHARGER_ADDRESS"),
        (meter, "sample_counter", "import_kw", "METER_ADDRESS"),
    )
    lines = []
    for register_map, one, other, host in shown:
        first, last = register_map.entries[one], register_map.entries[other]
        count = last.last - first.address + 1
        names = one if one == other else f"{one} … {other}"
        lines.append(f"mbpoll -m tcp -p 502 -a 1 -0 -t 4:hex -r {first.address} -c {count} -1 {host}    # {names}")
    return "\n".join(lines)


def _example(bay: RegisterMap, language: Language) -> str:
    steps: list[tuple[str, Mapping[str, Value], dict[Language, str]]] = [
        (
            "station",
            {"cmd_setpoint_kw": 120.0, "cmd_expires_s": 30, "cmd_counter": 8},
            {"en": "120 kW for 30 s, number 8: one request", "zh": "120 kW，有效 30 s，第 8 号：一次请求"},
        ),
        (
            "charger",
            {"setpoint_kw": 120.0, "setpoint_counter": 8, "setpoint_left_s": 30},
            {"en": "taken: the echo is what counts as confirmed", "zh": "已接收：以回显为确认"},
        ),
        (
            "charger",
            {"charger_state": bay.raw_of("charger_state", "charging"), "charge_kw": 118.4},
            {"en": "it charges", "zh": "充电中"},
        ),
        (
            "station",
            {"cmd_setpoint_kw": 120.0, "cmd_expires_s": 30, "cmd_counter": 9},
            {"en": "the same once more: the validity begins anew", "zh": "再次写入：有效时间重新计时"},
        ),
        (
            "charger",
            {"setpoint_kw": 0.0, "setpoint_left_s": 0, "charge_kw": 0.0},
            {"en": "no set-point came for 30 s: 0 kW by itself", "zh": "30 s 内无新设定：自行降为 0 kW"},
        ),
    ]
    who: dict[str, dict[Language, str]] = {
        "station": {"en": "station", "zh": "站控"},
        "charger": {"en": "charger", "zh": "充电机"},
    }
    rows = []
    for number, (side, values, note) in enumerate(steps, 1):
        wire = "; ".join(f"{address}: {' '.join(map(str, words))}" for address, words in bay.encode(values))
        rows.append([str(number), who[side][language], f"`{wire}`", note[language]])
    return markdown_table([word(head, language) for head in ("step", "who", "wire", "meaning")], rows)


if __name__ == "__main__":
    write_pages(PAGES, render, Path(__file__).parents[1] / "docs")
