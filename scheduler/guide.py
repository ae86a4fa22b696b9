"""The plan of charging as data: what prices and an optimiser wish, which `scheduler.charging` carries out.

A guide only narrows. Limits of packs, bays and site are the business of `claim` and of the budget, and a kind that is
short of packs is charged whatever a guide says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Final, Protocol

from scheduler.rows import KindRow
from scheduler.types import ChargingPolicy, TariffSlice

DEAR_PERIODS: Final = frozenset({"critical", "peak"})
"""Periods in which charging may be held back."""
EVERY_PACK: Final = 1_000_000
"""More packs than a station has: a kind that a guide does not name is never held back."""


class Guide:
    """Until `until_at`, kinds with at least `least_ready` packs to spare share at most `most_kw`.

    Args:
        most_kw: output of the chargers together, 0 … inf.
        least_ready: packs to spare by kind from which on it is bound; a kind left out never is.
        pack_kw: what single packs take of it at most, by their id; all others share what that leaves.
        reach_h: by kind, how far from ready its packs may be at most, in the order in which they will be: hours at full
            power of the first one, the second, … of those that are not asked for by the queue. A pack that is further
            away is not bound, nor is one that the queue asks for. For a kind in it `least_ready` does not count.

    Raises:
        ValueError: a power below 0 or that is none.
    """

    def __init__(
        self,
        until_at: datetime,
        most_kw: float,
        least_ready: Mapping[str, int],
        pack_kw: Mapping[str, float] | None = None,
        reach_h: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        if not most_kw >= 0.0:
            raise ValueError(f"most_kw of a guide is {most_kw}; it must be 0 or more (inf: no wish)")
        self.until_at = until_at
        self.most_kw = most_kw
        self.least_ready = dict(least_ready)
        self.reach_h: dict[str, list[float]] = {}
        if reach_h is not None:
            self.reach_h = {name: list(hours) for name, hours in reach_h.items()}
        self.pack_kw = {} if pack_kw is None else dict(pack_kw)
        for pack_id, kw in self.pack_kw.items():
            if not 0.0 <= kw < inf:
                raise ValueError(f"pack_kw of {pack_id} in a guide is {kw}; it must be 0 or more and finite")
        self.rest_kw = max(most_kw - sum(self.pack_kw.values()), 0.0)
        """What packs without a power of their own share."""
        self.binds = most_kw < inf and (len(least_ready) > 0 or len(self.reach_h) > 0)
        """Whether it can hold anything back."""


def until(guide: Guide, at: datetime) -> Guide:
    """The same wish, ending at an instant."""
    return Guide(at, guide.most_kw, guide.least_ready, guide.pack_kw, guide.reach_h)


def standing(kind: KindRow, guide: Guide) -> int:
    """What a guide sees of a kind's stock: while it stays the same, so do the packs that are bound.

    0 where the guide counts for all of them, `EVERY_PACK` where for none.
    """
    if not guide.binds:
        return EVERY_PACK
    if len(guide.reach_h) > 0 and kind.name in guide.reach_h:
        return max(len(guide.reach_h[kind.name]) - kind.spare, 0)
    return 0 if kind.spare >= guide.least_ready.get(kind.name, EVERY_PACK) else EVERY_PACK


def is_bound(kind: KindRow, guide: Guide) -> bool:
    """Whether a kind has packs enough that the guide counts for all of them."""
    return standing(kind, guide) == 0


def alike(guide: Guide | None, other: Guide | None) -> bool:
    """Whether two guides wish the same, whenever they end."""
    if guide is None or other is None:
        return guide is other
    return (
        guide.most_kw == other.most_kw
        and guide.least_ready == other.least_ready
        and guide.pack_kw == other.pack_kw
        and guide.reach_h == other.reach_h
    )


class Planner(Protocol):
    """Writes guides: the price rule, or an optimiser. The live station and the study ask it through this one port.

    The live station asks at every plan, the study when a guide ends or a price or limit changes: a guide holds until
    its end, and where there is none, until the next price or limit.
    """

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """The guide that holds at `at`, None for none.

        Args:
            prices: slices in order of time, the first of which holds `at`; as far ahead as they are known.
        """
        ...


class PriceRule:
    """Dear hours: no power for a kind while `reserve_ready` packs of it can be spared.

    Args:
        kinds: names of all kinds.
    """

    def __init__(self, policy: ChargingPolicy, kinds: Sequence[str]) -> None:
        self._tariff_aware = policy.tariff_aware
        self._reserve = dict.fromkeys(kinds, policy.reserve_ready)

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """None outside dear periods, and where no price is known."""
        if self._tariff_aware:
            for part in prices:
                if part.from_at <= at < part.until_at and part.period in DEAR_PERIODS:
                    return Guide(part.until_at, 0.0, self._reserve)
        return None
