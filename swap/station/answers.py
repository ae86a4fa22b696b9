"""Requests of people, picked up from their rows and answered in the same row."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from robotics.port import CellStatus, CommandCode, LinkFault, LinkLost, Refused, ResultCode, SwapRobot
from scheduler.response.programme import EventSpan
from scheduler.types import PackState, StationMode
from swap.errors import InvalidInput
from swap.events import append_event
from swap.messages.answers import STORED, Answer, say
from swap.messages.events import RequestAnswered, RestartPermitted, SwapCancelled
from swap.messages.requests import (
    DEADLINE_S,
    REQUESTS,
    Automatic,
    BringInPack,
    CancelSwap,
    Close,
    Confirm,
    Decide,
    DemandResponse,
    Hold,
    Manual,
    PermitRestart,
    ReleaseBay,
    ReleasePack,
    Request,
    Reset,
    Resume,
    TakeOutPack,
    read_request,
)
from swap.station.context import StationContext
from swap.station.faults import close_fault
from swap.station.inventory import bring_in, release_bay, set_pack_state, take_out, unreserve_packs
from swap.station.lane.runner import LaneRunner, NotDecided
from swap.station.power.response import DrCall, take_call, vehicles_known
from swap.station.reconcile import Mismatch
from swap.station.records import stock_unconfirmed
from swap.station.sequence.permissives import tripped
from swap.station.sequence.recipe import CANCELLED, QUEUED
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.session import Decision, Phase, Session
from swap.station.states.modes import IllegalMode, ModeTrigger
from swap.station.states.pack_states import IllegalPackStep, PackTrigger
from swap.station.states.thermal_stages import Stage
from swap.station_db import StationDb as Db
from swap.tables import Bay, ControlRequest, HotPack, Pack, Swap

log = logging.getLogger(__name__)

Handler = Callable[[Any, str], Awaitable[tuple[Answer, ...]]]
"""Answers one request of a named person."""


_LETS_GO = frozenset({"confirm", "resume", "automatic", "decide", "reset", "permit_restart"})
"""Kinds by which something may move: they are void once anything has happened that the person has not seen."""


class Denied(Exception):
    """The request cannot be met as things stand; `answer` says why."""

    def __init__(self, code: str, **values: str | tuple[Answer, ...]) -> None:
        self.answer = Answer(code, values)
        super().__init__(say((self.answer,)))


class WaitsForPerson(Protocol):
    """What moves by itself until a person stops it."""

    def wait_for_person(self) -> None:
        """Begin nothing more before a named person has confirmed."""


class StationActions(Protocol):
    """What a request may have done: the part of the controller that answers need."""

    @property
    def context(self) -> StationContext:
        """What the controller's parts share."""

    @property
    def robots(self) -> Mapping[str, SwapRobot]:
        """By lane."""

    @property
    def lanes(self) -> Mapping[str, LaneRunner]:
        """By lane."""

    @property
    def thermal(self) -> WaitsForPerson:
        """Procedures of hot packs."""

    async def change_mode(self, trigger: ModeTrigger, reason: str, actor: str) -> StationMode:
        """Store a change of mode. Raises IllegalMode."""

    async def confirm(self, name: str) -> list[Mismatch]:
        """A named person has looked: go on. Raises LinkLost, Refused."""

    def unheard(self) -> list[str]:
        """Lanes and bays that have not been heard."""

    def trips(self) -> list[str]:
        """Safety trips that the cells report now, as `lane: signal`."""


def refuse_open(db: Db, station_id: str, reason: Answer, at: datetime) -> None:
    """Refuse every open request: it was made for a station as it stood before. Call inside a transaction."""
    for row in db.open_requests():
        _settle(db, row, "refused", (reason,), at)


def _settle(db: Db, row: ControlRequest, status: str, parts: tuple[Answer, ...], at: datetime) -> None:
    assert row.id is not None
    row.status, row.answer, row.answered_at = status, say(parts), at
    row.answer_parts = STORED.dump_python(parts, mode="json")
    db.add(row)
    append_event(
        db,
        RequestAnswered(
            request_id=row.id,
            request=row.kind,
            status=status,
            answer=row.answer,
            arguments=dict(row.arguments),
            requested_at=row.requested_at,
        ),
        station_id=row.station_id,
        at=at,
        actor=row.requested_by,
    )


CALLS: frozenset[str] = frozenset({"demand_response"})
"""Kinds that are reckoned for seconds and move nothing: answered apart, so that no hold waits behind one."""


