"""The page for those who connect chargers, BMS, meter, sun and storage, made from the register maps in either language.

`python -m battery_bms.integrators` writes `docs/chargers.md` and `docs/chargers.zh-CN.md`; a test keeps them equal to
what maps and drivers say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from battery_bms.config import (
    CHARGER_EFFICIENCY,
    MeterSection,
    PvPlantSection,
    RackDeviceSection,
    StorageDeviceSection,
)
from battery_bms.entries import (
    BAY_CHARGES,
    BAY_COMMAND,
    BAY_NEEDED,
    BAY_READ,
    METER_NEEDED,
    METER_READ,
    PV_NEEDED,
    STORAGE_COMMAND,
    STORAGE_ECHO,
    STORAGE_ENERGY,
    STORAGE_NEEDED,
    STORAGE_READ,
)
from battery_bms.limits import AlarmBit
from battery_bms.modbus_pv import NIGHT_SHARE
from battery_bms.port import BMS_VALUES, OVER_PEAK, RESPONSE_S
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
SITE_MAPS = {
    "pv": "pv_meter_v1",
    "sunspec_pv": "sunspec_pv_v1",
    "storage": "storage_v1",
    "sunspec_storage": "sunspec_storage_v1",
}
"""Maps of photovoltaics and storage, by their names in the text."""
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
    return filled(_TEXT, language, fields | _site_fields(language))


def _site_fields(language: Language) -> dict[str, str]:
    """What the text says of photovoltaics and storage."""
    maps = {name: load_map(map_name) for name, map_name in SITE_MAPS.items()}
    pv, storage = PvPlantSection.model_fields, StorageDeviceSection.model_fields
    needed = (*STORAGE_NEEDED, *STORAGE_ENERGY)
    fields = {f"{name}_map": one.name for name, one in maps.items()}
    fields |= {f"{name}_registers": register_tables(one, language) for name, one in maps.items()}
    return fields | {
        "pv_needed": code_list(PV_NEEDED),
        "pv_reads": read_list(maps["pv"], language),
        "night_pct": f"{100 * NIGHT_SHARE:g}",
        "over_peak": f"{OVER_PEAK:g}",
        "pv_age_s": f"{pv['max_age_s'].default:g}",
        "storage_age_s": f"{storage['max_age_s'].default:g}",
        "order_expires_s": f"{storage['order_expires_s'].default:g}",
        "response_s": f"{RESPONSE_S:g}",
        "storage_needed": code_list(STORAGE_NEEDED),
        "storage_energy": code_list(STORAGE_ENERGY),
        "storage_optional": code_list([n for n in (*STORAGE_READ, *STORAGE_COMMAND) if n not in needed]),
        "storage_command": code_list(STORAGE_COMMAND),
        "storage_echo": code_list(tuple(STORAGE_ECHO.values())),
    }


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
