"""Checks of the station file that need the recipes."""

from __future__ import annotations

from swap.config import ConfigError, StationConfig
from swap.station.recipe import RecipeError, carried_orders, load_recipe


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
        if lane.swap_order not in carried_orders(recipe):
            problems.append(
                f"lanes.{lane.id}.swap_order = {lane.swap_order!r}: recipe {recipe.name} carries "
                f"{', '.join(carried_orders(recipe))}"
            )
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


def check_recipes(config: StationConfig, source: str = "station file") -> StationConfig:
    """The same configuration.

    Raises:
        ConfigError: with every problem of `recipe_problems`.
    """
    problems = recipe_problems(config)
    if problems:
        raise ConfigError(source, problems)
    return config