class Answerer:
    """Answers the open requests of one station, oldest first; one past its deadline is not executed."""

    def __init__(self, controller: StationActions) -> None:
        self._controller = controller
        self.handlers: Mapping[type[Request], Handler] = {
            Confirm: self._confirm,
            Resume: self._confirm,
            Automatic: self._confirm,
            Hold: self._hold,
            Manual: self._manual,
            Close: self._close,
            PermitRestart: self._permit_restart,
            Decide: self._decide,
            Reset: self._reset,
            CancelSwap: self._cancel,
            DemandResponse: self._demand_response,
            ReleasePack: self._release_pack,
            TakeOutPack: self._take_out,
            BringInPack: self._bring_in,
            ReleaseBay: self._release_bay,
        }
        """What answers a request, by its model; raises Denied and what `cycle` turns into a refusal."""

    async def cycle(self) -> None:
        """Answer what is open, calls apart."""
        await self._answer_open(calls=False)

    async def calls_cycle(self) -> None:
        """Answer the calls that are open."""
        await self._answer_open(calls=True)

    async def _answer_open(self, *, calls: bool) -> None:
        context = self._controller.context
        waiting = [one for one in await context.read(self._waiting) if (one[1] in CALLS) == calls]
        for request_id, kind, arguments, name, asked_at in waiting:
            status = "refused"
            try:
                # Asked for each by itself: those before it may have taken long.
                if (context.clock.age_s(asked_at) or 0.0) > DEADLINE_S:
                    parts, status = _said("expired", limit_s=f"{DEADLINE_S:g}"), "expired"
                elif kind in _LETS_GO and context.lost_at is not None and asked_at < context.lost_at:
                    raise Denied("asked_before")
                else:
                    parts, status = await self._answer(kind, arguments, name), "done"
            except Denied as error:
                parts = (error.answer,)
            except IllegalMode as error:
                parts = (Answer("mode_forbids", {"mode_trigger": error.trigger.value, "mode": error.mode.value}),)
            except IllegalPackStep as error:
                codes = {"pack_trigger": error.trigger.value, "pack_state": error.state.value}
                parts = (Answer("pack_forbids", codes),)
            except (LinkLost, Refused) as error:
                parts = (Answer("device_refused", {"error": str(error)}),)
            await context.write(self._settlement(request_id, status, parts))

    def _waiting(self, db: Db) -> list[tuple[int, str, dict[str, Any], str, datetime]]:
        return [
            (row.id, row.kind, dict(row.arguments), row.requested_by, row.requested_at)
            for row in db.open_requests()
            if row.id is not None
        ]

    def _settlement(self, request_id: int, status: str, parts: tuple[Answer, ...]) -> Callable[[Db], None]:
        at = self._controller.context.clock.now()
        return lambda db: _settle(db, db.get_one(ControlRequest, request_id), status, parts, at)

    async def _answer(self, kind: str, arguments: Mapping[str, Any], name: str) -> tuple[Answer, ...]:
        if kind not in REQUESTS:
            raise Denied("unknown_kind", kind=repr(kind))
        try:
            request = read_request(kind, arguments)
        except InvalidInput as error:
            raise Denied("not_valid", error=str(error)) from None
        return await self.handlers[type(request)](request, name)

    async def _hold(self, request: Hold, name: str) -> tuple[Answer, ...]:
        self._controller.thermal.wait_for_person()  # in thermal mode, which stays, no evacuation begins any more
        for robot in self._controller.robots.values():
            await robot.hold(f"asked by {name}")
        try:
            await self._controller.change_mode(ModeTrigger.HOLD, request.reason or "asked", name)
            parts = _said("held")
        except IllegalMode as error:  # a stop is never refused: the robots are on hold in any mode
            parts = _said("robots_held", mode=error.mode.value)
        cells = self._controller.context.cells
        for lane_id, lane in self._controller.lanes.items():
            if lane_id not in cells or not lane.cell_facts(cells[lane_id]).fresh:
                parts += _said("hold_unconfirmed", lane_id=lane_id)
        return parts

    async def _manual(self, request: Manual, name: str) -> tuple[Answer, ...]:
        for robot in self._controller.robots.values():
            await robot.hold(f"manual work of {name}")
        await self._controller.change_mode(ModeTrigger.MANUAL, "manual work", name)
        return _said("manual")

    async def _close(self, request: Close, name: str) -> tuple[Answer, ...]:
        await self._controller.change_mode(ModeTrigger.CLOSE, request.reason or "closed", name)
        return _said("closed")

    async def _permit_restart(self, request: PermitRestart, name: str) -> tuple[Answer, ...]:
        """A planned restart: what a stop in good order leaves needs no second person until then."""
        context, mode = self._controller.context, self._controller.context.mode
        if mode not in MOVING_MODES:
            raise Denied("not_while", mode=mode.value)
        now = context.clock.now()
        event = RestartPermitted(until_at=now + timedelta(minutes=request.within_min))
        await context.write(lambda db: append_event(db, event, station_id=context.station_id, at=now, actor=name))
        return _said("restart_permitted", minutes=str(request.within_min))

    async def _demand_response(self, request: DemandResponse, name: str) -> tuple[Answer, ...]:
        """A call of an aggregator or of the grid, passed on by a person or a program."""
        context = self._controller.context
        programmes = {one.id: one for one in context.config.programmes}
        if request.programme not in programmes:
            raise Denied("no_programme", given=request.programme, allowed=", ".join(programmes) or "–")
        try:
            span = EventSpan(context.clock.now(), request.from_at.astimezone(UTC), request.until_at.astimezone(UTC))
            called = DrCall(programmes[request.programme], span, request.asked_kw, request.limit_kw)
            answer = await take_call(context, called, name)
        except (ValueError, InvalidInput) as error:  # no baseline among them: the message says what is missing
            raise Denied("not_valid", error=str(error)) from None
        if not answer.accepted:
            objections = tuple(Answer("dr_objection", {"objection": one}) for one in answer.objections)
            raise Denied("dr_declined", objections=objections)
        zone = context.config.station.zone
        begin, end = (at.astimezone(zone).strftime("%m-%d %H:%M") for at in (answer.from_at, answer.until_at))
        if answer.limit_kw is None:
            parts = _said("dr_accepted_floor", floor=f"{answer.floor_kw or 0.0:.0f}", begin=begin, end=end)
        else:
            parts = _said("dr_accepted", limit=f"{answer.limit_kw:.0f}", begin=begin, end=end)
        still = context.still()
        vehicles = await context.read(lambda db: vehicles_known(db, still)) if answer.waits else {}
        for one in answer.waits:
            truck = vehicles.get(one.truck, one.truck)
            if one.minutes is None:
                parts += _said("dr_waits_long", truck=truck)
            else:
                parts += _said("dr_waits", truck=truck, minutes=f"{one.minutes:.0f}")
        return parts

    async def _confirm(self, request: Confirm | Resume | Automatic, name: str) -> tuple[Answer, ...]:
        controller = self._controller
        mode = controller.context.mode.value
        leave = {
            "closed": ModeTrigger.OPEN,
            "manual": ModeTrigger.HOLD,
            "thermal": ModeTrigger.THERMAL_OVER,
            "fire": ModeTrigger.FIRE_OVER,
        }
        if mode in leave:
            await controller.change_mode(leave[mode], "ended", name)
            if mode in ("closed", "thermal", "fire"):
                return _said("open" if mode == "closed" else "confirm_again")
        for lane_id, cell in controller.context.cells.items():
            lane = controller.lanes[lane_id]
            facts = lane.cell_facts(cell)
            if not facts.fresh:
                raise _unheard(lane_id, cell)
        blocking = controller.trips()
        if blocking:
            trips = (trip.split(": ", 1) for trip in blocking)
            raise Denied("still_tripped", trips=tuple(Answer("trip", {"lane_id": t[0], "fact": t[1]}) for t in trips))
        unseen = controller.unheard()
        unconfirmed = bool(unseen) and await controller.context.read(stock_unconfirmed)
        if unconfirmed:
            raise Denied("stock_unseen", unseen=", ".join(unseen))
        mismatches = await controller.confirm(name)
        parts = [Answer("going_on", {})]
        if mismatches:
            places = [{"where": m.where, "on_record": m.expected, "seen": m.found} for m in mismatches]
            parts.append(Answer("places_blocked", {"places": tuple(Answer("place", place) for place in places)}))
        for lane in controller.lanes.values():
            if lane.session is not None and lane.session.phase is Phase.HELD:
                parts.append(await _stays_held(lane, lane.session, name))
        return tuple(parts)

    async def _decide(self, request: Decide, name: str) -> tuple[Answer, ...]:
        swap_id, decision = request.swap_id, Decision(request.decision, name)
        for lane in self._controller.lanes.values():
            if lane.session is not None and lane.session.swap_id == swap_id:
                try:
                    if await lane.decide(decision):
                        return _said("decided", decision=decision.kind.value)
                except NotDecided as error:
                    kind, lacking = decision.kind.value, _facts(error.facts)
                    raise Denied("decision_lacks", decision=kind, swap_id=swap_id, facts=lacking) from None
                raise Denied("not_possible", decision=decision.kind.value, swap_id=swap_id)
        raise Denied("in_no_lane", given=repr(swap_id))

    async def _reset(self, request: Reset, name: str) -> tuple[Answer, ...]:
        """Ask a cell to clear latched faults whose cause is gone; a safety trip is not cleared this way."""
        context = self._controller.context
        lane = self._controller.lanes.get(request.lane_id)
        cell = context.cells.get(request.lane_id)
        if lane is None or cell is None:
            raise Denied("unknown_lane", given=repr(request.lane_id), allowed=", ".join(self._controller.lanes))
        facts = lane.cell_facts(cell)
        if not facts.fresh:
            raise _unheard(lane.lane.id, cell)
        in_flight = lane.session is not None and lane.session.phase in (Phase.SENT, Phase.CONFIRMING)
        if in_flight or lane.watch.busy or cell.active_seq or cell.result is not ResultCode.NONE:
            raise Denied("cell_at_work", lane_id=lane.lane.id)
        signal = tripped(facts)
        if signal is not None:
            raise Denied("reset_at_equipment", lane_id=lane.lane.id, fact=signal.value)
        await lane.release(cell.epoch)
        await lane.watch.command(CommandCode.RESET, cell)
        return _said("reset")

    async def _cancel(self, request: CancelSwap, name: str) -> tuple[Answer, ...]:
        context = self._controller.context
        now = context.clock.now()

        def store(db: Db) -> None:
            swap = db.get(Swap, request.swap_id)
            if swap is None or swap.station_id != context.station_id:
                raise Denied("no_swap", given=repr(request.swap_id))
            if swap.state != QUEUED:
                raise Denied("not_queued", swap_id=swap.id, swap_state=swap.state)
            swap.state, swap.ended_at, swap.end_reason = CANCELLED, now, f"cancelled by {name}"
            swap.open_vehicle_id, swap.open_lane_id = None, None
            db.add(swap)
            unreserve_packs(db, swap, at=now)
            append_event(
                db,
                SwapCancelled(seats=0, reason="cancelled by a person"),
                station_id=context.station_id,
                at=now,
                actor=name,
                swap_id=swap.id,
            )

        await context.write(store)
        return _said("cancelled")

    async def _release_pack(self, request: ReleasePack, name: str) -> tuple[Answer, ...]:
        context = self._controller.context
        now = context.clock.now()

        def store(db: Db) -> str | None:
            pack = _pack(db, request.pack_id)
            if PackState(pack.state) is PackState.EVACUATED:
                raise Denied("in_tank", pack_id=pack.id)
            set_pack_state(db, pack, PackTrigger.RELEASE, station_id=context.station_id, at=now, actor=name)
            return pack.bay_id.split(":", 1)[1] if pack.bay_id else None

        bay_name = await context.write(store)
        if bay_name is not None:
            context.watches.pop(bay_name, None)
        return _said("pack_released")

    async def _take_out(self, request: TakeOutPack, name: str) -> tuple[Answer, ...]:
        context = self._controller.context
        still, now = context.still(), context.clock.now()

        def store(db: Db) -> str | None:
            pack = _pack(db, request.pack_id)
            in_tank = pack.tank_station_id == context.station_id
            if pack.bay_id is None and not in_tank:
                raise Denied("pack_not_here", pack_id=pack.id)
            if PackState(pack.state) is PackState.RESERVED or pack.bay_id in db.bays_in_motion():
                raise Denied("pack_in_swap", pack_id=pack.id)
            bay_name = None if pack.bay_id is None else db.name_of(pack.bay_id)
            if bay_name is not None:
                _nothing_there(db, still, bay_name)
            take_out(db, pack, station_id=context.station_id, at=now, actor=name)
            if bay_name is not None:
                self._looked_at(db, bay_name, now, name)
            return bay_name

        bay_name = await context.write(store)
        if bay_name is not None:
            context.watches.pop(bay_name, None)
        return _said("pack_taken_out", pack_id=request.pack_id)

    def _looked_at(self, db: Db, bay_name: str, now: datetime, name: str) -> None:
        """A person has looked at a bay: it is used again, and what was wrong with it is over."""
        release_bay(db, self._controller.context.bay_key(bay_name), at=now, actor=name)
        for fault in db.open_faults(f"bay:{bay_name}"):
            close_fault(db, fault, at=now, actor=name)

    async def _bring_in(self, request: BringInPack, name: str) -> tuple[Answer, ...]:
        context = self._controller.context
        still, now, bay_name = context.still(), context.clock.now(), request.bay_id

        def store(db: Db) -> None:
            pack = _pack(db, request.pack_id)
            key = context.bay_key(bay_name)
            if bay_name not in {bay.id for bay in context.config.bays}:
                raise Denied("no_bay", given=repr(bay_name))
            if not pack.off_site:
                raise Denied("pack_not_off_site", pack_id=pack.id)
            kinds = context.config.bay(bay_name).kinds
            if kinds and pack.kind not in kinds:
                raise Denied("pack_does_not_fit", bay_id=bay_name, given=pack.kind)
            there = db.packs_in_bays().get(key)
            if there is not None:
                raise Denied("bay_taken", pack_id=there.id, bay_id=bay_name)
            if key in db.bays_in_motion():
                raise Denied("bay_in_swap", bay_id=bay_name)
            reading = still.readings.get(bay_name)
            seen = reading.pack_id if reading is not None and still.reading_fresh(bay_name) else None
            if seen != pack.id:
                raise Denied("pack_unseen", bay_id=bay_name, given=seen or "-")
            bring_in(db, pack, key, station_id=context.station_id, at=now, actor=name)
            self._looked_at(db, bay_name, now, name)

        await context.write(store)
        context.watches.pop(bay_name, None)
        return _said("pack_brought_in", pack_id=request.pack_id, bay_id=bay_name)

    async def _release_bay(self, request: ReleaseBay, name: str) -> tuple[Answer, ...]:
        context = self._controller.context
        now = context.clock.now()
        bay_name = request.bay_id

        def store(db: Db) -> None:
            bay = db.get(Bay, context.bay_key(bay_name))
            if bay is None:
                raise Denied("no_bay", given=repr(bay_name))
            self._looked_at(db, bay_name, now, name)

        await context.write(store)
        return _said("bay_released")


