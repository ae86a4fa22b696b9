"""A seller's income shared out. Pure, in whole fen.

Each firm gets its share rounded towards zero; one firm, declared beforehand, gets what that leaves over. So the parts
sum to the income to the fen, and the order of the firms changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

WHOLE_BP = 10_000


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
