"""Whether a station keeps its promise, asked several times as replications come in, at one stated error.

Each look at the data may err; without correction six looks pass 8 % of the designs that lie exactly on the target
where 2.5 % is claimed. So the error is spent over the looks (Lan & DeMets 1983; here a plain sum, which holds whatever
the looks have in common): little at the first, half of it at the last. What a search has chosen is asked again with
fresh seeds, because the best of many has been lucky; attempt k at that may err by 1/2^k of the whole.

Three answers: True keeps, False breaks, None undecided. Undecided is none of the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sim.study.stats import Estimate, t_quantile

Verdict = bool | None


@dataclass(frozen=True, slots=True)
class PromiseRule:
    """How sure a verdict must be, and after how many replications it may be asked for."""

    target_share: float
    error: float
    """Chance of "keeps" for a station exactly on the target, all looks together; the same for "breaks"."""
    looks: tuple[int, ...]
    """Numbers of replications, rising."""

    def spent(self, look: int) -> float:
        """What of the error a look may spend: twice as much as the one before it."""
        return self.error * 2.0**look / (2.0 ** len(self.looks) - 1)

    def ask(self, look: int, found: Estimate, trucks: float, parts: int = 1) -> Verdict:
        """The verdict at one look.

        Args:
            found: share within the promise, with its standard error between replications.
            trucks: all trucks behind it. Replications that happen to agree are no surer than as many independent
                trucks on the target would be.
            parts: parts of the year that are asked this; a promise is broken where any breaks, kept where all keep.
        """
        if found.count < 2 or not math.isfinite(found.mean):
            return None
        at_least = math.sqrt(self.target_share * (1 - self.target_share) / max(trucks, 1.0))
        error = max(found.standard_error, at_least)
        off = (found.mean - self.target_share) / error
        if off >= t_quantile(1 - self.spent(look), found.count - 1):
            return True
        return False if -off > t_quantile(1 - self.spent(look) / parts, found.count - 1) else None

    def decide(self, share_after: Callable[[int], tuple[Estimate, float]], parts: int = 1) -> Verdict:
        """Look after look until one decides; `share_after` gives share and trucks of so many replications."""
        for look, count in enumerate(self.looks):
            found, trucks = share_after(count)
            verdict = self.ask(look, found, trucks, parts)
            if verdict is not None:
                return verdict
        return None


def looks_of(first: int, step: int, most: int) -> tuple[int, ...]:
    """The numbers of replications at which a verdict is asked for."""
    return (*range(first, most, step), most)


def both(one: Verdict, other: Verdict) -> Verdict:
    """The promise of two parts: broken where one breaks it, kept where both keep it."""
    if one is False or other is False:
        return False
    return True if one and other else None


def attempt_error(error: float, attempt: int) -> float:
    """Error that the confirmation number `attempt` (0 first) of one search may have; all together the whole."""
    return error / 2.0 ** (attempt + 1)
