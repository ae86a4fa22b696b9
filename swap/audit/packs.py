"""Packs, one after the other, each with its events and its charging sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from heapq import merge
from itertools import groupby, pairwise
from typing import Any

from sqlmodel import col

from swap.audit.findings import Findings, listed
from swap.audit.journal import named, parsed
from swap.audit.rows import Reader
from swap.audit.swaps import CLOCK
from swap.messages.packs import ChargeEnded, ChargeStarted, PackMoved, PackStateChanged
from swap.places import OFF_SITE, places_of
from swap.station.states.pack_states import PACK_IN_BAY
from swap.tables import Bay, ChargeSession, StationEvent

_IN_PLACE = {
    "bay": {
        "received", "identified", "cooling", "warming", "waiting", "charging", "ready", "reserved",
        "blocked", "quarantined",
    },
    "vehicle": {"on_vehicle"},
    "gripper": {"picked", "quarantined", "blocked"},
    "tank": {"evacuated", "quarantined"},
    OFF_SITE: {"on_vehicle", "evacuated", "quarantined", "blocked"},
}  # fmt: skip
OVER = 1.1
"""Share of the rated energy that a BMS may report at most: a pack fresh from the works holds a little more."""
APART = 0.25
"""Share of the rated energy by which energy and state of charge of one reading may differ: each is an estimate."""
ROUNDED_KWH = 0.0006
"""Energies of charging are told to 0.001 kWh."""
_KINDS = tuple(model.kind for model in (PackMoved, PackStateChanged, ChargeStarted, ChargeEnded))


def places(row: Any) -> tuple[str, ...]:
    """Every place that a pack's row names."""
    return places_of(row)


