"""The planner's port filled from plans: their guides while they are good, the rule before and after."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

from scheduler.guide import Guide, Planner
from scheduler.types import TariffSlice

GOOD_FOR = timedelta(hours=2)
"""A plan that nobody has renewed for so long no longer knows the rack."""


class GuideKeeper:
    """A planner that gives the newest plan's guides; whoever makes plans hands them over.

    Args:
        rule: asked where no plan is good.
        good_for: how long one is.
    """

    def __init__(self, rule: Planner, good_for: timedelta = GOOD_FOR) -> None:
        self._rule = rule
        self._good_for = good_for
        self._from_at: datetime | None = None
        self._until_at: datetime | None = None
        self._guides: tuple[Guide, ...] = ()
        self._ends: list[datetime] = []

    def adopt(self, from_at: datetime, guides: Sequence[Guide]) -> None:
        """Guides that follow each other from `from_at` on, of a plan that was checked."""
        self._from_at, self._until_at = from_at, from_at + self._good_for
        self._guides, self._ends = tuple(guides), [guide.until_at for guide in guides]

    def has_plan(self, at: datetime) -> bool:
        """Whether a plan is carried out at an instant, not the rule."""
        return (
            self._from_at is not None
            and self._until_at is not None
            and self._from_at <= at < self._until_at
            and bool(self._ends)
            and at < self._ends[-1]
        )

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """The plan's guide, or the rule's."""
        if not self.has_plan(at):
            return self._rule.guide_at(at, prices)
        return self._guides[bisect_right(self._ends, at)]
