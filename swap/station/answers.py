"""Requests of people, picked up from their rows and answered in the same row."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sqlmodel import select

from robotics.port import CommandCode, LinkLost, Refused, ResultCode
from scheduler.types import PackState
from swap.events import EventKind, append_event
from swap.station.faults import close_fault
from swap.station.inventory import release_bay, set_pack_state, unreserve_packs
from swap.station.modes import IllegalMode, ModeTrigger
from swap.station.pack_states import IllegalPackStep, PackTrigger
from swap.station.permissives import tripped
from swap.station.recipe import CANCELLED, QUEUED
from swap.station.session import Decision, DecisionKind, Phase
from swap.tables import Bay, ControlRequest, FaultRow, Pack, Swap

if TYPE_CHECKING:
    from swap.station.controller import StationController

log = logging.getLogger(__name__)


class Denied(Exception):
    """The request cannot be met as things stand; the text is the answer."""


class Answerer:
    """Answers the open requests of one station, oldest first."""

    def __init__(self, controller: StationController) -> None:
        self._controller = controller

    async def cycle(self) -> None:
        """Answer what is open."""
        context = self._controller.context
        with context.store.reading() as db:
            rows = db.exec(
                select(ControlRequest)
                .where(ControlRequest.station_id == context.station_id, ControlRequest.status == "open")
                .order_by(ControlRequest.id)  # type: ignore[arg-type]
            ).all()
            waiting = [(row.id, row.kind, dict(row.arguments), row.requested_by) for row in rows]
        for request_id, kind, arguments, name in waiting:
            try:
                answer, status = await self._answer(kind, arguments, name), "done"
            except (Denied, IllegalMode, IllegalPackStep) as error:
                answer, status = str(error), "refused"
            except (LinkLost, Refused) as error:
                answer, status = f"a device did not take it: {error}", "refused"
            with context.store.transaction() as db:
                row = db.get_one(ControlRequest, request_id)
                row.status, row.answer, row.answered_at = status, answer, context.clock.now()
                db.add(row)
                append_event(
                    db,
                    station_id=context.station_id,
                    at=context.clock.now(),
                    kind=EventKind.REQUEST_ANSWERED,
                    actor=name,
                    data={"request_id": request_id, "kind": kind, "status": status, "answer": answer},
                )

    async def _answer(self, kind: str, arguments: dict[str, Any], name: str) -> str:
        controller = self._controller
        if kind in ("confirm", "automatic", "resume"):
            return await self._confirm(name)
        if kind == "hold":
            for robot in controller.robots.values():
                await robot.hold(f"asked by {name}")
            controller.change_mode(ModeTrigger.HOLD, str(arguments.get("reason") or "asked"), name)
            return "held"
        if kind == "manual":
            for robot in controller.robots.values():
                await robot.hold(f"manual work of {name}")
            controller.change_mode(ModeTrigger.MANUAL, "manual work", name)
            return "manual: the cell may be moved by local mode"
        if kind == "close":
            controller.change_mode(ModeTrigger.CLOSE, str(arguments.get("reason") or "closed"), name)
            return "closed"
        if kind == "decide":
            return await self._decide(arguments, name)
        if kind == "reset":
            return await self._reset(arguments, name)
        if kind == "cancel_swap":
            return self._cancel(arguments, name)
        if kind == "release_pack":
            return self._release_pack(arguments, name)
        if kind == "release_bay":
            return self._release_bay(arguments, name)
        raise Denied(f"kind {kind!r} is unknown")

    async def _confirm(self, name: str) -> str:
        controller = self._controller
        mode = controller.context.mode.value
        leave = {
            "closed": ModeTrigger.OPEN,
            "manual": ModeTrigger.HOLD,
            "thermal": ModeTrigger.THERMAL_OVER,
            "fire": ModeTrigger.FIRE_OVER,
        }
        if mode in leave:
            controller.change_mode(leave[mode], "ended", name)
            if mode in ("closed", "thermal", "fire"):
                return "open" if mode == "closed" else "held: confirm once more when the station may go on"
        for lane_id, cell in controller.context.cells.items():
            lane = controller.lanes[lane_id]
            facts = lane.cell_facts(cell)
            if not facts.fresh:
                raise Denied(f"lane {lane_id}: the cell does not answer")
        blocking = controller.trips()
        if blocking:
            raise Denied(f"still tripped: {', '.join(blocking)}; reset it at the equipment first")
        mismatches = await controller.confirm(name)
        parts = ["going on"]
        if mismatches:
            parts.append("blocked: " + "; ".join(f"{m.where} {m.expected} / {m.found}" for m in mismatches))
        held = [lane for lane in controller.lanes.values() if lane.session and lane.session.phase is Phase.HELD]
        parts += [
            f"swap {lane.session.swap_id} in lane {lane.lane.id} stays held: {lane.session.hold_reason}"
            for lane in held
            if lane.session is not None
        ]
        return "; ".join(parts)

    async def _decide(self, arguments: dict[str, Any], name: str) -> str:
        swap_id = arguments.get("swap_id")
        try:
            decision = Decision(DecisionKind(str(arguments.get("decision"))), name)
        except ValueError:
            raise Denied(
                f"decision = {arguments.get('decision')!r}: allowed {', '.join(k.value for k in DecisionKind)}"
            ) from None
        for lane in self._controller.lanes.values():
            if lane.session is not None and lane.session.swap_id == swap_id:
                if await lane.decide(decision):
                    return decision.kind.value
                raise Denied(f"{decision.kind.value} is not possible for swap {swap_id} as things stand")
        raise Denied(f"swap {swap_id!r} is in no lane")

    async def _reset(self, arguments: dict[str, Any], name: str) -> str:
        """Ask a cell to clear latched faults whose cause is gone; a safety trip is not cleared this way."""
        context = self._controller.context
        lane = self._controller.lanes.get(str(arguments.get("lane_id")))
        cell = context.cells.get(str(arguments.get("lane_id")))
        if lane is None or cell is None:
            raise Denied(f"lane_id = {arguments.get('lane_id')!r}: allowed {', '.join(self._controller.lanes)}")
        facts = lane.cell_facts(cell)
        if not facts.fresh:
            raise Denied(f"lane {lane.lane.id}: the cell does not answer")
        in_flight = lane.session is not None and lane.session.phase in (Phase.SENT, Phase.CONFIRMING)
        if in_flight or lane.watch.busy or cell.active_seq or cell.result is not ResultCode.NONE:
            raise Denied(f"lane {lane.lane.id}: the cell is at work")
        signal = tripped(facts)
        if signal is not None:
            raise Denied(f"lane {lane.lane.id}: {signal.value} is reset at the equipment")
        await lane.robot.resume()
        await lane.watch.command(CommandCode.RESET, cell)
        return "reset asked of the cell"

    def _cancel(self, arguments: dict[str, Any], name: str) -> str:
        context = self._controller.context
        now = context.clock.now()
        with context.store.transaction() as db:
            swap = db.get(Swap, str(arguments.get("swap_id")))
            if swap is None or swap.station_id != context.station_id:
                raise Denied(f"no swap {arguments.get('swap_id')!r}")
            if swap.state != QUEUED:
                raise Denied(f"swap {swap.id} is {swap.state}: only a queued one is cancelled this way; use decide")
            swap.state, swap.ended_at, swap.end_reason = CANCELLED, now, f"cancelled by {name}"
            swap.open_vehicle_id, swap.open_lane_id = None, None
            db.add(swap)
            unreserve_packs(db, swap, at=now)
            append_event(
                db,
                station_id=context.station_id,
                at=now,
                kind=EventKind.SWAP_CANCELLED,
                actor=name,
                swap_id=swap.id,
                data={"seats": 0, "reason": "cancelled by a person"},
            )
        return "cancelled"

    def _release_pack(self, arguments: dict[str, Any], name: str) -> str:
        context = self._controller.context
        now = context.clock.now()
        with context.store.transaction() as db:
            pack = db.get(Pack, str(arguments.get("pack_id")))
            if pack is None:
                raise Denied(f"no pack {arguments.get('pack_id')!r}")
            if PackState(pack.state) is PackState.EVACUATED:
                raise Denied(f"pack {pack.id} is in the tank: it is taken off site, not released")
            set_pack_state(db, pack, PackTrigger.RELEASE, station_id=context.station_id, at=now, actor=name)
            bay_name = pack.bay_id.split(":", 1)[1] if pack.bay_id else None
        if bay_name is not None:
            context.watches.pop(bay_name, None)
        return "released; it is identified anew"

    def _release_bay(self, arguments: dict[str, Any], name: str) -> str:
        context = self._controller.context
        now = context.clock.now()
        bay_name = str(arguments.get("bay_id"))
        with context.store.transaction() as db:
            bay = db.get(Bay, context.bay_key(bay_name))
            if bay is None:
                raise Denied(f"no bay {bay_name!r}")
            release_bay(db, bay.id, at=now, actor=name)
            for fault in db.exec(select(FaultRow).where(FaultRow.source == f"bay:{bay_name}")).all():
                if fault.open_key is not None:
                    close_fault(db, fault, at=now, actor=name)
        return "released"
