"""What `pyproject.toml` cannot say: the compiled form of the study and of the decisions.

`SWAPSTATION_COMPILE=1` turns the modules named here into one extension with mypyc: the same source, the same
results, several times the speed. It needs a C compiler. Without it everything runs as plain Python.
"""

import os

from setuptools import setup

COMPILED = [
    "battery_bms/pack.py",
    "scheduler/charging.py",
    "scheduler/choice.py",
    "scheduler/queueing.py",
    "scheduler/storage.py",
    "scheduler/types.py",
    "sim/demand.py",
    "sim/engine.py",
    "sim/engine_bays.py",
    "sim/engine_charging.py",
    "sim/engine_curve.py",
    "sim/engine_given.py",
    "sim/engine_hours.py",
    "sim/engine_moves.py",
    "sim/engine_plan.py",
    "sim/engine_simple.py",
    "sim/engine_staff.py",
    "sim/engine_station.py",
    "sim/engine_storage.py",
    "sim/engine_swap_truck.py",
    "sim/engine_swaps.py",
    "sim/engine_view.py",
    "sim/engine_world.py",
    "sim/network_carriers.py",
    "sim/network_engine.py",
    "sim/screening.py",
]

extensions = []
if os.environ.get("SWAPSTATION_COMPILE"):
    from mypyc.build import mypycify

    extensions = mypycify(COMPILED, opt_level="2", debug_level="0")

setup(ext_modules=extensions)
