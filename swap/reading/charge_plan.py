"""The charging plan carried forward: what the rack would do over the next hours with the packs it holds.

Decisions are those of `scheduler.charging`, physics that of `battery_bms.pack`. No truck comes, temperatures
stay at `temp_c`: the plan shows how fast the stock recovers and what it costs, not a forecast of the day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from battery_bms.pack import (
    PackSpec,
    advance_energy,
    allowed_charge_kw,
    energy_at_soc_kwh,
    soc_pct,
    spec_from_section,
)
from scheduler.charging import plan_charging, policy_from_section
from scheduler.tariff import Tariff
from scheduler.types import BayRole, BayView, PackState, PackView, SiteLimits, StationMode, StationView
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput


@dataclass(slots=True)
class StockedPack:
    """A pack in a bay at the start of the plan."""

    pack_id: str
    kind: str
    soh_pct: float
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class PlannedBay:
    """One bay over one step."""

    bay_id: str
    pack_id: str
    soc_pct: float
    """At the beginning of the step."""
    power_kw: float
    """Set-point; what flows may be less, as the BMS tapers within the step."""
    limited_by: str


@dataclass(frozen=True, slots=True)
class PlanStep:
    """All bays over one step."""

    at: datetime
    period: str
    price_yuan_per_kwh: Decimal
    setpoint_kw: float
    energy_kwh: float
    """Drawn by the chargers' outputs during the step."""
    bays: tuple[PlannedBay, ...]


def stock_of_file(config: StationConfig) -> dict[str, StockedPack]:
    """The packs that the station file puts into rack bays, by bay."""
    stock = {}
    for pack in config.packs:
        if pack.bay is not None and config.bay(pack.bay).role == "rack":
            spec = spec_from_section(config.pack_kind(pack.kind))
            energy_kwh = energy_at_soc_kwh(pack.soc_pct, spec, pack.soh_pct)
            stock[pack.bay] = StockedPack(pack.id, pack.kind, pack.soh_pct, energy_kwh)
    return stock


def set_soc(config: StationConfig, stock: Mapping[str, StockedPack], bay_id: str, soc: float) -> None:
    """Start the pack in a bay at another state of charge. Raises InvalidInput."""
    if bay_id not in stock:
        raise InvalidInput("bay", bay_id, f"a bay with a pack: {', '.join(stock) or 'none'}")
    if not 0 <= soc <= 100:
        raise InvalidInput(f"soc of bay {bay_id}", soc, "0…100 %")
    pack = stock[bay_id]
    pack.energy_kwh = energy_at_soc_kwh(soc, spec_from_section(config.pack_kind(pack.kind)), pack.soh_pct)


def project_charging(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    *,
    start_at: datetime,
    hours: float,
    step_min: int,
    temp_c: float = 25.0,
) -> tuple[PlanStep, ...]:
    """The plan from `start_at` on; the packs of `stock` are advanced to its end."""
    specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
    policy = policy_from_section(config.charging, kinds=list(specs.values()))
    until_at = start_at + timedelta(hours=hours)
    slices = tariff.slices(start_at, until_at + timedelta(hours=24))
    step = timedelta(minutes=step_min)
    steps = []
    at = start_at
    while at < until_at:
        view = _view(config, specs, stock, at, temp_c)
        plan = plan_charging(view, policy, specs, slices)
        drawn_kwh = 0.0
        bays = []
        for bay_id, pack in stock.items():
            spec, setpoint = specs[pack.kind], plan[bay_id]
            bays.append(
                PlannedBay(
                    bay_id=bay_id,
                    pack_id=pack.pack_id,
                    soc_pct=soc_pct(pack.energy_kwh, spec, pack.soh_pct),
                    power_kw=setpoint.power_kw,
                    limited_by=str(setpoint.limited_by),
                )
            )
            pack.energy_kwh, drawn = advance_energy(
                spec, pack.soh_pct, pack.energy_kwh, setpoint.power_kw, step.total_seconds()
            )
            drawn_kwh += drawn
        steps.append(
            PlanStep(
                at=at,
                period=tariff.period_at(at),
                price_yuan_per_kwh=tariff.price_at(at),
                setpoint_kw=sum(bay.power_kw for bay in bays),
                energy_kwh=drawn_kwh,
                bays=tuple(bays),
            )
        )
        at += step
    return tuple(steps)


def _view(
    config: StationConfig,
    specs: Mapping[str, PackSpec],
    stock: Mapping[str, StockedPack],
    at: datetime,
    temp_c: float,
) -> StationView:
    return StationView(
        at=at,
        mode=StationMode.AUTOMATIC,
        bays=tuple(
            BayView(
                bay_id=bay.id,
                position=bay.position,
                role=BayRole(bay.role),
                kinds=frozenset(bay.kinds),
                max_charge_kw=bay.charger_kw,
                occupied=bay.id in stock,
                pack=_pack(config, specs, stock[bay.id], temp_c) if bay.id in stock else None,
            )
            for bay in config.bays
        ),
        limits=SiteLimits(grid_limit_kw=config.site.grid_limit_kw, base_load_kw=config.site.base_load_kw),
    )


def _pack(config: StationConfig, specs: Mapping[str, PackSpec], pack: StockedPack, temp_c: float) -> PackView:
    spec = specs[pack.kind]
    soc = soc_pct(pack.energy_kwh, spec, pack.soh_pct)
    return PackView(
        pack_id=pack.pack_id,
        kind=pack.kind,
        state=PackState.READY if soc >= config.charging.offer_soc_pct else PackState.WAITING,
        rated_kwh=spec.rated_kwh,
        soh_pct=pack.soh_pct,
        energy_kwh=pack.energy_kwh,
        soc_pct=soc,
        temp_max_c=temp_c,
        temp_min_c=temp_c,
        max_charge_kw=allowed_charge_kw(spec, soc, temp_c),
        reading_age_s=0.0,
    )
