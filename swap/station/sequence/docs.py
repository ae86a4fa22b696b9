"""The page on recipes, made from the recipes themselves.

`python -m swap.station.sequence.docs` writes `docs/recipes.md` and `docs/recipes.zh-CN.md`; a test keeps them equal to
what this program makes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from robotics.modbus_link.page import write_pages
from robotics.port import SEATS, CommandCode
from swap.station.sequence.machine import BY_HAND, session_states
from swap.station.sequence.recipe import Recipe, carried_orders, load_recipe, markdown, shipped_recipes
from swap.station.sequence.rules import (
    CONFIRMED,
    EVACUATION_CONFIRMED,
    EVACUATION_NEEDED,
    NEEDED,
    PACK_NEEDED,
    SEAT_NEEDED,
)
from swap.station.sequence.secured import STRICT, VehiclePhase
from swap.station.sequence.step_table import DERIVED_FACTS, Check, StepTable
from swap.station.states.modes import STATION_MODE
from swap.station.states.pack_states import PACK_IN_BAY
from swap.station.states.thermal_stages import THERMAL_STAGE

Language = Literal["en", "zh"]
PAGES: Mapping[Language, str] = {"en": "recipes.md", "zh": "recipes.zh-CN.md"}

_INTRO: Mapping[Language, str] = {
    "en": """# Recipes: the swap as a table

A swap is carried out by a table, not by code. Each row is one state: the command it sends, what must hold before,
what the sensors must confirm after, and what follows a fault. The live controller, the planner's study and the
exhaustive exploration (`make prove`) read the same table. This page is made from the recipes
(`python -m swap.station.sequence.docs`), so it cannot differ from them; `swap recipe NAME` prints one of them.

Safety lives in the PLC. The permissives below repeat its interlocks on purpose: the station does not even ask for
what must not be done.

## How a row is carried out

1. **Pending.** The controller reads the cell afresh. A permissive that does not hold, or is older than its limit, is
   named and the row waits; after its time limit the row has failed. Once the exchange has begun, a guard that is
   lost (curtain, door) holds the swap until a named person decides.
2. **Sent.** State and command number are stored, then the command leaves. The same number never moves twice. A guard
   that is lost or unknown meanwhile holds the swap.
3. **Confirming.** The cell says done; the row is done when the sensors say so too. Only then is the move of a pack
   stored, and only then is the cell told that its result is stored.
4. **On fault** gives how many failures are tried again and what follows the next one. *retry* sends the row's command
   again with a new number, *unwind* takes the way back, *person* holds the swap until a named person decides, *stop*
   holds the station. A motion that the cell withdrew (trip, local mode) is never begun again without a person.
   What the cell calls done and the sensors deny goes to a person at once: nothing is tried again on contradicting
   facts. Locking heads that fail decide by number and position: two on one side or one axle are not tried again.
5. **A person** may let a held swap go on, take the way back where the table has one, or, before the vehicle stands in
   the lane, call it off. What the sensors show carried out counts as done, whatever became of the command.

## The vehicle is secured, or nothing moves

From the first UNLOCK until the robot is home and every lock closed, the vehicle must be secured. No row asks for that
and none can leave it out: the station asks it at every look, in every phase, also while it waits. One fact lost or
unknown holds the swap and the cell; a named person decides, and can let nothing go on before the vehicle is secured
again. Before the first UNLOCK leaves, the same facts are asked for. What is asked may differ by vehicle model and by
the phase in the last column of the tables (`[vehicle_models.secured]` in the station file); the default is everything.

A vehicle is released, on every path, only with a pack in each seat, every lock closed and its packs accepted, once
an UNLOCK was sent; one whose locks never opened leaves locked. A vehicle that cannot be accepted leaves by *tow out*
only: station and cell in manual work, people take it out by hand, and a named person says so when lane and gripper
are empty. The journal tells it as not accepted; the swap ends completed where a pack was exchanged, else cancelled.
The diagrams leave this way out: it begins in every state once the vehicle is in the lane.

The position is measured once, by LOCATE before the first UNLOCK, and no row measures it again. So a PLC that forgets
its measurement after an UNLOCK, by a power cut or a restart of its program, shows `vehicle_in_position` = 0 for the
rest of the swap: nothing moves any more, no decision lets it go on, and *tow out* is the only end. A PLC that keeps the
measurement in retentive memory, and shows it again only where its lidar still sees the vehicle there, is spared that.

A vehicle's own pack is judged before its locks open, where the vehicle tells of it. By default one that is unfit (of
another code, at its temperature limit, with an alarm of level 2 or 3, leaking) stays on the vehicle. Where the station
file says so (`[operation.incoming]`), it goes straight into a free quarantine bay; without a free one it stays as well.
A pack in quarantine is put on no vehicle: the way back ends there, and a person decides.

