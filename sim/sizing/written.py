"""Writes a sized station down: the scenario with the sized equipment, and the station file where it names one.

What is written is read back and must be the station that was sized, field by field: an answer that cannot be typed
back in is none. Comments of the files stay. The scenario's study becomes the week in which the promise is hardest to
keep, so that `swap simulate` of it asks the question that the search asked.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.sizing.toml_text import with_list, with_value, without
from sim.sizing.trial import Trial
from swap.config.loading import ConfigError
from swap.station.file_check import check_file

STRIDE = 100
"""Registers from one bay's point to the next, where the file does not show it."""


class CannotWrite(Exception):
    """The sized station cannot be written as a file that means the same; says why."""


def check_folder(source: Path, folder: Path) -> None:
    """Whether a sized scenario may go into a folder; asked before anybody waits for a search.

    Raises:
        CannotWrite: the folder holds the source's own files, or is none.
    """
    if folder.resolve() == source.parent.resolve():
        raise CannotWrite(f"{folder}: holds the scenario that was sized; give another folder, its files are kept")
    if folder.exists() and not folder.is_dir():
        raise CannotWrite(f"{folder}: is no folder; the sized scenario needs one for its files")


def write_sized(source: Path, sized: Trial, folder: Path) -> list[Path]:
    """Write the sized scenario, its station file and what both name into a folder, made when it is not there.

    Raises:
        CannotWrite: what was written does not read as the sized station; the folder holds the source's own files; or a
            file that the scenario names lies outside its folder.
        OSError: the folder cannot be written.
    """
    check_folder(source, folder)
    text = source.read_text(encoding="utf-8")
    data = tomllib.loads(text)
    folder.mkdir(parents=True, exist_ok=True)
    written = _copied(data, source.parent, folder, {"station"})
    station = data.get("station")
    if isinstance(station, str):
        written += _write_station(source.parent / station, sized.scenario, folder / Path(station).name, source.name)
        text = with_value(text, ("station",), Path(station).name)
    path = folder / source.name
    path.write_text(_head(sized) + _sized_text(text, sized), encoding="utf-8")
    _check(path, sized)
    return [path, *written]


def _sized_text(text: str, sized: Trial) -> str:
    scenario, equipment = sized.scenario, sized.scenario.equipment
    for name in ("packs", "spare_bays", "chargers", "transformer_kva", "lanes"):
        value = getattr(equipment, name)
        text = with_value(text, ("equipment", name), dict(value) if isinstance(value, Mapping) else value)
    if scenario.storage.energy_kwh or scenario.storage.power_kw:
        for name in ("energy_kwh", "power_kw"):
            text = with_value(text, ("storage", name), getattr(scenario.storage, name))
    hardest = sized.spans[sized.hardest[0]]
    if hardest.start_on != scenario.study.start_on:
        text = with_value(text, ("study", "start_on"), hardest.start_on)
        text = with_value(text, ("study", "days"), round(hardest.days))
        text = with_value(text, ("study", "warmup_days"), hardest.warmup_days)
    return text


def _head(sized: Trial) -> str:
    at, share = sized.hardest
    span = sized.spans[at]
    return (
        f"# Sized by `swap size`: {sized.design}.\n"
        f"# Served within the promise: {sized.share.mean:.1%} over the year; in the hardest week, {span.from_on} to "
        f"{span.until_on}, {share.mean:.1%} ± {share.half_width:.1%}.\n# [study] is that week.\n\n"
    )


def _check(path: Path, sized: Trial) -> None:
    try:
        read = load_scenario(path)
    except ConfigError as error:
        raise CannotWrite(str(error)) from error
    wanted = sized.scenario.model_dump(exclude={"study", "folder", "station", "vehicle_ids"})
    found = read.model_dump(exclude={"study", "folder", "station", "vehicle_ids"})
    wrong = [name for name in wanted if _plain(wanted[name]) != _plain(found[name])]
    if "equipment" in wrong:
        differs = {n for n in wanted["equipment"] if _plain(wanted["equipment"][n]) != _plain(found["equipment"][n])}
        wrong = [f"equipment.{n}" for n in sorted(differs - {"recipe"})] + [n for n in wrong if n != "equipment"]
    if wrong:
        raise CannotWrite(
            f"{path}: reads as another station than the sized one in {', '.join(wrong)}; set these by hand"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _copied(data: Mapping[str, Any], source: Path, folder: Path, but: set[str]) -> list[Path]:
    """Copy the files beside the source that its values name, so that relative paths hold."""
    written = []
    for name in sorted(set(_strings({key: value for key, value in data.items() if key not in but}))):
        if not name.endswith((".toml", ".csv")) or Path(name).is_absolute() or not (source / name).is_file():
            continue
        if ".." in Path(name).parts:
            raise CannotWrite(f"{name}: lies outside the folder of the scenario; copy it there first")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
        written.append(target)
    return written


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item)


# The station file


@dataclass(frozen=True)
class _Lists:
    bays: list[dict[str, Any]]
    packs: list[dict[str, Any]]
    lanes: list[dict[str, Any]]


