"""Random number streams: one for each purpose, so that two designs see the same trucks.

Every stream is a child of one seed by its place in a tree (numpy's `SeedSequence`): replication, then
purpose. So a result depends on the seed alone, never on the number of processes or on what else is drawn,
and runs of different stations under one seed share arrivals, charges and failures (common random numbers).
"""

from __future__ import annotations

import random
from enum import IntEnum

from numpy.random import PCG64, Generator, SeedSequence


class Purpose(IntEnum):
    """What a stream is for. Values are part of what a seed means: never renumber."""

    ARRIVALS = 0
    CONVOYS = 1
    VEHICLES = 2
    SOC = 3
    SWAP_TIME = 4
    CHARGE = 5
    PATIENCE = 6
    BOOKINGS = 7
    ROBOT_FAILURES = 8
    CHARGER_FAILURES = 9
    PACK_FAULTS = 10
    TRIPS = 11
    PV = 12
    FIT = 13
    UNCERTAINTY = 14


def stream(seed: int, replication: int, purpose: Purpose) -> random.Random:
    """The stream of one purpose in one replication."""
    words = SeedSequence(seed, spawn_key=(replication, int(purpose))).generate_state(4)
    return random.Random(int.from_bytes(words.tobytes(), "little"))


def generator(seed: int, replication: int, purpose: Purpose) -> Generator:
    """The same place in the tree as a numpy generator, for drawing in blocks."""
    return Generator(PCG64(SeedSequence(seed, spawn_key=(replication, int(purpose)))))