## Packs that people carry

A pack that is carried out of the station, from a bay or from the tank, is told with `take_out_pack` (console: *Take
pack off site*; PIN): once neither BMS nor occupancy sensor sees it in its bay, it is off site, its bay is used again
and the faults of the bay are closed. A pack that is promised to a truck stays. One from off site is set into a bay and
told with `bring_in_pack` (pack and bay): the bay's BMS must name it; then it is identified like any other. Until it is
told, a bay with a pack that nobody knows of is blocked. Custody and the life-cycle events tell both (`pack_out`,
`pack_in`). `POST /api/v1/requests` takes either.

## A recipe of your own

Begin with `format = 2` and copy a shipped file (`swap/station/sequence/recipes/`). A row says `permissives = { groups
= […], require = […], forbid = […] }`, what the sensors must say after it as `confirm = { require = […], forbid = […]
}`, and `on_fault = { retry = 2, then = "person" }`. A file of an older format is refused with each line to change.
`[evacuate]` is the row by which a cell carries a hot pack to the tank: it is asked once the pack's charger gives
nothing, only within 240 s of the detection; without it, or where a fact does not hold, the pack stays in its bay and
people act.

Names in the tables: a leading `!` marks a fact that must not hold. A word such as `cell` in a table stands
for all permissives of that group; the groups are listed above each table. The steps of a vehicle with two
to four packs are those of the middle part once for each seat; their states end in `_1`, `_2` and so on.
""",
    "zh": """# 换电流程表

换电由一张表执行，而不是由代码执行。每一行是一个状态：发出什么指令、之前须满足什么、之后传感器须确认什么、出现故障
怎么办。现场控制器、规划仿真与穷举验证（`make prove`）读的是同一张表。本页由流程文件生成
（`python -m swap.station.sequence.docs`），不会与软件不一致；`swap recipe 名称` 可打印其中一张。

安全由 PLC 负责。下列许可条件有意重复其联锁：不允许做的事，站控根本不提出。

## 一行怎样执行

1. **等待（pending）**：控制器重新读取单元。不满足或超过时限未更新的条件会被逐一指明，该行等待；超时即失败。换电开始
   之后，防护条件（光幕、门）一旦丧失，换电保持，由实名人员决定。
2. **已发出（sent）**：先保存状态与命令号，再发出指令。同一命令号绝不动作两次。此间防护条件丧失或未知，换电保持。
3. **确认（confirming）**：单元报告完成，且传感器一致，才算完成；此时才记录电池包的移动，并告知单元结果已保存。
4. **故障处理**列出失败后重试几次、再失败怎么办：*retry* 以新命令号重发，*unwind* 回退，*person* 保持并等待
   实名人员决定，*stop* 全站保持。被单元撤回的动作（跳闸、就地方式）没有人员确认绝不重新开始。单元报告完成而
   传感器否认时，立即交由人员，不在矛盾的事实上重试。锁止头故障按数量和位置
   决定：同侧或同轴两个失败不再重试。
5. **人员**可让保持中的换电继续、在表中有回退时回退、在车辆入位之前取消。传感器表明已完成的动作即视为完成。

## 车辆未固定，什么都不动

自第一条 UNLOCK 起，至机器人回到原位且所有锁止头锁止为止，车辆必须处于固定状态。此要求不写在任何一行里，任何一行也
不能省去：站控在每次读取、每个阶段（包括等待时）都检查。任一条件丧失或未知，换电与单元即保持，由实名人员决定；车辆
恢复固定之前，任何决定都不能使其继续。第一条 UNLOCK 发出之前也要求同样的条件。要求哪些条件可按车型、按表中最后一列
的阶段设定（站文件 `[vehicle_models.secured]`），默认全部要求。

一旦发出过 UNLOCK，无论走哪条路径，只有每个座都有包、所有锁止头锁止、车辆已接受电池包，才放行；锁止头从未打开的
车辆锁止着离开。无法被接受的车辆只能*拖出*：站与单元均为手动，由人员把车移出，待通道和夹具皆空后由实名人员确认。日志
记为“未接受”；已更换电池包的换电以完成结束，否则以取消结束。流程图不画这条路：车辆进入通道后的任何状态都可由此结束。

位置只在第一条 UNLOCK 之前由 LOCATE 测量一次，之后没有任何一行再测。因此 PLC 若在 UNLOCK 之后因断电或程序重启而丢失
测量结果，此后 `vehicle_in_position` 一直为 0：不再有任何动作，任何决定都不能使其继续，只能以*拖出*结束。测量结果放在
掉电保持区、且仅在雷达仍确认车辆在原处时才恢复显示的 PLC 不会如此。

