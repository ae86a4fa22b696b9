"""The safety rules that the exploration holds every command and every motion against.

They are written from the truth of the plant, not from the permissives: the plant's own interlocks would refuse most
of what they forbid, so the rules look at what the controller *asks*, and once more at what then *happens*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from battery_bms.port import PackReading
from robotics.port import CommandCode, LocationKind, ResultCode, RobotCommand
from scheduler.charging import plan_charging
from scheduler.types import BayRole, BayView, PackState, PackView, SiteLimits, StationMode, StationView
from scheduler.waiting import Wait
from sim.plant.rack import US_PER_S
from sim.plant.yard import LockHead, TruckPlace
from swap.places import TANK, bay_place, vehicle_place
from swap.station.sequence.evacuation import POWER_OFF_KW
from swap.station.sequence.handshake import RESEND_S
from swap.station.sequence.recipe import StepRow
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.sequencer import step
from swap.station.sequence.session import HoldReason, Phase
from tests.prove.explore_reasons import cause_of
from tests.prove.explore_station import LANE, VEHICLE, Violation, at_once

if TYPE_CHECKING:
    from tests.prove.explore_world import World

TRIPS = {"estop", "power_cut", "power_cut_forgets", "fire"}
INTRUSIONS = {"curtain", "door"}
_RUNS = frozenset({Phase.PENDING, Phase.SENT, Phase.CONFIRMING})


@dataclass(frozen=True, slots=True)
class Look:
    """What may change by motion, before an action."""

    places: tuple[str, ...]
    heads: tuple[LockHead, ...]
    truck: TruckPlace
    may_move: bool
    tripped: bool
    paused: str
    active_seq: int


class Rules:
    """The rules. Each raises `Violation` with a sentence."""

    def __init__(self) -> None:
        self.commands = 0
        self.motions = 0
        self.evacuations = 0
        self.plans = 0
        self._planned: set[tuple[object, ...]] = set()
        self.said: set[tuple[Wait, tuple[str, ...]]] = set()
        """Everything that a lane has said it waits for."""

    # what the controller asks

    def asked(self, world: World, command: RobotCommand) -> None:
        """A command leaves the controller."""
        self.commands += 1
        if world.stale:
            raise Violation(f"{command.code.name} asked by a controller whose station another one has taken")
        env, cell, code = world.env, world.cell, command.code
        if env.asked_seq and 0 < (env.asked_seq - command.seq) % 65535 < 30000:
            raise Violation(f"number {command.seq} asked after {env.asked_seq}")
        world.env = env = replace(env, asked_seq=command.seq)
        stored = world.controller.stored
        if code is CommandCode.RESET:
            return  # asked for by a person; it moves nothing
        if env.person_needed:
            raise Violation(f"{code.name} asked after {env.person_needed}, and no person has decided")
        if env.sent is not None and env.sent[0] == command.seq:
            since_s = (world.plant.now_us - env.sent[1]) / US_PER_S
            if since_s < RESEND_S:
                raise Violation(f"{code.name} with number {command.seq} asked again after {since_s:g} s")
        world.env = replace(world.env, sent=(command.seq, world.plant.now_us))
        if code is CommandCode.FIRE:
            self._evacuation(world, command)
            return
        if stored.mode not in MOVING_MODES:
            raise Violation(f"{code.name} asked while the station is {stored.mode}")
        if stored.last_seq != command.seq and (stored.session.seq != command.seq):
            raise Violation(f"{code.name} asked with number {command.seq}, which is not stored")
        truck = cell.truck
        secured = truck is not None and not world.plant.yard.may_move(truck) and world.plant.yard.in_position(truck)
        places = (command.source, command.target)
        at_seat = next((p for p in places if p is not None and p.kind is LocationKind.SEAT), None)
        if code is CommandCode.UNLOCK and not env.right_seen:
            raise Violation("unlock asked for a truck whose right to its packs nobody has seen")
        if code is CommandCode.UNLOCK and not secured:
            raise Violation("unlock asked while the vehicle can move")
        if at_seat is not None and code in (CommandCode.PICK, CommandCode.PUT):
            heads = [truck.heads[i] for i in truck.seat_heads(at_seat.index)] if truck is not None else []
            if not secured:
                raise Violation(f"{code.name} at the vehicle asked while it can move")
            if not heads or any(head is not LockHead.OPEN for head in heads):
                raise Violation(f"{code.name} at the vehicle asked with heads {[h.value for h in heads]}")
        if truck is not None and truck.opened and code is not CommandCode.RELEASE and not secured:
            raise Violation(f"{code.name} asked after the first unlock while the vehicle can move")
        if code is CommandCode.RELEASE:
            if truck is None or not cell.locks_closed(truck):
                raise Violation("release asked without a confirmed lock on all heads")
            if not world.plant.yard.seats_filled(truck):
                raise Violation("release asked with an empty seat")
            if truck.opened and not world.plant.yard.accepts_packs(truck):
                raise Violation("release asked and the vehicle does not accept its packs")
        if code is CommandCode.PICK and command.source is not None and command.source.kind is LocationKind.BAY:
            self._picked(world, command)
        if code is CommandCode.PUT and command.target is not None and command.target.kind is LocationKind.BAY:
            bay = world.plant.rack.bays[world.cell.bay_at[command.target.index]]
            gripped = cell.gripped
            if gripped is not None and gripped.leaks and bay.section.role != "quarantine":
                raise Violation(f"a leaking pack asked into {bay.section.id}")
            if world.plant.rack.at(bay_place(bay.section.id)) is not None and bay.false_occupied is None:
                raise Violation(f"a pack asked into {bay.section.id}, which holds one")

    def _evacuation(self, world: World, command: RobotCommand) -> None:
        """A cell is asked to carry a hot pack to the tank: only in thermal mode, out of a bay without charge, nobody
        in the zone, nothing gripped, the tank empty, and by a number that is stored.
        """
        stored, cell = world.controller.stored, world.cell
        self.evacuations += 1
        if stored.mode is not StationMode.THERMAL:
            raise Violation(f"evacuation asked while the station is {stored.mode}")
        asked = next((hot for hot in stored.hot.values() if hot.seq == command.seq), None)
        if asked is None or command.source is None or command.source.index != asked.position:
            raise Violation(f"evacuation asked with number {command.seq}, which is not stored for its bay")
        faults = cell.faults
        wrong = [name for name in (*TRIPS, *INTRUSIONS) if getattr(faults, name, False)]
        wrong += ["gripper loaded"] if cell.gripped is not None else []
        wrong += ["tank not ready"] if faults.tank_not_ready or world.plant.rack.at(TANK) is not None else []
        wrong += ["robot not homed"] if not cell.homed else []
        wrong += ["charger on"] if world.plant.rack.charge_kw(asked.bay, world.plant.now_us) > POWER_OFF_KW else []
        if wrong:
            raise Violation(f"evacuation asked with {', '.join(wrong)}")

    def _picked(self, world: World, command: RobotCommand) -> None:
        row = world.row
        if row is None or row.move is None or row.move.pack != "new" or command.source is None:
            return
        bay_id = f"A{command.source.index}"
        reading: PackReading = world.plant.pack_reading(bay_id)
        plan = world.controller.stored.session.seats[row.seat - 1]
        hot = reading.temp_max_c is None or reading.temp_max_c > 50.0
        if reading.pack_id != plan.new_pack_id or reading.alarm_level >= 2 or hot or (reading.charge_kw or 0.0) > 0.5:
            raise Violation(f"a pack that is hot, alarmed, unknown or charging asked out of {bay_id}")

    def let_go(self, world: World) -> None:
        """The cell's hold is to be withdrawn: what it has paused goes on."""
        truck, row = world.plant.yard.trucks[VEHICLE], world.row
        drives_out = row is not None and row.command is CommandCode.RELEASE
        worked_on = truck.opened and truck.place is TruckPlace.LANE and not drives_out
        if world.cell.paused and worked_on and not self._secured(world):
            raise Violation("a paused motion is let go on at a vehicle that can move")

    def acknowledged(self, world: World, seq: int) -> None:
        """The controller tells the cell that a result is on record."""
        cell, env = world.cell, world.env
        if cell.done_seq != seq or cell.result is ResultCode.NONE or world.controller.stored.ended_seq == seq:
            return
        if env.person_needed:
            raise Violation(f"the result of number {seq} is acknowledged, is not on record, and no person has decided")

    def waits(self, world: World) -> None:
        """The controller has looked and has nothing to do: it says what it waits for."""
        waiting = cause_of(world)
        if waiting is not None:
            self.said.add((waiting.cause, waiting.names))

    def thawed(self, world: World, gap: str) -> None:
        """The first step after a gap has been made."""
        session, mode = world.lane.session, world.controller.stored.mode
        if session is not None and session.phase in _RUNS and mode in MOVING_MODES:
            raise Violation(f"the swap is not held although nothing went on in {gap} for longer than a cell waits")

    # what the cell does

    def told(self, world: World, what: str, command: RobotCommand) -> None:
        """The cell accepted a command, or moved a pack for it."""
        env = world.env
        if what == "accepted":
            if world.robot.frozen:
                raise Violation(f"{command.code.name} that was decided before a pause starts after it")
            if 0 <= env.accepted_seq - command.seq < 30000 and env.accepted_seq:
                raise Violation(f"number {command.seq} accepted after {env.accepted_seq}")
            world.env = replace(env, accepted_seq=command.seq)
        elif what == "moved":
            if command.seq == env.moved_seq and command.code is not CommandCode.FIRE:
                raise Violation(f"number {command.seq} moved a pack twice")
            world.env = replace(env, moved_seq=command.seq)

    def look(self, world: World) -> Look:
        """Before an action."""
        truck, faults = world.plant.yard.trucks[VEHICLE], world.cell.faults
        return Look(
            tuple(pack.place for pack in world.plant.rack.packs.values()),
            tuple(truck.heads),
            truck.place,
            world.plant.yard.may_move(truck) or not world.plant.yard.in_position(truck),
            faults.estop or faults.power_cut or not world.cell.power_confirmed,
            world.cell.paused,
            world.cell.active_seq,
        )

    def moved(self, world: World, before: Look, *, by_cell: bool) -> None:
        """After an action; `by_cell` tells motions of the robot from what people do."""
        after = self.look(world)
        truck = world.plant.yard.trucks[VEHICLE]
        if "head_slips" in world.env.faults:
            return  # a head that leaves its place under way is nobody's motion; what is asked then still counts
        if by_cell and (after.places != before.places or after.heads != before.heads):
            self.motions += 1
            if before.tripped:
                raise Violation("motion after a trip")
            if after.heads != before.heads and LockHead.CLOSED in before.heads and before.may_move:
                opened = any(
                    a is not b and b is LockHead.CLOSED for a, b in zip(after.heads, before.heads, strict=True)
                )
                if opened:
                    raise Violation("a head opened while the vehicle can move")
            for pack, place in zip(world.plant.rack.packs, after.places, strict=True):
                was = world.controller.stored.places[pack]
                self._seat_move(world, before, was, place)
        if before.truck is TruckPlace.LANE and after.truck is TruckPlace.AWAY:
            if not world.cell.locks_closed(truck):
                raise Violation("the vehicle drives out with an open head")
            if not world.plant.yard.seats_filled(truck):
                raise Violation("the vehicle drives out with an empty seat")
        went_on = before.paused and not after.paused and after.active_seq == before.active_seq != 0
        if went_on and by_cell and not world.robot.resumed:
            raise Violation("a paused motion goes on by itself")

    def _seat_move(self, world: World, before: Look, was: str, place: str) -> None:
        truck = world.plant.yard.trucks[VEHICLE]
        for seat in range(1, truck.seats + 1):
            here = vehicle_place(VEHICLE, seat)
            if here in (was, place) and was != place and place not in before.places:
                if before.may_move:
                    raise Violation("a pack moved at a vehicle that can move")
                if any(before.heads[i] is not LockHead.OPEN for i in truck.seat_heads(seat)):
                    raise Violation("a pack moved at a seat whose heads are not open")

    # what the controller has seen

    def seen(self, world: World, before: Phase | None, row: StepRow | None) -> None:
        """A fresh look was taken: what it showed must have led to a hold, if it had to.

        Args:
            before, row: phase and row in which the look was taken.
        """
        env, lane = world.env, world.lane
        if env.unseen:
            world.env = env = replace(env, unseen=())
        session = lane.session
        trip = next((fault for fault in env.faults if fault in TRIPS), "")
        trip = trip or ("power_cut" if not world.cell.power_confirmed else "")
        intrusion = next((fault for fault in env.faults if fault in INTRUSIONS), "")
        running = session is not None and session.phase in _RUNS and world.controller.stored.mode in MOVING_MODES
        reason = trip
        released = row is not None and row.command is CommandCode.RELEASE and before is not Phase.PENDING
        if intrusion and row is not None and row.working and row.command is not None and not released:
            reason = reason or intrusion
        truck = world.plant.yard.trucks[VEHICLE]
        at_rest = world.cell.at_home and world.cell.locks_closed(truck)
        free = row is None or (row.command is CommandCode.RELEASE and (released or at_rest))
        if truck.opened and truck.place is TruckPlace.LANE and not free and not self._secured(world):
            reason = reason or "an unsecured vehicle"
        if reason and running:
            raise Violation(f"the swap is not held although {reason} was seen")
        if reason and not env.person_needed:
            world.env = replace(env, person_needed=reason)

    @staticmethod
    def _secured(world: World) -> bool:
        truck, yard = world.plant.yard.trucks[VEHICLE], world.plant.yard
        return not yard.may_move(truck) and yard.in_position(truck) and truck.link_ok

    def decided(self, world: World) -> None:
        """A person's request was taken, and the cell is looked at as it is now: the swap is not held again for what
        everybody could have seen before."""
        session, lane = world.lane.session, world.lane
        if session is None or lane.table is None or session.phase is Phase.HELD or world.env.link_down:
            return
        facts = at_once(lane.step_facts(lane.cell_facts(at_once(world.robot.status())), None))
        after, _ = step(lane.table, session, facts)
        if after.phase is Phase.HELD and after.hold_reason in (HoldReason.UNSECURED, HoldReason.GUARD_LOST):
            missing = [item["name"] for item in after.hold_detail["missing"]]
            raise Violation(f"a decision is taken and held again at the next look for {', '.join(missing)}")

    # what must be so at any time

    def state(self, world: World) -> None:
        """A state as it stands."""
        self._records(world)
        session = world.controller.stored.session
        if session.phase is Phase.HELD and session.hold_reason is None:
            raise Violation("the swap is held without a reason")
        if session.opened and session.phase is Phase.HELD and session.hold_reason is HoldReason.CHECK_FAILED:
            raise Violation("a swap past its first unlock is held for a check")

    def _records(self, world: World) -> None:
        stored, row = world.controller.stored, world.row
        if world.env.by_hand:
            return
        for code, pack in world.plant.rack.packs.items():
            recorded = stored.places[code]
            if recorded == pack.place:
                continue
            if any(hot.pack_id == code and hot.seq is not None for hot in stored.hot.values()):
                continue  # under way to the tank, or left on the way: a person finds it
            if row is not None and row.move is not None:
                plan = stored.session.seats[row.seat - 1]
                if code == (plan.old_pack_id if row.move.pack == "old" else plan.new_pack_id):
                    continue
            raise Violation(f"pack {code[-3:]} is recorded in {recorded} and is in {pack.place}")

    def charging(self, world: World) -> None:
        """The charging plan that follows a reading of the rack gives nothing to a pack that is hot, alarmed, unknown
        or not where it is recorded. Plans are made once for the same facts.
        """
        stored, readings = world.controller.stored, world.controller.context.readings
        facts = tuple(
            (code, place, stored.states[code], world.plant.rack.pack(code).place)
            for code, place in stored.places.items()
            if place.startswith("bay:A")
        )
        truth = tuple(
            (bay_id, bay.bms_silent, bay.false_code, bay.false_occupied, self._level(world, bay_id))
            for bay_id, bay in world.plant.rack.bays.items()
        )
        known = tuple((r.bay_id, r.pack_id, r.alarm_level) for r in readings.values())
        signature = (stored.mode, facts, truth, known)
        if signature in self._planned:
            return
        self._planned.add(signature)
        self.plans += 1
        plan = plan_charging(self._view(world), world.controller.context.policy, world.controller.context.specs)
        for bay_id, setpoint in plan.items():
            if setpoint.power_kw <= 0.0:
                continue
            pack = world.plant.rack.at(bay_place(bay_id))
            if pack is None or stored.places[pack.code] != bay_place(bay_id):
                raise Violation(f"{setpoint.power_kw:g} kW for {bay_id}, whose pack is not the recorded one")
            if world.plant.rack.bays[bay_id].bms_silent or self._level(world, bay_id) >= 2:
                raise Violation(f"{setpoint.power_kw:g} kW for a pack that is hot, alarmed or silent in {bay_id}")
            if stored.mode is StationMode.FIRE:
                raise Violation(f"{setpoint.power_kw:g} kW in fire mode")

    def _level(self, world: World, bay_id: str) -> int:
        pack = world.plant.rack.at(bay_place(bay_id))
        return 0 if pack is None else pack.alarm_level

    def _view(self, world: World) -> StationView:
        stored, context = world.controller.stored, world.controller.context
        occupied = world.plant.bays_occupied()
        by_place = {place: code for code, place in stored.places.items()}
        bays = []
        for section in world.config.bays:
            code = by_place.get(bay_place(section.id))
            reading = context.readings.get(section.id)
            pack = None
            if code is not None:
                mine = reading is not None and reading.pack_id == code
                pack = PackView(
                    pack_id=code,
                    kind="lfp-171",
                    state=stored.states[code],
                    rated_kwh=171.0,
                    soc_pct=reading.soc_pct if mine and reading else None,
                    temp_max_c=reading.temp_max_c if mine and reading else None,
                    temp_min_c=reading.temp_min_c if mine and reading else None,
                    max_charge_kw=reading.max_charge_kw if mine and reading else None,
                    alarm_level=reading.alarm_level if mine and reading else 0,
                    reading_age_s=0.0 if mine else None,
                )
            bays.append(
                BayView(
                    bay_id=section.id,
                    position=section.position,
                    role=BayRole(section.role),
                    pack=pack,
                    max_charge_kw=section.charger_kw,
                    blocked=code is not None and stored.states[code] is PackState.QUARANTINED,
                    occupied=occupied[section.position - 1],
                )
            )
        return StationView(
            world.clock.now(), stored.mode, tuple(bays), limits=SiteLimits(1000.0, charger_efficiency=1.0)
        )


__all__ = ["INTRUSIONS", "LANE", "TRIPS", "Rules"]
