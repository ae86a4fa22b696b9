"""The page for PLC programmers, made from the register maps in either language.

`python -m robotics.integrators` writes `docs/integrators.md` and `docs/integrators.zh-CN.md`; a test keeps them
equal to what the maps say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from robotics.faults import load_faults
from robotics.handshake import encode_location, limit_sentence, limits_of
from robotics.modbus_link.cell_entries import (
    ALWAYS_NEEDED,
    COMMAND_NEEDED,
    COMMAND_WRITE,
    FENCE_NEEDED,
    FENCED_WRITES,
    MEANINGS,
    NEEDED_BY_STYLE,
    OPTIONAL,
    OUTPUTS,
    OWNERSHIP,
    SIGNALS,
    VEHICLE_PACKS,
)
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
from robotics.modbus_link.schema import TYPE_NAMES
from robotics.port import SEATS, Location, LocationKind

PAGES: dict[Language, str] = {"en": "integrators.md", "zh": "integrators.zh-CN.md"}
OWN_MAP = "swap_cell_v2"
OLD_MAP = "swap_cell_v1"
OTHER_MAP = "gantry_flags_v1"
_TEXT = Path(__file__).parent / "integrators_text.toml"
_LAST = {LocationKind.BAY: 99, LocationKind.SEAT: SEATS[-1], LocationKind.TRANSFER: 1, LocationKind.TANK: 1}
_EXAMPLE_SIGNALS = (
    "estop_ok", "curtain_clear", "doors_closed", "fire_ok", "smoke_ok", "power_ok", "exit_clear", "homed",
    "gripper_loaded",
)  # fmt: skip


def render(language: Language, own: RegisterMap | None = None, other: RegisterMap | None = None) -> str:
    """The page in one language, for a fenced map, a map of flags and the forerunner."""
    own, other, old = own or load_map(OWN_MAP), other or load_map(OTHER_MAP), load_map(OLD_MAP)
    fields = {
        "map": own.name,
        "other": other.name,
        "old": old.name,
        "old_command_span": _command_span(old, language),
        "old_registers": register_tables(old, language),
        "limits_own": "".join(limit_sentence(limit, language) for limit in limits_of(own)),
        "limits_other": _limits(other, language),
        "limits_old": _limits(old, language),
        "reads": read_list(own, language),
        "mbpoll": _mbpoll(own),
        "command_span": _command_span(own, language),
        "locations": _locations(own, language),
        "commands": _commands(own, language),
        "faults": _faults(own, language),
        "registers": register_tables(own, language),
        "example": _example(own, language),
        "types": TYPE_NAMES,
        "needed": code_list(ALWAYS_NEEDED),
        "needed_fenced": code_list(NEEDED_BY_STYLE["fenced"]),
        "needed_fence": code_list(FENCE_NEEDED),
        "order_fenced": ("；" if language == "zh" else "; ").join(code_list(names) for names in FENCED_WRITES),
        "needed_sequence": code_list(NEEDED_BY_STYLE["sequence"]),
        "needed_flags": code_list(NEEDED_BY_STYLE["flags"]),
        "needed_command": code_list(COMMAND_NEEDED),
        "ownership": code_list(OWNERSHIP),
        "signals": code_list(SIGNALS),
        "optional": code_list(
            [n for n in (*OPTIONAL, "cmd_vehicle_tag", *OUTPUTS, *VEHICLE_PACKS) if n not in OWNERSHIP]
        ),
        "order": code_list(COMMAND_WRITE),
        "meanings": markdown_table(
            [word("entry", language), word("names", language)],
            [[f"`{name}`", code_list(values)] for name, values in MEANINGS.items()],
        ),
        "other_head": getattr(other.file, language) + ("。" if language == "zh" else "."),
        "other_locations": _locations(other, language),
        "other_registers": register_tables(other, language),
    }
    return filled(_TEXT, language, fields)


def _limits(register_map: RegisterMap, language: Language) -> str:
    return "\n".join(f"- {limit_sentence(limit, language)}" for limit in limits_of(register_map))


def _command_span(register_map: RegisterMap, language: Language) -> str:
    written = [register_map.entries[n] for n in COMMAND_WRITE if n in register_map.entries]
    first, last = min(e.address for e in written), max(e.last for e in written)
    return word("registers_of", language, last - first + 1, first)


def _mbpoll(register_map: RegisterMap) -> str:
    entries = register_map.entries
    lines = []
    for names in (("heartbeat", "state"), ("layout_version", "word_check"), ("bays_occupied",)):
        shown = [entries[n] for n in names if n in entries]
        count = shown[-1].last - shown[0].address + 1
        style = "4:hex" if "word_check" in names or "bays_occupied" in names else "4"
        lines.append(
            f"mbpoll -m tcp -p 502 -a 1 -0 -t {style} -r {shown[0].address} -c {count} -1 PLC_ADDRESS"
            f"    # {', '.join(names)}"
        )
    return "\n".join(lines)


def _locations(register_map: RegisterMap, language: Language) -> str:
    bases = register_map.handshake.locations
    rows = []
    for kind, last in _LAST.items():
        if kind is LocationKind.BAY:
            taken = sorted(getattr(bases, k.value) for k in LocationKind)
            above = [b for b in taken if b > bases.bay]
            last = min([last, *(b - bases.bay - 1 for b in above)])
        codes = [encode_location(bases, Location(kind, i)) for i in (1, last)]
        rows.append([word(kind.value, language), f"{codes[0]}…{codes[1]}" if last > 1 else str(codes[0])])
    return markdown_table([word("place", language), word("code", language)], rows)


def _commands(register_map: RegisterMap, language: Language) -> str:
    rows = []
    for use in tomllib.loads(_TEXT.read_text(encoding="utf-8"))["commands"]:
        value = next(v for v in register_map.entries["cmd_code"].values if v.means == use["name"])
        title = f"**{use['name'].upper()}** {getattr(value, language)}"
        parts = [use[f"{key}_{language}"] for key in ("use", "check", "end")]
        rows.append([str(value.raw), title, *parts, str(use["seconds"])])
    head = ["code", "command", "parameters", "interlock", "end", "seconds"]
    return markdown_table([word(h, language) for h in head], rows)


def _faults(register_map: RegisterMap, language: Language) -> str:
    rows = []
    for entry in register_map.entries.values():
        for bit, code in entry.faults.items():
            fault = load_faults()[code]
            marks = ["●" if mark else "" for mark in (fault.safety_trip, fault.blocks)]
            where = f"`{entry.name}` {bit}"
            rows.append([where, str(code), f"`{fault.name}` {getattr(fault, language)}", str(fault.level), *marks])
    return markdown_table([word(h, language) for h in ("where", "code", "fault", "level", "trip", "blocks")], rows)


def _example(register_map: RegisterMap, language: Language) -> str:
    bay = encode_location(register_map.handshake.locations, Location(LocationKind.BAY, 3))
    command: dict[str, Value] = {
        "cmd_epoch": 13,
        "cmd_owner": 7,
        "cmd_code": register_map.raw_of("cmd_code", "pick"),
        "cmd_source": bay,
        "cmd_target": 0,
        "cmd_vehicle_tag": 100_001,
        "cmd_seq": 41,
    }

    def raw(name: str, meaning: str) -> int:
        return register_map.raw_of(name, meaning)

    steps: list[tuple[str, Mapping[str, Value], dict[Language, str]]] = [
        (
            "station",
            {"beat_epoch": 12, "cmd_heartbeat": 1001, "owner_claim": 7},
            {"en": "heartbeat and claim; repeated every 0.5 s", "zh": "心跳与令牌；每 0.5 s 重复"},
        ),
        ("plc", {"owner": 7, "epoch": 13}, {"en": "the cell is ours", "zh": "单元归本站控"}),
        (
            "station",
            command,
            {"en": "take the pack out of bay 3, number 41", "zh": "从 3 号仓取包，命令号 41"},
        ),
        (
            "plc",
            {"ack_seq": 41, "ack_code": raw("ack_code", "accepted"), "last_seq": 41},
            {"en": "accepted", "zh": "接受"},
        ),
        (
            "plc",
            {"state": raw("state", "busy"), "active_seq": 41},
            {"en": "it moves", "zh": "动作中"},
        ),
        (
            "plc",
            dict.fromkeys(_EXAMPLE_SIGNALS, True),
            {
                "en": "sensors: the pack is in the gripper, all safe and homed, not at home, no tank",
                "zh": "传感器：夹具有包，安全条件全部满足，已回零，不在原位，无落水仓",
            },
        ),
        (
            "plc",
            {"state": raw("state", "ready"), "active_seq": 0, "done_seq": 41}
            | {"result": raw("result", "done"), "done_result": raw("done_result", "done")},
            {"en": "done, and held", "zh": "完成并保持"},
        ),
        ("station", {"ack_epoch": 13, "done_ack": 41}, {"en": "the result is stored", "zh": "结果已保存"}),
        ("plc", {"result": raw("result", "none")}, {"en": "ready for the next", "zh": "可接受下一条"}),
    ]
    rows = []
    for number, (who, values, note) in enumerate(steps, 1):
        wire = "; ".join(f"{address}: {' '.join(map(str, words))}" for address, words in register_map.encode(values))
        rows.append([str(number), word(who, language), f"`{wire}`", note[language]])
    return markdown_table([word(h, language) for h in ("step", "who", "wire", "meaning")], rows)


if __name__ == "__main__":
    write_pages(PAGES, render, Path(__file__).parents[1] / "docs")
