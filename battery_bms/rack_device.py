"""One Modbus endpoint of the rack: reads the bays behind it, writes their set-points, judges what is stale.

Wire protocol (map `bay_charger_v1`, or an integrator's own with the same entry names):

* Read: each bay's status registers; bays that lie close together share a request of up to `max_registers`. A
  device that refuses the registers between two bays is from then on asked bay by bay.
* `bms_counter` must move: unchanged for `max_age_s` of real time means that the BMS is silent, and all that
  it gave is unknown. Until it has been seen to move once, it counts as silent.
* Write: set-point, validity and counter of one bay in one request, counter last. The charger takes the
  set-point when the counter changes, echoes both, and falls to 0 kW by itself when the validity ends.
* A set-point counts as confirmed when the echo shows it, never because the write was answered.

No request is started after a cycle's time budget has ended, so one device costs at most its budget and one
time-out. The first request without an answer ends a reading cycle.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from battery_bms.code34014 import normalise_code
from battery_bms.config import BayPointSection, BaySection, RackDeviceSection
from battery_bms.entries import BAY_NEEDED
from battery_bms.port import BILLED_VALUES, BMS_VALUES, ChargerState, PackReading, WireRead
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.link import LinkLost, ModbusLink, Refused
from robotics.modbus_link.registers import MapError, RegisterMap, Value
from robotics.modbus_link.words import NUMBER_WORDS, from_words

logger = logging.getLogger(__name__)

ECHO_WAIT_S = 0.02
"""Real seconds between two looks at the echo; the device's own cycle is of this order."""

NO_WIRE: Mapping[str, WireRead] = {}
READ_HOLDING = 3
"""Function code with which the link reads."""

_LAST_COUNTER = 65534  # 65535 stands for "not available" in the echo, 0 for "no set-point yet"

# Unknown while the BMS is silent. Alarms are not among them: silence does not clear an alarm.
_FROM_BMS = ("pack_code", *BMS_VALUES)


class Withdrawn(Exception):
    """A stop came before the set-point was written."""


class RegisterLink(Protocol):
    """The part of `robotics.modbus_link.link.ModbusLink` that is used here."""

    async def connect(self) -> None:
        """Start to keep the connection up; returns even when the device does not answer yet."""

    async def read(self, address: int, count: int) -> list[int]:
        """Holding registers. Raises LinkLost or Refused."""

    async def write(self, address: int, values: list[int]) -> None:
        """Write adjacent registers in one request. Raises LinkLost or Refused."""

    async def close(self) -> None:
        """Close the connection."""


LinkFactory = Callable[[ModbusAddress, str], RegisterLink]
"""Makes the link to an address; the text is what log lines call the device."""


def modbus_link(address: ModbusAddress, name: str) -> RegisterLink:
    """A real Modbus TCP link."""
    return ModbusLink(address, name=name)


def safe_setpoint_kw(requested_kw: float, rating_kw: float, step_kw: float) -> float:
    """The set-point that may be written: 0…rating, rounded down to the register's step.

    Whatever is no ordinary positive number is 0: no mistake in a sum may turn into full power.
    """
    if not (0.0 < requested_kw < math.inf) or not (0.0 < rating_kw < math.inf):
        return 0.0
    steps = math.floor(min(requested_kw, rating_kw) / step_kw * (1.0 + 1e-12))
    return round(steps * step_kw, 9)