车辆能上报时，其自带电池包在锁止头打开之前即被判定。不合格的（编码不符、达到温度限值、有 2 级或 3 级报警、泄漏）默认留在
车上；站点文件（`[operation.incoming]`）要求时直接放入空闲的隔离仓，没有空闲隔离仓时同样留在车上。隔离中的电池包不再
装回任何车辆：回退到此为止，由人员决定。

## 人员搬运的电池包

从仓位或消防水箱搬出本站的电池包，用 `take_out_pack` 告知（控制台：*电池包移出站外*；需 PIN）：仓位的 BMS 与占位传感器都
不再看到它之后，该包记为站外，仓位重新启用，其故障关闭。已承诺给车辆的电池包不能移出。站外的电池包放入仓位后，用
`bring_in_pack`（电池包与仓位）告知：该仓位的 BMS 必须报出此包，随后与其他包一样识别。告知之前，装有未知电池包的
仓位保持停用。保管记录与生命周期事件都会记下（`pack_out`、`pack_in`）。两者均由 `POST /api/v1/requests` 受理。

## 自定义流程

首行写 `format = 2`，从随附文件（`swap/station/sequence/recipes/`）复制后修改。每行写
`permissives = { groups = […], require = […], forbid = […] }`，之后传感器须确认的写
`confirm = { require = […], forbid = […] }`，故障处理写 `on_fault = { retry = 2, then = "person" }`。
旧格式的文件被拒绝，并指出每一处要改的行。`[evacuate]` 是把热失控电池移入应急箱的一行：充电机无输出后才提出，且只在
发现后 240 s 内；没有此行或任一条件不满足时，电池留在原仓，由人员处置。

