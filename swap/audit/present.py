"""Stations, bays, lanes, faults, requests and the register as they stand, against what the journals told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import SQLModel, col

from swap.audit.findings import Findings
from swap.audit.journal import BACK, JournalTold, JournalWalk
from swap.audit.rows import Reader
from swap.config.seed import RETIRED_REASON
from swap.messages.answers import STORED, say
from swap.register.persons import PREFIX
from swap.station.records import newest_seq
from swap.station.states.modes import STATION_MODE
from swap.tables import (
    Bay,
    ControllerLease,
    ControlRequest,
    FaultRow,
    HotPack,
    Pack,
    PackKindRow,
    Party,
    Person,
    RobotCommandRow,
    SiteSample,
    Station,
    VehicleModelRow,
    VehicleRow,
)

_SEQ_MAX = 65535
NONE = timedelta()
ROUNDED = timedelta(seconds=0.06)
"""Times since a detection are told to a tenth of a second."""


def check_present(reader: Reader, findings: Findings, walk: JournalWalk) -> None:
    """Every check of what stands now, but for packs, swaps and commerce."""
    _register(reader, findings, walk.told)
    _people(reader, findings, walk.told)
    _stations(reader, findings, walk.told)
    _bays(reader, findings, walk.told)
    _lanes(reader, findings, walk.told)
    _hot_packs(reader, findings, walk.told)
    _faults(reader, findings, walk)
    _requests(reader, findings, walk)
    _samples(reader, findings, walk.told)
    for _ in reader.rows(ControllerLease):  # nothing but the row itself says who runs a station now
        pass


def _register(reader: Reader, findings: Findings, told: JournalTold) -> None:
    found = findings["file_is_on_record"]
    tables: tuple[type[SQLModel], ...] = (Party, PackKindRow, VehicleModelRow, VehicleRow, Station, Bay, Pack)
    left = {key for key in told.file}
    for model in tables:
        # Stations, bays and packs are judged by themselves where they are looked at.
        judged = model not in (Station, Bay, Pack)
        name = str(model.__tablename__)
        for row in reader.rows(model, judged=judged):
            key = (name, row.id)
            left.discard(key)
            said = told.file.get(key)
            if said is None:
                found.wait()  # brought in before the journal told of it
                continue
            for column, (value, _, where) in said.items():
                found.same(f"{name} {row.id}", where, row, {column: value})
            if model is PackKindRow:
                found.look(
                    row.ratings.get("rated_kwh") == row.rated_kwh,
                    f"pack_kind {row.id}: rated_kwh is {row.rated_kwh}, its ratings say {row.ratings.get('rated_kwh')}",
                )
            if model is VehicleModelRow:
                found.look(bool(row.pack_kinds), f"vehicle_model {row.id} takes no kind of pack")
    found.violations += [f"{name} {key} came with the station file and does not exist" for name, key in sorted(left)]


def _people(reader: Reader, findings: Findings, told: JournalTold) -> None:
    found = findings["actors_known"]
    for row in reader.rows(Person):
        acted_at = told.acts.get(PREFIX + row.id)
        found.look(
            (row.name is None) == (row.erased_at is not None),
            f"person {row.id}: name is {'gone' if row.name is None else 'there'}, erased_at is {row.erased_at}",
        )
        if acted_at is not None:
            found.look(
                row.known_since_at <= acted_at,
                f"person {row.id} is known since {row.known_since_at.isoformat()}, "
                f"and acted first at {acted_at.isoformat()}",
            )


def _stations(reader: Reader, findings: Findings, told: JournalTold) -> None:
    found = findings["mode_in_journal"]
    for row in reader.rows(Station):
        newest = told.modes.get(row.id)
        found.look(row.mode in STATION_MODE.states, f"station {row.id} is in mode {row.mode!r}, which does not exist")
        if newest is None:
            found.look(False, f"station {row.id} is {row.mode}, and no event says so")
            continue
        said, at, where = newest
        values = {"mode": said.after.value, "mode_reason": said.reason, "mode_since_at": at}
        found.same(f"station {row.id}", where, row, values)


def _bays(reader: Reader, findings: Findings, told: JournalTold) -> None:
    found = findings["bay_in_journal"]
    for row in reader.rows(Bay):
        found.look(
            row.id == f"{row.station_id}:{row.name}",
            f"bay {row.id} is named {row.name!r} of station {row.station_id}",
        )
        said = told.bays.get(row.id)
        if said is None and row.blocked and row.blocked_reason == RETIRED_REASON:
            found.wait()  # left the file before the journal told of it
            continue
        reason = None if said is None else said.reason
        where = "the journal" if said is None else said.where
        found.same(f"bay {row.id}", where, row, {"blocked": reason is not None, "blocked_reason": reason or ""})


def _lanes(reader: Reader, findings: Findings, told: JournalTold) -> None:
    """Numbers of commands, lane by lane in the order of issue."""
    found = findings["command_numbers_rise"]
    newest: dict[str, Any] = {}
    for row in reader.rows(RobotCommandRow, order=(col(RobotCommandRow.id),)):
        before = newest.get(row.lane_id)
        rises = before is None or 0 < (row.seq - before.seq) % _SEQ_MAX < _SEQ_MAX // 2
        result = None if before is None else before.result
        closed = result != "open"
        found.look(
            1 <= row.seq <= _SEQ_MAX and rises and closed,
            f"lane {row.lane_id}: command {row.seq} ({row.result}) after {before.seq if before else 0}"
            + ("" if closed else f", which is {result} still"),
        )
        found.look(
            before is None or row.issued_at >= before.issued_at - BACK - told.set_back.get(row.station_id, NONE),
            f"lane {row.lane_id}: command {row.seq} was issued at {row.issued_at.isoformat()}, "
            "before the one before it",
        )
        ended = row.ended_at is None or row.ended_at >= row.issued_at
        found.look(
            ended and (row.ended_at is None) == (row.result == "open"),
            f"lane {row.lane_id}: command {row.seq} of {row.issued_at.isoformat()} ended at {row.ended_at} "
            f"({row.result})",
        )
        found.look(
            row.lane_id.startswith(f"{row.station_id}:"),
            f"lane {row.lane_id}: command {row.seq} is of station {row.station_id}",
        )
        newest[row.lane_id] = row
    kept = findings["last_numbers_kept"]
    for station in reader.rows(Station, judged=False):
        by_lane = {
            lane.removeprefix(f"{station.id}:"): row.seq for lane, row in newest.items() if row.station_id == station.id
        }
        taken = {lane: seq for (of, lane), seq in _taken_since(newest, told).items() if of == station.id}
        used = by_lane | {lane: newest_seq(by_lane.get(lane, 0), seq) for lane, seq in taken.items()}
        kept.look(
            station.last_seq_by_lane in (used, by_lane),  # those of before it was kept are right too
            f"station {station.id}: last_seq_by_lane is {station.last_seq_by_lane}, its newest commands are {by_lane}"
            + (f", and {taken} were taken over since" if taken else ""),
        )


def _taken_since(newest: Mapping[str, Any], told: JournalTold) -> dict[tuple[str, str], int]:
    """By station and lane: the number of a result that was taken over after the lane's newest command."""
    found = {}
    for (station_id, lane_id), (seq, at) in told.taken.items():
        row = newest.get(f"{station_id}:{lane_id}")
        if row is None or at >= row.issued_at:
            found[station_id, lane_id] = seq
    return found