@dataclass(slots=True, eq=False)
class RackBay:
    """One bay with a charger or a BMS behind this device, and what is known of it."""

    section: BaySection
    base: int
    expiry_s: float
    """Real seconds after which a set-point, sent now, has surely expired in the charger."""
    reading: PackReading | None = None
    read_at_s: float = 0.0
    """Real time of the reading."""
    bms_counter: int | None = None
    bms_moved_at_s: float | None = None
    """Real time at which the counter was last seen to change; None when never."""
    cmd_counter: int | None = None
    """Counter of the last set-point written or echoed; None when neither."""
    orders: list[tuple[float, float]] = field(default_factory=list)
    """Set-points the charger may be following, each with the real time it expires; one once confirmed."""
    ordered: bool = False
    """Whether a set-point was ever sent; before, the charger's echo says what an earlier run left."""

    @property
    def bay_id(self) -> str:
        """The station file's name of the bay."""
        return self.section.id

    def assumed_kw(self, now_s: float) -> float:
        """The most that the charger's set-point can be now: 0 once the last one has expired."""
        if self.ordered:
            return max((power_kw for power_kw, until_s in self.orders if now_s < until_s), default=0.0)
        if self.reading is None or now_s >= self.read_at_s + self.expiry_s:
            return 0.0
        return self.reading.setpoint_kw or 0.0


@dataclass(frozen=True, slots=True)
class _Request:
    """One read, and the bays whose registers it brings."""

    address: int
    count: int
    bays: tuple[RackBay, ...]


