"""What is wrong, whether the station runs, what may move when a person says so: the bar and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api.console.cards import Bar, FaultLine, GoOn, LaneCard
from api.reasons import GOING_ON, OBSTRUCTED, lacking, reason_words, wait_action, wait_words
from api.words import Language
from robotics.faults import fault_by_code
from scheduler.types import StationMode
from swap.reading.records import FaultRecord, LaneRecord, StationState
from swap.register.persons import ERASED, UNNAMED

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
        detail=_fault_detail(fault, language),
        action=language.pick(known.action_zh, known.action_en),
        raised=language.time_of_day(fault.raised_at),
        acknowledged_by=person(fault.acknowledged_by or "", language),
        lane_id="" if known.safety_trip or not fault.source.startswith("lane:") else fault.source[5:],
    )


def _fault_detail(fault: FaultRecord, language: Language) -> str:
    """What the device itself gave as the reason, and which permissives were missing."""
    link, missing = fault.data.get("link"), fault.data.get("missing")
    parts = [language.link(str(link))] if link else []
    if "cause" in fault.data:
        parts.append(language.word("plan_cause", str(fault.data["cause"])))
    if "late_min" in fault.data:
        parts.append(_late(fault.data, language))
    if "short_kwh" in fault.data:
        parts.append(_short(fault.data, language))
    if isinstance(missing, list):
        parts.append(lacking((str(item.get("name")) for item in missing if isinstance(item, dict)), language))
    return " ".join(parts)


def _late(data: Mapping[str, Any], language: Language) -> str:
    """When packs were promised, how much later they are ready and what they lack then."""
    at = language.date_and_time(datetime.fromisoformat(str(data.get("promised_at"))))
    if data["late_min"] is None:
        return language.text("promised {at}: not enough packs", at=at)
    return language.text(
        "promised {at}: {late_min} min late, {missing_kwh} kWh short",
        at=at,
        late_min=data["late_min"],
        missing_kwh=data.get("missing_kwh"),
    )


def _short(data: Mapping[str, Any], language: Language) -> str:
    """From when on too little is delivered, how much lacks, and what it costs."""
    at = language.date_and_time(datetime.fromisoformat(str(data.get("short_at"))))
    return language.text(
        "from {at}: {kwh} kWh short, {penalty} yuan of penalty",
        at=at,
        kwh=data["short_kwh"],
        penalty=data.get("penalty_yuan"),
    )


def _told(fault: FaultLine) -> str:
    return f"{fault.source}: {fault.text} {fault.detail}".strip()


def bar(
    state: StationState, faults: tuple[FaultRecord, ...], lanes: tuple[LaneCard, ...], now: datetime, language: Language
) -> Bar:
    """Is the station run, why not, what is next: the most serious cause first, a consequence never for its cause."""
    why, action, calm = _cause(state, faults, lanes, now, language)
    mode, runs = state.station.mode, state.station.controller is not None
    worst = faults[0] if faults else None
    bad = not runs or (worst is not None and worst.level >= 3) or mode in (StationMode.FIRE, StationMode.THERMAL)
    return Bar(
        tone="bad" if bad else "good" if calm else "busy",
        word=language.word("mode", mode) if runs else language.text("No controller"),
        why=why,
        next=action,
        alarms=len(faults),
        level_word="" if worst is None else language.word("level", str(worst.level)),
    )


STUCK_S = 30.0
"""Station seconds in one step after which what it waits for is no passing thing any more."""


def _cause(
    state: StationState, faults: tuple[FaultRecord, ...], lanes: tuple[LaneCard, ...], now: datetime, language: Language
) -> tuple[str, str, bool]:
    """Why, what is next, and whether nobody has to act."""
    station, text = state.station, language.text
    worst = fault_line(faults[0], language) if faults else None
    if station.controller is None:
        return text("nobody runs this station"), text("Start the controller."), False
    if station.mode != StationMode.AUTOMATIC:
        # A fault of one bay is not why a station is held.
        if worst is not None and (worst.level >= 3 or (worst.level == 2 and faults[0].source.startswith("lane:"))):
            return _told(worst), worst.action, False
        reason = reason_words(station.mode_reason, language) or "–"
        return reason, text("A named person looks, then lets the station go on."), False
    if worst is not None and worst.level > 1:
        return _told(worst), worst.action, False
    for lane in lanes:
        if lane.phase == "held":
            why = f"{lane.name}: {lane.hold_word} {lane.hold_detail}".strip()
            return why, text("A named person decides how the swap goes on."), False
    for record, lane in zip(state.lanes, lanes, strict=True):
        if record.waits_for is not None and record.waits_for.cause in OBSTRUCTED:
            since = record.swap.entered_at if record.swap is not None else None
            passing = since is not None and now - since < timedelta(seconds=STUCK_S)
            return f"{lane.name}: {lane.waits}", wait_action(record.waits_for, language), passing
    if worst is not None:
        return _told(worst), worst.action, True
    first = state.queue[0] if state.queue else None
    if first is not None and first.waits_for is not None and first.waits_for.cause not in GOING_ON:
        why = f"{first.vehicle_id}: {wait_words(first.waits_for, language)}"
        return why, wait_action(first.waits_for, language), False
    return text("No open fault"), _going_on(state, lanes, language), True


def _going_on(state: StationState, lanes: tuple[LaneCard, ...], language: Language) -> str:
    moving = [f"{lane.name}: {lane.vehicle_id}" for lane in lanes if lane.vehicle_id]
    if moving:
        return ", ".join(moving)
    if state.queue:
        return language.text("Next truck: {truck}", truck=state.queue[0].vehicle_id)
    return language.text("Waits for the next truck.")


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
