"""The page for PLC programmers, made from the register maps in either language.

`python -m robotics.integrators` writes `docs/integrators.md` and `docs/integrators.zh-CN.md`; a test keeps them
equal to what the maps say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

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
    OWNERSHIP,
    SIGNALS,
)
from robotics.modbus_link.registers import RegisterMap, Value, load_map
from robotics.modbus_link.schema import TYPE_NAMES, EntrySection
from robotics.port import Location, LocationKind

Language = Literal["en", "zh"]
PAGES: dict[Language, str] = {"en": "integrators.md", "zh": "integrators.zh-CN.md"}
OWN_MAP = "swap_cell_v2"
OLD_MAP = "swap_cell_v1"
OTHER_MAP = "gantry_flags_v1"
_TEXT = Path(__file__).parent / "integrators_text.toml"
_LAST = {LocationKind.BAY: 99, LocationKind.SEAT: 2, LocationKind.TRANSFER: 1, LocationKind.TANK: 1}
_EXAMPLE_SIGNALS = (
    "estop_ok", "curtain_clear", "doors_closed", "fire_ok", "smoke_ok", "power_ok", "exit_clear", "homed",
    "gripper_loaded",
)  # fmt: skip
_WORDS: dict[str, dict[Language, str]] = {
    "register": {"en": "Register", "zh": "寄存器"},
    "bit": {"en": "Bit", "zh": "位"},
    "name": {"en": "Name", "zh": "名称"},
    "type": {"en": "Type", "zh": "类型"},
    "order": {"en": "Word order", "zh": "字序"},
    "scale": {"en": "Scale", "zh": "比例"},
    "unit": {"en": "Unit", "zh": "单位"},
    "meaning": {"en": "Meaning", "zh": "含义"},
    "big": {"en": "high first", "zh": "高字在前"},
    "little": {"en": "low first", "zh": "低字在前"},
    "inverted": {"en": "inverted: 1 = no", "zh": "取反：1 = 否"},
    "valid_when": {"en": "unknown unless `{}` = 1", "zh": "`{}` 为 1 时才有效"},
    "mask": {"en": "known bits: `{}`", "zh": "有效位见 `{}`"},
    "constant": {"en": "constant {}", "zh": "常数 {}"},
    "invalid": {"en": "{} = unknown", "zh": "{} = 未知"},
    "idle": {"en": "{} = none", "zh": "{} = 无"},
    "codes": {"en": "device number → code", "zh": "设备报警号 → 目录代码"},
    "faults": {"en": "bits: see the fault table", "zh": "各位见故障表"},
    "bay": {"en": "bay", "zh": "仓位"},
    "seat": {"en": "seat on the vehicle", "zh": "车上座位"},
    "transfer": {"en": "transfer bay", "zh": "中转仓"},
    "tank": {"en": "water tank", "zh": "落水仓"},
    "place": {"en": "Place", "zh": "位置"},
    "code": {"en": "Code", "zh": "代码"},
    "command": {"en": "Command", "zh": "命令"},
    "parameters": {"en": "Parameters", "zh": "参数"},
    "interlock": {"en": "Interlocks (else answer 2)", "zh": "联锁（否则应答 2）"},
    "end": {"en": "At the end", "zh": "结束时"},
    "seconds": {"en": "Seconds", "zh": "时长 s"},
    "fault": {"en": "Fault", "zh": "故障"},
    "level": {"en": "Level", "zh": "等级"},
    "trip": {"en": "Trip", "zh": "安全联锁"},
    "blocks": {"en": "Blocks", "zh": "阻断"},
    "where": {"en": "Word, bit", "zh": "字，位"},
    "entry": {"en": "Entry", "zh": "条目"},
    "names": {"en": "Names", "zh": "名称"},
    "step": {"en": "Step", "zh": "步骤"},
    "who": {"en": "Who", "zh": "哪一方"},
    "plc": {"en": "PLC", "zh": "PLC"},
    "station": {"en": "station", "zh": "站控"},
    "wire": {"en": "Registers", "zh": "寄存器值"},
    "registers_of": {"en": "{} register(s) from {}", "zh": "自 {1} 起 {0} 个寄存器"},
    "every": {"en": "every {} s", "zh": "每 {} s"},
    "within": {"en": "`{}` registers {}…{}", "zh": "`{}` 寄存器 {}…{}"},
}


def render(language: Language, own: RegisterMap | None = None, other: RegisterMap | None = None) -> str:
    """The page in one language, for a fenced map, a map of flags and the forerunner."""
    own, other, old = own or load_map(OWN_MAP), other or load_map(OTHER_MAP), load_map(OLD_MAP)
    fields = {
        "map": own.name,
        "other": other.name,
        "old": old.name,
        "old_command_span": _command_span(old, language),
        "old_registers": _registers(old, language),
        "limits_own": "".join(limit_sentence(limit, language) for limit in limits_of(own)),
        "limits_other": _limits(other, language),
        "limits_old": _limits(old, language),
        "reads": _reads(own, language),
        "mbpoll": _mbpoll(own),
        "command_span": _command_span(own, language),
        "locations": _locations(own, language),
        "commands": _commands(own, language),
        "faults": _faults(own, language),
        "registers": _registers(own, language),
        "example": _example(own, language),
        "types": TYPE_NAMES,
        "needed": _names(ALWAYS_NEEDED),
        "needed_fenced": _names(NEEDED_BY_STYLE["fenced"]),
        "needed_fence": _names(FENCE_NEEDED),
        "order_fenced": ("；" if language == "zh" else "; ").join(_names(names) for names in FENCED_WRITES),
        "needed_sequence": _names(NEEDED_BY_STYLE["sequence"]),
        "needed_flags": _names(NEEDED_BY_STYLE["flags"]),
        "needed_command": _names(COMMAND_NEEDED),
        "ownership": _names(OWNERSHIP),
        "signals": _names(SIGNALS),
        "optional": _names([n for n in (*OPTIONAL, "cmd_vehicle_tag") if n not in OWNERSHIP]),
        "order": _names(COMMAND_WRITE),
        "meanings": _table(
            [_word("entry", language), _word("names", language)],
            [[f"`{name}`", _names(values)] for name, values in MEANINGS.items()],
        ),
        "other_head": getattr(other.file, language) + ("。" if language == "zh" else "."),
        "other_locations": _locations(other, language),
        "other_registers": _registers(other, language),
    }
    text = "\n".join(section[language].strip("\n") + "\n" for section in _text()["sections"])
    for name, value in fields.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def write_pages(folder: Path) -> list[Path]:
    """Write both pages into a folder; returns their paths."""
    paths = []
    for language, name in PAGES.items():
        path = folder / name
        path.write_text(render(language), encoding="utf-8")
        paths.append(path)
    return paths


@cache
def _text() -> dict[str, Any]:
    return tomllib.loads(_TEXT.read_text(encoding="utf-8"))


def _word(key: str, language: Language, *values: object) -> str:
    return _WORDS[key][language].format(*values)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _limits(register_map: RegisterMap, language: Language) -> str:
    return "\n".join(f"- {limit_sentence(limit, language)}" for limit in limits_of(register_map))


def _reads(register_map: RegisterMap, language: Language) -> str:
    parts = [
        _word("registers_of", language, span.count, span.address)
        + f" (`{name}`, "
        + _word("every", language, f"{register_map.blocks[name].period_s:g}")
        + ")"
        for name, spans in register_map.read_blocks.items()
        for span in spans
    ]
    return ("；" if language == "zh" else "; ").join(parts)


def _command_span(register_map: RegisterMap, language: Language) -> str:
    written = [register_map.entries[n] for n in COMMAND_WRITE if n in register_map.entries]
    first, last = min(e.address for e in written), max(e.last for e in written)
    return _word("registers_of", language, last - first + 1, first)


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
        rows.append([_word(kind.value, language), f"{codes[0]}…{codes[1]}" if last > 1 else str(codes[0])])
    return _table([_word("place", language), _word("code", language)], rows)


def _commands(register_map: RegisterMap, language: Language) -> str:
    rows = []
    for use in _text()["commands"]:
        value = next(v for v in register_map.entries["cmd_code"].values if v.means == use["name"])
        title = f"**{use['name'].upper()}** {getattr(value, language)}"
        parts = [use[f"{key}_{language}"] for key in ("use", "check", "end")]
        rows.append([str(value.raw), title, *parts, str(use["seconds"])])
    head = ["code", "command", "parameters", "interlock", "end", "seconds"]
    return _table([_word(h, language) for h in head], rows)


def _faults(register_map: RegisterMap, language: Language) -> str:
    rows = []
    for entry in register_map.entries.values():
        for bit, code in entry.faults.items():
            fault = load_faults()[code]
            marks = ["●" if mark else "" for mark in (fault.safety_trip, fault.blocks)]
            where = f"`{entry.name}` {bit}"
            rows.append([where, str(code), f"`{fault.name}` {getattr(fault, language)}", str(fault.level), *marks])
    return _table([_word(h, language) for h in ("where", "code", "fault", "level", "trip", "blocks")], rows)


def _registers(register_map: RegisterMap, language: Language) -> str:
    parts = []
    for name, block in register_map.blocks.items():
        span = register_map.block_span(name)
        title = f"### {getattr(block, language)}: {_word('within', language, name, *span)}"
        head = ["register", "bit", "name", "type", "order", "scale", "unit", "meaning"]
        rows = [_row(register_map, entry, language) for entry in register_map.by_block[name]]
        parts.append(f"{title}\n\n{_table([_word(h, language) for h in head], rows)}")
    return "\n\n".join(parts)


def _row(register_map: RegisterMap, entry: EntrySection, language: Language) -> list[str]:
    register = str(entry.address) if entry.words == 1 else f"{entry.address}…{entry.last}"
    order = _word(register_map.order(entry), language) if entry.words > 1 and entry.family == "number" else ""
    scale = "" if entry.scale == 1.0 else f"{entry.scale:g}"
    if entry.offset:
        scale += f" {entry.offset:+g}"
    bit = "" if entry.bit is None else str(entry.bit)
    if entry.family == "bits":
        bit = f"{entry.bit or 0}…" if entry.words > 1 else f"{entry.bit or 0}…{(entry.bit or 0) + entry.size - 1}"
    notes = [getattr(entry, language), *_notes(entry, language)]
    for value in entry.values:
        notes.append(f"{value.raw} `{value.means}` {getattr(value, language)}")
    meaning = "<br>".join(notes)
    return [register, bit, f"`{entry.name}`", entry.type, order, scale, entry.unit, meaning]


def _notes(entry: EntrySection, language: Language) -> list[str]:
    notes = []
    if entry.invert:
        notes.append(_word("inverted", language))
    if entry.valid_when:
        notes.append(_word("valid_when", language, entry.valid_when))
    if entry.mask:
        notes.append(_word("mask", language, entry.mask))
    for key, value in (("constant", entry.const), ("idle", entry.idle), ("invalid", entry.invalid)):
        if value is not None:
            notes.append(_word(key, language, value))
    if entry.codes:
        pairs = ", ".join(f"{raw} → {code}" for raw, code in entry.codes.items())
        notes.append(f"{_word('codes', language)}: {pairs}")
    if entry.faults:
        pairs = ", ".join(f"{bit} → {code}" for bit, code in entry.faults.items())
        notes.append(f"{_word('faults', language)}: {pairs}")
    return notes


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
        rows.append([str(number), _word(who, language), f"`{wire}`", note[language]])
    return _table([_word(h, language) for h in ("step", "who", "wire", "meaning")], rows)


if __name__ == "__main__":
    for page in write_pages(Path(__file__).parents[1] / "docs"):
        print(page)
