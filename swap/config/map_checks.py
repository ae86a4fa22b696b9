"""Register maps against the station file that names them, and against what the drivers ask of a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from battery_bms.config import SiteDeviceSection
from battery_bms.entries import (
    BAY_CHARGES,
    BAY_COMMAND,
    BAY_NEEDED,
    BAY_READ,
    METER_NEEDED,
    METER_READ,
    PV_NEEDED,
    PV_READ,
    STORAGE_COMMAND,
    STORAGE_ENERGY,
    STORAGE_NEEDED,
    STORAGE_READ,
)
from robotics.modbus_link.cell_entries import COMMAND_WRITE, FENCED_WRITES, KNOWN
from robotics.modbus_link.registers import MapError, RegisterMap, load_map
from robotics.port import LocationKind
from scheduler.sections import did_you_mean
from swap.config.station_file import SiteSection, StationConfig

_KNOWN: dict[str, frozenset[str]] = {
    "swap_cell": KNOWN,
    "bay_charger": frozenset((*BAY_READ, *BAY_COMMAND)),
    "site_meter": frozenset(METER_READ),
    "pv_meter": frozenset(PV_READ),
    "storage": frozenset((*STORAGE_READ, *STORAGE_COMMAND)),
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "swap_cell": (),
    "bay_charger": BAY_NEEDED,
    "site_meter": METER_NEEDED,
    "pv_meter": PV_NEEDED,
    "storage": STORAGE_NEEDED,
}
"""Of a cell `cell_entries.cell_problems` judges more than names."""
_WRITTEN: dict[str, tuple[tuple[str, ...], ...]] = {
    "swap_cell": (COMMAND_WRITE, *FENCED_WRITES),
    "bay_charger": (BAY_COMMAND,),
    "site_meter": (),
    "pv_meter": (),
    "storage": (),
}


@dataclass(frozen=True, slots=True)
class MapUse:
    """One device of the station file and the map that it is read with."""

    where: str
    """Section of the file, such as `lanes.L1.cell`."""
    map_name: str
    kind: str
    """Kind of map that fits there."""
    max_registers: int
    link: str
    """Section that holds `max_registers`."""


def uses(config: StationConfig) -> Iterator[MapUse]:
    """Every device of the file."""
    for lane in config.lanes:
        where = f"lanes.{lane.id}.cell"
        most = lane.cell.address.max_registers
        yield MapUse(where, lane.cell.register_map, "swap_cell", most, f"{where}.address")
    for device in config.rack_devices:
        where = f"rack_devices.{device.id}"
        yield MapUse(where, device.register_map, "bay_charger", device.max_registers, where)
    for where, kind, section in site_devices(config.site):
        yield MapUse(where, section.register_map, kind, section.address.max_registers, f"{where}.address")


def site_devices(site: SiteSection) -> Iterator[tuple[str, str, SiteDeviceSection]]:
    """Section of the file, kind of map and section of each device beside the rack."""
    devices = (("meter", "site_meter", site.meter), ("pv", "pv_meter", site.pv), ("storage", "storage", site.storage))
    for name, kind, section in devices:
        if section is not None:
            yield f"site.{name}", kind, section


def map_problems(config: StationConfig, folder: Path | None) -> list[str]:
    """What is wrong between the file and the maps that it names; one line each.

    A map that cannot be read at all is told by `cross_check`.
    """
    problems: list[str] = []
    for use in uses(config):
        try:
            register_map = load_map(use.map_name, folder)
        except MapError:
            continue
        where = f"{use.where}.register_map = {use.map_name!r}"
        if register_map.kind != use.kind:
            problems.append(f"{where}: is a map of kind {register_map.kind}; one of kind {use.kind} belongs here")
            continue
        problems += [f"{where}: {line}" for line in _entry_problems(register_map)]
        problems += [
            f"{use.link}.max_registers = {use.max_registers}: {line}"
            for line in _length_problems(register_map, use.max_registers)
        ]
    return problems + _position_problems(config, folder)


def unread_entries(register_map: RegisterMap) -> tuple[str, ...]:
    """Entries that have no meaning to the station: it reads them, and nothing looks at them."""
    entries = register_map.entries
    referred = {name for e in entries.values() for name in (e.valid_when, e.mask, e.scale_from)}
    return tuple(
        entry.name
        for entry in entries.values()
        if entry.name not in _KNOWN[register_map.kind] | referred and not entry.faults and entry.const is None
    )


def _entry_problems(register_map: RegisterMap) -> list[str]:
    """Names that are nearly ones the drivers know, and those they cannot do without."""
    absent = set(register_map.missing(sorted(_KNOWN[register_map.kind])))
    problems = [
        f"entry {name!r}: no such name is known to the station{hint}"
        for name in unread_entries(register_map)
        if (hint := did_you_mean(name, absent))
    ]
    missing = register_map.missing(_NEEDED[register_map.kind])
    problems += [f"entry {name!r}: missing; a {register_map.kind} map needs it" for name in missing]
    if register_map.kind == "storage" and len(register_map.missing(STORAGE_ENERGY)) == len(STORAGE_ENERGY):
        problems.append(f"entries {' and '.join(STORAGE_ENERGY)}: missing; a storage map needs one of them")
    if register_map.kind == "bay_charger":
        problems += [
            f"entry {name!r}: missing; without it no pack is ever charged, what is unknown gets 0 kW"
            for name in register_map.missing(BAY_CHARGES)
        ]
    return problems


def _length_problems(register_map: RegisterMap, max_registers: int) -> list[str]:
    """Requests that must not be split and are longer than the link allows."""
    entries = register_map.entries
    problems = [
        f"entry {entry.name!r} takes {entry.words} registers and is read in one request; allowed {entry.words}…125"
        for entry in entries.values()
        if entry.words > max_registers and register_map.blocks[entry.block].access == "read"
    ]
    whole = [b.name for b in register_map.blocks.values() if b.access == "write" and register_map.kind == "storage"]
    blocks = [tuple(entry.name for entry in register_map.by_block[name]) for name in whole]
    for names in (*_WRITTEN[register_map.kind], *blocks):
        words = sum(entries[name].words for name in names if name in entries)
        if words > max_registers:
            problems.append(
                f"{', '.join(name for name in names if name in entries)} take {words} registers and are written in "
                f"one request; allowed {words}…125"
            )
    if register_map.kind == "swap_cell":
        fast = entries["heartbeat"].block
        longest = max(span.count for span in register_map.read_blocks[fast])
        if longest > max_registers:
            problems.append(
                f"block {fast!r} takes {longest} registers in one request, since a result and the sensors that "
                f"confirm it must be of one moment; allowed {longest}…125"
            )
    return problems


def _position_problems(config: StationConfig, folder: Path | None) -> list[str]:
    """Bays that a cell can neither name in a command nor see."""
    problems: list[str] = []
    for lane in config.lanes:
        try:
            register_map = load_map(lane.cell.register_map, folder)
        except MapError:
            continue
        if register_map.kind != "swap_cell":
            continue
        bays = [bay for bay in config.bays if not bay.lanes or lane.id in bay.lanes]
        bases = register_map.handshake.locations
        above = [base for kind in LocationKind if (base := getattr(bases, kind.value)) > bases.bay]
        last = min(above, default=65_536 + bases.bay) - bases.bay - 1
        seen = register_map.entries.get("bays_occupied")
        for bay in bays:
            if bay.position > last:
                problems.append(
                    f"bays.{bay.id}.position = {bay.position}: map {register_map.name!r} of lane {lane.id} has codes "
                    f"for bays 1…{last}; what comes after is another place"
                )
            if seen is not None and bay.position > seen.size and bay.role != "transfer":
                problems.append(
                    f"bays.{bay.id}.position = {bay.position}: map {register_map.name!r} of lane {lane.id} shows the "
                    f"occupancy of bays 1…{seen.size} (entry 'bays_occupied'); make it longer or the position smaller"
                )
    return problems
