"""A plant kept and gone on from, many times a millisecond: the fields of its own snapshot, written only where changed.

`Plant.snapshot()` is JSON for a file. Here the same fields are kept as tuples; `test_explore.py` shows that both
keep the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from sim.plant import cell_state as plant_cell_state
from sim.plant import rack as plant_rack
from sim.plant import site as plant_site
from sim.plant import yard as plant_yard
from sim.plant.cell_state import ActiveCommand, CellFaults
from sim.plant.plant import Plant

_PACK = plant_rack._PACK_FIELDS
_BAY = plant_rack._BAY_FIELDS
_SITE = plant_rack._SITE_FIELDS
_POWER = (*plant_site._FIELDS, "order")
_TRUCK = plant_yard._TRUCK_FIELDS
_CELL = (*plant_cell_state._PLAIN, *plant_cell_state._CODES, "position")
_FAULTS = tuple(CellFaults.__slots__)
Getter = Callable[[Any], tuple[Any, ...]]


class Keeper:
    """Keeps and restores one plant with one lane."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.cell = next(iter(plant.cells.values()))
        self._plain: list[tuple[Any, tuple[str, ...], Getter]] = []
        for pack in plant.rack.packs.values():
            self._plain.append((pack, _PACK, attrgetter(*_PACK)))
        for bay in plant.rack.bays.values():
            self._plain.append((bay, _BAY, attrgetter(*_BAY)))
        for truck in plant.yard.trucks.values():
            self._plain.append((truck, _TRUCK, attrgetter(*_TRUCK)))
        self._plain.append((plant.rack, _SITE, attrgetter(*_SITE)))
        self._plain.append((plant.site, _POWER, attrgetter(*_POWER)))
        self._plain.append((self.cell, _CELL, attrgetter(*_CELL)))
        self._faults = attrgetter(*_FAULTS)

    def keep(self) -> tuple[Any, ...]:
        """Everything that changes."""
        plant, cell = self.plant, self.cell
        active = cell.active
        return (
            plant.now_us,
            plant._next_grid_us,
            tuple([get(thing) for thing, _, get in self._plain]),
            tuple(
                [
                    (t.place, tuple(t.secured.items()), tuple(t.secure_us.items()), tuple(t.heads))
                    for t in plant.yard.trucks.values()
                ]
            ),
            tuple([tuple(v) if isinstance(v, list) else v for v in self._faults(cell.faults)]),
            (tuple(cell.latched), tuple(cell.used)),
            None
            if active is None
            else (active.command, active.phase, active.phase_s, active.due_us, active.left_us, active.waited_s),
        )

    def restore(self, kept: tuple[Any, ...]) -> None:
        """Go on from what `keep` gave."""
        plant, cell = self.plant, self.cell
        plant.now_us, plant._next_grid_us, plain, trucks, faults, (latched, used), active = kept
        packs_moved = False
        for (thing, names, get), values in zip(self._plain, plain, strict=True):
            if get(thing) != values:
                for name, value in zip(names, values, strict=True):
                    setattr(thing, name, value)
                packs_moved = packs_moved or names is _PACK
        if packs_moved:
            plant.rack.index()
        for truck, values in zip(plant.yard.trucks.values(), trucks, strict=True):
            place, secured, secure_us, heads = values
            truck.place = place
            truck.secured, truck.secure_us, truck.heads = dict(secured), dict(secure_us), list(heads)
        if tuple([tuple(v) if isinstance(v, list) else v for v in self._faults(cell.faults)]) != faults:
            for name, value in zip(_FAULTS, faults, strict=True):
                setattr(cell.faults, name, list(value) if isinstance(value, tuple) else value)
        cell.latched, cell.used = list(latched), deque(used, maxlen=plant_cell_state.USED_NUMBERS)
        cell.active = None
        if active is not None:
            command, phase, phase_s, due_us, left_us, waited_s = active
            cell.active = ActiveCommand(command, phase, phase_s, due_us, left_us, waited_s)