表中名称前的 `!` 表示该条件不得成立。表中 `cell` 等词代表该组全部许可条件，各组列在表前。
装两至四个电池包的车辆，中间部分按座各执行一遍，状态名以 `_1`、`_2` 等结尾。
""",
}
_WORDS: Mapping[str, Mapping[Language, str]] = {
    "rules": {"en": "What every recipe must ask for", "zh": "任何流程必须要求的条件"},
    "rules_text": {
        "en": "A recipe of your own is refused when a row asks for less.",
        "zh": "自定义流程中任何一行少于此要求，即被拒绝加载。",
    },
    "command": {"en": "command", "zh": "指令"},
    "before": {"en": "before", "zh": "之前"},
    "after": {"en": "after", "zh": "之后"},
    "at_seat": {"en": "at a seat also", "zh": "在车上作业另需"},
    "new_pack": {"en": "of a charged pack also", "zh": "取满电包另需"},
    "secured": {"en": "What must be so of a vehicle that is worked on", "zh": "作业中的车辆须满足的条件"},
    "phase": {"en": "phase", "zh": "阶段"},
    "asked": {"en": "asked by default", "zh": "默认要求"},
    "facts": {"en": "Facts", "zh": "条件含义"},
    "fact": {"en": "fact", "zh": "条件"},
    "meaning": {"en": "meaning", "zh": "含义"},
    "from": {"en": "from", "zh": "来源"},
    "signal": {"en": "register of the cell", "zh": "单元寄存器"},
    "derived": {"en": "worked out for the row", "zh": "按该行推导"},
    "checks": {"en": "Pre-checks, in order", "zh": "换电前检查（按顺序）"},
    "checks_text": {
        "en": "Each is none, checking, pass, fail, waiting for a person, or cancelled with the way back; three tries, "
        "ten for the position.",
        "zh": "每项为 未开始、检查中、通过、失败、等待人员，或随回退取消；各 3 次，定位 10 次。",
    },
    "times": {"en": "nominal time, s", "zh": "标称时间 s"},
    "packs": {"en": "packs", "zh": "包数"},
    "order": {"en": "order", "zh": "顺序"},
    "transfer": {"en": "transfer bay", "zh": "中转位"},
    "needed": {"en": "needed", "zh": "需要"},
    "not_needed": {"en": "not needed", "zh": "不需要"},
    "assumed": {
        "en": "Times are **assumed** until they are measured at a station.",
        "zh": "所列时间为**假定值**，待现场实测。",
    },
    "measured": {"en": "Times were measured at a station.", "zh": "所列时间为现场实测值。"},
    "groups": {"en": "Groups", "zh": "条件组"},
    "evacuation": {"en": "A hot pack", "zh": "热失控电池"},
    "states": {"en": "State tables beside the swap", "zh": "换电之外的状态表"},
    "states_text": {
        "en": "What may follow what; `swap recipe NAME --states` prints them as tables, bookings too.",
        "zh": "何种状态之后可有何种状态；`swap recipe 名称 --states` 以表格打印，含预约。",
    },
    "mode": {"en": "Mode of the station", "zh": "站的运行方式"},
    "pack": {"en": "A pack in its bay", "zh": "仓位中的电池包"},
    "stage": {"en": "Stage of a hot pack's procedure", "zh": "热失控处置的阶段"},
    "one_pack": {"en": "One pack", "zh": "单包"},
    "out_in": {"en": "spent pack out first (out_in)", "zh": "先出后入（out_in）"},
    "in_out": {
        "en": "charged pack ready in the transfer bay first (in_out)",
        "zh": "满电包先到中转位（in_out）",
    },
}


def _word(name: str, language: Language) -> str:
    return _WORDS[name][language]


@cache
def fact_words() -> Mapping[str, Mapping[Language, str]]:
    """What each fact means, in both languages."""
    words: Mapping[str, Mapping[Language, str]] = tomllib.loads(
        Path(__file__).with_name("fact_words.toml").read_text(encoding="utf-8")
    )
    return words


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _rules(language: Language) -> str:
    heads = [_word(name, language) for name in ("command", "before", "after")]
    rows = []
    for command, names in NEEDED.items():
        before = _names(names)
        if command in (CommandCode.PICK, CommandCode.PUT):
            before += f"; {_word('at_seat', language)} {_names(SEAT_NEEDED)}"
        if command is CommandCode.PICK:
            before += f"; {_word('new_pack', language)} {_names(PACK_NEEDED)}"
        rows.append((command.name, before, _names(CONFIRMED[command])))
    rows.append((CommandCode.FIRE.name, _names(EVACUATION_NEEDED), _names(EVACUATION_CONFIRMED)))
    return _table(heads, rows)


def _secured(language: Language) -> str:
    heads = [_word(name, language) for name in ("phase", "asked")]
    return _table(heads, [(f"`{phase}`", _names(STRICT.of(phase))) for phase in VehiclePhase])


def _facts(language: Language) -> str:
    rows = [
        (f"`{name}`", words[language], _word("derived" if name in DERIVED_FACTS else "signal", language))
        for name, words in fact_words().items()
    ]
    return _table([_word(name, language) for name in ("fact", "meaning", "from")], rows)


def _recipe(recipe: Recipe, language: Language) -> Iterable[str]:
    yield f"## {recipe.name_en if language == 'en' else recipe.name_zh} (`{recipe.name}`)"
    yield _word(recipe.file.times, language)
    rows = []
    for order in carried_orders(recipe):
        for packs in SEATS:
            table = recipe.table(packs, order)
            transfer = _word("needed" if table.needs_transfer else "not_needed", language)
            rows.append((_word(order, language), str(packs), transfer, f"{table.nominal_s:g}"))
    yield _table([_word(name, language) for name in ("order", "packs", "transfer", "times")], rows)
    groups = "; ".join(f"**{name}**: {_names(names)}" for name, names in recipe.file.groups.items())
    yield f"{_word('groups', language)}: {groups}."
    for order in carried_orders(recipe):
        table = recipe.table(1, order)
        yield f"### {_word('one_pack', language)}, {_word(order, language)}"
        yield markdown(table, language)
        yield f"```mermaid\n{session_states(table).mermaid(BY_HAND)}\n```"
    if recipe.evacuation is not None:
        yield f"### {_word('evacuation', language)}"
        yield markdown(StepTable(recipe.name, 1, "out_in", (recipe.evacuation,), recipe.file.groups), language)


def render(language: Language) -> str:
    """The page in one language."""
    parts = [
        _INTRO[language].rstrip(),
        f"## {_word('rules', language)}",
        _word("rules_text", language),
        _rules(language),
        f"## {_word('secured', language)}",
        _secured(language),
        f"## {_word('checks', language)}",
        _word("checks_text", language),
        _names(check.value for check in Check),
        f"## {_word('facts', language)}",
        _facts(language),
    ]
    for name in shipped_recipes():
        parts += _recipe(load_recipe(name), language)
    parts += [f"## {_word('states', language)}", _word("states_text", language)]
    for states, title in ((STATION_MODE, "mode"), (PACK_IN_BAY, "pack"), (THERMAL_STAGE, "stage")):
        parts += [f"### {_word(title, language)}", f"```mermaid\n{states.mermaid()}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    write_pages(PAGES, render, Path(__file__).parents[3] / "docs")
