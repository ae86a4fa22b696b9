"""Sections of a scenario for a board: what the station earns, and over which years it is reckoned."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.scenario.base import ScenarioSection, Share, Yuan


class RevenueSection(ScenarioSection):
    """What the station earns. Prices are with or without tax as those of `[costs]` are: the planner adds none."""

    yuan_per_swap: Yuan = 0.0
    """Of a swap, whatever energy it hands over."""
    yuan_per_kwh: float = Field(default=0.0, ge=0, le=20)
    """Of the energy handed over, electricity and service together."""
    yuan_per_year: Yuan = 0.0
    """Whatever is served, such as grid services."""
    contracts: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(default=(), max_length=50)
    """Lease contracts whose rents the station's owner gets: TOML files as `swap lease draft` reads them, relative to
    the scenario. They are rated by the rules of the rent run, on what the simulated year gives each truck."""


class SubsidySection(ScenarioSection):
    """Money that is given, not earned."""

    year: int = Field(default=0, ge=0, le=40)
    """At the end of this year of the station; 0: as it is built."""
    yuan: Yuan
    """Amount."""


class FinanceSection(ScenarioSection):
    """How cash flows are reckoned: before income tax, in today's prices, each at the end of its year."""

    discount: float = Field(default=0.08, ge=0, le=0.5)
    """Rate of the net present value and of the discounted payback, a year."""
    years: int | None = Field(default=None, ge=1, le=40)
    """None: `life.years`, or the whole years of `costs.plant_life_years`."""
    subsidies: tuple[SubsidySection, ...] = Field(default=(), max_length=50)
    """Amounts by year; those beyond the years that are reckoned do not count."""
    residual_share: Share = 0.0
    """What the equipment still fetches at the end, as a share of its price less straight-line depreciation."""