class PackChecks:
    """The checks of packs.

    Args:
        packs: every pack's row.
        promised: packs that open swaps have not taken yet, and how many of them.
    """

    def __init__(
        self, reader: Reader, findings: Findings, packs: Mapping[str, Any], promised: Mapping[str, int]
    ) -> None:
        self._reader = reader
        self._findings = findings
        self._packs = packs
        self._promised = promised
        self._states = {
            (str(source), row.trigger.value): row.target for row in PACK_IN_BAY.rows for source in row.sources
        }

    def look(self) -> None:
        """Every check."""
        self._places()
        for pack in self._packs.values():
            self._story(pack)
            self._energy(pack)
            self._charging(pack)
            if pack.state == "reserved":
                count = self._promised.get(pack.id, 0)
                self._findings["reserved_pack_is_promised"].look(
                    count == 1, f"pack {pack.id} is reserved and promised to {count} open swaps"
                )

    def _places(self) -> None:
        one, bays, seats = (
            self._findings[name] for name in ("pack_in_one_place", "bay_holds_one_pack", "seat_holds_one_pack")
        )
        known = {row.id for row in self._reader.rows(Bay, judged=False)}
        where: Counter[str] = Counter()
        for pack in self._packs.values():
            found = places(pack)
            seated = (pack.vehicle_id is None) == (pack.seat is None)
            one.look(
                len(found) == 1 and seated,
                f"pack {pack.id} is in {len(found)} places ({listed(found)}; off_site {pack.off_site}), "
                f"seat {pack.seat}",
            )
            if pack.bay_id is not None:
                bays.look(pack.bay_id in known, f"bay {pack.bay_id} does not exist, but holds {pack.id}")
            where.update(found)
            if len(found) == 1:
                allowed = _IN_PLACE[found[0].split(":")[0]]
                self._findings["pack_state_fits_place"].look(
                    pack.state in allowed, f"pack {pack.id} is {pack.state} at {found[0]}"
                )
        for place, count in where.items():
            kind = place.split(":")[0]
            if kind == "bay":
                bays.look(count == 1, f"{place} holds {count} packs")
            elif kind in ("vehicle", "gripper"):
                seats.look(count == 1, f"{place} holds {count} packs")

    def _told(self, pack: Any) -> list[tuple[Any, Any]]:
        """What the journals tell of a pack: in their order, and between stations in the order of time."""
        stations = col(StationEvent.station_id).in_(self._reader.stations)
        own = (stations, col(StationEvent.pack_id) == pack.id, col(StationEvent.kind).in_(_KINDS))
        rows = self._reader.rows(
            StationEvent, *own, order=(col(StationEvent.station_id), col(StationEvent.seq)), judged=False
        )
        told = ((row, said) for row in rows if (said := parsed(row.kind, row.data)) is not None)
        journals = [list(group) for _, group in groupby(told, key=lambda pair: pair[0].station_id)]
        return journals[0] if len(journals) == 1 else list(merge(*journals, key=lambda pair: pair[0].at))

    def _story(self, pack: Any) -> None:
        told = self._told(pack)
        self._moves(pack, [(row, said) for row, said in told if isinstance(said, PackMoved)])
        self._changes(pack, [(row, said) for row, said in told if isinstance(said, PackStateChanged)], told)
        self._sessions(pack, [(row, said) for row, said in told if isinstance(said, ChargeStarted | ChargeEnded)])

    def _moves(self, pack: Any, moves: list[tuple[Any, PackMoved]]) -> None:
        broken = [(a, b) for (_, a), (_, b) in pairwise(moves) if a.target != b.source]
        last = moves[-1][1].target if moves else OFF_SITE
        here = places(pack)
        self._findings["pack_place_in_journal"].look(
            not broken and here == (last,),
            f"pack {pack.id} is at {listed(here)}, its last move went to {last}"
            + "".join(f"; a move to {a.target} is followed by one from {b.source}" for a, b in broken),
        )

    def _changes(self, pack: Any, changes: list[tuple[Any, PackStateChanged]], told: list[tuple[Any, Any]]) -> None:
        found = self._findings["pack_states_legal"]
        for _, change in changes:
            found.look(
                self._states.get((str(change.before), change.trigger)) is change.after,
                f"pack {pack.id}: {change.trigger} does not lead from {change.before} to {change.after}",
            )
        for (_, one), (_, other) in pairwise(changes):
            if one.after is not other.before:
                found.violations.append(f"pack {pack.id}: {one.after} is followed by a change from {other.before}")
        if changes:
            row, change = changes[-1]
            values = {"state": str(change.after), "state_since_at": row.at}
            found.same(f"pack {pack.id}", named(row), pack, values, within=CLOCK)
        elif told:  # as the station file brought it in
            row = told[0][0]
            found.same(f"pack {pack.id}", named(row), pack, {"state_since_at": row.at}, within=CLOCK)

    def _energy(self, pack: Any) -> None:
        found, rated = self._findings["pack_energy_possible"], pack.rated_kwh
        found.look(rated > 0, f"pack {pack.id}: rated_kwh is {rated}")
        for name in ("energy_kwh", "settled_soe_kwh"):
            value = getattr(pack, name)
            found.look(
                value is None or 0 <= value <= rated * OVER,
                f"pack {pack.id}: {name} is {value}, it is rated for {rated} kWh",
            )
        if pack.energy_kwh is not None and pack.soc_pct is not None:
            full_kwh = rated * pack.soh_pct / 100
            found.look(
                abs(pack.energy_kwh - full_kwh * pack.soc_pct / 100) <= APART * rated,
                f"pack {pack.id}: energy_kwh is {pack.energy_kwh} at soc_pct {pack.soc_pct} and soh_pct {pack.soh_pct} "
                f"of {rated} kWh",
            )
        read = (pack.energy_kwh, pack.soc_pct, pack.temp_max_c) != (None, None, None)
        found.look(
            not read or pack.reading_at is not None,
            f"pack {pack.id} has values of a reading, and reading_at is {pack.reading_at}",
        )

    def _charging(self, pack: Any) -> None:
        """What only the sessions say: they do not overlap, and no pack gets more than it can hold."""
        found, possible = self._findings["charge_sessions_apart"], self._findings["pack_energy_possible"]
        rows = self._reader.rows(
            ChargeSession,
            col(ChargeSession.pack_id) == pack.id,
            order=(col(ChargeSession.started_at), col(ChargeSession.id)),
        )
        before, gained_kwh, count = None, 0.0, 0
        for session in rows:
            count += 1
            what = f"charge_session {session.id}"
            is_open = session.ended_at is None
            found.look(
                session.ended_at is None or session.ended_at >= session.started_at,
                f"{what} began at {session.started_at.isoformat()} and ended at {session.ended_at}",
            )
            found.look(
                session.open_pack_id == (pack.id if is_open else None)
                and (not is_open or pack.bay_id == session.bay_id),
                f"{what} of pack {pack.id} in {session.bay_id}, ended at {session.ended_at}: open_pack_id is "
                f"{session.open_pack_id}, the pack is in {pack.bay_id}",
            )
            ends = session.end_energy_kwh, session.end_meter_kwh
            found.look(
                not is_open or ends == (None, None),
                f"{what} has not ended, and end_energy_kwh, end_meter_kwh are {ends}",
            )
            if before is not None:
                overlap = before.ended_at is None or before.ended_at > session.started_at
                found.look(not overlap, f"charge_session {before.id} and {session.id} of pack {pack.id} overlap")
                found.look(
                    before.id < session.id, f"charge_session {session.id} of pack {pack.id} began after {before.id}"
                )
            for name in ("start_energy_kwh", "end_energy_kwh"):
                value = getattr(session, name)
                possible.look(
                    value is None or value <= pack.rated_kwh * OVER,
                    f"{what}: {name} is {value}, pack {pack.id} is rated for {pack.rated_kwh} kWh",
                )
            if not is_open:
                gained_kwh += max(0.0, (session.end_energy_kwh or session.start_energy_kwh) - session.start_energy_kwh)
            before = session
        self._findings["charged_energy_adds_up"].look(
            abs(pack.cycles_kwh - gained_kwh) <= 1e-6 * max(1, count) + 1e-9 * gained_kwh,
            f"pack {pack.id}: cycles_kwh is {pack.cycles_kwh}, its charging sessions gained {gained_kwh} kWh",
        )

    def _sessions(self, pack: Any, told: list[tuple[Any, ChargeStarted | ChargeEnded]]) -> None:
        """Sessions against their events, in order: a beginning, then its end."""
        found = self._findings["charge_in_journal"]
        events = iter(told)
        sessions = self._reader.rows(
            ChargeSession,
            col(ChargeSession.pack_id) == pack.id,
            order=(col(ChargeSession.started_at), col(ChargeSession.id)),
            judged=False,
        )
        begun: dict[Any, list[Any]] = {}
        for session in sessions:
            begun.setdefault(session.bay_id, []).append(session)
        sessions_by_start = {(s.bay_id, s.started_at): s for group in begun.values() for s in group}
        under_way: Any = None
        seen: set[int] = set()
        for row, said in events:
            if isinstance(said, ChargeStarted):
                under_way = sessions_by_start.get((row.bay_id, row.at))
                found.look(
                    under_way is not None,
                    f"{named(row)}: pack {pack.id} began to charge in {row.bay_id}, and no session did",
                )
                if under_way is not None:
                    seen.add(under_way.id)
                    what = f"charge_session {under_way.id}"
                    found.same(
                        what, named(row), under_way, {"station_id": row.station_id, "start_meter_kwh": said.meter_kwh}
                    )
                    found.look(
                        abs(under_way.start_energy_kwh - said.energy_kwh) <= ROUNDED_KWH,
                        f"{what}: start_energy_kwh is {under_way.start_energy_kwh}, "
                        f"{named(row)} says {said.energy_kwh}",
                    )
            elif under_way is not None:
                self._ended(under_way, row, said)
                under_way = None
        for session in sessions_by_start.values():
            found.look(
                session.id in seen,
                f"charge_session {session.id} of pack {pack.id} in {session.bay_id} from "
                f"{session.started_at.isoformat()} (started_at): no event began it",
            )
            is_last = under_way is not None and session.id == under_way.id
            found.look(
                (session.ended_at is None) == is_last,
                f"charge_session {session.id}: ended_at is {session.ended_at}, and "
                f"{'no' if is_last else 'an'} event ended it",
            )
            self._meter(session)

    def _ended(self, session: Any, row: Any, said: ChargeEnded) -> None:
        found, what = self._findings["charge_in_journal"], f"charge_session {session.id}"
        found.same(what, named(row), session, {"ended_at": row.at, "end_meter_kwh": said.meter_kwh})
        if said.session_id is not None:
            found.same(what, named(row), session, {"id": said.session_id})
        gained_kwh = (session.end_energy_kwh or session.start_energy_kwh) - session.start_energy_kwh
        found.look(
            abs(gained_kwh - said.gained_kwh) <= ROUNDED_KWH,
            f"{what}: end_energy_kwh is {session.end_energy_kwh}, so {gained_kwh:.3f} kWh more, "
            f"{named(row)} says {said.gained_kwh}",
        )

    def _meter(self, session: Any) -> None:
        start_kwh, end_kwh = session.start_meter_kwh, session.end_meter_kwh
        self._findings["charge_in_journal"].look(
            start_kwh is None or end_kwh is None or end_kwh >= start_kwh,
            f"charge_session {session.id}: its meter ran from {start_kwh} back to {end_kwh} kWh",
        )
