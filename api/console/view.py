"""What the page shows, worked out from the records of the swap room for one language. No HTML here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from api.console.bar import (
    CONSEQUENCES,
    bar,
    by_cause,
    cell_forbids,
    fault_line,
    go_on,
    nobody_runs,
    person,
)
from api.console.cards import (
    BayCard,
    CheckChip,
    DeviceLine,
    LaneCard,
    PageView,
    QueueLine,
    RequestLine,
    StepLine,
    SwapLine,
)
from api.reasons import lacking, reason_words, wait_words
from api.tariff_notes import price_line, tariff_notes
from api.words import WORDS, Language, duration, kilowatts, short_code
from robotics.faults import fault_by_code
from robotics.modbus_link.quality import LinkQuality
from scheduler.types import BayRole, PackState
from swap.config.station_file import StationConfig
from swap.messages.answers import say
from swap.messages.requests import DEADLINE_S
from swap.reading.records import (
    BayRecord,
    FaultRecord,
    LaneRecord,
    QueueRecord,
    RequestRecord,
    SiteRecord,
    StationState,
    SwapRecord,
    SwapStory,
)
from swap.station.sequence.recipe import QUEUED, RecipeError, StepTable, load_recipe
from swap.words import N_


def page_view(
    state: StationState,
    ended: tuple[SwapStory, ...],
    requests: tuple[RequestRecord, ...],
    *,
    config: StationConfig,
    folder: Path,
    language: Language,
    now: datetime,
    speed: float,
    links: Mapping[str, bool],
    devices: Mapping[str, LinkQuality],
) -> PageView:
    """Work out the page.

    Args:
        folder: where paths in the station file start.
        speed: station seconds per real second.
        links: by lane, whether its cell is heard; empty where another process runs the station.
        devices: by device, how well its link works; empty as above.
    """
    station, site = state.station, state.site
    faults = by_cause(state.faults)
    old = {b.bay_id for b in state.bays if b.pack is not None and b.pack.soc_pct is not None and not b.reading_fresh}
    lanes = tuple(_lane(lane, state, faults, links, folder, language) for lane in state.lanes)
    in_rack = [b for b in state.bays if b.role == BayRole.RACK]
    measured = [b.charge_kw for b in in_rack if b.charge_kw is not None]
    limit_kw = config.site.grid_limit_kw if site is None else site.limit_kw
    return PageView(
        bar=bar(state, faults, lanes, now, language),
        go_on=go_on(state, faults, lanes, links, language),
        name=language.pick(station.name_zh, station.name_en),
        mode=station.mode,
        mode_word=language.word("mode", station.mode),
        mode_reason=reason_words(station.mode_reason, language),
        controller=station.controller or "",
        now=now,
        speed=speed,
        power=kilowatts(None if site is None else site.import_kw),
        charge=kilowatts(sum(measured) if measured else None),
        limit=kilowatts(limit_kw),
        power_share_pct=_share_pct(site, limit_kw),
        sun="" if config.site.pv is None else kilowatts(None if site is None else site.pv_kw),
        storage="" if config.site.storage is None else _storage(site, language),
        site_at="" if site is None else language.time_of_day(site.at),
        ready=sum(b.pack is not None and b.pack.state == PackState.READY and b.bay_id not in old for b in in_rack),
        ready_of=len(in_rack),
        next_ready=_next_ready(state, language),
        bays=tuple(_bay(b, state, language, now if b.bay_id in old else None) for b in state.bays),
        lanes=lanes,
        queue=tuple(_waiting(entry, now, language, run=station.controller is not None) for entry in state.queue),
        swaps=tuple(_ended(swap, language) for swap in ended),
        faults=tuple(fault_line(fault, language) for fault in faults),
        requests=tuple(_request(request, language, now, speed) for request in requests),
        devices=tuple(_device(name, quality, language) for name, quality in devices.items()),
        prices=price_line(config, now, language),
        tariff_notes=tariff_notes(config, now, language),
    )


def _next_ready(state: StationState, language: Language) -> str:
    at = min((bay.ready_at for bay in state.bays if bay.ready_at is not None), default=None)
    return "" if at is None else language.text("next about {time}", time=language.time_of_day(at)[:5])


FLAPS = 2
"""Connections within a minute from which on a link is no good one."""
MOST_ERRORS = 0.02
"""Share of failed requests from which on a link is no good one."""


def _device(name: str, quality: LinkQuality, language: Language) -> DeviceLine:
    share, answer_s = quality.error_share, quality.answer_p95_s
    good = quality.connected and quality.connections_last_minute < FLAPS and (share or 0.0) < MOST_ERRORS
    if not quality.connected:
        state = language.text("not connected")
    else:
        state = language.text("good") if good else language.text("bad")
    return DeviceLine(
        name=_device_name(name, language),
        state=state,
        good=good,
        reconnects=quality.connections_last_minute,
        error_pct="–" if share is None else f"{100 * share:.1f} %",
        answer_ms="–" if answer_s is None else f"{1000 * answer_s:.0f} ms",
    )


def _device_name(name: str, language: Language) -> str:
    """Cells and what stands beside the rack are named by the product, racks by the station file."""
    if name.startswith("cell "):
        return language.text("cell of lane {name}", name=name.removeprefix("cell "))
    message = _BESIDE.get(name)
    return name if message is None else language.text(message)


_BESIDE = {
    "site meter": N_("site meter"),
    "photovoltaics": N_("photovoltaics"),
    "storage": N_("storage"),
}
"""Links beside those of lanes and racks."""


def _storage(site: SiteRecord | None, language: Language) -> str:
    """What the storage does and holds; a dash while it is silent."""
    if site is None or site.storage_kw is None or site.storage_kwh is None:
        return language.text("storage silent")
    text = language.text
    if site.storage_kw > 0:
        does = text("storage charges {kw} kW", kw=kilowatts(site.storage_kw))
    elif site.storage_kw < 0:
        does = text("storage gives {kw} kW", kw=kilowatts(-site.storage_kw))
    else:
        does = text("storage rests")
    return f"{does}, {site.storage_kwh:.0f} kWh"


def _share_pct(site: SiteRecord | None, limit_kw: float) -> float:
    if site is None or site.import_kw is None or limit_kw <= 0:
        return 0.0
    return max(0.0, min(100.0, 100.0 * site.import_kw / limit_kw))


def _bay(bay: BayRecord, state: StationState, language: Language, old_at: datetime | None) -> BayCard:
    """`old_at` is the present where the newest reading is too old for it, else None."""
    pack = bay.pack
    trucks = {lane.swap.swap_id: lane.swap.vehicle_id for lane in state.lanes if lane.swap is not None}
    if bay.blocked:
        reason = reason_words(bay.blocked_reason, language) or language.text("bay blocked")
        why = language.text("{reason} · a person looks, then releases the bay", reason=reason.rstrip(".。"))
    elif bay.reserved_by is not None and (pack is None or pack.state == PackState.RESERVED):
        why = language.text("for {truck}").format(truck=trucks.get(bay.reserved_by, bay.reserved_by))
    elif pack is not None and not bay.setpoint_kw and bay.role == BayRole.RACK:
        why = language.word("limit", bay.limited_by)
    else:
        why = ""
    if bay.ready_at is not None and not bay.blocked:
        ready = language.text("ready about {time}", time=language.time_of_day(bay.ready_at)[:5])
        why = f"{why} · {ready}" if why else ready
    age = ""
    if old_at is not None and pack is not None:
        read_at = pack.reading_at
        age = (
            language.text("never read")
            if read_at is None
            else language.text("read {age} ago", age=duration((old_at - read_at).total_seconds()))
        )
    return BayCard(
        bay_id=bay.bay_id,
        role=bay.role,
        role_word=language.word("role", bay.role),
        pack_id="" if pack is None else pack.pack_id,
        short="" if pack is None else short_code(pack.pack_id),
        state="empty" if pack is None else pack.state,
        state_word=language.text("Empty") if pack is None else language.word("pack_state", pack.state),
        soc_pct=None if pack is None or age else pack.soc_pct,
        temp="" if pack is None or age or pack.temp_max_c is None else f"{pack.temp_max_c:.0f} °C",
        age=age,
        power=f"{kilowatts(bay.charge_kw)} kW" if pack is not None and bay.role == BayRole.RACK else "",
        why=why,
        blocked=bay.blocked,
    )


def _lane(
    lane: LaneRecord,
    state: StationState,
    faults: tuple[FaultRecord, ...],
    links: Mapping[str, bool],
    folder: Path,
    language: Language,
) -> LaneCard:
    swap = lane.swap
    table = _table(lane, folder)
    steps = () if table is None else _steps(table, None if swap is None else swap.state, language)
    held = swap is not None and swap.phase == "held"
    motion = way_back = ""
    if swap is not None:
        step = next((line.name for line in steps if line.status == "current"), swap.state)
        about = {
            "lane": language.pick(lane.name_zh, lane.name_en),
            "step": step,
            "truck": swap.vehicle_id,
        }
        motion = language.text("{lane}: the robot goes on with “{step}”, truck {truck}", **about)
        way_back = language.text("{lane}: the robot goes back from “{step}”, truck {truck}", **about)
    not_now = nobody_runs(state, language) or cell_forbids(lane, faults, links, language)
    return LaneCard(
        lane_id=lane.lane_id,
        name=language.pick(lane.name_zh, lane.name_en),
        swap_id="" if swap is None else swap.swap_id,
        vehicle_id="" if swap is None else swap.vehicle_id,
        state="" if swap is None else swap.state,
        phase="" if swap is None else swap.phase,
        phase_word="" if swap is None else language.word("phase", swap.phase),
        hold_word=language.word("hold", swap.hold_reason) if swap is not None and held else "",
        hold_detail=_detail(swap, faults, language) if swap is not None and held else "",
        missing=lacking(lane.refused, language),
        waits="" if nobody_runs(state, language) else wait_words(lane.waits_for, language),
        tries=0 if swap is None else swap.tries,
        since=None if swap is None else swap.entered_at,
        steps=steps,
        checks=() if swap is None else _checks(swap, language),
        gripper="" if lane.gripper_pack_id is None else short_code(lane.gripper_pack_id),
        unwinding=swap is not None
        and table is not None
        and swap.state in table.by_state
        and table.by_state[swap.state].unwinding,
        motion=motion,
        way_back=way_back,
        not_now=not_now,
    )


def _table(lane: LaneRecord, folder: Path) -> StepTable | None:
    recipe = lane.recipe if lane.swap is None else lane.swap.recipe or lane.recipe
    pack_count = 1 if lane.swap is None else lane.swap.pack_count
    order = "in_out" if lane.swap_order == "in_out" else "out_in"
    try:
        return load_recipe(recipe, folder).table(pack_count, "in_out" if order == "in_out" else "out_in")
    except RecipeError:
        # The controller refuses such a recipe; the page still shows the rest of the station.
        return None


def _steps(table: StepTable, state: str | None, language: Language) -> tuple[StepLine, ...]:
    """The rows of the way the swap is on: forward, or from its present state back."""
    path = list(table.forward)
    row = None if state is None else table.by_state.get(state)
    if row is not None and row.unwinding:
        path = []
        while row is not None:
            path.append(row)
            row = table.by_state.get(row.next_state)
    states = [step.state for step in path]
    if state is not None and state not in states and state != QUEUED:
        reached = len(states)
    else:
        reached = states.index(state) if state in states else -1
    seats = table.pack_count > 1
    return tuple(
        StepLine(
            name=language.pick(step.name_zh, step.name_en)
            + (f" · {step.seat}" if seats and step.state.endswith(f"_{step.seat}") else ""),
            status="done" if index < reached else "current" if index == reached else "todo",
        )
        for index, step in enumerate(path)
    )


def _checks(swap: SwapRecord, language: Language) -> tuple[CheckChip, ...]:
    chips = []
    for name, entry in swap.checks.items():
        result = str(entry.get("result", "none") if isinstance(entry, dict) else entry)
        chips.append(CheckChip(language.word("check", name), result, language.word("check_result", result)))
    return tuple(chips)


def _detail(swap: SwapRecord, faults: tuple[FaultRecord, ...], language: Language) -> str:
    """What a person must know to decide on a held swap; in place of a consequence its cause, where one is open."""
    detail = dict(swap.hold_detail)
    cause = next((fault for fault in faults if fault.source == f"lane:{swap.lane_id}"), None)
    if cause is not None and detail.get("fault") in CONSEQUENCES:
        detail["fault"] = fault_by_code(cause.code).name
    parts = [reason_words(str(detail[key]), language) for key in ("fault", "signal") if detail.get(key)]
    if detail.get("check"):
        parts.append(language.word("check", str(detail["check"])))
    if detail.get("mode"):
        mode = str(detail["mode"])
        parts.append(language.word("mode" if mode in WORDS["mode"] else "cell_mode", mode))
    missing = detail.get("missing")
    if isinstance(missing, list):
        parts.append(lacking((str(item.get("name")) for item in missing if isinstance(item, dict)), language))
    return " ".join(parts)


def _waiting(entry: QueueRecord, now: datetime, language: Language, *, run: bool) -> QueueLine:
    window = ""
    if entry.booked_from_at is not None and entry.booked_until_at is not None:
        start, end = (language.time_of_day(at)[:5] for at in (entry.booked_from_at, entry.booked_until_at))
        window = f"{start}–{end}"
    return QueueLine(
        swap_id=entry.swap_id,
        vehicle_id=entry.vehicle_id,
        since=entry.arrived_at,
        waited=duration((now - entry.arrived_at).total_seconds()),
        window=window,
        priority=entry.priority,
        waits=wait_words(entry.waits_for, language) if run else language.text("nobody runs this station"),
    )


def _ended(swap: SwapStory, language: Language) -> SwapLine:
    bill = swap.bills[0] if swap.bills else None
    energy = None if bill is None else sum(line.energy_kwh for line in bill.lines if line.kind == "energy")
    begun, ended = swap.dispatched_at, swap.ended_at
    return SwapLine(
        swap_id=swap.swap_id,
        vehicle_id=swap.vehicle_id,
        end=swap.state,
        end_word=language.word("swap_end", swap.state),
        ended="" if ended is None else language.time_of_day(ended),
        waited="" if begun is None else duration((begun - swap.arrived_at).total_seconds()),
        took="" if begun is None or ended is None else duration((ended - begun).total_seconds()),
        packs=", ".join(
            f"{short_code(seat.old_pack_id or '')} → {short_code(seat.new_pack_id or '')}"
            for seat in swap.seats
            if seat.old_pack_id and seat.new_pack_id
        ),
        energy_kwh="" if energy is None else f"{energy:,.2f}",
        total_yuan="" if bill is None else f"{bill.total_yuan:,.2f}",
    )


LATE_S = DEADLINE_S + 3.0
"""Real seconds after which an open request is told to have no answer; one begun in time may end a little later."""


def _argument(name: str, value: object, language: Language) -> str:
    """A value of a request as a person reads it: instants in the station's zone, powers with their unit."""
    if name.endswith("_at"):
        return language.date_and_time(datetime.fromisoformat(str(value)))
    if name.endswith("_kw") and isinstance(value, int | float):
        return f"{value:g} kW"
    return language.value(name, str(value))


def _request(request: RequestRecord, language: Language, now: datetime, speed: float) -> RequestLine:
    late = request.status == "open" and now - request.requested_at > timedelta(seconds=LATE_S * speed)
    status = "late" if late else request.status
    about = [_argument(name, value, language) for name, value in request.arguments.items()]
    return RequestLine(
        request_id=request.request_id,
        what=" ".join([language.word("request", request.kind), *about]),
        name=person(request.requested_by, language),
        status=status,
        status_word=language.word("request_status", status),
        # What was answered before answers had codes is English.
        answer=say(request.answer_parts, language.text, language.value) or request.answer,
        unsure=any(part.code == "hold_unconfirmed" for part in request.answer_parts),
    )
