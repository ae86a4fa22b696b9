"""Settlement statements: what of a seller's income of a month goes to whom. The customer's bill knows nothing of it.

Each firm gets its share rounded towards zero; one firm, declared beforehand, gets what that leaves over. So the parts
sum to the income to the fen, and the order of the firms changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from swap.commerce.bills.money import BASIS_POINT
from swap.commerce.charges import whole
from swap.commerce_db import CommerceDb
from swap.config.billing_section import ShareSection
from swap.config.prices import read_prices
from swap.messages.commerce import PricesSet
from swap.tables import Settlement, SettlementShare, StationEvent

WHOLE_BP = 10_000


def shares_of(shares: tuple[ShareSection, ...], kind: str) -> tuple[dict[str, int], str] | None:
    """Shares of a kind of income in 1/10 000 by firm, and who takes the rest; None where nothing is shared."""
    own = [share for share in shares if share.of == kind]
    if not own:
        return None
    rest_to = next(share.party for share in own if share.takes_rest)
    return {share.party: whole(share.share, BASIS_POINT) for share in own}, rest_to


def settlements(
    db: CommerceDb, seller_id: str, period: str, incomes_fen: Mapping[tuple[str, str, int], int], at: datetime
) -> list[tuple[Settlement, list[SettlementShare]]]:
    """The statements of a month, each with its shares; they are in no session.

    Args:
        incomes_fen: net income by station, kind of line, and event that tells the prices and shares of that time.
    """
    found: list[tuple[Settlement, list[SettlementShare]]] = []
    for (station_id, kind, prices_seq), income_fen in sorted(incomes_fen.items()):
        told = db.get_one(StationEvent, (station_id, prices_seq))
        shared = shares_of(read_prices(prices_seq, PricesSet.read(told.data)).billing.shares, kind)
        if shared is None:
            continue
        shares_bp, rest_to = shared
        key = f"{seller_id}:{period}:{station_id}:{kind}:{prices_seq}"
        row = Settlement(
            id=f"se-{hashlib.sha256(key.encode()).hexdigest()[:20]}",
            seller_id=seller_id,
            period=period,
            station_id=station_id,
            kind=kind,
            prices_seq=prices_seq,
            income_fen=income_fen,
            made_at=at,
        )
        parts = split(income_fen, shares_bp, rest_to)
        lines = [
            SettlementShare(
                settlement_id=row.id,
                party_id=party,
                share_bp=shares_bp[party],
                takes_rest=party == rest_to,
                amount_fen=parts[party],
            )
            for party in sorted(parts)
        ]
        found.append((row, lines))
    return found


def split(income_fen: int, shares_bp: Mapping[str, int], rest_to: str) -> dict[str, int]:
    """What each firm gets of an income; of a negative one the mirror image.

    Args:
        shares_bp: by firm, in 1/10 000; together 10 000.
        rest_to: the firm that gets what rounding leaves over.

    Raises:
        ValueError: the shares do not sum to the whole, one is negative, or nobody of them takes the rest.
    """
    if sum(shares_bp.values()) != WHOLE_BP or min(shares_bp.values()) < 0:
        raise ValueError(f"shares = {dict(shares_bp)}: allowed 0 or more each, {WHOLE_BP} together")
    if rest_to not in shares_bp:
        raise ValueError(f"rest_to = {rest_to!r}: allowed {', '.join(sorted(shares_bp))}")
    sign = -1 if income_fen < 0 else 1
    parts = {party: sign * (abs(income_fen) * share_bp // WHOLE_BP) for party, share_bp in shares_bp.items()}
    parts[rest_to] += income_fen - sum(parts.values())
    return parts
