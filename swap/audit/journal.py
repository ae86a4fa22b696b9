"""One walk along every journal: its chain, its time, who did it, and how the station stands at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import SQLModel, col

from scheduler.types import StationMode
from swap.audit.findings import Finding, Findings
from swap.audit.promised import PromiseWalk
from swap.audit.rows import AT_ONCE, Reader
from swap.config.prices import StationPrices, read_prices
from swap.journal.chain import BEGINNING, ChainVerdict, Entry, entry_hash, walk
from swap.journal.heads import NotedHead, Outline, compare
from swap.messages.commerce import CONTRACT_CHANGED, LATE_READING, BillReversed, PricesSet
from swap.messages.events import (
    AnyEvent,
    ClockCorrected,
    ControllerStarted,
    ControllerStopped,
    FaultAcknowledged,
    FaultCleared,
    FaultRaised,
    FileTaken,
    RecordBegun,
    RequestAnswered,
    RestartPermitted,
    ResultTaken,
    StationModeChanged,
    SwapResumed,
    SwapStepDone,
    SwapStepStarted,
    read_event_text,
)
from swap.messages.journal import JournalArchived, JournalEpoch
from swap.messages.packs import BayBlocked, BayReleased, PackMoved, ThermalStep
from swap.places import OFF_SITE
from swap.register.persons import MACHINES, PREFIX, is_person
from swap.station.states.modes import STATION_MODE, ModeTrigger
from swap.tables import ControlRequest, FaultRow, Person, StationEvent

COMMERCE = "commerce"
BACK = timedelta(minutes=10)
"""Station time that a row or an event may lie before the one it follows: writers read the time before their turn."""
_BY_PERSONS = frozenset(
    model.kind
    for model in (
        RequestAnswered,
        RestartPermitted,
        RecordBegun,
        FaultAcknowledged,
        BillReversed,
        SwapResumed,
        JournalEpoch,
        JournalArchived,
    )
)
_BY_MACHINES = frozenset(
    model.kind
    for model in (
        ControllerStarted,
        ControllerStopped,
        SwapStepStarted,
        SwapStepDone,
        PackMoved,
        FileTaken,
        PricesSet,
    )
)


def parsed(kind: str, data: str) -> AnyEvent | None:
    """What an event says; None for one that is not understood, which `journal_understood` tells of."""
    try:
        return read_event_text(kind, data)
    except (ValueError, TypeError, RecursionError):
        return None


def named(row: Any) -> str:
    """An event, for people."""
    return f"event {row.seq} of {row.station_id}"


@dataclass(frozen=True)
class Blocked:
    """How a bay stands by the journal."""

    reason: str | None
    """None: in use."""
    where: str


@dataclass
class HotPackTold:
    """What the journal tells of the newest procedure in a bay."""

    values: dict[str, Any]
    detected_at: datetime
    where: str


@dataclass
class JournalTold:
    """How everything stands at the end of the journals."""

    newest_at: dict[str, datetime] = field(default_factory=dict)
    """By station."""
    modes: dict[str, tuple[StationModeChanged, datetime, str]] = field(default_factory=dict)
    bays: dict[str, Blocked] = field(default_factory=dict)
    hot_packs: dict[str, HotPackTold] = field(default_factory=dict)
    file: dict[tuple[str, str], dict[str, tuple[Any, datetime, str]]] = field(default_factory=dict)
    """By table and key: what the file has last said of a column, when and in which event."""
    gone: set[tuple[str, str]] = field(default_factory=set)
    handed_over: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By pack that the file put on a vehicle: which one, and the energy of its handover record."""
    acts: dict[str, datetime] = field(default_factory=dict)
    """By person: the first act."""
    unnamed_faults: set[tuple[str, str, int, datetime]] = field(default_factory=set)
    """Faults raised by events that do not have their number yet: station, source, code, instant."""
    set_back: dict[str, timedelta] = field(default_factory=dict)
    """By station: how far its clock has been set back in all, by corrections that the journal tells of."""
    taken: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)
    """By station and lane: the number that was taken over last, with a result or as the begin of a record, and when."""
    prices: dict[str, list[tuple[datetime, StationPrices]]] = field(default_factory=dict)
    """By station: every set of prices in order, with the instant of its event."""