def _hot_packs(reader: Reader, findings: Findings, told: JournalTold) -> None:
    found = findings["hot_pack_in_journal"]
    left = dict(told.hot_packs)
    for row in reader.rows(HotPack):
        said = left.pop(row.bay_id, None)
        if said is None:
            found.look(False, f"hot_pack {row.bay_id}: no event tells of it")
            continue
        what = f"hot_pack {row.bay_id}"
        found.same(what, said.where, row, said.values)
        found.same(what, said.where, row, {"detected_at": said.detected_at}, within=ROUNDED)
        carried = row.stage == "evacuation_started"
        found.look(carried or not row.confirming, f"{what}: confirming is true in stage {row.stage}")
        found.look(
            row.seq is not None or row.tries == 0, f"{what}: tries is {row.tries}, and nothing was asked of a cell"
        )
        found.look(row.left <= (row.seq is not None), f"{what}: left is {row.left}, and nothing was asked of a cell")
        if row.seq is not None:
            lane, number = f"{row.station_id}:{row.lane_id}", row.seq
            asked = (
                RobotCommandRow.lane_id == lane,
                RobotCommandRow.seq == number,
                col(RobotCommandRow.swap_id).is_(None),
            )
            found.look(
                any(True for _ in reader.rows(RobotCommandRow, *asked, judged=False)),
                f"{what}: seq is {number}, which lane {lane} was not asked to carry",
            )
        found.look(
            row.deadline_at is None or row.seq is not None,
            f"{what}: deadline_at is {row.deadline_at}, and nothing was asked of a cell",
        )
    found.violations += [
        f"hot_pack {bay}: {said.where} tells of it, and it does not exist" for bay, said in left.items()
    ]


