"""One Modbus device beside the rack: meter, photovoltaics or storage, read by its register map."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from battery_bms.config import SiteDeviceSection
from battery_bms.rack_device import LinkFactory, modbus_link
from robotics.modbus_link.link import LinkLost, Refused
from robotics.modbus_link.registers import MapError, RegisterMap, Span, Value, load_map
from robotics.modbus_link.sunspec import find_models, placed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """What one look at a device brought."""

    at: datetime
    values: Mapping[str, Value]
    words: Mapping[int, int] = field(default_factory=dict)
    """The registers behind the values."""

    def number(self, name: str) -> float | None:
        """A value that is a finite number; None for any other, and for one that the map does not carry."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


class SiteDevice:
    """Reads a whole map, and notices a device whose values stand still.

    A device that answers with the same `sample_counter` for longer than `max_age_s` of real time is frozen: it gives no
    new sample, as one that does not answer or refuses. A map without that counter, and a device that gives it no value,
    cannot be known to be frozen. A SunSpec device's models are looked for before the first read and after each refusal.

    Args:
        name: what log lines call it.
        needed: names without which the map cannot be used.
        now: station time.
        folder: where relative paths of register maps start.
        monotonic: real seconds.
    """

    def __init__(
        self,
        name: str,
        section: SiteDeviceSection,
        needed: Iterable[str],
        now: Callable[[], datetime],
        *,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        link_factory: LinkFactory = modbus_link,
    ) -> None:
        """Opens nothing. Raises MapError when the map cannot be used."""
        self.name = name
        self.section = section
        self.file_map = load_map(section.register_map, folder)
        missing = self.file_map.missing(needed)
        if missing:
            lines = [f"entry {entry!r}: missing; a {self.file_map.kind} map needs it" for entry in missing]
            raise MapError(self.file_map.name, lines)
        self.link = link_factory(section.address, name)
        self._map: RegisterMap | None = None if self.file_map.sunspec else self.file_map
        self._now = now
        self._monotonic = monotonic
        self._counted: tuple[Value, float] | None = None
        self._refusing = False

    async def map(self) -> RegisterMap:
        """The map as the device has it.

        Raises:
            LinkLost: no answer.
            Refused: the device refuses, or is no SunSpec device with the models that the map is about.
        """
        if self._map is None:
            self._map = placed(self.file_map, await find_models(self.link.read))
        return self._map

    async def sample(self) -> DeviceSample | None:
        """Read everything; None where there is nothing new to be believed."""
        try:
            register_map = await self.map()
            found = await self.read(register_map, self._spans(register_map))
        except LinkLost as error:
            logger.debug("%s: %s", self.name, error)
            return None
        except Refused as error:
            self.refused(error)
            return None
        if self._refusing:
            logger.info("%s answers again", self.name)
            self._refusing = False
        return None if self._frozen(found.values.get("sample_counter")) else found

    async def read(self, register_map: RegisterMap, spans: Mapping[str, Sequence[Span]]) -> DeviceSample:
        """Registers and values of blocks. Raises LinkLost, or Refused also where a constant of the map differs."""
        values: dict[str, Value] = {}
        all_words: dict[int, int] = {}
        at: datetime | None = None
        for block, parts in spans.items():
            words: dict[int, int] = {}
            for span in parts:
                answer = await self.link.read(span.address, span.count)
                at = at or self._now()
                words.update(zip(range(span.address, span.address + span.count), answer, strict=True))
            found = register_map.decode(block, words)
            for entry in register_map.by_block[block]:
                if entry.const is not None and found[entry.name] != register_map.constant(entry):
                    said, wanted = found[entry.name], register_map.constant(entry)
                    where = "is it another device, or another base_address?"
                    raise Refused(f"entry {entry.name!r} = {said}, the map says {wanted}; {where}")
            values |= found
            all_words |= words
        return DeviceSample(at or self._now(), values, all_words)

    def refused(self, error: Exception) -> None:
        """Tell of a refusal once; the models of the device are looked for anew."""
        logger.log(logging.DEBUG if self._refusing else logging.ERROR, "%s: %s", self.name, error)
        self._refusing = True
        if self.file_map.sunspec:
            self._map = None

    def _spans(self, register_map: RegisterMap) -> Mapping[str, Sequence[Span]]:
        return register_map.reads_within(self.section.address.max_registers)

    def _frozen(self, counter: Value) -> bool:
        if counter is None:
            return False
        now_s = self._monotonic()
        if self._counted is None or self._counted[0] != counter:
            self._counted = (counter, now_s)
        return now_s - self._counted[1] > self.section.max_age_s
