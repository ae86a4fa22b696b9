"""What `pyproject.toml` cannot say: catalogues that are compiled, and the compiled form of the study.

The gettext catalogues (`*.mo`) are made from the `*.po` before the packages are collected, also for an editable
install: they stand in no commit.

`SWAPSTATION_COMPILE=1` turns the modules named here into one extension with mypyc: the same source, the same
results, several times the speed. It needs a C compiler. Without it everything runs as plain Python.
"""

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COMPILED = [
    "battery_bms/pack.py",
    "scheduler/charging.py",
    "scheduler/choice.py",
    "scheduler/queueing.py",
    "scheduler/storage.py",
    "scheduler/types.py",
    "sim/scenario/demand.py",
    "sim/study/engine.py",
    "sim/study/bays.py",
    "sim/study/rack.py",
    "sim/study/curve.py",
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


class BuildWithCatalogues(build_py):  # type: ignore[misc]  # setuptools has no types
    """Compiles the catalogues first."""

    def run(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent))  # a build does not look beside setup.py by itself
        from deploy.catalogues import compile_all

        compile_all()
        super().run()


setup(ext_modules=extensions, cmdclass={"build_py": BuildWithCatalogues})
