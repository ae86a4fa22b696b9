"""What each field of a scenario means, for the report's table of assumptions: a phrase by section and field.

The phrases are marked for the catalogue (`locale`). "–" stands for a field that is not set.
"""

from __future__ import annotations

from sim.report.words import INPUT_NAMES
from swap.words import N_

_RANGE = {
    "kind": N_("Form of the distribution"),
    "low": N_("Low end"),
    "mode": N_("Most frequent value; –: the middle"),
    "high": N_("High end"),
}
_KINDS = {
    "uniform": N_("even"),
    "triangular": N_("triangular"),
    "normal": N_("normal"),
    "lognormal": N_("lognormal"),
}
UNSEEN = frozenset({"folder", "vehicle_ids"})
"""Fields of `Scenario` that the loader sets; they are no assumptions."""

FIELDS: dict[str, dict[str, str]] = {
    "Scenario": {
        "id": N_("Id of the scenario"),
        "name_zh": N_("Name in Chinese"),
        "name_en": N_("Name in English"),
        "timezone": N_("Time zone"),
        "station": N_("Station file whose equipment is studied"),
    },
    "FleetSection": {
        "id": N_("Id of the fleet"),
        "model": N_("Vehicle model"),
        "vehicles": N_("Number of trucks"),
        "weight": N_("Weight in the arrivals of the profile; –: by the number of trucks"),
        "shifts": N_("Shifts; –: round the clock"),
        "trips": N_("Trips"),
        "priority": N_("Priority; higher is served first"),
    },
    "SocSection": {
        "min_pct": N_("State of charge at arrival, lowest"),
        "max_pct": N_("State of charge at arrival, highest"),
        "mode_pct": N_("State of charge at arrival, most frequent; –: the middle"),
    },
    "TripsSection": {
        "km_loaded": N_("Loaded distance of a round trip"),
        "km_empty": N_("Empty distance of a round trip"),
        "kwh_per_km_loaded": N_("Energy use loaded"),
        "kwh_per_km_empty": N_("Energy use empty; below 0: recovered downhill"),
        "speed_kmh": N_("Mean speed of a round trip"),
        "load_unload_min": N_("Loading and unloading of a round trip, waiting included"),
        "cv": N_("Coefficient of variation of energy and time of a trip"),
        "swap_below_pct": N_("State of charge below which no trip may end"),
        "load_t": N_("Load of a round trip; –: not given"),
    },
    "ShiftSection": {
        "from_hour": N_("Shift begins"),
        "hours": N_("Length of the shift"),
    },
    "DemandSection": {
        "mode": N_("How trucks come"),
        "trucks_per_hour_by_hour": N_("Mean arrivals by local hour"),
        "factor_by_weekday": N_("Factor by weekday, Monday first"),
        "factor_by_month": N_("Factor by month, January first"),
        "factor": N_("Factor on all arrivals"),
        "follows_cold": N_("More trucks in the cold, by the extra energy use"),
        "trace": N_("File of recorded arrivals"),
        "trace_columns": N_("Headings of the record's columns"),
        "trace_soc_unit": N_("Unit of the states of charge in the record"),
        "trace_numbers": N_("What numbers in the record's column of instants are"),
        "repeat_trace": N_("Begin the record anew when it ends"),
    },
    "ConvoySection": {
        "share": N_("Share of arrivals that are convoys"),
        "sizes": N_("Probability by number of trucks in a convoy"),
        "headway_s": N_("Time between two trucks of a convoy"),
    },
    "ClimateSection": {
        "mean_c_by_month": N_("Mean outside temperature by month, January first"),
        "swing_c": N_("Half the difference between afternoon and early morning"),
        "design_min_c": N_("Coldest day of a winter run"),
        "design_max_c": N_("Warmest day of a summer run"),
        "energy_use": N_("Energy use by temperature; –: no effect"),
        "rack_min_c": N_("The rack's room is heated to; –: not heated"),
        "rack_max_c": N_("The rack's coolant is cooled to; –: not cooled"),
        "pack_above_ambient_c": N_("A pack that comes off a truck is warmer than outside by"),
        "pack_min_c": N_("A truck keeps its pack at least at"),
    },
    "EnergyUsePoint": {
        "temp_c": N_("Outside temperature"),
        "factor": N_("Energy use relative to mild weather"),
    },
    "EquipmentSection": {
        "lanes": N_("Lanes, each with its robot"),
        "recipe": N_("Recipe of the swap"),
        "swap_order": N_("Order of the packs in a swap"),
        "swap_s": N_("Lane time of a swap; –: sum of the recipe's steps"),
        "swap_cv": N_("Coefficient of variation of the lane time"),
        "packs": N_("Packs in the rack by kind"),
        "spare_bays": N_("Bays more than packs; –: one for each lane"),
        "chargers": N_("Charging modules; –: one at each bay"),
        "charger_kw": N_("Power of a charging module"),
        "transformer_kva": N_("Transformer"),
        "power_factor": N_("Power factor"),
        "contracted_kw": N_("Contracted power; –: the transformer alone limits"),
        "base_load_kw": N_("Load of the station itself"),
        "charger_efficiency": N_("Charger output (DC) ÷ input (AC)"),
        "soh_pct": N_("State of health of all packs"),
        "swap_truck": N_("Swap truck; –: a fixed station"),
    },
    "SwapTruckSection": {
        "packs": N_("Charged packs of a full load"),
        "drive_min": N_("Drive between rack and vehicles, one way"),
        "exchange_min": N_("Change of the whole load at the rack"),
        "go_below": N_("Drives to the rack with fewer charged packs than"),
    },
    "PackKindSection": {
        "id": N_("Id of the kind"),
        "name_zh": N_("Name in Chinese"),
        "name_en": N_("Name in English"),
        "rated_kwh": N_("Rated energy"),
        "max_charge_kw": N_("Highest charging power"),
        "nominal_v": N_("Nominal voltage"),
        "taper_from_soc_pct": N_("State of charge from which the charging power tapers"),
        "taper_end_share": N_("Share of the charging power left at full charge"),
        "charge_efficiency": N_("Charging efficiency"),
        "charge_temp_min_c": N_("Lowest temperature for charging"),
        "charge_temp_max_c": N_("Highest temperature for charging"),
    },
    "PackLimits": {
        "cell_high_v": N_("Cell voltage high: warn, limit, stop"),
        "cell_low_v": N_("Cell voltage low: warn, limit, stop"),
        "cell_spread_v": N_("Cell voltage spread: warn, limit, stop"),
        "temp_high_c": N_("Temperature high: warn, limit, stop"),
        "temp_low_charging_c": N_("Temperature low in charging: warn, limit, stop"),
        "temp_spread_c": N_("Temperature spread: warn, limit, stop"),
        "insulation_ohm_per_v": N_("Insulation resistance low: warn, limit, stop"),
    },
    "VehicleModelSection": {
        "id": N_("Id of the model"),
        "pack_kinds": N_("Kinds of packs that fit"),
        "packs_per_vehicle": N_("Packs on a vehicle"),
        "swap_mode": N_("Way of swapping"),
    },
    "SecuredSection": {
        "exchange": N_("Vehicle secured while packs are exchanged"),
        "locking": N_("Vehicle secured while its heads close"),
        "accepting": N_("Vehicle secured while it looks at the new pack"),
        "leaving": N_("Vehicle secured while the robot goes home"),
    },
    "ChargingSection": {
        "offer_soc_pct": N_("A pack is given out from this state of charge"),
        "target_soc_pct": N_("Packs are charged to"),
        "max_power_kw": N_("Highest charging power of the rack; –: no limit of its own"),
        "min_setpoint_kw": N_("Lowest power that a charger is set to"),
        "sharing": N_("How power is shared when it is short"),
        "tariff_aware": N_("Charging waits for cheaper hours"),
        "reserve_ready": N_("Ready packs of each kind kept in dear hours too"),
        "plan": N_("Who guides charging through the hours of a day"),
        "cycle_s": N_("Time between two charging plans"),
    },
    "TariffSection": {
        "profile": N_("Profile of tariff periods"),
        "energy_price_yuan_per_kwh": N_("Energy price of the flat period"),
        "adders_yuan_per_kwh": N_("Adders that do not vary by period"),
        "months": N_("Prices of single months"),
        "holidays": N_("Deep-valley days in place of the profile's; –: those of the profile"),
    },
    "MonthPrice": {
        "energy_price_yuan_per_kwh": N_("Energy price of the month"),
        "adders_yuan_per_kwh": N_("Adders of the month"),
    },
    "FailureSection": {
        "robot_mtbf_h": N_("Mean time between failures of a robot; 0: none"),
        "robot_repair_h": N_("Mean repair time of a robot"),
        "charger_mtbf_h": N_("Mean time between failures of a charger; 0: none"),
        "charger_repair_h": N_("Mean repair time of a charger"),
        "pack_fault_share": N_("Share of returned packs set aside for inspection"),
        "pack_inspection_h": N_("Mean time of an inspection"),
    },
    "BookingHabitSection": {
        "share": N_("Share of trucks that book"),
        "no_show_share": N_("Share of bookings whose truck never comes"),
        "lead_min": N_("Booked so long before the window"),
        "window_min": N_("Length of the booked window"),
        "hold_before_min": N_("Packs are kept from so long before the window; –: none"),
    },
    "PatienceSection": {
        "balk_at": N_("Drives on when so many wait; –: never"),
        "mean_patience_min": N_("Mean patience; –: waits until served"),
        "truck_places": N_("Places for trucks; –: no limit"),
    },
    "PromiseSection": {
        "wait_limit_min": N_("Longest wait promised"),
        "target_share": N_("Share of the trucks to be served within it"),
        "confidence": N_("Confidence of the intervals"),
    },
    "PvSection": {
        "peak_kw": N_("Peak power"),
        "yield_h": N_("Full-load hours a year"),
    },
    "StorageSection": {
        "energy_kwh": N_("Energy of the storage"),
        "power_kw": N_("Power of the storage"),
        "efficiency": N_("Efficiency of a round trip"),
        "reserve_share": N_("Share of the energy kept for times when the import limit binds"),
    },
    "StaffSection": {
        "shifts": N_("Shifts; –: attended round the clock"),
        "lanes_per_person": N_("Lanes that one person attends"),
    },
    "StaffShiftSection": {
        "from_hour": N_("Shift begins"),
        "hours": N_("Length of the shift"),
        "weekdays": N_("Weekdays, 1 is Monday"),
        "people": N_("People on the shift"),
    },
    "DrEventSection": {
        "from_hour": N_("Event begins"),
        "hours": N_("Length of the event"),
        "limit_kw": N_("Import is limited to"),
        "months": N_("Months with the event"),
        "on": N_("Day of the event"),
    },
    "CostSection": {
        "interest": N_("Interest rate a year"),
        "pack_yuan_per_kwh": N_("Price of packs"),
        "pack_life_years": N_("Life of packs"),
        "charger_yuan_per_kw": N_("Price of chargers"),
        "charger_life_years": N_("Life of chargers"),
        "transformer_yuan_per_kva": N_("Price of transformer, switchgear and line"),
        "kva_yuan_per_year": N_("Capacity charge"),
        "lane_yuan": N_("Price of a lane with robot and enclosure"),
        "bay_yuan": N_("Price of a bay with its land"),
        "storage_yuan_per_kwh": N_("Price of storage"),
        "pv_yuan_per_kw": N_("Price of photovoltaics"),
        "plant_life_years": N_("Life of transformer, lanes, bays, storage and photovoltaics"),
        "lost_swap_yuan": N_("Loss by a swap that is not made"),
        "wait_yuan_per_h": N_("Price of a truck's waiting"),
        "staff_yuan_per_year": N_("Staff"),
        "staff_yuan_per_h": N_("Pay of a person on shift"),
    },
    "RevenueSection": {
        "yuan_per_swap": N_("Price of a swap"),
        "yuan_per_kwh": N_("Price of the energy handed over, service included"),
        "yuan_per_year": N_("Other income a year"),
        "contracts": N_("Files of lease contracts"),
    },
    "FinanceSection": {
        "discount": N_("Discount rate a year"),
        "years": N_("Years that are reckoned; –: those of the station's life"),
        "subsidies": N_("Subsidies"),
        "residual_share": N_("What the equipment fetches at the end, as a share of its book value"),
    },
    "SubsidySection": {
        "year": N_("Year of the subsidy; 0: as the station is built"),
        "yuan": N_("Amount of the subsidy"),
    },
    "StudySection": {
        "start_on": N_("First simulated day"),
        "days": N_("Length of a replication"),
        "warmup_days": N_("Warm-up; –: found by MSER-5"),
        "replications": N_("Replications"),
        "seed": N_("Seed"),
    },
    "SizingSection": {
        "packs": N_("Numbers of packs tried"),
        "chargers": N_("Numbers of chargers tried; –: one at each bay"),
        "transformer_kva": N_("Transformers tried"),
        "lanes": N_("Numbers of lanes tried"),
        "storage_kwh": N_("Storage tried"),
        "extra_bays": N_("Bays tried beyond one for each pack and lane; –: as many as the station has"),
        "budget_yuan": N_("Most that the equipment may cost to buy"),
        "most_bays": N_("Most bays for which there is room"),
        "most_kva": N_("Largest transformer that the connection allows"),
    },
    "UncertaintySection": {
        "demand": INPUT_NAMES["demand"],
        "price": INPUT_NAMES["price"],
        "arrive_soc": INPUT_NAMES["arrive_soc"],
        "failures": INPUT_NAMES["failures"],
        "repair": INPUT_NAMES["repair"],
        "swap_time": INPUT_NAMES["swap_time"],
        "warmth": INPUT_NAMES["warmth"],
        "soh": INPUT_NAMES["soh"],
        "trip_energy": INPUT_NAMES["trip_energy"],
        "convoys": INPUT_NAMES["convoys"],
        "bookings": INPUT_NAMES["bookings"],
        "patience": INPUT_NAMES["patience"],
        "charger_power": INPUT_NAMES["charger_power"],
        "transformer": INPUT_NAMES["transformer"],
        "sun": INPUT_NAMES["sun"],
        "demand_response": INPUT_NAMES["demand_response"],
        "pack_price": INPUT_NAMES["pack_price"],
        "interest": INPUT_NAMES["interest"],
    },
    "RangeSection": _RANGE,
    "FactorRange": _RANGE,
    "LifeSection": {
        "years": N_("Years for which the promise must hold"),
        "growth_per_year": N_("Growth of the fleet from year to year"),
        "soh_pct_by_year": N_("State of health of the packs by year of their life; –: a line to 80 %"),
    },
}
"""Phrase by the name of the section's class and of its field."""

