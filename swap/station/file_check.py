"""Checks of the station file that need the recipes."""

from __future__ import annotations

from pathlib import Path

from robotics.config import LaneSection
from robotics.handshake import limits_of
from robotics.modbus_link.registers import MapError, RegisterMap, load_map, shipped_maps
from robotics.port import LinkLimit, Signal
from scheduler.sections import did_you_mean
from swap.config.checks import cross_check
from swap.config.loading import ConfigError, parse_fields, read_toml
from swap.config.map_checks import unread_entries, uses
from swap.config.station_file import StationConfig
from swap.station.sequence.permissives import TRIPS
from swap.station.sequence.recipe import Place, Recipe, RecipeError, StepRow, carried_orders, load_recipe
from swap.station.sequence.secured import VehiclePhase


def recipe_problems(config: StationConfig) -> list[str]:
    """What is wrong between lanes, recipes, vehicle models and bays; one line each."""
    problems: list[str] = []
    modes: set[str] = set()
    for lane in config.lanes:
        try:
            recipe = load_recipe(lane.recipe, config.folder)
        except RecipeError as error:
            problems.append(f"lanes.{lane.id}.recipe: {error}")
            continue
        modes.add(recipe.swap_mode)
        if lane.swap_mode not in (None, recipe.swap_mode):
            problems.append(
                f"lanes.{lane.id}.swap_mode = {lane.swap_mode!r}: recipe {recipe.name} serves {recipe.swap_mode!r}; "
                "leave it out or use another recipe"
            )
        if lane.swap_order not in carried_orders(recipe):
            problems.append(
                f"lanes.{lane.id}.swap_order = {lane.swap_order!r}: recipe {recipe.name} carries "
                f"{', '.join(carried_orders(recipe))}"
            )
        else:
            problems += _signal_problems(config, lane, recipe)
        if lane.swap_order == "in_out" and not config.transfer_bays(lane.id):
            problems.append(
                f"lanes.{lane.id}.swap_order = 'in_out': needs a transfer bay in reach; "
                'add a bay with role = "transfer" or use "out_in"'
            )
    for model in config.vehicle_models:
        if modes and model.swap_mode not in modes:
            problems.append(
                f"vehicle_models.{model.id}.swap_mode = {model.swap_mode!r}: no lane serves it; "
                f"lanes serve {', '.join(sorted(modes))}"
            )
    return problems


def _signal_problems(config: StationConfig, lane: LaneSection, recipe: Recipe) -> list[str]:
    """Facts that the lane's work rests on and its register map does not carry: the swap would never begin."""
    try:
        register_map = load_map(lane.cell.register_map, config.folder)
    except MapError:
        return []  # told by `cross_check`
    served = [m for m in config.vehicle_models if m.swap_mode == recipe.swap_mode]
    packs = max((m.packs_per_vehicle for m in served), default=1)
    asked: dict[str, str] = dict.fromkeys((*TRIPS, Signal.SMOKE_OK), "the station")
    table, known = recipe.table(packs, lane.swap_order), set(register_map.entries)
    rows = (*table.rows, recipe.evacuation) if _has_tank(register_map) and recipe.evacuation else table.rows
    for row in rows:
        for name in (*row.permissives, *row.confirm):
            for fed_by in _feeds(name.removeprefix("!"), row, packs, known):
                asked.setdefault(fed_by, f"recipe {recipe.name}, state {row.state},")
    for model in served:
        for phase in VehiclePhase:
            for name in getattr(model.secured, phase.value):
                asked.setdefault(name, f"vehicle model {model.id}, secured.{phase.value},")
    return [
        f"lanes.{lane.id}.cell.register_map = {lane.cell.register_map!r}: {who} asks for {name}, which the map does "
        f"not carry: unknown is never true, so nothing would move; add the entry{did_you_mean(name, unread & known)}"
        for unread in [set(unread_entries(register_map))]
        for name, who in asked.items()
        if name not in known
    ]


def _has_tank(register_map: RegisterMap) -> bool:
    """Whether the cell says anything of a tank; without one no hot pack is carried."""
    return Signal.TANK_READY in register_map.entries or Signal.TANK_OCCUPIED in register_map.entries


def _feeds(name: str, row: StepRow, packs: int, known: set[str]) -> tuple[str, ...]:
    """Entries of a register map that a fact of a row rests on."""
    if name in ("source_occupied", "target_occupied"):
        place = row.source if name == "source_occupied" else row.target
        if place is Place.SEAT:
            return tuple(f"seat_{seat}_occupied" for seat in range(1, packs + 1))
        return _OCCUPIED.get(place, ())
    if name in ("locks_open", "locks_closed"):
        told = tuple(f"seat_{seat}_{name}" for seat in range(1, packs + 1))
        apart = told if known & set(told) else (name.replace("locks", "heads"),)
        return (name,) if packs == 1 else (name, *apart)
    if name == "pack_accepted":
        told = tuple(f"seat_{seat}_accepted" for seat in range(1, packs + 1))
        return told if set(told) <= known else (name,)
    if name == "all_locks_closed":
        return (Signal.LOCKS_CLOSED,)
    return (name,) if name in set(Signal) else ()


_OCCUPIED: dict[Place | None, tuple[str, ...]] = {
    None: (Signal.GRIPPER_LOADED,),
    Place.GRIPPER: (Signal.GRIPPER_LOADED,),
    Place.OLD_BAY: ("bays_occupied",),
    Place.NEW_BAY: ("bays_occupied",),
    Place.HOT_BAY: ("bays_occupied",),
    Place.TRANSFER: (Signal.TRANSFER_OCCUPIED,),
}


def open_limits(config: StationConfig) -> dict[str, tuple[str, tuple[LinkLimit, ...]]]:
    """Lanes whose cell fences no requests: name of the layout, and what late requests can still do to the cell."""
    found = {}
    for lane in config.lanes:
        register_map = load_map(lane.cell.register_map, config.folder)
        if register_map.handshake.style != "fenced":
            found[lane.id] = register_map.name, limits_of(register_map)
    return found


def unread(config: StationConfig) -> dict[str, tuple[str, ...]]:
    """Entries that have no meaning to the station, by the integrator's own register map that carries them."""
    found = {}
    for use in uses(config):
        if use.map_name in shipped_maps():
            continue  # those tell their devices more than the station asks for
        register_map = load_map(use.map_name, config.folder)
        names = unread_entries(register_map)
        if names:
            found[register_map.name] = names
    return found


def check_file(path: Path) -> StationConfig:
    """Read a station file and check it against every map and recipe that it names.

    Raises:
        ConfigError: the file is missing, no TOML, or not valid: every problem at once, of fields first, since what
            they say is not known before they are in order.
    """
    config = parse_fields(read_toml(path), source=str(path), folder=path.parent)
    problems = cross_check(config) + recipe_problems(config)
    if problems:
        raise ConfigError(str(path), dict.fromkeys(problems))
    return _with_modes(config)


def check_recipes(config: StationConfig, source: str = "station file") -> StationConfig:
    """The same configuration, each lane with the swap mode of its recipe.

    Raises:
        ConfigError: with every problem of `recipe_problems`.
    """
    problems = recipe_problems(config)
    if problems:
        raise ConfigError(source, problems)
    return _with_modes(config)


def _with_modes(config: StationConfig) -> StationConfig:
    lanes = tuple(
        lane.model_copy(update={"swap_mode": load_recipe(lane.recipe, config.folder).swap_mode})
        for lane in config.lanes
    )
    return config.model_copy(update={"lanes": lanes})