class JournalWalk:
    """Walks along the journals of all stations."""

    def __init__(self, reader: Reader, findings: Findings, heads: Mapping[str, list[NotedHead]]) -> None:
        self.told = JournalTold()
        self._reader = reader
        self._findings = findings
        self._heads = heads
        self.promises = PromiseWalk(findings, named)
        self.requests = Claims(reader, ControlRequest, findings["request_in_journal"], "request")
        self.faults = Claims(reader, FaultRow, findings["fault_in_journal"], "fault")
        self._last_at: dict[str, datetime] = {}
        """The newest instant of each journal, but for what is told of its restoring: that is in real time."""
        self._restored_at: dict[str, datetime] = {}
        self._persons = {row.id for row in reader.rows(Person, judged=False)}
        self._take: dict[type, Callable[[Any, Any], None]] = {
            StationModeChanged: self._mode,
            BayBlocked: self._blocked,
            BayReleased: self._blocked,
            ResultTaken: self._result,
            RecordBegun: self._record,
            RequestAnswered: self._answered,
            FaultRaised: self._raised,
            FaultAcknowledged: self._acknowledged,
            FaultCleared: self._cleared,
            ThermalStep: self._thermal,
            FileTaken: self._file,
            PackMoved: self._moved,
            ClockCorrected: self._clock,
            PricesSet: self._prices,
            **self.promises.take,
        }

    def station(self, station_id: str, archive: JournalArchived | None = None) -> None:
        """Walk along one station's journal.

        Args:
            archive: what has left it for files that nobody has given; None where every event is there.
        """
        wanted = {head.seq for head in self._heads.get(station_id, ())}
        hashes: dict[int, tuple[int, str]] = {}
        epochs: list[tuple[int, int]] = []
        last_seq = 0 if archive is None else archive.last_seq
        entries = self._entries(station_id, wanted, hashes, epochs, last_seq)
        after = BEGINNING if archive is None else (archive.last_seq, archive.last_hash, archive.last_epoch)
        verdict = walk(entries, after)
        for _ in entries:  # a walk ends at the first break; everything else looks at all
            pass
        self._chain(station_id, verdict)
        found = self._findings["journal_reaches_heads"]
        for head in self._heads.get(station_id, ()):
            if head.seq <= last_seq and head.seq not in hashes:
                found.wait()
                continue
            problem = compare(head, Outline(hashes, epochs))
            found.look(problem is None, problem or "")
        for claims in (self.requests, self.faults):
            claims.compare()

    def _chain(self, station_id: str, verdict: ChainVerdict) -> None:
        found = self._findings["journal_chained"]
        found.examined += verdict.examined
        if verdict.broken_seq is not None:
            found.violations.append(f"station {station_id}: {verdict.problem}")

    def _entries(
        self,
        station_id: str,
        wanted: set[int],
        hashes: dict[int, tuple[int, str]],
        epochs: list[tuple[int, int]],
        archived_seq: int,
    ) -> Iterator[tuple[Entry, str]]:
        """The events as they are hashed, each looked at on its way. What heads are compared with is noted.

        Those of an archive that have stayed are looked at one by one: what lay between them is elsewhere.
        """
        chained = self._findings["journal_chained"]
        last = None
        own = col(StationEvent.station_id) == station_id
        for row in self._reader.rows(StationEvent, own, order=(col(StationEvent.seq),)):
            if row.seq in wanted:
                hashes[row.seq] = (row.epoch, row.hash)
            if row.kind == JournalEpoch.kind:
                epochs.append((row.epoch, row.seq))
            self._event(row)
            last = row
            entry = Entry(*row[: len(Entry.__slots__)])
            if row.seq <= archived_seq:
                same = entry_hash(entry) == row.hash
                chained.look(same, f"station {station_id}: event {row.seq} is not what its hash was made from")
                continue
            yield entry, row.hash
        if last is not None:
            hashes[last.seq] = (last.epoch, last.hash)

    def _event(self, row: Any) -> None:
        self._time(row)
        self._actor(row)
        said = parsed(row.kind, row.data)
        understood = self._findings["journal_understood"]
        understood.examined += 1
        if said is None:
            understood.violations.append(f"station {row.station_id}, event {row.seq} ({row.kind}) is not understood")
        take = self._take.get(type(said))
        if take is not None:
            take(row, said)

    def _time(self, row: Any) -> None:
        if row.kind == JournalEpoch.kind:
            self._restored_at[row.station_id] = row.at
        restoring = row.at == self._restored_at.get(row.station_id)
        newest = None if restoring else self._last_at.get(row.station_id)
        found = self._findings["journal_in_time"]
        found.examined += 1
        if newest is not None and row.at < newest - BACK:
            found.violations.append(f"{named(row)} is of {row.at.isoformat()}, after one of {newest.isoformat()}")
        if not restoring and (newest is None or row.at > newest):
            self._last_at[row.station_id] = row.at
        self.told.newest_at[row.station_id] = max(row.at, self.told.newest_at.get(row.station_id, row.at))

    def _actor(self, row: Any) -> None:
        actor, person = row.actor, is_person(row.actor)
        known = actor.removeprefix(PREFIX) in self._persons if person else actor in MACHINES
        off, out = _off_site(row)
        by_persons = out or (row.kind in _BY_PERSONS and not _by_itself(row))
        right = not (by_persons and not person) and not (row.kind in _BY_MACHINES and not off and person)
        found = self._findings["actors_known"]
        found.examined += 1
        if not (known and right):
            why = [*([] if known else ["whom nobody knows"]), *([] if right else ["who cannot have done it"])]
            found.violations.append(f"{named(row)} ({row.kind}) was caused by {actor!r}, {', '.join(why)}")
        if person:
            first = self.told.acts.get(actor)
            self.told.acts[actor] = row.at if first is None else min(first, row.at)

    # what events say

    def _mode(self, row: Any, said: StationModeChanged) -> None:
        before = self.told.modes.get(row.station_id)
        found = self._findings["mode_in_journal"]
        if before is not None:
            found.look(
                said.before is before[0].after and _legal(said),
                f"{named(row)}: {said.trigger} does not lead from {before[0].after} to {said.after}",
            )
        self.told.modes[row.station_id] = (said, row.at, named(row))

    def _result(self, row: Any, said: ResultTaken) -> None:
        self.told.taken[row.station_id, row.lane_id] = (said.seq, row.at)

    def _record(self, row: Any, said: RecordBegun) -> None:
        for lane_id, number in said.numbers.items():
            self.told.taken[row.station_id, lane_id] = (number, row.at)

    def _blocked(self, row: Any, said: BayBlocked | BayReleased) -> None:
        if row.bay_id is not None:
            reason = said.reason if isinstance(said, BayBlocked) else None
            self.told.bays[row.bay_id] = Blocked(reason, named(row))

    def _answered(self, row: Any, said: RequestAnswered) -> None:
        values = {
            "station_id": row.station_id,
            "kind": said.request,
            "status": said.status,
            "answer": said.answer,
            "answered_at": row.at,
            "requested_by": row.actor,
        }
        if said.requested_at is not None:
            values |= {"requested_at": said.requested_at, "arguments": said.arguments}
        self.requests.tell("answered", said.request_id, named(row), values)

    def _raised(self, row: Any, said: FaultRaised) -> None:
        if said.fault_id is None:
            self.told.unnamed_faults.add((row.station_id, said.source, said.code, row.at))
            return
        self.faults.tell(
            "raised",
            said.fault_id,
            named(row),
            {
                "station_id": row.station_id,
                "code": said.code,
                "level": said.level,
                "source": said.source,
                "raised_at": row.at,
                "data": said.detail,
            },
        )

    def _acknowledged(self, row: Any, said: FaultAcknowledged) -> None:
        values = {"acknowledged_at": row.at, "acknowledged_by": row.actor, "code": said.code, "source": said.source}
        self.faults.tell("acknowledged", said.fault_id, named(row), values)

    def _cleared(self, row: Any, said: FaultCleared) -> None:
        values = {"cleared_at": row.at, "code": said.code, "source": said.source}
        self.faults.tell("cleared", said.fault_id, named(row), values)

    def _thermal(self, row: Any, said: ThermalStep) -> None:
        if row.bay_id is None:
            return
        before = self.told.hot_packs.get(row.bay_id)
        values: dict[str, Any] = {} if before is None else dict(before.values)
        detected_at = row.at - timedelta(seconds=said.since_s)
        if said.stage == "detected":
            values = {"causes": list(said.causes), "seq": None}
        elif before is not None:
            detected_at = before.detected_at
        values |= {"stage": said.stage, "pack_id": row.pack_id, "station_id": row.station_id, "lane_id": row.lane_id}
        if said.seq is not None:
            values.pop("seq", None)  # it may be asked again under another number: the commands are looked at
        self.told.hot_packs[row.bay_id] = HotPackTold(values, detected_at, named(row))

    def _file(self, row: Any, said: FileTaken) -> None:
        for item in said.rows:
            key = (item.table, item.id)
            if not item.values:
                self.told.gone.add(key)
                self.told.file.pop(key, None)
                continue
            self.told.gone.discard(key)
            known = self.told.file.setdefault(key, {})
            for name, value in item.values.items():
                if name not in known or known[name][1] <= row.at:  # two stations' files may name one firm
                    known[name] = (value, row.at, named(row))

    def _clock(self, row: Any, said: ClockCorrected) -> None:
        if said.by_s < 0 and row.station_id in self._last_at:
            back = timedelta(seconds=-said.by_s)
            self._last_at[row.station_id] -= back
            self.told.set_back[row.station_id] = self.told.set_back.get(row.station_id, timedelta()) + back

    def _prices(self, row: Any, said: PricesSet) -> None:
        try:
            found = row.at, read_prices(row.seq, said)
        except ValueError as error:
            self._findings["journal_understood"].violations.append(f"{named(row)} tells of no prices: {error}")
            return
        self.told.prices.setdefault(row.station_id, []).append(found)

    def _moved(self, row: Any, said: PackMoved) -> None:
        if said.source == OFF_SITE and said.energy_kwh is not None and row.pack_id is not None:
            kind, _, seat = said.target.partition(":")
            if kind == "vehicle":
                self.told.handed_over[row.pack_id] = (seat.rpartition(":")[0], said.energy_kwh)


