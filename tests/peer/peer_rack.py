"""The rack of the peer: chargers with the BMS of their packs, and the meter, from docs/chargers.md alone.

A bay has a charger when its first register is given. What stands in it is what the machine has put there.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.peer.peer_machine import Machine
    from tests.peer.peer_modbus import Registers, Server
else:
    from peer_machine import Machine
    from peer_modbus import Registers, Server

BMS_S = 0.3  # the BMS speaks at least once a second
NONE_16, NONE_32 = 0xFFFF, 0xFFFFFFFF
STATUS_COUNT, COMMAND_FIRST, COMMAND_COUNT = 37, 40, 3
IDLE, CHARGING = 1, 2
EFFICIENCY = 0.94


@dataclass
class Pack:
    """A pack as its BMS knows it; NaN is a value that the BMS does not give."""

    code: str
    energy_kwh: float
    rated_kwh: float = 282.0
    soh_pct: float = 100.0
    temp_max_c: float = 25.0
    temp_min_c: float = 24.0
    cell_v: float = 3.3
    max_charge_kw: float = 240.0
    alarm_level: int = 0
    alarm_bits: int = 0
    insulation_ohm_per_v: float = 2000.0


@dataclass
class Charger:
    position: int
    first: int
    setpoint_kw: float = 0.0
    expires_s: int = 0
    counter: int = 0
    taken_s: float = 0.0
    bms_counter: int = 0
    meter_kwh: float = 0.0
    silent: bool = field(default=False, repr=False)
    """The BMS says nothing."""


def scaled(value: float, scale: float, offset: float = 0.0, none: int = NONE_16) -> int:
    return none if math.isnan(value) else max(0, min(round((value - offset) / scale), none - 1))


class Rack:
    """Chargers on one endpoint, the meter on another."""

    def __init__(
        self, machine: Machine, chargers: Mapping[int, int], packs: dict[int, Pack], base_kw: float,
        ports: tuple[int, int], say: Callable[..., None], most: int,
    ) -> None:  # fmt: skip
        self.machine, self.packs, self.base_kw, self.say = machine, packs, base_kw, say
        self.chargers = {position: Charger(position, first) for position, first in chargers.items()}
        self.registers, self.meter = Registers(), Registers()
        self.servers = (
            Server(ports[0], self.registers, self._may_write, self._tell, most),
            Server(ports[1], self.meter, lambda first, count: False, self._tell),
        )
        self.next_bms_s, self.last_s, self.import_kwh, self.samples = 0.0, time.monotonic(), 0.0, 0
        self.scan(self.last_s)

    def begin(self) -> None:
        for server in self.servers:
            server.begin()

    def _tell(self, event: str, **what: Any) -> None:
        if event not in ("connection", "write"):  # the set-point says what was written
            self.say(event, **what)

    def _may_write(self, first: int, count: int) -> bool:
        return count == COMMAND_COUNT and any(first == c.first + COMMAND_FIRST for c in self.chargers.values())

    def scan(self, now: float) -> None:
        with self.registers.lock:
            speaks = now >= self.next_bms_s
            total_kw = 0.0
            for charger in self.chargers.values():
                total_kw += self._charge(charger, now, now - self.last_s, speaks=speaks)
        self.last_s = now
        if speaks:
            self.next_bms_s = now + BMS_S
            self._measure(self.base_kw + total_kw / EFFICIENCY)

    def _charge(self, charger: Charger, now: float, dt_s: float, *, speaks: bool) -> float:
        setpoint, expires_s, counter = self.registers.read(charger.first + COMMAND_FIRST, COMMAND_COUNT)
        if counter != charger.counter:
            charger.setpoint_kw, charger.expires_s, charger.counter, charger.taken_s = (
                setpoint / 10, expires_s, counter, now,
            )  # fmt: skip
            self.say("setpoint", bay=charger.position, kw=setpoint / 10, expires_s=expires_s)
        left_s = max(charger.taken_s + charger.expires_s - now, 0.0)
        if not left_s and charger.setpoint_kw:
            charger.setpoint_kw = 0.0
            self.say("expired", bay=charger.position)
        pack = self.packs.get(self.machine.packs.get(charger.position, 0))
        power_kw = 0.0
        if pack is not None:
            limit_kw = 0.0 if math.isnan(pack.max_charge_kw) else pack.max_charge_kw
            full = pack.energy_kwh >= pack.rated_kwh * pack.soh_pct / 100
            power_kw = 0.0 if full else min(charger.setpoint_kw, limit_kw)
            pack.energy_kwh += power_kw * dt_s / 3600
            charger.meter_kwh += power_kw * dt_s / 3600
        if speaks and not charger.silent:
            charger.bms_counter = charger.bms_counter + 1 & 0xFFFF
        self.registers.write(charger.first, self._status(charger, pack, power_kw, left_s))
        return power_kw

    def _status(self, charger: Charger, pack: Pack | None, power_kw: float, left_s: float) -> Sequence[int]:
        present = self.machine.packs.get(charger.position, 0) != 0
        words = [charger.bms_counter, int(present)]
        if pack is None:
            words += [0] * 12 + [NONE_16] * 15
        else:
            code = pack.code.encode("ascii").ljust(24, b"\0")
            words += [code[n] << 8 | code[n + 1] for n in range(0, 24, 2)]
            kwh = scaled(pack.energy_kwh, 0.01, none=NONE_32)
            full_kwh = pack.rated_kwh * pack.soh_pct / 100
            words += [
                scaled(100 * pack.energy_kwh / full_kwh, 0.1), kwh >> 16, kwh & 0xFFFF, scaled(pack.soh_pct, 0.1),
                6000, round(10 * power_kw / 0.6), scaled(pack.temp_max_c, 0.1, -50), scaled(pack.temp_min_c, 0.1, -50),
                scaled(pack.cell_v, 0.001), scaled(pack.cell_v, 0.001), round(pack.insulation_ohm_per_v),
                scaled(pack.max_charge_kw, 0.1), pack.alarm_level, pack.alarm_bits >> 16, pack.alarm_bits & 0xFFFF,
            ]  # fmt: skip
        meter = scaled(charger.meter_kwh, 0.01, none=NONE_32)
        words += [
            CHARGING if power_kw else IDLE, 0, scaled(power_kw, 0.1), scaled(charger.setpoint_kw, 0.1),
            charger.counter, round(left_s), meter >> 16, meter & 0xFFFF,
        ]  # fmt: skip
        assert len(words) == STATUS_COUNT
        return words

    def _measure(self, import_kw: float) -> None:
        self.samples = self.samples + 1 & 0xFFFF
        self.import_kwh += import_kw * BMS_S / 3600
        kw, kwh = round(10 * import_kw), scaled(self.import_kwh, 0.01, none=NONE_32)
        with self.meter.lock:
            self.meter.write(0, [self.samples, kw >> 16, kw & 0xFFFF, kwh >> 16, kwh & 0xFFFF, 0, 0])

    def bms(self, position: int, name: str, value: Any) -> None:
        """Let the BMS of the pack in a bay say something else; `silent` stops it."""
        if name == "silent":
            self.chargers[position].silent = bool(value)
        else:
            setattr(self.packs[self.machine.packs[position]], name, value)
