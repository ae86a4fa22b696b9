"""What is wrong, whether the station runs, what may move when a person says so: the bar and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping

from api.console.cards import Bar, FaultLine, GoOn, LaneCard
from api.words import WORDS, Language
from robotics.faults import fault_by_code, fault_by_name
from scheduler.types import StationMode
from swap.reading.records import FaultRecord, LaneRecord, StationState
from swap.register.persons import ERASED

CONSEQUENCES = frozenset(
    {
        "permissive_missing",
        "permissive_lost",
        "not_confirmed",
        "command_not_acknowledged",
        "command_timeout",
        "command_failed",
        "command_aborted",
        "command_refused_interlock",
    }
)
"""Faults that tell what came of another one, when the same lane has another one."""


def by_cause(faults: tuple[FaultRecord, ...]) -> tuple[FaultRecord, ...]:
    """Worst first; of one lane the cause before what came of it, whatever level that has; then the oldest."""
    causes: dict[str, int] = {}
    for fault in faults:
        if fault_by_code(fault.code).name not in CONSEQUENCES:
            causes[fault.source] = max(fault.level, causes.get(fault.source, 0))

    def rank(fault: FaultRecord) -> tuple[int, bool, int]:
        follows = fault_by_code(fault.code).name in CONSEQUENCES and fault.source in causes
        level = min(fault.level, causes[fault.source]) if follows else fault.level
        return -level, follows, fault.fault_id

    return tuple(sorted(faults, key=rank))


THERMAL = "thermal event in "
"""Begin of the reason that the thermal procedure gives, before the bays."""


def reason_words(reason: str, language: Language) -> str:
    """A reason as stored: a known text, a permissive, a fault, or what a person wrote."""
    for subject in ("reason", "hold"):
        if reason in WORDS[subject]:
            return language.word(subject, reason)
    if reason.startswith(THERMAL):
        return language.text("hot pack in {bays}", bays=reason.removeprefix(THERMAL))
    if reason in WORDS["fact"]:
        return language.text("not fulfilled: {facts}").format(facts=language.fact(reason))
    try:
        fault = fault_by_name(reason)
    except KeyError:
        return reason
    return language.pick(fault.zh, fault.en)


UNNAMED = "-"
"""Stands for the person who has pressed Hold without giving a name."""


def person(name: str, language: Language) -> str:
    """A person's name, or words for one who gave none or has been erased."""
    if name == UNNAMED:
        return language.text("no name given")
    return language.text("erased person") if name == ERASED else name


def fault_line(fault: FaultRecord, language: Language) -> FaultLine:
    known = fault_by_code(fault.code)
    return FaultLine(
        fault_id=fault.fault_id,
        level=fault.level,
        level_word=language.word("level", str(fault.level)),
        source=language.source(fault.source),
        code=fault.code,
        text=language.pick(known.zh, known.en),
        action=language.pick(known.action_zh, known.action_en),
        raised=language.time_of_day(fault.raised_at),
        acknowledged_by=person(fault.acknowledged_by or "", language),
        lane_id="" if known.safety_trip or not fault.source.startswith("lane:") else fault.source[5:],
    )


def bar(state: StationState, faults: tuple[FaultRecord, ...], lanes: tuple[LaneCard, ...], language: Language) -> Bar:
    station = state.station
    mode, text = station.mode, language.text
    runs = station.controller is not None
    waiting = next((lane for lane in lanes if lane.phase == "held"), None)
    worst = fault_line(faults[0], language) if faults else None
    if not runs:
        word, why, action = text("No controller"), text("nobody runs this station"), text("Start the controller.")
    elif worst is not None and worst.level > 1:
        word, why = language.word("mode", mode), f"{worst.source}: {worst.text}"
        action = worst.action
    elif mode != StationMode.AUTOMATIC:
        word, why = language.word("mode", mode), reason_words(station.mode_reason, language)
        action = text("A named person looks, then lets the station go on.")
    elif waiting is not None:
        word, why = language.word("mode", mode), f"{waiting.name}: {waiting.hold_word} {waiting.hold_detail}".strip()
        action = text("A named person decides how the swap goes on.")
    elif worst is not None:
        word, why, action = language.word("mode", mode), f"{worst.source}: {worst.text}", worst.action
    else:
        word, why, action = language.word("mode", mode), text("No open fault"), _going_on(state, lanes, language)
    bad = not runs or (worst is not None and worst.level >= 3) or mode in (StationMode.FIRE, StationMode.THERMAL)
    calm = mode == StationMode.AUTOMATIC and waiting is None and (worst is None or worst.level == 1)
    return Bar(
        tone="bad" if bad else "good" if calm else "busy",
        word=word,
        why=why,
        next=action,
        alarms=len(faults),
        level_word="" if worst is None else worst.level_word,
    )


def _going_on(state: StationState, lanes: tuple[LaneCard, ...], language: Language) -> str:
    moving = [f"{lane.name}: {lane.vehicle_id}" for lane in lanes if lane.vehicle_id]
    if moving:
        return ", ".join(moving)
    return language.text("Next truck: {truck}", truck=state.queue[0].vehicle_id) if state.queue else ""


def nobody_runs(state: StationState, language: Language) -> str:
    return "" if state.station.controller is not None else language.text("nobody runs this station")


def cell_forbids(
    lane: LaneRecord, faults: tuple[FaultRecord, ...], links: Mapping[str, bool], language: Language
) -> str:
    """Why the robot of a lane may not move, as far as it is on record."""
    if not links.get(lane.lane_id, True):
        return language.text("{lane}: the cell is not heard", lane=language.pick(lane.name_zh, lane.name_en))
    for fault in faults:
        known = fault_by_code(fault.code)
        if fault.source == f"lane:{lane.lane_id}" and known.blocks:
            return f"{language.source(fault.source)}: {language.pick(known.zh, known.en)}"
    return ""


def go_on(
    state: StationState,
    faults: tuple[FaultRecord, ...],
    lanes: tuple[LaneCard, ...],
    links: Mapping[str, bool],
    language: Language,
) -> GoOn | None:
    mode, text = state.station.mode, language.text
    if mode == StationMode.AUTOMATIC:
        return None
    not_now = nobody_runs(state, language)
    if mode in (StationMode.HELD, StationMode.MANUAL):
        trips = tuple(fault for fault in faults if fault_by_code(fault.code).safety_trip)
        for lane in state.lanes:
            not_now = not_now or cell_forbids(lane, trips, links, language)
    moving = [lane.motion for lane in lanes if lane.motion]
    if mode in (StationMode.THERMAL, StationMode.FIRE):
        motion = text("The procedure ends; the station is held until it is confirmed once more.")
    elif moving:
        motion = text("Robots move: {motions}", motions="; ".join(moving))
    else:
        motion = text("Trucks are called again, and the robots may move at any time.")
    return GoOn(
        kind="confirm" if mode in (StationMode.HELD, StationMode.THERMAL, StationMode.FIRE) else "automatic",
        label=text("Let the station go on"),
        motion=motion,
        not_now=not_now,
    )
