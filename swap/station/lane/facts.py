"""What is known of one lane, live: its swap, its cell, and everything that one step may go by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache

from robotics.config import LaneSection
from robotics.port import SEAT_OCCUPIED, CellState, CellStatus, ControlMode, ResultCode, RunMode, Signal
from scheduler.types import PackState
from swap.config.station_file import SecuredSection
from swap.station.context import StationContext
from swap.station.life.ownership import Ownership
from swap.station.power.view import quarantine_bay
from swap.station.records import ended_on_record, next_seq, qualified
from swap.station.sequence.incoming import QuarantineBay, goes_to_quarantine
from swap.station.sequence.permissives import BayFact, CellFacts
from swap.station.sequence.recipe import TERMINAL, Check, StepTable
from swap.station.sequence.row_facts import plan_of, unfit_pack
from swap.station.sequence.secured import STRICT, SecuredNeeds, VehiclePhase, to_home
from swap.station.sequence.session import Decision, Phase, Session, StepFacts
from swap.station_db import StationDb as Db
from swap.tables import Pack, Swap, VehicleRow


@cache
def _needs_of(section: SecuredSection) -> SecuredNeeds:
    return SecuredNeeds(**{phase.value: getattr(section, phase.value) for phase in VehiclePhase})


class LaneFacts:
    """The swap in a lane, and what its next step may know; it reads, and changes nothing."""

    def __init__(self, context: StationContext, lane: LaneSection) -> None:
        self.context = context
        self.lane = lane
        self.session: Session | None = None
        self.table: StepTable | None = None
        self.own = Ownership()
        self._last_sent_at: datetime | None = None
        """When the last command left; None where none is on its way."""

    @property
    def lane_key(self) -> str:
        """Database key of the lane."""
        return qualified(self.context.station_id, self.lane.id)

    def cell_facts(self, cell: CellStatus) -> CellFacts:
        """The cell with the ages of its blocks and what is known of the bays of this swap."""
        clock = self.context.clock
        bays: dict[int, BayFact] = {}
        if self.session is not None:
            for plan in self.session.seats:
                for key, position, pack_id in (
                    (plan.old_bay, plan.old_position, plan.old_pack_id),
                    (plan.new_bay, plan.new_position, plan.new_pack_id),
                ):
                    if key is not None:
                        bays[position] = self.context.bay_fact(key.split(":", 1)[1], position, pack_id, cell)
        return CellFacts(
            cell=cell,
            fast_age_s=clock.age_s(cell.fast_at),
            slow_age_s=clock.age_s(cell.slow_at),
            max_age_s=self.lane.cell.max_age_s,
            bays=bays,
            beat_age_s=clock.age_s(cell.beat_at),
        )

    async def step_facts(self, facts: CellFacts, decision: Decision | None) -> StepFacts:
        """Everything one step may know."""
        known = await self._result_known(facts.cell)
        bay = await self._quarantine_bay(facts)
        return self._facts(facts, await self._checks(facts), decision, result_known=known, quarantine_bay=bay)

    def _facts(
        self,
        facts: CellFacts,
        checks: Mapping[Check, bool | None],
        decision: Decision | None,
        *,
        result_known: bool = True,
        quarantine_bay: QuarantineBay | None = None,
    ) -> StepFacts:
        context = self.context
        return StepFacts(
            now=context.clock.now(),
            cell=facts,
            mode=context.mode,
            next_seq=self._next_seq(facts.cell),
            speed=context.clock.speed,
            link_lost_s=self.lane.cell.heartbeat_lost_s,
            checks=checks,
            decision=decision,
            last_sent_at=self._last_sent_at,
            cell_changed=self.own.changed(facts.cell, self.context.owner_token),
            result_known=result_known,
            needs=self._needs(),
            hot_c=self._hot_c(),
            hot_load=self.lane.id in context.hot_loads,
            quarantined_for=context.config.operation.incoming.quarantined_for,
            quarantine_bay=quarantine_bay,
        )

    async def _quarantine_bay(self, facts: CellFacts) -> QuarantineBay | None:
        """A free quarantine bay for the pack whose heads are about to be opened; None where it needs none."""
        session, table, rules = self.session, self.table, self.context.config.operation.incoming.quarantined_for
        row = None if session is None or table is None else table.by_state.get(session.state)
        if session is None or row is None or plan_of(session, row).quarantine:
            return None
        unfit = goes_to_quarantine(unfit_pack(session, row, facts, self._hot_c()), rules)
        return await self._free_quarantine_bay(plan_of(session, row).old_pack_id) if unfit else None

    async def _free_quarantine_bay(self, pack_id: str | None) -> QuarantineBay | None:
        still, lane_id = self.context.still(), self.lane.id
        return await self.context.read(lambda db: quarantine_bay(still, db, lane_id, pack_id))

    def _needs(self) -> SecuredNeeds:
        """What the vehicle's model asks while it is worked on; of a model that the file no longer has, everything."""
        model = "" if self.session is None else self.session.vehicle_model
        found = next((item.secured for item in self.context.config.vehicle_models if item.id == model), None)
        return STRICT if found is None else _needs_of(found)

    def _hot_c(self) -> float:
        """The lowest limit (level 2) of the packs that the vehicle's model may carry."""
        model = "" if self.session is None else self.session.vehicle_model
        carried = {kind for item in self.context.config.vehicle_models if item.id == model for kind in item.pack_kinds}
        limits = [limit for kind, limit in self.context.limits.items() if kind in carried or not carried]
        return min(limit.temp_high_c[1] for limit in limits)

    def _may_home(self, facts: CellFacts) -> bool:
        """Whether the vehicle stands so that the robot may go home outside of the rows."""
        session, table = self.session, self.table
        row = None if session is None or table is None else table.by_state.get(session.state)
        if session is None or table is None or row is None:
            return True
        return not to_home(table, row, self._needs(), facts, opened=session.opened)

    async def _result_known(self, cell: CellStatus) -> bool:
        """The end of the command whose result the cell shows is on record; True where it shows none."""
        session = self.session
        waits = session is not None and (
            session.phase is Phase.PENDING or (session.phase is Phase.HELD and session.seq != cell.done_seq)
        )
        if not waits or cell.result is ResultCode.NONE or cell.active_seq != 0:
            return True
        return await self._on_record(cell)

    async def _on_record(self, cell: CellStatus) -> bool:
        lane_key, seq = self.lane_key, cell.done_seq
        return await self.context.read(lambda db: ended_on_record(db, lane_key, seq))

    def _next_seq(self, cell: CellStatus) -> int:
        stored = self.context.last_seq.get(self.lane.id, 0)
        return next_seq(stored, *cell.numbers)

    async def _checks(self, facts: CellFacts) -> Mapping[Check, bool | None]:
        session, table = self.session, self.table
        if session is None or table is None or session.state in TERMINAL or not table.by_state[session.state].checks:
            return {}
        signal, cell = facts.signal, facts.cell
        secured = [
            signal(s)
            for s in (
                *(SEAT_OCCUPIED[plan.seat] for plan in session.seats),
                *self._needs().exchange,
            )
        ]
        result: dict[Check, bool | None] = {
            Check.VEHICLE_LINK: signal(Signal.VEHICLE_LINK),
            Check.POSITION: signal(Signal.VEHICLE_IN_POSITION),
            Check.OLD_PACK: False if False in secured else None if None in secured else True,
            Check.ROBOT_READY: cell.state in (CellState.FREE, CellState.READY)
            and cell.control_mode is ControlMode.ONLINE
            and cell.run_mode is RunMode.AUTO
            and signal(Signal.GRIPPER_LOADED) is False,
        }
        result |= await self.context.read(lambda db: self._record_checks(db, session, facts))
        seen = cell.vehicle_tag == session.vehicle_tag if cell.vehicle_tag else None
        return result | {Check.AUTHORISED: result[Check.AUTHORISED] and seen}

    def _record_checks(self, db: Db, session: Session, facts: CellFacts) -> dict[Check, bool | None]:
        swap = db.get_one(Swap, session.swap_id)
        kinds = self.context.config.vehicle_model(db.get_one(VehicleRow, swap.vehicle_id).model).pack_kinds
        old = [db.get(Pack, plan.old_pack_id) if plan.old_pack_id else None for plan in session.seats]
        new = [db.get(Pack, plan.new_pack_id) if plan.new_pack_id else None for plan in session.seats]
        facts_new = [facts.bays.get(plan.new_position) for plan in session.seats]
        return {
            Check.AUTHORISED: self.context.right_of(db, session.swap_id),
            Check.RECORD: all(p is not None and p.vehicle_id == swap.vehicle_id for p in old),
            Check.PACK_AVAILABLE: all(p is not None and p.state == PackState.RESERVED for p in new),
            Check.NEW_PACK_ACCEPTED: all(p is not None and p.kind in kinds for p in new),
            Check.NEW_PACK_POWER_OFF: None
            if any(f is None or f.pack_safe is None for f in facts_new)
            else all(f is not None and f.pack_safe for f in facts_new),
        }
