"""Do the devices of a station file answer? Reads only; claims nothing, so it may run beside a controller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.link import ModbusLink
from robotics.modbus_link.registers import RegisterMap, Span, load_map
from robotics.modbus_link.sunspec import find_models, placed
from robotics.port import LinkLost, Refused
from swap.config.map_checks import site_devices
from swap.config.station_file import StationConfig
from swap.words import N_


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """What one device said."""

    device: str
    """`lane:L1`, `bay:A3`, `meter`, `pv`, `storage`."""
    address: str
    ok: bool
    said: str
    """What it said, marked for the catalogue; the names in braces are those of `values`."""
    values: Mapping[str, object]

    @property
    def detail(self) -> str:
        """What it said, in English."""
        return self.said.format(**self.values)


async def ask_devices(config: StationConfig, folder: Path) -> tuple[DeviceAnswer, ...]:
    """Read every readable block of every device once. All are asked at the same time."""
    asked = [_ask(f"lane:{lane.id}", lane.cell.address, lane.cell.register_map, folder) for lane in config.lanes]
    for bay in config.bays:
        if bay.point is not None:
            device = config.rack_device(bay.point.device)
            address = ModbusAddress(
                host=device.host,
                port=device.port,
                device_id=device.device_id,
                base_address=bay.point.base_address,
                timeout_s=device.timeout_s,
                max_registers=device.max_registers,
            )
            asked.append(_ask(f"bay:{bay.id}", address, device.register_map, folder))
    for where, _, section in site_devices(config.site):
        asked.append(_ask(where.removeprefix("site."), section.address, section.register_map, folder))
    return tuple(await asyncio.gather(*asked))


async def _ask(device: str, address: ModbusAddress, map_name: str, folder: Path) -> DeviceAnswer:
    where = f"{address.host}:{address.port} device {address.device_id} from {address.base_address}"
    register_map = load_map(map_name, folder)
    link = ModbusLink(address, name=device, read_only=True)
    try:
        await link.connect()
        values: dict[str, object] = {}
        if register_map.sunspec:
            register_map = placed(register_map, await find_models(link.read))
        for block, spans in register_map.reads_within(address.max_registers).items():
            values.update(await _read_block(link, register_map, block, spans))
    except LinkLost as error:
        return DeviceAnswer(device, where, False, N_("no answer: {error}"), {"error": error})
    except Refused as error:
        said = N_(
            "refused: {error}; does the map {map} fit it, and does a gateway allow fewer registers a request "
            "(max_registers)?"
        )
        return DeviceAnswer(device, where, False, said, {"error": error, "map": map_name})
    finally:
        await link.close()
    known = {name: value for name, value in values.items() if value is not None}
    shown = [
        f"{name} {known[name]}"
        for name in ("heartbeat", "state", "pack_id", "soc_pct", "charger_state", "import_kw", "power_kw", "energy_kwh")
        if name in known
    ]
    found = {"known": len(known), "all": len(values), "some": "".join(f", {value}" for value in shown)}
    return DeviceAnswer(device, where, True, N_("{known} of {all} values{some}"), found)


async def _read_block(
    link: ModbusLink, register_map: RegisterMap, block: str, spans: tuple[Span, ...]
) -> Mapping[str, object]:
    words: dict[int, int] = {}
    for span in spans:
        read = await link.read(span.address, span.count)
        words.update(zip(range(span.address, span.address + span.count), read, strict=True))
    return register_map.decode(block, words)
