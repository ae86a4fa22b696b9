"""The generated parts of `docs/model.md`: `python -m sim.report.model_page` writes them anew in both languages.

What stands between two marks comes from the code: causes of waiting, the pack's curve, constants that are assumed,
streams of chance. The table of edge cases is made by `python -m benchmarks.edges --pages`.
"""

from __future__ import annotations

import re
from pathlib import Path

from battery_bms.config import CHARGER_EFFICIENCY
from battery_bms.pack.charge import allowed_charge_kw, time_to_soc_s
from battery_bms.pack.spec import CONDUCTANCE_W_PER_K_KWH, HEAT_CAPACITY_KJ_PER_K_KWH, PackSpec, energy_at_soc_kwh
from scheduler.charging import HYSTERESIS_C
from scheduler.config import ChargingSection
from scheduler.guide import DEAR_PERIODS
from scheduler.types import ChargingPolicy
from sim.report.assumptions import FIELDS
from sim.report.words import CAUSE_NAMES, Words, load_words
from sim.scenario.demand import COPY_WITHIN_S, NOMINAL_STATION_S
from sim.scenario.streams import Purpose
from sim.study.waits import CAUSES
from swap.words import N_, PERIOD_NAMES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"en": DOCS / "model.md", "zh": DOCS / "model.zh-CN.md"}
SPEC = PackSpec(rated_kwh=282.0, max_charge_kw=282.0)
CHARGER_KW = 240.0
POLICY = ChargingPolicy()

CONSTANTS = (
    (N_("heat capacity of a pack, for each kWh rated"), HEAT_CAPACITY_KJ_PER_K_KWH, "kJ/(K·kWh)"),
    (
        N_("heat that a bay takes away, for each kWh rated and kelvin above its room"),
        CONDUCTANCE_W_PER_K_KWH,
        "W/(K·kWh)",
    ),
    (N_("a pack that was too warm or too cold is charged again so far inside the limit"), HYSTERESIS_C, "K"),
    (N_("from here on a pack is charged at a share of its rating"), POLICY.reduce_above_c, "°C"),
    (N_("below here likewise"), POLICY.reduce_below_c, "°C"),
    (N_("that share"), 100 * POLICY.reduced_share, "%"),
    (N_("charger output ÷ input, where the file says nothing"), CHARGER_EFFICIENCY, ""),
    (N_("energy stored in a pack ÷ charger output, where the file says nothing"), SPEC.charge_efficiency, ""),
    (N_("taper begins at"), SPEC.taper_from_soc_pct, "%"),
    (N_("power at 100 %, of the pack's rating"), 100 * SPEC.taper_end_share, "%"),
    (N_("with more demand than a record has, the copy of a truck comes within"), COPY_WITHIN_S, "s"),
    (N_("time at the station where trips are drawn without a station"), NOMINAL_STATION_S, "s"),
)
STREAMS = {
    Purpose.ARRIVALS: N_("instants of arrival; how many trucks a factor on a fleet or record means"),
    Purpose.CONVOYS: N_("whether a convoy comes, and how long it is"),
    Purpose.VEHICLES: N_("which fleet and which truck"),
    Purpose.SOC: N_("states of charge on arrival"),
    Purpose.SWAP_TIME: N_("the factor on each truck's lane time (gamma)"),
    Purpose.CHARGE: N_("charging times of the stations of queueing theory"),
    Purpose.PATIENCE: N_("how long a truck waits before it gives up"),
    Purpose.BOOKINGS: N_("who books, where in the window it comes, who stays away"),
    Purpose.ROBOT_FAILURES: N_("failures and repairs of lanes"),
    Purpose.CHARGER_FAILURES: N_("failures and repairs of charging modules"),
    Purpose.PACK_FAULTS: N_("which returned packs are inspected, and how long"),
    Purpose.TRIPS: N_("energy and time of trips"),
    Purpose.PV: N_("clouds of a day"),
    Purpose.FIT: N_("records drawn to judge a fit"),
    Purpose.UNCERTAINTY: N_("uncertain inputs; one replication number for each draw"),
}


def blocks(words: Words) -> dict[str, str]:
    """The generated parts by name, as Markdown."""
    text = words.text
    causes = [f"| `{name}` | {text(CAUSE_NAMES[name])} |" for name in CAUSES]
    constants = [f"| {text(what)} | {value:g} {unit} |" for what, value, unit in CONSTANTS]
    policy = [
        f"| `{name}` | {text(FIELDS['ChargingSection'][name])} | {_default(info.default, words)} |"
        for name, info in ChargingSection.model_fields.items()
        if name in FIELDS["ChargingSection"] and not isinstance(info.default, tuple)
    ]
    curve = []
    for soc_pct in (0, 20, 40, 60, 80, 85, 90, 95, 100):
        kw = min(allowed_charge_kw(SPEC, float(soc_pct), 25.0), CHARGER_KW)
        minutes = time_to_soc_s(SPEC, 100.0, energy_at_soc_kwh(20.0, SPEC, 100.0), CHARGER_KW, soc_pct) / 60
        curve.append(f"| {soc_pct} | {kw:.0f} | {minutes:.1f} |" if soc_pct >= 20 else f"| {soc_pct} | {kw:.0f} | |")
    streams = [f"| {purpose.value} | {text(STREAMS[purpose])} |" for purpose in Purpose]
    dear = "; ".join(text(PERIOD_NAMES[period]) for period in sorted(DEAR_PERIODS))
    return {
        "causes": _table(("JSON", text("What a truck waits for")), causes),
        "constants": _table((text("Assumed"), text("Value")), constants),
        "policy": _table((text("Field"), text("Meaning"), text("Default")), policy)
        + "\n\n"
        + text("Dear hours: {periods}.", periods=dear),
        "curve": _table((text("State of charge, %"), text("Power, kW"), text("Minutes from 20 %")), curve),
        "streams": _table((text("Number"), text("What is drawn")), streams),
    }


def _default(value: object, words: Words) -> str:
    if isinstance(value, bool):
        return words.text("yes") if value else words.text("no")
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *rows])


def with_block(page: str, name: str, content: str) -> str:
    """A page with another content between the marks of a block.

    Raises:
        KeyError: the page has no such block.
    """
    begin, end = f"<!-- made: {name} -->", "<!-- end -->"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    if pattern.search(page) is None:
        raise KeyError(name)
    return pattern.sub(lambda found: f"{begin}\n{content}\n{end}", page)


def made(page: str, language: str) -> str:
    """A page with all its generated parts as the code gives them."""
    for name, content in blocks(load_words(language)).items():
        page = with_block(page, name, content)
    return page


if __name__ == "__main__":
    for tag, path in PAGES.items():
        path.write_text(made(path.read_text(encoding="utf-8"), tag), encoding="utf-8")
