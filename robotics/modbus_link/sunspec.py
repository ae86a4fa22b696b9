"""SunSpec: a device is a chain of models behind a marker, and a register map is put where the chain has them.

    marker 0x5375 0x6E53 | ID, length, data … | ID, length, data … | 0xFFFF, 0

Which models a device has, and so at which addresses, differs from device to device: the chain is walked, no address of
a model is ever written down. The map's `base_address` in the station file is that of the marker: 40000 at most
devices, 0 or 50000 at others. Source: the public models of the SunSpec Alliance (`sunspec/models`, `json/`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from robotics.modbus_link.registers import RegisterMap
from robotics.modbus_link.schema import BlockSection, EntrySection
from robotics.port import Refused

MARKER = (0x5375, 0x6E53)
"""The letters SunS."""
END = 0xFFFF
"""ID behind the last model."""
COMMON = (1, 66)
"""ID and length of the model that every device begins with."""
MOST_MODELS = 64
"""A longer chain is no chain but registers that mean something else."""

Read = Callable[[int, int], Awaitable[list[int]]]
"""Address relative to the marker and number of registers, to the registers."""


async def find_models(read: Read) -> dict[int, int]:
    """Walk the chain: address of each model's ID register, relative to the marker; of two of one kind the first.

    Raises:
        LinkLost: no answer.
        Refused: the device refuses, there is no marker, or the chain does not end.
    """
    if tuple(await read(0, 2)) != MARKER:
        raise Refused("no SunSpec marker at base_address; it is 40000 at most devices, 0 or 50000 at others")
    found: dict[int, int] = {}
    address = 2
    for _ in range(MOST_MODELS):
        model, length = await read(address, 2)
        if model == END:
            return found
        found.setdefault(model, address)
        address += 2 + length
    raise Refused(f"the chain of SunSpec models does not end after {MOST_MODELS} models")


def placed(register_map: RegisterMap, models: Mapping[int, int]) -> RegisterMap:
    """A map of models as a plain map of one device; blocks whose model the device has not are left out.

    Args:
        models: address of each model, as `find_models` gives it.

    Raises:
        Refused: the device has none of the models.
    """
    file = register_map.file
    bases = {b.name: models[m] for b in file.blocks if (m := b.sunspec_model) is not None and m in models}
    if not bases:
        wanted = ", ".join(str(b.sunspec_model) for b in file.blocks)
        raise Refused(f"has none of the SunSpec models {wanted}; it has {', '.join(map(str, models)) or 'none'}")
    blocks = tuple(b.model_copy(update={"sunspec_model": None}) for b in file.blocks if b.name in bases)
    entries = tuple(
        e.model_copy(update={"address": e.address + bases[e.block]}) for e in file.entries if e.block in bases
    )
    return RegisterMap(file.model_copy(update={"blocks": blocks, "entries": entries}))


def chain_of(register_map: RegisterMap) -> RegisterMap:
    """A plain map of a device that has just the models of a map, with the chain around them: for simulated devices."""
    lengths = {b.sunspec_model: b.sunspec_length for b in register_map.file.blocks if b.sunspec_model is not None}
    chain = [_constant("sunspec_marker", 0, "u32", MARKER[0] << 16 | MARKER[1])]
    models: dict[int, int] = {}
    address = 2
    for model, length in (COMMON, *lengths.items()):
        models[model] = address
        chain += [_constant(f"model_{model}_id", address, "u16", model)]
        chain += [_constant(f"model_{model}_length", address + 1, "u16", length)]
        address += 2 + length
    chain += [_constant("chain_end", address, "u16", END), _constant("chain_end_length", address + 1, "u16", 0)]
    block = BlockSection(name=_CHAIN, access="read", zh="SunSpec 模型链", en="chain of SunSpec models")
    file = placed(register_map, models).file
    entries = (*chain, *file.entries)
    return RegisterMap(file.model_copy(update={"blocks": (block, *file.blocks), "entries": entries}))


_CHAIN = "sunspec_chain"


def _constant(name: str, address: int, type_name: str, value: int) -> EntrySection:
    return EntrySection(name=name, block=_CHAIN, address=address, type=type_name, const=value, zh=name, en=name)
