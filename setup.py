"""What `pyproject.toml` cannot say: the compiled form of the study and of the decisions.

`SWAPSTATION_COMPILE=1` turns the modules named here into one extension with mypyc: the same source, the same
results, several times the speed. It needs a C compiler. Without it everything runs as plain Python.
"""

import os

from setuptools import setup

COMPILED = [
    "battery_bms/pack/spec.py",
    "battery_bms/pack/charge.py",
    "battery_bms/pack/thermal.py",
    "sim/study/former_charging.py",
    "sim/study/former_choice.py",
    "sim/study/former_queueing.py",
    "scheduler/storage.py",
    "scheduler/types.py",
    "sim/scenario/demand.py",
    "sim/study/engine.py",
    "sim/study/bays.py",
    "sim/study/rack.py",
    "sim/study/given.py",
    "sim/study/hours.py",
    "sim/study/moves.py",
    "sim/study/swap_times.py",
    "sim/study/counted_racks.py",
    "sim/world/staff.py",
    "sim/study/station.py",
    "sim/study/storage.py",
    "sim/study/swap_truck.py",
    "sim/study/swaps.py",
    "sim/study/view.py",
    "sim/world/world.py",
    "sim/network/carriers.py",
    "sim/network/engine.py",
    "sim/sizing/screening.py",
]

extensions = []
if os.environ.get("SWAPSTATION_COMPILE"):
    from mypyc.build import mypycify

    extensions = mypycify(COMPILED, opt_level="2", debug_level="0")

setup(ext_modules=extensions)