def _faults(reader: Reader, findings: Findings, walk: JournalWalk) -> None:
    found, once = findings["fault_in_journal"], findings["fault_open_once"]
    claims, unnamed = walk.faults.told, set(walk.told.unnamed_faults)
    still_open: Counter[tuple[str, str, int]] = Counter()
    for row in reader.rows(FaultRow, order=(col(FaultRow.id),)):
        what = f"fault {row.id}"
        raised = (row.station_id, row.source, row.code, row.raised_at)
        found.look(
            row.id in claims["raised"] or raised in unnamed, f"{what} ({row.code}, {row.source}): no event raised it so"
        )
        unnamed.discard(raised)
        for aspect, at in (("acknowledged", row.acknowledged_at), ("cleared", row.cleared_at)):
            found.look(
                (at is not None) == (row.id in claims[aspect]),
                f"{what}: {aspect}_at is {at}, and {'an' if row.id in claims[aspect] else 'no'} event says so",
            )
        found.look(
            (row.acknowledged_at is None) == (row.acknowledged_by is None),
            f"{what}: acknowledged_at is {row.acknowledged_at}, acknowledged_by {row.acknowledged_by}",
        )
        key = f"{row.station_id}|{row.source}|{row.code}" if row.cleared_at is None else None
        once.look(row.open_key == key, f"{what}: open_key is {row.open_key!r}, cleared at {row.cleared_at}")
        if row.cleared_at is None:
            still_open[row.station_id, row.source, row.code] += 1
    once.violations += [
        f"fault {code} of {source} at {station} is open {count} times"
        for (station, source, code), count in still_open.items()
        if count > 1
    ]
    found.violations += [
        f"an event of {at.isoformat()} raised fault {code} of {source} at {station}, which does not exist"
        for station, source, code, at in sorted(unnamed)
    ]


def _requests(reader: Reader, findings: Findings, walk: JournalWalk) -> None:
    found, told = findings["request_in_journal"], walk.requests.told["answered"]
    for row in reader.rows(ControlRequest, order=(col(ControlRequest.id),)):
        what = f"request {row.id}"
        answered = row.status != "open"
        found.look(
            answered == (row.id in told) == (row.answered_at is not None),
            f"{what} is {row.status}, answered at {row.answered_at}, and "
            f"{'an' if row.id in told else 'no'} event says so",
        )
        found.look(
            row.answered_at is None or row.requested_at <= row.answered_at,
            f"{what} was made at {row.requested_at.isoformat()}, and answered at {row.answered_at}",
        )
        found.look(row.requested_by.startswith(PREFIX), f"{what}: requested_by is {row.requested_by!r}, no person")
        if row.answer_parts is not None:
            found.look(
                _says(row.answer_parts) == row.answer, f"{what}: answer is {row.answer!r}, its parts say otherwise"
            )
        elif answered:
            found.wait()  # answered by a release that kept the English answer only


def _says(parts: Any) -> str | None:
    try:
        return say(STORED.validate_python(parts))
    except (ValueError, KeyError):
        return None


def _samples(reader: Reader, findings: Findings, told: JournalTold) -> None:
    found = findings["samples_in_time"]
    newest: dict[str, datetime] = {}
    for row in reader.rows(SiteSample, order=(col(SiteSample.id),)):
        before = newest.get(row.station_id)
        found.look(
            before is None or row.at >= before - BACK - told.set_back.get(row.station_id, NONE),
            f"site_sample {row.id} of {row.station_id} is of {row.at.isoformat()}, after one of {before}",
        )
        found.look(
            (row.mean_s == 0) == (row.covered_s is None),
            f"site_sample {row.id}: mean_s is {row.mean_s}, covered_s {row.covered_s}",
        )
        newest[row.station_id] = row.at
