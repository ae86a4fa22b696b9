"""Words for codes: states, modes, limits, checks. The console shows them; the HTTP interface shows the codes.

`Language.word` looks a word up in the catalogues (`api/locale`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from robotics.port import read_trouble
from swap.words import N_, PERIOD_NAMES, Texts, language_of, load_texts

LOCALE = Path(__file__).resolve().parent / "locale"
DOMAIN = "console"

WORDS: dict[str, dict[str, str]] = {
    "line_kind": {
        "energy": N_("Electricity"),
        "service": N_("Swap service"),
        "rent": N_("Pack rent"),
        "overage": N_("Energy above the floor"),
        "distance": N_("Distance"),
        "per_swap": N_("Per swap"),
        "fee": N_("Fee"),
        "tonnage": N_("Tonnage"),
        "engine_hours": N_("Engine hours"),
        "damage": N_("Damage"),
        "buy_out": N_("Buy-out"),
        "early_end": N_("Early end of the contract"),
        "occupancy": N_("Occupancy until return"),
        "stranding": N_("Stranding swap"),
        "no_show": N_("No-show fee"),
        "demand_response": N_("Demand response"),
        "demand_response_penalty": N_("Penalty for demand response"),
    },
    "category": {
        "electricity": N_("Electricity"),
        "service": N_("Swap service"),
        "rent": N_("Pack rent"),
        "acquirer_fee": N_("Acquirer's fee"),
        "demand_response": N_("Demand response"),
        "demand_response_penalty": N_("Penalty for demand response"),
    },
    "pay_method": {
        "bank": N_("Bank transfer"),
        "wallet": N_("Wallet"),
        "channel_a": N_("Acquirer, channel A"),
        "channel_b": N_("Acquirer, channel B"),
        "net": N_("Set off"),
    },
    "unit": {
        "kwh": "kWh",
        "kwh_month": N_("kWh·month"),
        "month": N_("month"),
        "km": "km",
        "swap": N_("swap"),
        "tonne": N_("tonne"),
        "hour": N_("hour"),
        "item": N_("item"),
    },
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
    "account_role": {
        "administrator": N_("administrator"),
        "station_operator": N_("station operator"),
        "shift_worker": N_("shift worker"),
        "safety_officer": N_("safety officer"),
        "fleet_operator": N_("fleet operator"),
        "driver": N_("driver"),
        "battery_owner": N_("battery owner"),
        "accountant": N_("accountant"),
        "planner": N_("planner"),
        "supervisor": N_("supervisor"),
    },
    "factor": {
        "pin": N_("PIN"),
        "totp": N_("code (TOTP)"),
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
        "site_unknown": N_("site limits not known"),
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
        "unsecured": N_("the truck is not secured, or not known to be"),
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
        "permit_restart": N_("Permit a planned restart"),
        "release_pack": N_("Release pack"),
        "take_out_pack": N_("Take pack off site"),
        "bring_in_pack": N_("Bring pack in"),
        "release_bay": N_("Release bay"),
        "cancel_swap": N_("Cancel swap"),
        "demand_response": N_("Answer a call of demand response"),
        "decide": N_("Decide"),
    },
    "objection": {
        "late_notice": N_("it was told later than the programme asks"),
        "too_small": N_("it is less than the programme takes"),
        "too_short": N_("it is shorter than the programme takes"),
        "truck_waits": N_("a truck would wait for it"),
        "not_delivered": N_("in some slot less than what counts can be given"),
        "overlaps": N_("another accepted event runs at the same time"),
    },
    "decision": {
        "continue": N_("Continue"),
        "unwind": N_("Way back"),
        "cancel": N_("Cancel"),
        "tow_out": N_("Towed out, not accepted"),
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
        "all_seats_occupied": N_("a pack in every seat"),
        "seat_1_occupied": N_("pack in seat 1"),
        "seat_2_occupied": N_("pack in seat 2"),
        "seat_3_occupied": N_("pack in seat 3"),
        "seat_4_occupied": N_("pack in seat 4"),
        "seat_1_locks_open": N_("locks of seat 1 open"),
        "seat_1_locks_closed": N_("locks of seat 1 closed"),
        "seat_1_accepted": N_("truck accepts the pack in seat 1"),
        "seat_2_locks_open": N_("locks of seat 2 open"),
        "seat_2_locks_closed": N_("locks of seat 2 closed"),
        "seat_2_accepted": N_("truck accepts the pack in seat 2"),
        "seat_3_locks_open": N_("locks of seat 3 open"),
        "seat_3_locks_closed": N_("locks of seat 3 closed"),
        "seat_3_accepted": N_("truck accepts the pack in seat 3"),
        "seat_4_locks_open": N_("locks of seat 4 open"),
        "seat_4_locks_closed": N_("locks of seat 4 closed"),
        "seat_4_accepted": N_("truck accepts the pack in seat 4"),
        "pack_accepted": N_("truck accepts the pack"),
        "all_packs_accepted": N_("truck accepts every pack"),
        "gripper_loaded": N_("pack in the gripper"),
        "transfer_occupied": N_("pack in the transfer bay"),
        "tank_ready": N_("tank ready"),
        "tank_occupied": N_("pack in the tank"),
        "exit_clear": N_("exit clear"),
        "swap_mode": N_("truck in swap mode"),
        "drive_inhibited": N_("truck cannot be driven"),
        "hv_discharged": N_("high voltage discharged"),
        "connector_free": N_("connectors free"),
        "gripper_locked": N_("gripper locked"),
        "supported": N_("pack supported"),
        "source_occupied": N_("pack where it is to be taken"),
        "target_occupied": N_("pack where it is to be set down"),
        "pack_safe": N_("pack safe to move"),
        "source_power_off": N_("charger off where the pack is to be taken"),
        "fresh_status": N_("fresh status of the cell"),
        "cell_idle": N_("cell at rest"),
        "no_cell_alarm": N_("no alarm of the cell"),
        "incoming_code": N_("the truck's own pack is the one on record"),
        "incoming_cool": N_("the truck's own pack is not hot"),
        "incoming_no_alarm": N_("the truck's own pack has no alarm"),
        "incoming_tight": N_("the truck's own pack does not leak"),
        "quarantine_bay": N_("a free quarantine bay for the truck's own pack"),
    },
    "reason": {
        "first start": N_("first start"),
        "incoming_unfit": N_("brought by a truck and not fit to be stored"),
        "stock_unconfirmed": N_("first start: does every pack lie where the file says?"),
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
        "swap_under_way": N_("stopped in the middle of a swap"),
        "cell_holds": N_("the cell shows a hold that nobody has withdrawn"),
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
        "commerce": N_("bookings and bills"),
        "booking": N_("booking {name}"),
        "response": N_("demand response {name}"),
        "planner": N_("charging plan"),
        "site": N_("power of the site"),
    },
    "plan_cause": {
        "not_asked": N_("prices or limits are not known for long enough, or a number is none"),
        "no_solver": N_("the solver is not installed"),
        "not_solved": N_("the solver has found no plan"),
        "not_believed": N_("the solver's answer has not passed the check"),
        "late": N_("the plan was not made in time"),
        "died": N_("the solver's process has ended without an answer"),
        "broken": N_("a fault of the program; see the log"),
        "no_trucks": N_("no truck is on record yet, and no scenario says how many come"),
        "forecast_failed": N_("the forecast of trucks has failed; record and scenario stand in for it"),
        "forecast_late": N_("the forecast of trucks has given no answer in time; record and scenario stand in for it"),
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
    "control_state": {
        "starting": N_("Starting"),
        "database_lost": N_("Held"),
        "loop_late": N_("Late"),
        "stopped": N_("Stopped"),
        "unknown": N_("Not known"),
    },
    "control_action": {
        "starting": N_("Wait until every cell has been heard."),
        "database_lost": N_("Bring the database back, then confirm by name."),
        "loop_late": N_("Take load off this machine. In danger press the emergency stop button at the cell."),
        "stopped": N_("Start the controller."),
        "unknown": N_("Bring the database back."),
    },
    "cell_state": {
        "busy": N_("at work without a swap"),
        "paused": N_("paused"),
        "alarm": N_("in alarm"),
    },
    "swap_mode": {
        "top_lift": N_("top-lift swap"),
        "side_grab": N_("side swap"),
        "chassis": N_("chassis swap"),
    },
    "link": {
        "never_heard": N_("it has not been heard yet"),
        "not_connected": N_("no connection"),
        "no_answer": N_("connected, but no answer in time"),
        "exception": N_("it answers with Modbus exception {value}"),
        "no_meaning": N_("register “{name}” reads {value}, which has no meaning in the register map"),
        "wrong_constant": N_(
            "register “{name}” reads {value}, in the register map it is {wanted}: wrong map, base address or word order"
        ),
        "contradiction": N_("flags contradict each other: {name}"),
        "not_begun": N_("the epoch reads 0: the program of the cell has not begun"),
    },
    "record": {
        "station": N_("station"),
        "vehicle": N_("vehicle"),
        "booking": N_("booking"),
        "swap": N_("swap"),
        "bill": N_("bill"),
        "pack": N_("pack"),
        "fault": N_("fault"),
        "request": N_("request"),
        "person": N_("person"),
    },
    "booking_status": {
        "booked": N_("booked"),
        "disrupted": N_("cannot be kept"),
        "arrived": N_("arrived"),
        "fulfilled": N_("fulfilled"),
        "expired": N_("expired"),
        "cancelled": N_("cancelled"),
        "failed": N_("failed"),
    },
    "wait": {
        "station_held": N_("The station is held ({names})."),
        "station_manual": N_("People work by hand ({names})."),
        "station_thermal": N_("The procedure for a hot pack runs ({names})."),
        "station_fire": N_("The fire system was released ({names})."),
        "station_closed": N_("The station is closed ({names})."),
        "not_compared": N_("Since the start not everything has been heard: {names}."),
        "next": N_("Is called now into {names}."),
        "lane_busy": N_("A pack is ready; waits for a truck to leave {names}."),
        "lane_not_ready": N_("A pack is ready; no robot is: {names}."),
        "no_lane": N_("No lane here can do this: {names}."),
        "kind_awaited": N_("Trucks further ahead wait for the same kind of pack: {names}."),
        "ahead_takes": N_("Packs and bays go to trucks further ahead: {names}."),
        "none_of_kind": N_("No pack of this kind is in the station: {names}."),
        "not_charged": N_("No pack is charged yet: {names}."),
        "all_promised": N_("All packs are promised to others: {names}."),
        "unsafe": N_("Charged packs may not be used, for an alarm, a temperature or an old reading: {names}."),
        "no_empty_bay": N_("No bay is empty for the pack that comes off."),
        "transfer_occupied": N_("The transfer bay is not known to be empty."),
        "no_truck": N_("Ready; no truck waits."),
        "first_truck": N_("Ready; {names} comes next and waits for something else."),
        "cell_silent": N_("The cell is not heard: {names}."),
        "cell_frozen": N_("The cell answers, but its heartbeat stands still."),
        "cell_owned": N_("Another controller owns the cell (token {number})."),
        "cell_local": N_("A person has the cell in local mode."),
        "cell_run_mode": N_("The cell is not in automatic: {names}."),
        "cell_state": N_("The cell is not at rest: {names}."),
        "cell_fact": N_("Before a truck is called, this must be so: {names}."),
        "homing": N_("The robot is being referenced."),
        "resetting": N_("Faults of the cell are being reset."),
        "checks": N_("Checks before the swap: {names}."),
        "permissives": N_("Before the next motion, this must be so: {names}."),
        "result_kept": N_("The cell still shows the result of command {number}."),
        "condition": N_("Waits until this is so: {names}."),
        "command_due": N_("The next command is about to leave."),
        "command_unheard": N_("The cell has not answered command {number}."),
        "command_refused": N_("The cell does not take command {number}: {names}."),
        "motion": N_("The cell carries out command {number}."),
        "sensors": N_("The cell says done; the sensors must agree: {names}."),
        "person": N_("A person must decide how the swap goes on ({names})."),
        "confirmed_station": N_("Goes on when a person confirms the station ({names})."),
    },
    "wait_action": {
        "by_itself": N_("Goes on by itself."),
        "packs": N_("Goes on by itself when packs are charged."),
        "bay": N_("Goes on when a bay becomes empty; see which bays are blocked."),
        "supply": N_("Bring packs of this kind, or cancel the swap."),
        "look": N_("A person looks at the alarms and readings of the packs."),
        "lane": N_("See what the lane waits for."),
        "other": N_("Stop the other controller, or this one."),
        "cell": N_("See to it at the cell; then it goes on by itself."),
        "mend": N_("Mend the link or device that is named; then it goes on by itself."),
    },
}
"""English words by subject and code; the keys of the catalogues."""

SUBJECT_OF = {"on_record": "place", "seen": "place", "swap_state": "swap_end", "status": "booking_status"}
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
        if name == "link":
            return self.link(value)
        subject = SUBJECT_OF.get(name, name)
        return self.word(subject, value) if subject in WORDS else value

    def source(self, source: str) -> str:
        """Words for where a fault comes from or where a pack should be, such as `lane:L1`."""
        kind, _, name = source.partition(":")
        message = WORDS["source"].get(kind)
        return source if message is None else self.text(message, name=name)

    def link(self, text: str) -> str:
        """Words for what is wrong at a link, as `robotics.port.LinkTrouble` is stored."""
        try:
            trouble = read_trouble(text)
        except ValueError:
            return text
        message = WORDS["link"][trouble.fault]
        return self.text(message, name=trouble.name, value=trouble.value, wanted=trouble.wanted)

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


def language_asked(header: str | None) -> str | None:
    """The catalogue of the language that an `Accept-Language` header likes best; None where it names none of ours."""
    best, weight = None, 0.0
    for part in (header or "").split(",")[:20]:
        tag, _, rest = part.partition(";")
        name = language_of(tag.strip())
        try:
            given = float(rest.partition("q=")[2] or 1) if rest else 1.0
        except ValueError:
            continue
        if name is not None and given > weight:
            best, weight = name, given
    return best


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