def _by_itself(row: Any) -> bool:
    """Whether commerce does by itself what only people do otherwise: it reverses a bill whose reading came late, or
    whose contract was changed for days past."""
    said = parsed(row.kind, row.data) if row.kind == BillReversed.kind and row.actor == COMMERCE else None
    return isinstance(said, BillReversed) and said.reason in (LATE_READING, CONTRACT_CHANGED)


def _off_site(row: Any) -> tuple[bool, bool]:
    """Whether a pack goes to or comes from off site, which people see to, and whether it goes there."""
    said = parsed(row.kind, row.data) if row.kind == PackMoved.kind else None
    places = (said.source, said.target) if isinstance(said, PackMoved) else ()
    return OFF_SITE in places, OFF_SITE in places[1:]


def _legal(said: StationModeChanged) -> bool:
    if said.trigger is None or said.before is None or said.trigger not in set(ModeTrigger):
        return False
    before, trigger = StationMode(said.before), ModeTrigger(said.trigger)
    return STATION_MODE.allows(before, trigger) and STATION_MODE.next(before, trigger) is said.after


class Claims:
    """What events say of the rows of one table.

    Args:
        found: where differences are told.
        what: what a row is, for people.
    """

    def __init__(self, reader: Reader, model: type[SQLModel], found: Finding, what: str) -> None:
        self._reader = reader
        self._model = model
        self._key: Any = model.id  # type: ignore[attr-defined]
        self._found = found
        self._what = what
        self._waiting: list[tuple[Any, str, Mapping[str, Any]]] = []
        self.told: dict[str, set[Any]] = defaultdict(set)
        """By aspect, of which rows it was told."""

    def tell(self, aspect: str, key: Any, where: str, values: Mapping[str, Any]) -> None:
        """An event says something of a row. Each aspect is told once."""
        if key in self.told[aspect]:
            self._found.violations.append(f"{self._what} {key}: {where} says a second time that it was {aspect}")
        self.told[aspect].add(key)
        self._waiting.append((key, where, values))
        if len(self._waiting) >= AT_ONCE:
            self.compare()

    def compare(self) -> None:
        """Hold what was said so far against the rows."""
        waiting, self._waiting = self._waiting, []
        keys = {key for key, _, _ in waiting}
        rows = {row.id: row for row in self._reader.of(self._model, self._key, keys, judged=False)}
        for key, where, values in waiting:
            if key in rows:
                self._found.same(f"{self._what} {key}", where, rows[key], values)
            else:
                self._found.look(False, f"{where} tells of {self._what} {key}, which does not exist")
