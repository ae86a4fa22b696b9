"""Contradictions between the sections of a station file; one line each, with what is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from robotics.modbus_link.registers import MapError, RegisterMap, load_map
from scheduler.sections import did_you_mean
from swap.config.billing_checks import billing_problems
from swap.config.map_checks import map_problems, site_devices
from swap.config.station_file import StationConfig

PAYERS = ("energy_seller", "platform", "supervisor")
"""Kinds of parties that may pay for demand response: grid company or retailer, aggregator, authority."""


def cross_check(config: StationConfig) -> list[str]:
    """Every contradiction between sections, and with the register maps they name; one line each."""
    folder = config.folder or Path()
    return [
        *_unique(config),
        *_references(config),
        *_register_overlaps(config, folder),
        *map_problems(config, folder),
        *_power(config),
        *_initial_packs(config),
        *_reach(config),
        *_idle(config),
        *billing_problems(config),
    ]


def _unique(config: StationConfig) -> list[str]:
    lists: list[tuple[str, list[object]]] = [
        ("pack_kinds.id", [x.id for x in config.pack_kinds]),
        ("vehicle_models.id", [x.id for x in config.vehicle_models]),
        ("rack_devices.id", [x.id for x in config.rack_devices]),
        ("lanes.id", [x.id for x in config.lanes]),
        ("bays.id", [x.id for x in config.bays]),
        ("bays.position", [x.position for x in config.bays]),
        ("parties.id", [x.id for x in config.parties]),
        ("vehicles.id", [x.id for x in config.vehicles]),
        ("vehicles.tag", [x.tag for x in config.vehicles]),
        ("packs.id", [x.id for x in config.packs]),
        ("programmes.id", [x.id for x in config.programmes]),
    ]
    return [
        f"{name}: {value!r} is given {count} times; each must be unique"
        for name, values in lists
        for value, count in Counter(values).items()
        if count > 1
    ]


def _references(config: StationConfig) -> list[str]:
    kinds = {x.id for x in config.pack_kinds}
    lanes = {x.id for x in config.lanes}
    bays = {x.id for x in config.bays}
    parties = {x.id: x.kind for x in config.parties}
    models = {x.id for x in config.vehicle_models}
    devices = {x.id for x in config.rack_devices}
    packs = {x.id for x in config.packs}
    problems: list[str] = []

    def known(where: str, value: str, allowed: Collection[str], what: str) -> None:
        if value not in allowed:
            names = ", ".join(sorted(allowed)) or "none"
            problems.append(f"{where} = {value!r}: no such {what}; known: {names}{did_you_mean(value, allowed)}")

    known(
        "station.operator",
        config.station.operator,
        [p for p, k in parties.items() if k == "station_operator"],
        "station operator",
    )
    for programme in config.programmes:
        known(
            f"programmes.{programme.id}.payer",
            programme.payer,
            [p for p, k in parties.items() if k in PAYERS],
            f"party that pays ({', '.join(PAYERS)})",
        )
    for model in config.vehicle_models:
        for kind in model.pack_kinds:
            known(f"vehicle_models.{model.id}.pack_kinds", kind, kinds, "pack kind")
    for bay in config.bays:
        for kind in bay.kinds:
            known(f"bays.{bay.id}.kinds", kind, kinds, "pack kind")
        for lane in bay.lanes:
            known(f"bays.{bay.id}.lanes", lane, lanes, "lane")
        for neighbour in bay.neighbours:
            known(f"bays.{bay.id}.neighbours", neighbour, bays, "bay")
        if bay.point is not None:
            known(f"bays.{bay.id}.point.device", bay.point.device, devices, "rack device")
        elif bay.role == "rack":
            problems.append(f"bays.{bay.id}.point: missing; a rack bay needs the address of its charger")
    for vehicle in config.vehicles:
        known(f"vehicles.{vehicle.id}.model", vehicle.model, models, "vehicle model")
        known(f"vehicles.{vehicle.id}.fleet", vehicle.fleet, [p for p, k in parties.items() if k == "fleet"], "fleet")
        for pack in vehicle.packs:
            known(f"vehicles.{vehicle.id}.packs", pack, packs, "pack")
    for item in config.packs:
        known(f"packs.{item.id}.kind", item.kind, kinds, "pack kind")
        known(
            f"packs.{item.id}.owner",
            item.owner,
            [p for p, k in parties.items() if k == "battery_owner"],
            "battery owner",
        )
        if item.bay is not None:
            known(f"packs.{item.id}.bay", item.bay, bays, "bay")
    return problems


def _register_overlaps(config: StationConfig, folder: Path) -> list[str]:
    problems: list[str] = []
    spans: dict[tuple[str, int, int], list[tuple[int, int, str]]] = {}

    def add(where: str, map_name: str, host: str, port: int, device_id: int, base: int) -> None:
        try:
            register_map: RegisterMap = load_map(map_name, folder)
        except MapError as error:
            problems.append(f"{where}.register_map = {map_name!r}: {error}")
            return
        first, last = register_map.span
        if base + last > 65535:
            problems.append(f"{where}.base_address = {base}: the map ends at {base + last}, allowed 0…65535")
        spans.setdefault((host, port, device_id), []).append((base + first, base + last, where))

    for lane in config.lanes:
        a = lane.cell.address
        add(f"lanes.{lane.id}.cell", lane.cell.register_map, a.host, a.port, a.device_id, a.base_address)
    for where, _, section in site_devices(config.site):
        a = section.address
        add(where, section.register_map, a.host, a.port, a.device_id, a.base_address)
    devices = {d.id: d for d in config.rack_devices}
    for bay in config.bays:
        if bay.point is not None and bay.point.device in devices:
            d = devices[bay.point.device]
            add(f"bays.{bay.id}.point", d.register_map, d.host, d.port, d.device_id, bay.point.base_address)
    for (host, port, device_id), blocks in spans.items():
        blocks.sort()
        for (_, end, one), (start, _, other) in pairwise(blocks):
            if start <= end:
                problems.append(
                    f"{other}: registers from {start} overlap {one}, which ends at {end}, "
                    f"on {host}:{port} device {device_id}; give it a base_address above {end}"
                )
    return problems


def _power(config: StationConfig) -> list[str]:
    problems = []
    if config.charging.target_soc_pct < config.charging.offer_soc_pct:
        problems.append(
            f"charging.target_soc_pct = {config.charging.target_soc_pct}: below offer_soc_pct "
            f"{config.charging.offer_soc_pct} %; packs would never be offered. "
            f"Allowed {config.charging.offer_soc_pct}…100 %"
        )
    if config.site.base_load_kw >= config.site.grid_limit_kw:
        problems.append(
            f"site.base_load_kw = {config.site.base_load_kw}: nothing is left to charge with; "
            f"allowed 0…{config.site.grid_limit_kw:g} kW (the grid limit)"
        )
    if config.devices == "real":
        problems += [
            f"charging.cycle_s = {config.charging.cycle_s:g}: chargers of {device.id} end a set-point after "
            f"setpoint_expires_s = {device.setpoint_expires_s} s, before it is given again; "
            f"allowed less than {device.setpoint_expires_s} s"
            for device in config.rack_devices
            if config.charging.cycle_s >= device.setpoint_expires_s
        ]
        storage = config.site.storage
        if storage is not None and config.charging.cycle_s >= storage.order_expires_s:
            problems.append(
                f"charging.cycle_s = {config.charging.cycle_s:g}: the storage ends an order after order_expires_s = "
                f"{storage.order_expires_s} s, before it is given again; allowed less than {storage.order_expires_s} s"
            )
    for kind in config.pack_kinds:
        fitting = [b.charger_kw for b in config.bays if b.role == "rack" and (not b.kinds or kind.id in b.kinds)]
        if not fitting:
            problems.append(f"pack_kinds.{kind.id}: no rack bay takes it; add one or list it in bays.kinds")
        elif max(fitting) <= 0:
            problems.append(f"pack_kinds.{kind.id}: none of the bays that take it has charger_kw above 0 kW")
    charger_kw = sum(b.charger_kw for b in config.bays)
    cap = config.charging.max_power_kw
    if cap is not None and cap > charger_kw:
        problems.append(
            f"charging.max_power_kw = {cap:g}: the chargers have {charger_kw:g} kW together; allowed up to that"
        )
    for device in config.rack_devices:
        behind_kw = sum(b.charger_kw for b in config.bays if b.point is not None and b.point.device == device.id)
        if device.rated_kw is not None and behind_kw > device.rated_kw:
            problems.append(
                f"rack_devices.{device.id}.rated_kw = {device.rated_kw:g}: its bays are given {behind_kw:g} kW of "
                f"charger_kw together; lower them to {device.rated_kw:g} kW or less in all"
            )
    contracted = config.site.contracted_kw
    if contracted is not None and contracted > config.site.transformer_kva * config.site.power_factor:
        problems.append(
            f"site.contracted_kw = {contracted:g}: above what the transformer carries; "
            f"allowed up to {config.site.transformer_kva * config.site.power_factor:g} kW"
        )
    if config.charging.min_setpoint_kw > 0 and 0 < charger_kw < config.charging.min_setpoint_kw:
        problems.append(
            f"charging.min_setpoint_kw = {config.charging.min_setpoint_kw:g}: more than all chargers have together; "
            f"allowed 0…{charger_kw:g} kW"
        )
    return problems


def _initial_packs(config: StationConfig) -> list[str]:
    problems = []
    bays = {b.id: b for b in config.bays}
    by_bay = Counter(p.bay for p in config.packs if p.bay is not None)
    problems += [
        f"packs.bay: {n} packs start in bay {bay!r}; a bay holds at most one" for bay, n in by_bay.items() if n > 1
    ]
    kind_of = {p.id: p.kind for p in config.packs}
    installed = Counter(p for v in config.vehicles for p in v.packs)
    for pack in config.packs:
        places = installed[pack.id] + (pack.bay is not None)
        if places > 1:
            problems.append(f"packs.{pack.id}: starts in {places} places; a pack is in one")
        bay = bays.get(pack.bay or "")
        if bay is not None and bay.kinds and pack.kind not in bay.kinds:
            problems.append(f"packs.{pack.id}.bay = {bay.id!r}: takes only {', '.join(bay.kinds)}, not {pack.kind}")
    models = {m.id: m for m in config.vehicle_models}
    for vehicle in config.vehicles:
        model = models.get(vehicle.model)
        if model is None:
            continue
        if len(vehicle.packs) > model.packs_per_vehicle:
            problems.append(
                f"vehicles.{vehicle.id}.packs: {len(vehicle.packs)} given, "
                f"the model has {model.packs_per_vehicle} seat(s)"
            )
        for code in vehicle.packs:
            if code in kind_of and kind_of[code] not in model.pack_kinds:
                problems.append(
                    f"vehicles.{vehicle.id}.packs: {code} is {kind_of[code]}, "
                    f"the model takes {', '.join(model.pack_kinds)}"
                )
    return problems


def _reach(config: StationConfig) -> list[str]:
    """Vehicles whose packs no lane could exchange, because lane and bays do not meet."""
    problems = []
    rack = [bay for bay in config.bays if bay.role == "rack"]
    for lane in config.lanes:
        if not any(not bay.lanes or lane.id in bay.lanes for bay in rack):
            problems.append(f"lanes.{lane.id}: no rack bay is in its reach; list the lane in bays.lanes")
    for model in config.vehicle_models:
        for kind in model.pack_kinds:
            fitting = [bay for bay in rack if not bay.kinds or kind in bay.kinds]
            reached = any(not bay.lanes or lane.id in bay.lanes for bay in fitting for lane in config.lanes)
            if fitting and not reached:
                problems.append(
                    f"vehicle_models.{model.id}.pack_kinds: no lane reaches a rack bay that takes {kind!r}; "
                    f"those are {', '.join(bay.id for bay in fitting)}"
                )
    problems += _quarantine_reach(config)
    stocked = {pack.kind for pack in config.packs}
    driven = {vehicle.model for vehicle in config.vehicles}
    for model in config.vehicle_models:
        if stocked and model.id in driven and not stocked & set(model.pack_kinds):
            problems.append(
                f"vehicle_models.{model.id}.pack_kinds = {', '.join(model.pack_kinds)}: no pack of the file is of such "
                f"a kind, its trucks would wait for ever; the packs are {', '.join(sorted(stocked))}"
            )
    return problems


def _quarantine_reach(config: StationConfig) -> list[str]:
    """Lanes that are to set unfit packs down in quarantine and reach no bay for that."""
    incoming = config.operation.incoming
    if not incoming.quarantined_for:
        return []
    bays = [bay for bay in config.bays if bay.role == "quarantine"]
    return [
        f"operation.incoming: sends packs of kind {kind!r} into quarantine, and lane {lane.id} reaches no bay with "
        'role = "quarantine" that takes them; add one, or say "refuse"'
        for lane in config.lanes
        for kind in sorted({kind for model in config.vehicle_models for kind in model.pack_kinds})
        if not any((not b.lanes or lane.id in b.lanes) and (not b.kinds or kind in b.kinds) for b in bays)
    ]


def _idle(config: StationConfig) -> list[str]:
    """Chargers and devices that the file names and nothing uses."""
    pointed = {bay.point.device for bay in config.bays if bay.point is not None}
    problems = [
        f"rack_devices.{device.id}: no bay's point names it, so none of its chargers is used; add the bays or remove it"
        for device in config.rack_devices
        if device.id not in pointed
    ]
    problems += [
        f"bays.{bay.id}.charger_kw = {bay.charger_kw:g}: a {bay.role} bay is never charged; allowed 0 kW"
        for bay in config.bays
        if bay.role != "rack" and bay.charger_kw > 0
    ]
    return problems