NETWORK_FIELDS: dict[str, dict[str, str]] = {
    "NetworkSection": {
        "id": N_("Id of the network"),
        "name_zh": N_("Name in Chinese"),
        "name_en": N_("Name in English"),
        "study": N_("Study of the network; the first station's when not given"),
    },
    "NetworkStationSection": {
        "id": N_("Name in roads and results"),
        "scenario": N_("Scenario file, relative to the network file; its fleets have this station on their way"),
        "demand_factor": N_("Factor on its scenario's demand; 0: trucks only come from other stations"),
    },
    "RoadSection": {
        "between": N_("Ids of the two stations"),
        "km": N_("Length of the road"),
        "minutes": N_("Driving time one way"),
    },
    "ChoiceSection": {
        "rule": N_("home: the station on its way; queue_and_distance: where expected wait and detour are least"),
        "drive_weight": N_("Minutes of waiting that count as much as a minute of detour, there and back"),
        "least_gain_min": N_("A truck leaves its way only for at least this gain"),
        "kwh_per_km": N_("Energy use on the detour"),
        "keep_soc_pct": N_("State of charge with which a truck must still arrive"),
    },
    "RebalancingSection": {
        "carriers": N_("Trucks that carry packs; 0: packs are not moved"),
        "packs_per_trip": N_("Most packs that a carrier takes"),
        "review_min": N_("How often the stock is looked at"),
        "low_ready": N_("A station is helped with fewer packs ready than this"),
        "keep_ready": N_("A station gives only what it has ready beyond this"),
        "exchange_min": N_("Loading or unloading at each stop"),
    },
}
"""The same for network files."""

CHOICES: dict[str, dict[str, str]] = {
    "DemandSection.mode": {
        "profile": N_("rate by hour"),
        "fleet": N_("trucks drive their trips"),
        "trace": N_("recorded arrivals"),
    },
    "DemandSection.trace_soc_unit": {
        "pct": N_("per cent"),
        "share": N_("share of 1"),
    },
    "DemandSection.trace_numbers": {
        "seconds": N_("seconds"),
        "excel": N_("dates as Excel counts them"),
    },
    "EquipmentSection.swap_order": {
        "out_in": N_("spent pack out first"),
        "in_out": N_("charged pack in first"),
    },
    "VehicleModelSection.swap_mode": {
        "top_lift": N_("top lift"),
        "side_grab": N_("side"),
        "chassis": N_("chassis"),
    },
    "ChargingSection.sharing": {
        "order": N_("one pack after another, fullest first"),
        "equal": N_("the same for each"),
    },
    "RangeSection.kind": _KINDS,
    "FactorRange.kind": _KINDS,
    "ChargingSection.plan": {
        "rule": N_("price rule"),
        "optimal": N_("optimiser"),
    },
}
"""Words for the values of fields that take one of a few."""

YES_NO = {True: N_("yes"), False: N_("no")}
