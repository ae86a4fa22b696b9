"""Demand response: accepted events are settled, settlements are what the journal makes them, and charged as told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlmodel import col

from swap.audit.findings import Finding, Findings
from swap.audit.rows import Reader
from swap.commerce.charges import FEN_YUAN, NewCharge, whole
from swap.commerce.demand_response import PAID, PENALTY, settlement_charges
from swap.messages.events import read_event_text
from swap.messages.power import DrAnswered, DrSettled
from swap.reading.response import can_settle
from swap.tables import ChargeRow, StationEvent

SETTLED_WITHIN = timedelta(hours=3)
"""An event may be without settlement, and a settlement without charge, while its journal has not come further than
this beyond its end."""


def check_responses(reader: Reader, findings: Findings, newest_at: Mapping[str, datetime]) -> None:
    """Every settlement of every journal, and every charge of one.

    Args:
        newest_at: how far the journal of each station has come.
    """
    found = findings["response_as_settled"]
    charges = {
        row.source: row for row in reader.rows(ChargeRow, order=(col(ChargeRow.id),), judged=False) if _is_ours(row)
    }
    ids = {row.id: source for source, row in charges.items()}
    for station_id in reader.stations:
        _station(reader, found, station_id, newest_at.get(station_id), charges, ids)
    for source, row in charges.items():
        found.look(False, f"charge {row.id}: source {source} is told by no settlement of a journal")


def _is_ours(row: Any) -> bool:
    return row.kind in (PAID, PENALTY) or row.source.split(":")[0] in (PAID, PENALTY)


def _station(
    reader: Reader,
    found: Finding,
    station_id: str,
    newest_at: datetime | None,
    charges: dict[str, Any],
    ids: Mapping[str, str],
) -> None:
    """Takes out of `charges` what the station's journal tells."""
    events: dict[str, DrAnswered] = {}
    last: dict[str, DrSettled] = {}
    told = reader.rows(
        StationEvent,
        StationEvent.station_id == station_id,
        col(StationEvent.kind).in_((DrAnswered.kind, DrSettled.kind)),
        order=(col(StationEvent.seq),),
        judged=False,
    )
    for row in told:
        try:
            said = read_event_text(row.kind, row.data)
        except ValueError:
            continue  # told by the walk along the journals
        where = f"event {row.seq} of station {station_id}"
        if isinstance(said, DrAnswered):
            found.look(said.event_id not in last, f"{where} answers {said.event_id}, which was settled before")
            events[said.event_id] = said
        elif isinstance(said, DrSettled):
            event = events.get(said.event_id)
            if found.look(event is not None and can_settle(event), f"{where} settles {said.event_id}, not accepted"):
                assert event is not None
                early = newest_at is None or newest_at <= row.at + SETTLED_WITHIN
                _settled(found, where, row, event, said, last.get(said.event_id), charges, ids, early=early)
            last[said.event_id] = said
    for event_id, event in events.items():
        if not can_settle(event) or event_id in last:
            continue
        if newest_at is None or newest_at <= event.until_at + SETTLED_WITHIN:
            found.wait()
        else:
            found.look(False, f"station {station_id} accepted {event_id}, which is over and not settled")


def _settled(
    found: Finding,
    where: str,
    row: Any,
    event: DrAnswered,
    said: DrSettled,
    before: DrSettled | None,
    charges: dict[str, Any],
    ids: Mapping[str, str],
    *,
    early: bool,
) -> None:
    try:
        asked = settlement_charges(row.station_id, event, said, before, row.at)
    except ValueError as error:
        found.look(False, f"{where}: {error}")
        return
    found.examined += 1
    for one in asked:
        charge = charges.pop(one.source, None)
        if charge is None and early:
            found.wait()
        elif found.look(charge is not None, f"{where} tells of {one.source}, and there is no such charge"):
            assert charge is not None
            found.same(f"charge {charge.id}", where, charge, _columns(one) | {"made_at": row.at})
            corrected = None if charge.corrects_id is None else ids.get(charge.corrects_id)
            wrong = f"charge {charge.id}: corrects_id is {charge.corrects_id}, {where} corrects {_corrects(one)}"
            found.look(corrected == _corrects(one), wrong)


def _corrects(one: NewCharge) -> object:
    return one.basis.get("corrects")


def _columns(one: NewCharge) -> dict[str, object]:
    return {
        "seller_id": one.seller_id,
        "buyer_id": one.buyer_id,
        "sale": one.sale.value,
        "kind": one.kind,
        "station_id": one.station_id,
        "period": one.period,
        "from_at": one.from_at,
        "until_at": one.until_at,
        "quantity_1e6": whole(one.quantity, Decimal("0.000001")),
        "amount_fen": whole(one.amount_yuan, FEN_YUAN),
        "tax_category": one.tax_category,
        "tax_rate_bp": whole(one.tax_rate, Decimal("0.0001")),
        "basis": one.basis,
    }
