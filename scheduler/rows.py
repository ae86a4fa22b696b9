"""What a decision reads and writes: one plain object for each bay, pack, kind, lane and truck.

The live station makes them anew from database and readings in each cycle, the study keeps its own and changes them
in place; both ask the same functions. Every attribute has one type, so that the compiled form reads them directly.

A number that is not known is NaN: no comparison with it holds, and each decision is written so that it then does
nothing. Instants are seconds from whatever the owner counts from, powers kW, energies kWh.
"""

from __future__ import annotations

from typing import Final

from scheduler.types import BayRole, Limit, PackState

NAN: Final = float("nan")

INFINITE: Final = float("inf")

_FULL_PCT: Final = 101.0
"""A state of charge above is no reading: a BMS rounds, it does not exceed by more."""
_OVERFULL: Final = 1.05
"""Share of its capacity up to which the energy of a pack is believed: capacity is known by the state of health."""


class KindRow:
    """A kind of pack: its limits, and what the station has of it now."""

    def __init__(self, name: str, max_charge_kw: float = NAN, temp_min_c: float = NAN, temp_max_c: float = NAN) -> None:
        self.name = name
        self.max_charge_kw = max_charge_kw
        self.temp_min_c = temp_min_c
        """A colder pack is not charged."""
        self.temp_max_c = temp_max_c
        """From here on it is not charged."""
        self.spare = 0
        """Packs that may be handed out, less those that the queue asks for."""


class PackRow:
    """One pack in a bay."""

    def __init__(self, pack_id: str, kind: KindRow, state: PackState, rated_kwh: float, soh_pct: float = 100.0) -> None:
        self.pack_id = pack_id
        self.kind = kind
        self.state = state
        self.rated_kwh = rated_kwh
        self.soh_pct = soh_pct
        self.energy_kwh = NAN
        self.soc_pct = NAN
        self.temp_max_c = NAN
        self.temp_min_c = NAN
        self.max_charge_kw = NAN
        """What the BMS allows now."""
        self.alarm_level = 0
        self.reading_age_s = NAN


class BayRow:
    """One bay, its charger, and what was decided about it last."""

    def __init__(self, bay_id: str, position: int, role: BayRole = BayRole.RACK, max_charge_kw: float = 0.0) -> None:
        self.bay_id = bay_id
        self.position = position
        self.role = role
        self.max_charge_kw = max_charge_kw
        """Rating of the charger; 0 where none is connected."""
        self.pack: PackRow | None = None
        self.kinds: frozenset[str] = frozenset()
        """Kinds that fit; empty: every kind."""
        self.lanes: frozenset[str] = frozenset()
        """Lanes that reach it; empty: every lane."""
        self.charger_ok = True
        self.blocked = False
        self.occupied: bool | None = None
        """Its own sensor."""
        self.reserved_by: str | None = None
        self.setpoint_kw = 0.0
        self.limited_by = Limit.NO_PACK
        self.at_offer = False
        """Set by `claim`: the pack is at the offer level."""
        self.missing = 0.0
        """Set by `claim`: what the pack lacks to its next level; only compared with that of others."""


class LaneRow:
    """One lane with its robot."""

    def __init__(self, lane_id: str, *, in_out: bool = False) -> None:
        self.lane_id = lane_id
        self.ready = True
        """Robot on line, no trip."""
        self.swap_modes: frozenset[str] = frozenset()
        """Empty: every mode."""
        self.open_swap_id: str | None = None
        self.in_out = in_out
        """The charged pack waits in the transfer bay, the spent one goes where that came from."""


class TruckRow:
    """One truck that waits for a lane."""

    def __init__(self, swap_id: str, vehicle_id: str, at_s: float, accepts: frozenset[str]) -> None:
        self.swap_id = swap_id
        self.vehicle_id = vehicle_id
        self.at_s = at_s
        """When it came."""
        self.accepts = accepts
        self.packs_needed = 1
        self.swap_mode = ""
        self.priority = 0
        """Higher goes first."""
        self.booked_from_s = NAN
        """NaN: not booked."""
        self.booked_until_s = NAN
        """NaN: open end."""
        self.min_energy_kwh = 0.0
        """Least that it asks for in each pack."""
        self.seats: list[frozenset[str]] | None = None
        """Of each pack that comes off the kinds that it may be of; None: bays must fit all that it accepts."""


def is_possible(pack: PackRow) -> bool:
    """Whether ratings, state of charge, energy and temperatures are known and such as a pack can have.

    The energy may be unknown: the state of charge then stands for it.
    """
    return (
        0.0 <= pack.soc_pct <= _FULL_PCT
        and -INFINITE < pack.temp_min_c <= pack.temp_max_c < INFINITE
        and 0.0 < pack.rated_kwh < INFINITE
        and 0.0 < pack.soh_pct < INFINITE
        and (
            pack.energy_kwh != pack.energy_kwh
            or 0.0 <= pack.energy_kwh * 100.0 <= pack.rated_kwh * pack.soh_pct * _OVERFULL
        )
    )