class RackDevice:
    """The bays behind one endpoint. `monotonic` gives real seconds; `now` stamps readings."""

    def __init__(
        self,
        section: RackDeviceSection,
        bays: list[tuple[BaySection, BayPointSection]],
        register_map: RegisterMap,
        link: RegisterLink,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        missing = register_map.missing(BAY_NEEDED)
        if missing:
            raise MapError(
                register_map.name,
                [f"entry {name!r}: missing; needed are {', '.join(BAY_NEEDED)}" for name in missing],
            )
        self.section = section
        self.map = register_map
        self.link = link
        # The write may arrive up to a time-out after it was sent.
        expiry_s = section.setpoint_expires_s + section.timeout_s
        self.bays = {bay.id: RackBay(bay, point.base_address, expiry_s) for bay, point in bays}
        self._now = now
        self._monotonic = monotonic
        self._reads = register_map.reads_within(section.max_registers)
        self._requests = self._coalesced(self._max_gap())
        self._start = 0
        self._refusing = False
        self._billed = [
            entry
            for name in BILLED_VALUES
            if (entry := register_map.entries.get(name)) is not None and entry.type in NUMBER_WORDS
        ]
        self._step_kw = register_map.entries["cmd_setpoint_kw"].scale

    # -- reading

    async def poll(self) -> None:
        """Read every bay once, as far as the device answers within its budget."""
        end_s = self._monotonic() + max(self.section.timeout_s, self.section.poll_s)
        words: dict[int, int] = {}
        stamps: dict[str, datetime] = {}
        requests = self._requests[self._start :] + self._requests[: self._start]
        refused = False
        for done, request in enumerate(requests):
            if done and self._monotonic() >= end_s:
                # The next cycle begins where this one ended, so that no bay waits for ever behind another.
                self._start = (self._start + done) % len(requests)
                break
            try:
                answer = await self.link.read(request.address, request.count)
            except LinkLost as error:
                logger.debug("rack device %s: %s", self.section.id, error)
                self._start = (self._start + done + 1) % len(requests)
                break
            except Refused as error:
                refused = True
                self._refused(request, error)
                continue
            words.update(zip(range(request.address, request.address + request.count), answer, strict=True))
            at = self._now()
            for bay in request.bays:
                stamps.setdefault(bay.bay_id, at)  # of several reads the oldest counts
        if self._refusing and stamps and not refused:
            self._refusing = False
            logger.info("rack device %s gives every bay again", self.section.id)
        for bay_id, at in stamps.items():
            self._take(self.bays[bay_id], words, at)

    def _take(self, bay: RackBay, words: Mapping[int, int], at: datetime) -> None:
        values: dict[str, Value] = {}
        relative: dict[int, int] = {}
        for block, spans in self._reads.items():
            needed = [span.address + i for span in spans for i in range(span.count)]
            if any(bay.base + address not in words for address in needed):
                return
            of_block = {address: words[bay.base + address] for address in needed}
            values |= self.map.decode(block, of_block)
            relative |= of_block
        self._watch_bms(bay, values)
        bay.reading = self._reading(bay, values, at, self._wire(bay, values, relative))
        bay.read_at_s = self._monotonic()
        if bay.cmd_counter is None:
            bay.cmd_counter = _integer(values.get("setpoint_counter"))

    def _watch_bms(self, bay: RackBay, values: dict[str, Value]) -> None:
        if "bms_counter" not in self.map.entries:
            return
        counter, now_s = _integer(values.get("bms_counter")), self._monotonic()
        if counter is not None and bay.bms_counter is not None and counter != bay.bms_counter:
            bay.bms_moved_at_s = now_s
        bay.bms_counter = counter
        if values.get("pack_present") is False:
            # The registers may still hold the pack that left: the next one has to make itself heard first.
            bay.bms_moved_at_s = None
        moved_at_s = bay.bms_moved_at_s
        if counter is None or moved_at_s is None or now_s - moved_at_s > self.section.max_age_s:
            values.update(dict.fromkeys(_FROM_BMS))

    def _wire(self, bay: RackBay, values: Mapping[str, Value], words: Mapping[int, int]) -> dict[str, WireRead]:
        """The registers of what bills may rest on, where they gave a value."""
        found: dict[str, WireRead] = {}
        for entry in self._billed:
            if values.get(entry.name) is None:
                continue
            own = tuple(words[address] for address in range(entry.address, entry.last + 1))
            order = self.map.order(entry)
            power = None if entry.scale_from is None else self.map.power(entry, words)
            found[entry.name] = WireRead(
                self.section.device_id,
                READ_HOLDING,
                bay.base + entry.address,
                own,
                entry.type,
                order,
                from_words(own, entry.type, little=order == "little"),
                entry.scale,
                entry.offset,
                power or 0,
            )
        return found

    def _reading(
        self, bay: RackBay, values: Mapping[str, Value], at: datetime, wire: Mapping[str, WireRead] = NO_WIRE
    ) -> PackReading:
        def number(name: str) -> float | None:
            value = values.get(name)
            return float(value) if isinstance(value, int | float) else None

        code = values.get("pack_code")
        pack_id = normalise_code(code) or None if isinstance(code, str) else None
        present = values.get("pack_present")
        old = bay.reading
        same_pack = old is not None and present is True and pack_id in (None, old.pack_id)
        level, bits = _integer(values.get("alarm_level")), _integer(values.get("alarm_bits"))
        if level is None:
            level = old.alarm_level if old is not None and same_pack else 0
        if bits is None:
            bits = old.alarm_bits if old is not None and same_pack else 0
        return PackReading(
            bay_id=bay.bay_id,
            at=at,
            present=present if isinstance(present, bool) else True if pack_id else None,
            pack_id=pack_id,
            soc_pct=number("soc_pct"),
            energy_kwh=number("energy_kwh"),
            soh_pct=number("soh_pct"),
            voltage_v=number("voltage_v"),
            current_a=number("current_a"),
            temp_max_c=number("temp_max_c"),
            temp_min_c=number("temp_min_c"),
            cell_max_v=number("cell_max_v"),
            cell_min_v=number("cell_min_v"),
            insulation_ohm_per_v=number("insulation_ohm_per_v"),
            max_charge_kw=number("max_charge_kw"),
            alarm_level=level,
            alarm_bits=bits,
            charger_state=self._charger_state(values.get("charger_state")),
            charger_fault=_integer(values.get("charger_fault")) or 0,
            charge_kw=number("charge_kw"),
            setpoint_kw=number("setpoint_kw"),
            meter_kwh=number("meter_kwh"),
            discharged_kwh=number("discharged_kwh"),
            wire=wire,
        )

    def _charger_state(self, raw: Value) -> ChargerState | None:
        meaning = self.map.means("charger_state", raw)
        return ChargerState[meaning.upper()] if meaning and meaning.upper() in ChargerState.__members__ else None

    def _refused(self, request: _Request, error: Refused) -> None:
        level = logging.DEBUG if self._refusing else logging.ERROR
        self._refusing = True
        names = ", ".join(bay.bay_id for bay in request.bays)
        logger.log(level, "rack device %s refuses to give bays %s: %s", self.section.id, names, error)
        if len(request.bays) > 1:
            self._requests = self._coalesced(None)
            self._start = 0

    def _max_gap(self) -> int:
        return min(block.max_gap for block in self.map.blocks.values() if block.access == "read")

    def _coalesced(self, max_gap: int | None) -> list[_Request]:
        """Reads that bring every bay; None keeps the bays apart."""
        spans = sorted(
            (
                (bay.base + span.address, span.count, bay)
                for bay in self.bays.values()
                for blocks in self._reads.values()
                for span in blocks
            ),
            key=lambda item: item[0],
        )
        requests: list[_Request] = []
        for address, count, bay in spans:
            last = requests[-1] if requests else None
            if last is not None and max_gap is not None and address - (last.address + last.count) <= max_gap:
                joined = max(last.address + last.count, address + count) - last.address
                if joined <= self.section.max_registers:
                    bays = last.bays if bay in last.bays else (*last.bays, bay)
                    requests[-1] = _Request(last.address, joined, bays)
                    continue
            requests.append(_Request(address, count, (bay,)))
        return requests

    # -- set-points

    def within_rating(self, wanted_kw: Mapping[str, float]) -> dict[str, float]:
        """Set-points each within its charger, together within what the endpoint's power cabinet gives."""
        safe = {
            bay_id: safe_setpoint_kw(kw, self.bays[bay_id].section.charger_kw, self._step_kw)
            for bay_id, kw in wanted_kw.items()
        }
        if self.section.rated_kw is None:
            return safe
        now_s = self._monotonic()
        others_kw = sum(bay.assumed_kw(now_s) for bay in self.bays.values() if bay.bay_id not in safe)
        left_kw = max(self.section.rated_kw - others_kw, 0.0)
        share = min(left_kw / total_kw, 1.0) if (total_kw := sum(safe.values())) > 0.0 else 1.0
        return {bay_id: kw * share for bay_id, kw in safe.items()}

    async def apply(
        self, wanted_kw: Mapping[str, float], budget_s: float, withdrawn: Callable[[], bool]
    ) -> dict[str, str]:
        """Write set-points and wait for their echo. Returns the bays not confirmed, with the reason.

        Args:
            wanted_kw: power by bay id.
            budget_s: real seconds after which no further request is started.
            withdrawn: asked before each write; once true, nothing more is written.
        """
        end_s = self._monotonic() + budget_s
        reasons: dict[str, str] = {}
        written: dict[str, tuple[float, int | None]] = {}
        for bay_id, wanted in wanted_kw.items():
            bay = self.bays[bay_id]
            if self._monotonic() >= end_s:
                reasons[bay_id] = f"not sent: {self.section.id} used up its {budget_s:g} s"
                continue
            setpoint_kw = safe_setpoint_kw(wanted, bay.section.charger_kw, self._step_kw)
            try:
                written[bay_id] = (setpoint_kw, await self._write(bay, setpoint_kw, withdrawn))
            except LinkLost as error:
                reasons[bay_id] = f"no answer from {self.section.id}: {error}"
            except Withdrawn:
                reasons[bay_id] = "not sent: everything was stopped meanwhile"
            except (Refused, MapError) as error:
                reasons[bay_id] = f"refused by {self.section.id}: {error}"
        while written and not withdrawn():
            for bay_id, (setpoint_kw, counter) in list(written.items()):
                reason = await self._not_confirmed(self.bays[bay_id], setpoint_kw, counter)
                if reason is None:
                    del written[bay_id]
                    reasons.pop(bay_id, None)
                else:
                    reasons[bay_id] = reason
                if self._monotonic() >= end_s:
                    break
            if written and self._monotonic() >= end_s:
                for bay_id in written:
                    reasons.setdefault(bay_id, f"no echo from {self.section.id} within {budget_s:g} s")
                break
            if written:
                await asyncio.sleep(ECHO_WAIT_S)
        if withdrawn():
            reasons |= dict.fromkeys(written, "overruled: everything was stopped meanwhile")
        return reasons

    async def _write(self, bay: RackBay, setpoint_kw: float, withdrawn: Callable[[], bool]) -> int | None:
        """Send one set-point; returns the counter that went with it.

        Raises LinkLost, Refused, MapError or Withdrawn.
        """
        values: dict[str, Value] = {
            "cmd_setpoint_kw": setpoint_kw,
            "cmd_expires_s": self.section.setpoint_expires_s,
        }
        counter = None
        if "cmd_counter" in self.map.entries:
            if bay.cmd_counter is None and "setpoint_counter" in self.map.entries:
                await self._learn_counter(bay)
            counter = (bay.cmd_counter or 0) % _LAST_COUNTER + 1
            values["cmd_counter"] = counter
        runs = self.map.encode(values)
        if withdrawn():
            raise Withdrawn
        # From here on it may have arrived, whatever the answer says. Nothing is awaited between the question
        # above and the request, and links serve requests in order: a stop that comes now is written later.
        now_s = self._monotonic()
        if not bay.ordered:
            bay.orders = [(bay.assumed_kw(now_s), bay.read_at_s + bay.expiry_s)]
        bay.ordered = True
        bay.orders = [order for order in bay.orders if now_s < order[1]]
        bay.orders.append((setpoint_kw, now_s + bay.expiry_s))
        bay.cmd_counter = counter
        for address, registers in runs:
            await self.link.write(bay.base + address, registers)
        return counter

    async def _learn_counter(self, bay: RackBay) -> None:
        """Go on from the charger's own counter: one it already has would not be taken."""
        taken = _integer((await self._echo(bay)).get("setpoint_counter"))
        if bay.cmd_counter is None:  # another call may have gone first while this one waited
            bay.cmd_counter = taken

    async def _not_confirmed(self, bay: RackBay, setpoint_kw: float, counter: int | None) -> str | None:
        try:
            values = await self._echo(bay)
        except LinkLost as error:
            return f"no echo from {self.section.id}: {error}"
        except Refused as error:
            return f"echo refused by {self.section.id}: {error}"
        echo, echo_counter = values.get("setpoint_kw"), _integer(values.get("setpoint_counter"))
        if not isinstance(echo, int | float):
            return "the charger gives no echo"
        if abs(echo - setpoint_kw) > self._step_kw / 2:
            return f"the charger echoes {echo:g} kW, {setpoint_kw:g} kW was written"
        if counter is not None and "setpoint_counter" in self.map.entries and echo_counter != counter:
            return f"the charger has not taken set-point number {counter}, its last is {echo_counter}"
        bay.orders = bay.orders[-1:]
        return None

    async def _echo(self, bay: RackBay) -> dict[str, Value]:
        """The echo entries of a bay, read afresh."""
        entries = [self.map.entries[n] for n in ("setpoint_kw", "setpoint_counter") if n in self.map.entries]
        first, last = min(e.address for e in entries), max(e.last for e in entries)
        spans = (
            [(e.address, e.words) for e in entries]
            if last - first >= min(9, self.section.max_registers)
            else [(first, last - first + 1)]
        )
        words: dict[int, int] = {}
        for address, count in spans:
            answer = await self.link.read(bay.base + address, count)
            words.update(zip(range(address, address + count), answer, strict=True))
        return {entry.name: self.map.decode(entry.block, words)[entry.name] for entry in entries}


def _integer(value: Value) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
