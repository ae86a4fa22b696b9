"""Register maps as tables of a page for integrators, in either language."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from robotics.modbus_link.registers import RegisterMap
from robotics.modbus_link.schema import EntrySection

Language = Literal["en", "zh"]
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
    "from_model": {"en": " from the ID of SunSpec model {}", "zh": "（自 SunSpec 型号 {} 的 ID 起）"},
}


def filled(text: Path, language: Language, fields: Mapping[str, str]) -> str:
    """The sections of a TOML file in one language, each `{{name}}` replaced by its field."""
    sections = tomllib.loads(text.read_text(encoding="utf-8"))["sections"]
    page = "\n".join(section[language].strip("\n") + "\n" for section in sections)
    for name, value in fields.items():
        page = page.replace("{{" + name + "}}", value)
    return page


def write_pages(pages: Mapping[Language, str], render: Callable[[Language], str], folder: Path) -> None:
    """Write a page in each language into a folder, and print where."""
    for language, name in pages.items():
        (folder / name).write_text(render(language), encoding="utf-8")
        print(folder / name)


def word(key: str, language: Language, *values: object) -> str:
    """A word of the page."""
    return _WORDS[key][language].format(*values)


def code_list(names: Sequence[str]) -> str:
    """Names as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def read_list(register_map: RegisterMap, language: Language) -> str:
    """The requests that fetch every read block."""
    parts = [
        word("registers_of", language, span.count, span.address)
        + f" (`{name}`, "
        + word("every", language, f"{register_map.blocks[name].period_s:g}")
        + ")"
        for name, spans in register_map.read_blocks.items()
        for span in spans
    ]
    return ("；" if language == "zh" else "; ").join(parts)


def register_tables(register_map: RegisterMap, language: Language) -> str:
    """A table for each block of a map, with every entry."""
    parts = []
    for name, block in register_map.blocks.items():
        span = register_map.block_span(name)
        title = f"### {getattr(block, language)}: {word('within', language, name, *span)}"
        if block.sunspec_model is not None:
            title += word("from_model", language, block.sunspec_model)
        head = ["register", "bit", "name", "type", "order", "scale", "unit", "meaning"]
        rows = [_row(register_map, entry, language) for entry in register_map.by_block[name]]
        parts.append(f"{title}\n\n{markdown_table([word(h, language) for h in head], rows)}")
    return "\n\n".join(parts)


def _row(register_map: RegisterMap, entry: EntrySection, language: Language) -> list[str]:
    register = str(entry.address) if entry.words == 1 else f"{entry.address}…{entry.last}"
    order = word(register_map.order(entry), language) if entry.words > 1 and entry.family == "number" else ""
    scale = "" if entry.scale == 1.0 else f"{entry.scale:g}"
    if entry.scale_from:
        scale = f"{scale} × 10^`{entry.scale_from}`" if scale else f"10^`{entry.scale_from}`"
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
        notes.append(word("inverted", language))
    if entry.valid_when:
        notes.append(word("valid_when", language, entry.valid_when))
    if entry.mask:
        notes.append(word("mask", language, entry.mask))
    for key, value in (("constant", entry.const), ("idle", entry.idle), ("invalid", entry.invalid)):
        if value is not None:
            notes.append(word(key, language, value))
    if entry.codes:
        pairs = ", ".join(f"{raw} → {code}" for raw, code in entry.codes.items())
        notes.append(f"{word('codes', language)}: {pairs}")
    if entry.faults:
        pairs = ", ".join(f"{bit} → {code}" for bit, code in entry.faults.items())
        notes.append(f"{word('faults', language)}: {pairs}")
    return notes
