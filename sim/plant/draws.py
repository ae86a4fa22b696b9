"""Values of the plant that vary from one time to the next."""

from __future__ import annotations

from random import Random


class Draws:
    """Varied values from a seed and a name. Its state is one number, so a snapshot can carry it.

    With `varies` false every value is its nominal one.
    """

    def __init__(self, seed: int, name: str, varies: bool = True) -> None:
        self._seed = seed
        self._name = name
        self._varies = varies
        self.count = 0

    def restart(self, seed: int, count: int) -> None:
        """Go on after `count` values of a seed."""
        self._seed, self.count = seed, count

    def __call__(self, nominal: float, spread_share: float) -> float:
        """A value evenly within nominal × (1 ± spread_share)."""
        self.count += 1
        if not self._varies:
            return nominal
        drawn = Random(f"{self._seed}:{self._name}:{self.count}").uniform(-spread_share, spread_share)
        return nominal * (1.0 + drawn)
