"""The report's texts in Chinese and English, from gettext catalogues (`locale`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sim.scenario.notes import Note
from sim.sizing.year import YearSpan
from sim.study.design import Design
from swap.words import N_, Texts, language_of, load_texts

LOCALE = Path(__file__).parent / "locale"
DOMAIN = "report"

QUANTITIES: dict[str, tuple[str, str]] = {
    "share_within_promise": (N_("Served within the promise"), "%"),
    "mean_wait_min": (N_("Wait, mean"), "min"),
    "p50_wait_min": (N_("Wait, P50"), "min"),
    "p95_wait_min": (N_("Wait, P95"), "min"),
    "p99_wait_min": (N_("Wait, P99"), "min"),
    "lost_share": (N_("Lost: trucks that left without a swap"), "%"),
    "stockout_share": (N_("Lane free, but no pack ready"), "%"),
    "swaps_per_day": (N_("Swaps a day"), ""),
    "lost_per_day": (N_("Lost swaps a day"), ""),
    "mean_waiting_trucks": (N_("Trucks waiting, mean"), ""),
    "mean_ready_packs": (N_("Packs ready, mean"), ""),
    "lane_utilisation": (N_("Lane utilisation"), "%"),
    "charger_utilisation": (N_("Charger utilisation"), "%"),
    "pack_utilisation": (N_("Packs not ready"), "%"),
    "transformer_utilisation": (N_("Transformer, mean load"), "%"),
    "peak_hour_kw": (N_("Highest hourly import"), "kW"),
    "stockout_time_share": (N_("Time without a ready pack"), "%"),
    "charged_kwh_per_day": (N_("Energy into packs a day"), "kWh"),
    "import_kwh_per_day": (N_("Energy imported a day"), "kWh"),
    "energy_yuan_per_day": (N_("Price of the energy a day"), "yuan"),
    "stock_yuan_per_day": (N_("Worth of the energy that the rack gained a day"), "yuan"),
    "pv_used_kwh_per_day": (N_("PV energy used on site a day"), "kWh"),
    "pv_self_use_share": (N_("PV used on site"), "%"),
    "kwh_per_swap": (N_("Energy a swap"), "kWh"),
    "cycles_per_pack_year": (N_("Full cycles a pack and year"), ""),
    "storage_charged_kwh_per_day": (N_("Into the storage a day"), "kWh"),
    "storage_discharged_kwh_per_day": (N_("Out of the storage a day"), "kWh"),
    "storage_losses_kwh_per_day": (N_("Lost in the storage a day"), "kWh"),
    "storage_cycles_per_day": (N_("Full cycles of the storage a day"), ""),
    "storage_saved_yuan_per_day": (N_("Saved by the storage a day"), "yuan"),
}
"""Heading and unit by the name in `StudyResult.estimates`; "%" stands for a share of 0…1."""

CAUSE_NAMES = {
    "lane": N_("Lanes busy with other trucks"),
    "people": N_("A lane free, nobody attends it"),
    "pack": N_("No pack ready"),
    "charger": N_("No pack ready: a spent pack waits for a charging module"),
    "power": N_("No pack ready: the site's limit holds charging back"),
    "bay": N_("No empty bay for the spent pack"),
    "booking": N_("Packs kept for trucks that have booked"),
    "failure": N_("Repair of a lane or module, inspection of a pack"),
}
"""By the name in `sim.study.waits.CAUSES`."""

UNITS = {
    "min": N_("min"),
    "yuan": N_("yuan"),
    "yuan/year": N_("yuan/year"),
    "yuan/h": N_("yuan/h"),
    "yuan/kWh": N_("yuan/kWh"),
    "yuan/kW": N_("yuan/kW"),
    "yuan/kVA": N_("yuan/kVA"),
    "yuan/(kVA·year)": N_("yuan/(kVA·year)"),
    "days": N_("days"),
    "years": N_("years"),
}
"""Units with a word in them; all others are written the same in both languages."""
RESOURCE_NAMES = {
    "packs": N_("packs"),
    "bays": N_("bays"),
    "chargers": N_("chargers"),
    "transformer_kva": N_("transformer (kVA)"),
    "lanes": N_("lanes"),
    "storage_kwh": N_("storage (kWh)"),
    "extra_bays": N_("spare bays"),
    "staff": N_("staff hours"),
}
LESS = {
    "packs": N_("{step} pack(s) less"),
    "chargers": N_("{step} charger(s) less"),
    "transformer_kva": N_("{step} kVA less"),
    "lanes": N_("{step} lane(s) less"),
    "storage_kwh": N_("{step} kWh of storage less"),
    "extra_bays": N_("{step} spare bay(s) less"),
    "staff": N_("{step} person less on each shift of several"),
}
STATION_ROWS = (
    ("bays", N_("Bays"), ""),
    ("spare_bays", N_("of these more than packs"), ""),
    ("chargers", N_("Chargers"), ""),
    ("charger_kw", N_("Power of one charger"), "kW"),
    ("transformer_kva", N_("Transformer"), "kVA"),
    ("lanes", N_("Lanes"), ""),
    ("storage_kwh", N_("Storage, energy"), "kWh"),
    ("storage_kw", N_("Storage, power"), "kW"),
    ("person_hours_a_week", N_("People on shift, hours a week"), "h"),
)
"""Name in `station_values`, heading and unit."""
PART_NAMES = {
    "packs": N_("Packs"),
    "chargers": N_("Chargers"),
    "transformer": N_("Transformer and capacity charge"),
    "lanes": N_("Lanes and robots"),
    "bays": N_("Bays and land"),
    "storage": N_("Storage"),
    "pv": N_("Photovoltaics"),
    "staff": N_("Staff"),
    "energy": N_("Energy"),
    "lost swaps": N_("Lost swaps"),
    "waiting": N_("Waiting time"),
}
INPUT_NAMES = {
    "demand": N_("Trucks that come, factor"),
    "price": N_("Energy price, factor"),
    "arrive_soc": N_("State of charge on arrival, points more"),
    "failures": N_("How often something fails, factor"),
    "repair": N_("Times of repair and inspection, factor"),
    "swap_time": N_("Lane time of a swap, factor"),
    "warmth": N_("Outside temperature, °C more"),
    "soh": N_("State of health of the packs, points more"),
    "trip_energy": N_("Energy of trips, factor"),
    "convoys": N_("Share of convoys, factor"),
    "bookings": N_("Share that books, factor"),
    "patience": N_("Patience of waiting trucks, factor"),
    "charger_power": N_("Output of a charging module, factor"),
    "transformer": N_("Rating of the transformer, factor"),
    "sun": N_("Full-load hours of photovoltaics, factor"),
    "demand_response": N_("What demand response leaves, factor"),
    "pack_price": N_("Price of packs, factor"),
    "interest": N_("Interest, points more"),
}
"""By the name in `[uncertainty]`."""
BOARD_UNITS = {
    "swap": (N_("Swaps a year"), N_("Cost of a swap")),
    "kwh": (N_("kWh handed over a year"), N_("Cost of a kWh handed over")),
    "km": (N_("km driven a year"), N_("Cost of a km")),
    "t": (N_("Tonnes carried a year"), N_("Cost of a tonne")),
}
"""By the name in `sim.sizing.board.UNITS`: how much in a year, and what one costs."""
CHANGES = {
    "demand +20 %": N_("demand +20 %"),
    "demand −20 %": N_("demand −20 %"),
    "coldest days": N_("coldest days"),
    "one charger out": N_("one charger out"),
}
VERDICTS = {True: N_("keeps"), False: N_("breaks"), None: N_("undecided")}
SECTIONS = {
    "": N_("Scenario"),
    "fleets": N_("Fleets"),
    "demand": N_("Demand"),
    "climate": N_("Climate"),
    "equipment": N_("Station"),
    "pack_kinds": N_("Pack kinds"),
    "vehicle_models": N_("Vehicle models"),
    "charging": N_("Charging policy"),
    "tariff": N_("Tariff"),
    "failures": N_("Failures and repair"),
    "staff": N_("People on shift"),
    "bookings": N_("Bookings"),
    "patience": N_("Patience"),
    "promise": N_("Service promise"),
    "pv": N_("Photovoltaics"),
    "storage": N_("Stationary storage"),
    "dr_events": N_("Demand response"),
    "life": N_("Life of the station"),
    "costs": N_("Costs"),
    "revenue": N_("Revenue"),
    "finance": N_("Cash flows"),
    "study": N_("Study"),
    "sizing": N_("Where the search looks"),
    "uncertainty": N_("What the inputs may be"),
}


@dataclass(frozen=True)
class Words(Texts):
    """The texts of one language."""

    def note(self, note: Note) -> str:
        """A remark in this language."""
        return self.text(note.text, **note.values)

    def unit(self, unit: str) -> str:
        """A unit as it is written in this language."""
        return self.text(UNITS.get(unit, "")) or unit

    def design(self, design: Design) -> str:
        """A size of the station in words."""
        words = self.text(
            "{packs} packs, {bays} bays, {chargers} chargers, {kva} kVA, {lanes} lane(s)",
            packs=design.packs,
            bays=design.bays,
            chargers=design.chargers,
            kva=f"{design.transformer_kva:g}",
            lanes=design.lanes,
        )
        if design.storage_kwh:
            words += self.text(", {kwh} kWh storage", kwh=f"{design.storage_kwh:g}")
        return words

    def less(self, resource: str, step: float) -> str:
        """One step less of a resource, in words."""
        return self.text(LESS[resource], step=f"{step:g}")

    def week(self, span: YearSpan) -> str:
        """The days of a span, in words."""
        days = self.text("{first} to {last}", first=span.from_on.isoformat(), last=span.until_on.isoformat())
        return days + self.text(", year {year}", year=span.year) if span.year else days


@lru_cache
def load_words(language: str) -> Words:
    """The texts of "zh" or "en".

    Raises:
        KeyError: another language.
        CatalogueError: its catalogue is not compiled.
    """
    name = language_of(language)
    if name is None:
        raise KeyError(language)
    return Words(name, load_texts(DOMAIN, LOCALE, name))
