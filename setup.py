"""What `pyproject.toml` cannot say: catalogues that are compiled, and the compiled form of the study.

The gettext catalogues (`*.mo`) are made from the `*.po` before the packages are collected, also for an editable
install: they stand in no commit.

`SWAPSTATION_COMPILE=1` turns the modules named here into one extension with mypyc: the same source, the same
results, several times the speed. It needs a C compiler. Without it everything runs as plain Python. Paths instead of
the 1 name other modules: `benchmarks/engine/compiled_list.py` measures so what each gains.
"""

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COMPILED = [
    "battery_bms/pack/charge.py",
    "battery_bms/pack/thermal.py",
    "scheduler/types.py",
    "scheduler/rows.py",
    "scheduler/guide.py",
    "scheduler/choice.py",
    "scheduler/charging.py",
    "scheduler/queueing.py",
    "sim/scenario/demand.py",
    "sim/study/agenda.py",
    "sim/study/rows.py",
    "sim/study/bays.py",
    "sim/study/rack.py",
    "sim/study/feed.py",
    "sim/study/waits.py",
    "sim/study/station.py",
    "sim/study/storage.py",
    "sim/study/swap_times.py",
    "sim/study/layout.py",
    "sim/validation/flow.py",
    "sim/validation/counted_racks.py",
]

extensions = []
if wanted := os.environ.get("SWAPSTATION_COMPILE"):
    from mypyc.build import mypycify

    extensions = mypycify(COMPILED if wanted == "1" else wanted.split(), opt_level="2", debug_level="0")
    for extension in extensions:
        # A processor that fuses a product and a sum would give other last bits than the interpreter.
        extension.extra_compile_args.append("-ffp-contract=off")


class BuildWithCatalogues(build_py):  # type: ignore[misc]  # setuptools has no types
    """Compiles the catalogues first."""

    def run(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent))  # a build does not look beside setup.py by itself
        from deploy.catalogues import compile_all

        compile_all()
        super().run()


setup(ext_modules=extensions, cmdclass={"build_py": BuildWithCatalogues})
