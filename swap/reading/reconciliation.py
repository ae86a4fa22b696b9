"""A month's energy of one station, from its meter to the trucks: what came in, where it went, what nobody has measured.

    station meter + sun − into storage
      − charger counters                  what else the station used: cooling, robot, light, transformer
    charger counters − into packs         losses of chargers and packs
    into packs − handed out − stock       standing losses, and readings that are missing or wrong

Pure but for `read_month`. Energy in kWh; a session that a month's end cuts is shared by time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlmodel import col, select

from swap.errors import InvalidInput
from swap.reading.records import Record
from swap.station_db import StationDb
from swap.tables import ChargeSession, SiteSample, Swap, SwapSeat
from swap.words import N_

LONGEST_GAP = timedelta(minutes=10)
"""A sample stands until the next one, and no longer than this; the rest counts as time without a reading."""


@dataclass(frozen=True, slots=True)
class PowerSample:
    """Power of the station from an instant on; what is not known is None."""

    at: datetime
    import_kw: float | None
    """By the station meter."""
    pv_kw: float | None = None
    storage_kw: float | None = None
    """Into the stationary storage; below 0 out of it."""
    stands: timedelta = LONGEST_GAP
    """How long it stands at the most; a mean of old samples says so itself."""


@dataclass(frozen=True, slots=True)
class Charging:
    """One charging session; what is not known is None."""

    pack_id: str
    started_at: datetime
    ended_at: datetime | None
    start_kwh: float
    end_kwh: float | None
    start_meter_kwh: float | None
    end_meter_kwh: float | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Two packs that changed places in a swap."""

    at: datetime
    old_pack_id: str | None
    returned_kwh: float | None
    new_pack_id: str | None
    installed_kwh: float | None


class Reconciliation(Record):
    """A month's energy explained; all in kWh but where the name says otherwise."""

    station_id: str
    from_at: datetime
    to_at: datetime
    meter_kwh: Decimal
    """By the station meter."""
    unread_h: Decimal
    """Hours without a reading of the station meter."""
    pv_kwh: Decimal
    """From the sun."""
    storage_kwh: Decimal
    """Into the stationary storage, less what came out."""
    chargers_kwh: Decimal
    """By the counters of the chargers."""
    into_packs_kwh: Decimal
    """By the packs' own readings."""
    handed_out_kwh: Decimal
    """In packs put on trucks."""
    taken_back_kwh: Decimal
    """In packs taken off trucks."""
    stock_begin_kwh: Decimal
    """In packs of the station at the beginning, as far as something happened to them."""
    stock_end_kwh: Decimal
    other_use_kwh: Decimal
    """Station meter and sun, less what went into the storage and through the charger counters."""
    charging_loss_kwh: Decimal
    """Charger counters less what came into packs."""
    unexplained_kwh: Decimal
    """Into packs, less handed out and stock change, plus taken back."""
    sessions: int
    sessions_unmetered: int
    """Of them without a counter at begin or end: they count as lossless."""
    exchanges: int
    exchanges_unread: int
    """Of them with a pack whose energy is not known: they count as 0."""

    @property
    def stock_change_kwh(self) -> Decimal:
        """Stock at the end less stock at the beginning."""
        return self.stock_end_kwh - self.stock_begin_kwh