def _write_station(source: Path, scenario: Scenario, path: Path, scenario_name: str) -> list[Path]:
    text = source.read_text(encoding="utf-8")
    data = tomllib.loads(text)
    lists = _sized_lists(data, scenario)
    for name in ("bays", "packs", "lanes"):
        if data[name] != getattr(lists, name):
            text = with_list(text, name, getattr(lists, name))
    text = with_value(text, ("site", "transformer_kva"), scenario.equipment.transformer_kva)
    if "scenario" in data:
        text = with_value(text, ("scenario",), scenario_name)
    if scenario.pv.peak_kw == 0:  # what was sized has no sun, or no storage, whatever its station has
        text = without(text, ("site", "pv"))
    if scenario.storage.energy_kwh == 0:
        text = without(text, ("site", "storage"))
    elif "storage" in data.get("site", {}):
        text = with_value(text, ("site", "storage", "energy_kwh"), scenario.storage.energy_kwh)
        text = with_value(text, ("site", "storage", "power_kw"), scenario.storage.power_kw)
    head = (
        "# Sized by `swap size`. New bays, packs and lanes have made-up positions, codes and addresses: set your own.\n"
    )
    if scenario.equipment.charger_count < scenario.equipment.bay_count:
        head += (
            f"# {scenario.equipment.charger_count} chargers for {scenario.equipment.bay_count} bays: the study switches"
            " them from bay to bay; here the first bays have them.\n"
        )
    path.write_text(head + text, encoding="utf-8")
    written = _copied(data, source.parent, path.parent, {"scenario"})
    try:
        check_file(path)
    except ConfigError as error:
        raise CannotWrite(str(error)) from error
    return [path, *written]


def _sized_lists(data: Mapping[str, Any], scenario: Scenario) -> _Lists:
    equipment = scenario.equipment
    old_rack = [bay for bay in data["bays"] if bay.get("role", "rack") == "rack"]
    others = [bay for bay in data["bays"] if bay.get("role", "rack") != "rack"]
    rack = _bays(old_rack, others, equipment.bay_count)
    for number, bay in enumerate(rack):
        bay["charger_kw"] = equipment.charger_kw if number < equipment.charger_count else 0
    return _Lists([*rack, *others], _packs(data, rack, scenario), _lanes(data, equipment.lanes))


def _bays(old: list[dict[str, Any]], others: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    rack = [dict(bay) for bay in old[:count]]
    taken = {bay["id"] for bay in (*old, *others)}
    position = max(bay["position"] for bay in (*old, *others))
    points = [bay["point"]["base_address"] for bay in (*old, *others) if "point" in bay]
    ordered = sorted(set(points))
    stride = min((b - a for a, b in pairwise(ordered)), default=STRIDE)
    letters = re.match(r"\D*", old[-1]["id"])
    stem, number = letters.group() if letters is not None else "B", len(old)
    while len(rack) < count:
        number += 1
        if f"{stem}{number}" in taken:
            continue
        position += 1
        bay = dict(old[-1]) | {"id": f"{stem}{number}", "position": position}
        if points:
            points.append(max(points) + stride)
            bay["point"] = dict(old[-1]["point"]) | {"base_address": points[-1]}
        rack.append(bay)
    if any("neighbours" in bay for bay in old):
        for at, bay in enumerate(rack):
            bay["neighbours"] = [rack[n]["id"] for n in (at - 1, at + 1) if 0 <= n < len(rack)]
    return rack


def _packs(data: Mapping[str, Any], rack: list[dict[str, Any]], scenario: Scenario) -> list[dict[str, Any]]:
    """Packs of each kind in the rack, the first bays filled; those on trucks stay."""
    in_rack = {bay["id"] for bay in data["bays"] if bay.get("role", "rack") == "rack"}
    elsewhere = [pack for pack in data["packs"] if pack.get("bay") not in in_rack]
    codes = {pack["id"] for pack in data["packs"]}
    bays, found = iter(rack), []
    for kind, count in scenario.equipment.packs.items():
        known = [pack for pack in data["packs"] if pack["kind"] == kind and pack.get("bay") in in_rack]
        if not known:
            raise CannotWrite(f"packs: the station file has none of {kind!r} in its rack to take as a pattern; add one")
        for number in range(count):
            pack = dict(known[number]) if number < len(known) else dict(known[-1]) | {"id": _new_code(codes)}
            codes.add(pack["id"])
            found.append(pack | {"bay": next(bays)["id"]})
    return [*found, *elsewhere]


def _new_code(codes: set[str]) -> str:
    """The next free code: the greatest with its last digits counted on."""
    last = max(codes)
    digits = re.search(r"\d+$", last)
    if digits is None:
        raise CannotWrite(f"packs: {last!r} does not end in a number that could be counted on")
    return last[: digits.start()] + str(int(digits.group()) + 1).zfill(len(digits.group()))


def _lanes(data: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    lanes = [dict(lane) for lane in data["lanes"][:count]]
    first, ports, taken = data["lanes"][0], set(_ports(data)), {lane["id"] for lane in data["lanes"]}
    number = len(data["lanes"])
    while len(lanes) < count:
        number += 1
        if f"L{number}" in taken:
            continue
        port = max(ports) + 1
        ports.add(port)
        cell = dict(first["cell"]) | {"address": dict(first["cell"]["address"]) | {"port": port}}
        names = {"id": f"L{number}", "name_zh": f"{number} 号通道", "name_en": f"Lane {number}"}
        lanes.append(dict(first) | names | {"cell": cell})
    return lanes


def _ports(value: Any) -> Iterator[int]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "port":
                yield int(item)
            else:
                yield from _ports(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ports(item)
