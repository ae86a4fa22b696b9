"""Words for codes: states, modes, limits, checks. The console shows them; the HTTP interface shows the codes.

`Language.word` looks a word up in the catalogues (`api/locale`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from swap.words import N_, PERIOD_NAMES, Texts, load_texts

LOCALE = Path(__file__).resolve().parent / "locale"
DOMAIN = "console"

WORDS: dict[str, dict[str, str]] = {
    "mode": {
        "automatic": N_("Automatic"),
        "manual": N_("Manual"),
        "held": N_("Held"),
        "thermal": N_("Hot pack procedure"),
        "fire": N_("Fire"),
        "closed": N_("Closed"),
    },
    "pack_state": {
        "on_vehicle": N_("On a truck"),
        "received": N_("Set down"),
        "identified": N_("Identified"),
        "cooling": N_("Cooling"),
        "warming": N_("Warming"),
        "waiting": N_("Waiting"),
        "charging": N_("Charging"),
        "ready": N_("Ready"),
        "reserved": N_("Reserved"),
        "picked": N_("In the gripper"),
        "blocked": N_("Blocked"),
        "quarantined": N_("Quarantined"),
        "evacuated": N_("In the tank"),
    },
    "role": {
        "rack": N_("Charging bay"),
        "transfer": N_("Transfer bay"),
        "quarantine": N_("Quarantine bay"),
    },
    "limit": {
        "fire": N_("fire system released"),
        "role": N_("bay does not charge"),
        "no_pack": N_("no pack"),
        "bay_blocked": N_("bay blocked"),
        "no_charger": N_("no charger"),
        "charger_fault": N_("charger fault"),
        "pack_state": N_("pack may not charge now"),
        "sensor": N_("bay sensor sees no pack"),
        "stale": N_("reading too old"),
        "unknown": N_("reading incomplete"),
        "alarm": N_("pack alarm"),
        "too_hot": N_("too warm to charge"),
        "too_cold": N_("too cold to charge"),
        "target": N_("charged"),
        "charger": N_("charger rating"),
        "bms": N_("pack limit (BMS)"),
        "pack": N_("pack rating"),
        "pack_temp": N_("reduced for temperature"),
        "grid": N_("grid limit"),
        "demand_response": N_("demand response"),
        "measured_import": N_("measured site load"),
        "rack": N_("rack limit"),
        "min_setpoint": N_("too little power left"),
        "tariff": N_("waiting for a cheaper hour"),
    },
    "phase": {
        "pending": N_("waiting for permissives"),
        "sent": N_("command under way"),
        "confirming": N_("sensors must agree"),
        "held": N_("waiting for a person"),
    },
    "hold": {
        "trip": N_("safety trip"),
        "guard_lost": N_("a guarded condition was lost"),
        "link_lost": N_("link to the cell lost"),
        "mode": N_("the station is held"),
        "restart": N_("interrupted by a restart"),
        "fault": N_("fault"),
        "timeout": N_("time limit passed"),
        "check_failed": N_("pre-check failed"),
        "cell_changed": N_("something happened at the cell between two looks"),
        "unknown_result": N_("the cell holds a result that is not on record"),
    },
    "check": {
        "authorised": N_("Authorised"),
        "record": N_("On record"),
        "pack_available": N_("Pack available"),
        "vehicle_link": N_("Truck link"),
        "position": N_("Position"),
        "old_pack": N_("Old pack, truck secured"),
        "new_pack_accepted": N_("New pack accepted"),
        "new_pack_power_off": N_("New pack power off"),
        "robot_ready": N_("Robot ready"),
    },
    "check_result": {
        "none": N_("open"),
        "checking": N_("checking"),
        "pass": N_("passed"),
        "fail": N_("failed"),
        "waiting_person": N_("waiting for a person"),
        "cancelled": N_("cancelled"),
    },
    "swap_end": {
        "completed": N_("Completed"),
        "returned": N_("Own pack put back"),
        "cancelled": N_("Cancelled"),
    },
    "request": {
        "confirm": N_("Confirm"),
        "hold": N_("Hold"),
        "resume": N_("Resume"),
        "manual": N_("Manual"),
        "reset": N_("Reset faults of the cell"),
        "automatic": N_("Automatic"),
        "close": N_("Close"),
        "release_pack": N_("Release pack"),
        "release_bay": N_("Release bay"),
        "cancel_swap": N_("Cancel swap"),
        "decide": N_("Decide"),
    },
    "decision": {
        "continue": N_("Continue"),
        "unwind": N_("Way back"),
        "cancel": N_("Cancel"),
    },
    "mode_trigger": {
        "hold": N_("Hold"),
        "confirm": N_("Confirm"),
        "manual": N_("Manual"),
        "close": N_("Close"),
        "open": N_("Open for service"),
        "thermal": N_("Hot pack procedure"),
        "thermal_over": N_("End of the hot pack procedure"),
        "fire": N_("Fire"),
        "fire_over": N_("End of fire"),
    },
    "pack_trigger": {
        "release": N_("Release pack"),
    },
    "period": PERIOD_NAMES,
    "devices": {
        "simulated": N_("simulated devices"),
        "real": N_("real devices"),
    },
    "place": {
        "empty": N_("empty"),
        "occupied": N_("a pack"),
        "loaded": N_("a pack"),
    },
    "request_status": {
        "open": N_("not answered yet"),
        "done": N_("done"),
        "refused": N_("refused"),
        "expired": N_("expired, not done"),
        "late": N_("no answer in time"),
    },
    "fact": {
        "estop_ok": N_("e-stops released"),
        "curtain_clear": N_("light curtain clear"),
        "doors_closed": N_("doors closed"),
        "fire_ok": N_("fire system quiet"),
        "smoke_ok": N_("smoke detectors quiet"),
        "power_ok": N_("power confirmed at the cell"),
        "homed": N_("robot referenced"),
        "at_home": N_("robot at home"),
        "vehicle_present": N_("truck in the lane"),
        "vehicle_in_position": N_("truck in position"),
        "vehicle_link": N_("truck answers"),
        "handbrake_on": N_("handbrake on"),
        "gear_neutral": N_("gear in neutral"),
        "key_off": N_("key off"),
        "hv_off": N_("high voltage off"),
        "locks_open": N_("locks open"),
        "locks_closed": N_("locks closed"),
        "all_locks_closed": N_("locks of all seats closed"),
        "seat_1_occupied": N_("pack in seat 1"),
        "seat_2_occupied": N_("pack in seat 2"),
        "pack_accepted": N_("truck accepts the pack"),
        "gripper_loaded": N_("pack in the gripper"),
        "transfer_occupied": N_("pack in the transfer bay"),
        "tank_ready": N_("tank ready"),
        "tank_occupied": N_("pack in the tank"),
        "exit_clear": N_("exit clear"),
        "source_occupied": N_("pack where it is to be taken"),
        "target_occupied": N_("pack where it is to be set down"),
        "pack_safe": N_("pack safe to move"),
        "source_power_off": N_("charger off where the pack is to be taken"),
        "fresh_status": N_("fresh status of the cell"),
        "cell_idle": N_("cell at rest"),
        "no_cell_alarm": N_("no alarm of the cell"),
    },
    "reason": {
        "first start": N_("first start"),
        "restart": N_("the controller was restarted"),
        "restored": N_("the database was put back from a copy"),
        "asked": N_("asked by a person"),
        "manual work": N_("manual work"),
        "closed": N_("closed by a person"),
        "ended": N_("ended by a person"),
        "confirmed": N_("confirmed by a person"),
        "database_lost": N_("the database was lost"),
        "not in the station file": N_("not in the station file"),
        "control_gap": N_("the station was not watched for more than 3 s"),
    },
    "cell_mode": {
        "local": N_("local mode at the cell"),
        "single": N_("single steps at the cell"),
        "auto": N_("automatic mode of the cell"),
        "fire": N_("fire mode of the cell"),
        "maintenance": N_("maintenance of the cell"),
    },
    "source": {
        "lane": N_("lane {name}"),
        "bay": N_("bay {name}"),
        "gripper": N_("gripper of lane {name}"),
        "controller": N_("controller"),
    },
    "level": {
        "1": N_("note"),
        "2": N_("stop here"),
        "3": N_("stop at once"),
    },
    "control": {
        "starting": N_("The controller is starting."),
        "running": N_("The controller runs."),
        "database_slow": N_("The database is slow: commands wait for it."),
        "database_lost": N_(
            "The database is lost: robots on hold, chargers at 0 kW. When it is back, a named person has to confirm."
        ),
        "loop_late": N_("The controller is late: what is shown may be old."),
        "stopped": N_("The controller has stopped: nobody runs this station."),
        "unknown": N_("Another process runs this station, and the database does not answer."),
    },
    "wait": {
        "none_of_kind": N_("no pack of this kind in the station"),
        "not_charged": N_("no pack charged yet"),
        "all_promised": N_("charged packs are promised"),
        "unsafe": N_("charged packs may not be used"),
        "no_empty_bay": N_("no empty bay"),
    },
}
"""English words by subject and code; the keys of the catalogues."""

SUBJECT_OF = {"on_record": "place", "seen": "place", "swap_state": "swap_end"}
"""Subject of a value in an answer or request whose name is not that of its subject."""


@dataclass(frozen=True)
class Language(Texts):
    """One language and one zone: words, numbers and times as a person reads them."""

    zone: ZoneInfo

    def word(self, subject: str, code: str | None) -> str:
        """The word for a code; the code itself where there is none, which a person can still report."""
        if not code:
            return ""
        message = WORDS[subject].get(code)
        return code if message is None else self.text(message)

    def value(self, name: str, value: str) -> str:
        """A value of an answer or request by its name: the word where it is a code, else as it is."""
        if name == "where":
            return self.source(value)
        subject = SUBJECT_OF.get(name, name)
        return self.word(subject, value) if subject in WORDS else value

    def source(self, source: str) -> str:
        """Words for where a fault comes from or where a pack should be, such as `lane:L1`."""
        kind, _, name = source.partition(":")
        message = WORDS["source"].get(kind)
        return source if message is None else self.text(message, name=name)

    def fact(self, name: str) -> str:
        """Words for a permissive; `!` before its name asks for the opposite."""
        word = self.word("fact", name.removeprefix("!"))
        return self.text("not: {fact}", fact=word) if name.startswith("!") else word

    def time_of_day(self, at: datetime) -> str:
        """Station local time."""
        return at.astimezone(self.zone).strftime("%H:%M:%S")

    def date_and_time(self, at: datetime) -> str:
        """Station local date and time."""
        return at.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")


def load_language(name: str, zone: ZoneInfo) -> Language:
    """Read the compiled catalogue of a language. Raises CatalogueError when it is not there."""
    return Language(name, load_texts(DOMAIN, LOCALE, name), zone)


def short_code(pack_id: str) -> str:
    """The end of a pack's 24-character code, which is its serial number (GB/T 34014)."""
    return pack_id[-7:].lstrip("0").rjust(3, "0")


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def kilowatts(value: float | None) -> str:
    """Whole kilowatts; a dash when unknown."""
    return "–" if value is None else f"{value:,.0f}"
