"""What the future of a world depends on: two worlds with the same parts go on alike."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from swap.station.sequence.evacuation import Procedure
from swap.station.sequence.session import Phase, Session
from swap.station.states.thermal_stages import THERMAL_STAGE, Stage
from tests.prove.explore_station import VEHICLE

if TYPE_CHECKING:
    from tests.prove.explore_world import World

_ENV = (
    "faults",
    "mishaps_left",
    "down",
    "gap",
    "person_needed",
    "unseen",
    "link_down",
    "drop_sends",
    "drop_acks",
    "by_hand",
    "right",
    "right_seen",
)
_ENV_PARTS = attrgetter(*_ENV)
"""Of the surroundings; numbers that only grow are left out."""


def parts(world: World) -> tuple[Any, ...]:
    """What the future depends on: times count from now, numbers by what they are to those waited for."""
    now_us, stored, env, cell = world.plant.now_us, world.controller.stored, world.env, world.cell
    waited_for = (
        stored.session.seq,
        None if world.lane.volatile[2][2] is None else world.lane.volatile[2][2].seq,
        next((hot.seq for hot in stored.hot.values() if hot.stage is Stage.EVACUATION_STARTED), None),
        stored.last_seq,
    )

    def number(seq: int | None) -> int | None:
        """Which of the numbers that matter; the others are only old."""
        if not seq:
            return seq
        return waited_for.index(seq) + 1 if seq in waited_for else 9

    def left(us: int | None) -> int | None:
        return None if us is None else round((us - now_us) / 1000)

    def until(at: datetime | None) -> int | None:
        """Milliseconds from now; what is over is over."""
        return None if at is None else max(round((at - world.clock.now()).total_seconds() * 1000), -250_000)

    def session_key(session: Session | None) -> Any:
        if session is None:
            return None
        waits = session.phase is not Phase.HELD
        return (
            session.state,
            session.phase,
            number(session.seq),
            session.tries,
            session.hold_reason,
            session.resumed,
            session.refused,
            until(session.deadline_at) if waits else None,
            until(session.checked_at) if waits and session.checked_at else None,
            tuple((k, v["result"], v["tries"]) for k, v in sorted(session.checks.items())),
            session.exchanged,
            session.opened,
            session.released,
            tuple(plan.quarantine for plan in session.seats),
        )

    sent_hot = dict(world.controller.heat.volatile[1])

    def sent_ms(at: datetime | None) -> int | None:
        """Milliseconds since a sending; all the same once the number may be sent again."""
        return None if at is None else min(-(until(at) or 0), 1001)

    def hot_key(hot: Procedure) -> Any:
        if hot.stage in THERMAL_STAGE.ends:
            return hot.bay, hot.stage, hot.seq is not None, hot.left
        limits = until(hot.detected_at), until(hot.deadline_at), sent_ms(sent_hot.get(hot.bay))
        return hot.bay, hot.stage, number(hot.seq), hot.confirming, hot.tries, limits

    truck = world.plant.yard.trucks[VEHICLE]
    active = cell.active
    faults = cell.faults
    _, sent_at, (home_by, shown, extra, extra_at, extra_until_at, extra_epoch), goes_by = world.lane.volatile
    in_flight = stored.session.phase in (Phase.SENT, Phase.HELD)
    last = world.robot.last
    age = None
    if env.link_down:
        age = "never" if last is None or last.fast_at is None else min(-(until(last.fast_at) or 0), 3100)
    return (
        session_key(stored.session),
        None if env.down else session_key(world.lane.session),
        stored.mode,
        tuple(stored.places.values()),
        tuple(stored.states.values()),
        sent_ms(sent_at) if in_flight else None,
        (home_by is not None, shown, None if extra is None else (number(extra.seq), extra.code)),
        None if extra is None else (sent_ms(extra_at), until(extra_until_at)),
        tuple(hot_key(hot) for hot in stored.hot.values()),
        None if env.down or not stored.hot else world.controller.heat.volatile[2],
        (cell.hold, cell.paused, cell.power_confirmed, cell.homed, cell.at_home, cell.located, cell.called_tag),
        (number(cell.ack_seq), cell.ack_code, number(cell.done_seq), cell.result),
        (cell.control_mode, cell.run_mode, tuple(cell.latched)),
        (number(cell.last_seq), cell.first_command, cell.done_result, cell.done_seq == stored.ended_seq),
        (
            goes_by is None,
            goes_by == cell.epoch,
            extra is not None and extra_epoch == cell.epoch,
            last is not None and last.epoch == cell.epoch,
            cell.owner == world.controller.claimed.token,
        ),
        (stored.holder, stored.journal, stored.outside and (number(stored.outside[0]), stored.outside[1])),
        None if env.rival is None else env.rival.key,
        (faults.gripper_jam, faults.pick_misses, faults.lidar_misses, faults.lost_ack),
        None
        if active is None
        else (
            active.command.code,
            number(active.command.seq),
            active.phase,
            left(active.due_us),
            round(active.left_us / 1000),
            active.waited_s,
        ),
        (truck.place, left(truck.stop_us), tuple(truck.secured.values()), tuple(truck.heads), truck.opened),
        tuple(left(us) for us in truck.secure_us.values()),
        tuple((pack.place, pack.leaks) for pack in world.plant.rack.packs.values()),
        _ENV_PARTS(env),
        age,
    )