def month_of(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Begin and end of a month such as `2026-06` in a zone. Raises InvalidInput."""
    try:
        begin = datetime.strptime(text, "%Y-%m").replace(tzinfo=zone)
    except ValueError:
        raise InvalidInput("month", text, N_("a month such as 2026-06")) from None
    year, month = divmod(begin.year * 12 + begin.month, 12)
    return begin, begin.replace(year=year, month=month + 1)


def read_month(db: StationDb, from_at: datetime, to_at: datetime) -> Reconciliation:
    """The reconciliation of a time at the session's station."""
    early = select(SiteSample).where(SiteSample.at < from_at).order_by(col(SiteSample.id).desc()).limit(1)
    samples = select(SiteSample).where(SiteSample.at >= from_at, SiteSample.at < to_at).order_by(col(SiteSample.id))
    sessions = select(ChargeSession).order_by(col(ChargeSession.id))
    seats = (
        select(Swap.ended_at, SwapSeat)
        .join(SwapSeat, col(SwapSeat.swap_id) == Swap.id)
        .where(col(SwapSeat.exchanged).is_(True), col(Swap.ended_at).is_not(None))
        .order_by(col(Swap.ended_at), col(SwapSeat.swap_id), col(SwapSeat.seat))
    )
    return explain(
        db.station_id,
        from_at,
        to_at,
        [
            PowerSample(row.at, row.import_kw, row.pv_kw, row.storage_kw, _stands(row))
            for query in (early, samples)
            for row in db.exec(query)
        ],
        [
            Charging(
                row.pack_id, row.started_at, row.ended_at, row.start_energy_kwh, row.end_energy_kwh,
                row.start_meter_kwh, row.end_meter_kwh,
            )
            for row in db.exec(sessions)
        ],
        [
            Exchange(at, seat.old_pack_id, seat.returned_soe_kwh, seat.new_pack_id, seat.installed_soe_kwh)
            for at, seat in db.exec(seats)
            if at is not None
        ],
    )  # fmt: skip


def explain(
    station_id: str,
    from_at: datetime,
    to_at: datetime,
    samples: Sequence[PowerSample],
    sessions: Sequence[Charging],
    exchanges: Sequence[Exchange],
) -> Reconciliation:
    """Explain a time.

    Args:
        samples: in their order; one before the beginning stands for the first moments.
        sessions: all of the station, since the stock comes from before.
        exchanges: all of the station, by their instants.
    """
    meter_kwh, unread = _metered(samples, [one.import_kw for one in samples], from_at, to_at)
    pv_kwh, _ = _metered(samples, [one.pv_kw for one in samples], from_at, to_at)
    storage_kwh, _ = _metered(samples, [one.storage_kw for one in samples], from_at, to_at)
    shares = [(one, _share(one, from_at, to_at)) for one in sessions if one.end_kwh is not None]
    inside = [(one, share) for one, share in shares if share > 0]
    into_packs = sum(share * ((one.end_kwh or 0.0) - one.start_kwh) for one, share in inside)
    chargers = sum(share * _counted(one) for one, share in inside)
    out = [one for one in exchanges if from_at <= one.at < to_at]
    handed_out = sum(one.installed_kwh or 0.0 for one in out)
    taken_back = sum(one.returned_kwh or 0.0 for one in out)
    begin, end = (stock_kwh(at, sessions, exchanges) for at in (from_at, to_at))
    return Reconciliation(
        station_id=station_id,
        from_at=from_at,
        to_at=to_at,
        meter_kwh=_two(meter_kwh),
        unread_h=_two(unread / timedelta(hours=1)),
        pv_kwh=_two(pv_kwh),
        storage_kwh=_two(storage_kwh),
        chargers_kwh=_two(chargers),
        into_packs_kwh=_two(into_packs),
        handed_out_kwh=_two(handed_out),
        taken_back_kwh=_two(taken_back),
        stock_begin_kwh=_two(begin),
        stock_end_kwh=_two(end),
        other_use_kwh=_two(meter_kwh) + _two(pv_kwh) - _two(storage_kwh) - _two(chargers),
        charging_loss_kwh=_two(chargers) - _two(into_packs),
        unexplained_kwh=_two(into_packs) - _two(handed_out) + _two(taken_back) - (_two(end) - _two(begin)),
        sessions=len(inside),
        sessions_unmetered=sum(one.start_meter_kwh is None or one.end_meter_kwh is None for one, _ in inside),
        exchanges=len(out),
        exchanges_unread=sum(one.installed_kwh is None or one.returned_kwh is None for one in out),
    )


def stock_kwh(at: datetime, sessions: Iterable[Charging], exchanges: Iterable[Exchange]) -> float:
    """What the station's packs held at an instant, by the last thing that had happened to each, else by the next.

    A pack to which nothing ever happened is left out: it changes no difference.
    """
    total = 0.0
    by_pack: dict[str, list[_Told]] = {}
    for told in _told(at, sessions, exchanges):
        by_pack.setdefault(told.pack_id, []).append(told)
    for events in by_pack.values():
        events.sort(key=lambda event: event.at)
        before = [event for event in events if event.at <= at]
        if before:
            total += before[-1].kwh if before[-1].here_after else 0.0
        else:
            total += events[0].kwh if events[0].here_before else 0.0
    return total


@dataclass(frozen=True, slots=True)
class _Told:
    """What something that happened tells of one pack."""

    at: datetime
    pack_id: str
    kwh: float
    here_before: bool
    here_after: bool


def _told(at: datetime, sessions: Iterable[Charging], exchanges: Iterable[Exchange]) -> Iterator[_Told]:
    for one in sessions:
        yield _Told(one.started_at, one.pack_id, one.start_kwh, here_before=True, here_after=True)
        if one.ended_at is not None and one.end_kwh is not None:
            if one.started_at < at < one.ended_at:
                share = (at - one.started_at) / (one.ended_at - one.started_at)
                kwh = one.start_kwh + share * (one.end_kwh - one.start_kwh)
                yield _Told(at, one.pack_id, kwh, here_before=True, here_after=True)
            yield _Told(one.ended_at, one.pack_id, one.end_kwh, here_before=True, here_after=True)
    for swap in exchanges:
        if swap.old_pack_id is not None:
            yield _Told(swap.at, swap.old_pack_id, swap.returned_kwh or 0.0, here_before=False, here_after=True)
        if swap.new_pack_id is not None:
            yield _Told(swap.at, swap.new_pack_id, swap.installed_kwh or 0.0, here_before=True, here_after=False)


def _metered(
    samples: Sequence[PowerSample], powers_kw: Sequence[float | None], from_at: datetime, to_at: datetime
) -> tuple[float, timedelta]:
    """Energy of a power, and for how long it is not known."""
    kwh, read = 0.0, timedelta()
    ends = [one.at for one in samples[1:]] + [to_at]
    for sample, power_kw, next_at in zip(samples, powers_kw, ends, strict=False):
        begin = max(sample.at, from_at)
        end = min(next_at, sample.at + sample.stands, to_at)
        if power_kw is not None and end > begin:
            kwh += power_kw * ((end - begin) / timedelta(hours=1))
            read += end - begin
    return kwh, to_at - from_at - read


def _stands(row: SiteSample) -> timedelta:
    return LONGEST_GAP if row.covered_s is None else timedelta(seconds=row.covered_s)


def _share(one: Charging, from_at: datetime, to_at: datetime) -> float:
    """Which part of a session lies in a time."""
    if one.ended_at is None:
        return 0.0
    whole = one.ended_at - one.started_at
    if whole <= timedelta():
        return 1.0 if from_at <= one.started_at < to_at else 0.0
    return max(timedelta(), min(one.ended_at, to_at) - max(one.started_at, from_at)) / whole


def _counted(one: Charging) -> float:
    if one.start_meter_kwh is None or one.end_meter_kwh is None:
        return (one.end_kwh or 0.0) - one.start_kwh
    return one.end_meter_kwh - one.start_meter_kwh


def _two(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("0.01"))
