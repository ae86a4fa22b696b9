"""Checks of the station file that need the recipes."""

from __future__ import annotations

from robotics.config import LaneSection
from robotics.handshake import limits_of
from robotics.modbus_link.registers import load_map
from robotics.port import LinkLimit, Signal
from swap.config.loading import ConfigError
from swap.config.station_file import StationConfig
from swap.station.sequence.recipe import Recipe, RecipeError, carried_orders, load_recipe


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
        transfer = [b for b in config.bays if b.role == "transfer" and (not b.lanes or lane.id in b.lanes)]
        if lane.swap_order == "in_out" and not transfer:
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
    """Signals that the recipe asks for and the lane's register map does not carry: the swap would never begin."""
    register_map = load_map(lane.cell.register_map, config.folder)
    served = [m for m in config.vehicle_models if m.swap_mode == recipe.swap_mode]
    packs = max((m.packs_per_vehicle for m in served), default=1)
    asked: set[str] = {Signal.SEAT_1_OCCUPIED, Signal.GRIPPER_LOADED, Signal.LOCKS_OPEN, Signal.LOCKS_CLOSED}
    for row in recipe.table(packs, lane.swap_order).rows:
        asked |= {name.removeprefix("!") for name in (*row.permissives, *row.confirm)} & set(Signal)
    if packs > 1:
        asked |= {Signal.SEAT_2_OCCUPIED, "heads_open", "heads_closed"}
    if lane.swap_order == "in_out":
        asked.add(Signal.TRANSFER_OCCUPIED)
    missing = register_map.missing(sorted(asked))
    return (
        [
            f"lanes.{lane.id}.cell.register_map = {lane.cell.register_map!r}: recipe {recipe.name} asks for "
            f"{', '.join(missing)}, which the map does not carry; add the entries or use another recipe"
        ]
        if missing
        else []
    )


def open_limits(config: StationConfig) -> dict[str, tuple[str, tuple[LinkLimit, ...]]]:
    """Lanes whose cell fences no requests: name of the layout, and what late requests can still do to the cell."""
    found = {}
    for lane in config.lanes:
        register_map = load_map(lane.cell.register_map, config.folder)
        if register_map.handshake.style != "fenced":
            found[lane.id] = register_map.name, limits_of(register_map)
    return found


def check_recipes(config: StationConfig, source: str = "station file") -> StationConfig:
    """The same configuration, each lane with the swap mode of its recipe.

    Raises:
        ConfigError: with every problem of `recipe_problems`.
    """
    problems = recipe_problems(config)
    if problems:
        raise ConfigError(source, problems)
    lanes = tuple(
        lane.model_copy(update={"swap_mode": load_recipe(lane.recipe, config.folder).swap_mode})
        for lane in config.lanes
    )
    return config.model_copy(update={"lanes": lanes})