def _pack(db: Db, pack_id: str) -> Pack:
    pack = db.get(Pack, pack_id)
    if pack is None:
        raise Denied("no_pack", given=repr(pack_id))
    return pack


def _nothing_there(db: Db, context: StationContext, bay_name: str) -> None:
    """Raise Denied where a pack is still seen in a bay, or its hot one is being dealt with."""
    hot = db.get(HotPack, context.bay_key(bay_name))
    if hot is not None and hot.stage not in (Stage.EVACUATED, Stage.ISOLATED):
        raise Denied("hot_procedure", bay_id=bay_name)
    reading = context.readings.get(bay_name)
    seen = reading is not None and context.reading_fresh(bay_name) and reading.present
    if seen or context.occupied(context.config.bay(bay_name).position):
        raise Denied("pack_still_seen", bay_id=bay_name)


def _said(code: str, **values: str) -> tuple[Answer, ...]:
    return (Answer(code, values),)


def _facts(names: Iterable[str]) -> tuple[Answer, ...]:
    """Facts that do not hold; `!` before a name asks for the opposite."""
    return tuple(
        Answer("not_fact", {"fact": name[1:]}) if name.startswith("!") else Answer("fact", {"fact": name})
        for name in names
    )


async def _stays_held(lane: LaneRunner, session: Session, name: str) -> Answer:
    """What a person who confirmed the station is told of a swap that stays held."""
    hold = "" if session.hold_reason is None else session.hold_reason.value
    swap_id, lane_id, lacking = session.swap_id, lane.lane.id, await lane.lacks_to_go_on(name)
    if not lacking:
        return Answer("stays_held", {"swap_id": swap_id, "lane_id": lane_id, "hold": hold})
    facts = _facts(lacking)
    return Answer("stays_held_lacking", {"swap_id": swap_id, "lane_id": lane_id, "hold": hold, "facts": facts})


def _unheard(lane_id: str, cell: CellStatus) -> Denied:
    """The refusal of what needs a cell that is heard, with what is wrong at its link."""
    if cell.trouble is None or cell.trouble.fault is LinkFault.NO_ANSWER:
        return Denied("cell_silent", lane_id=lane_id)
    return Denied("cell_unusable", lane_id=lane_id, link=str(cell.trouble))
