"""Compile the study and the decisions, and install the result beside the source: `build/compiled`.

`python deploy/compiled.py` builds the wheel with mypyc (the modules are named in `setup.py`) and puts it into a
small virtual environment of its own, which takes everything else from the one that runs this. The sources are never
touched or shadowed. Nothing is done where the result was built from just these sources.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "compiled"
PACKAGES = ("api", "battery_bms", "robotics", "scheduler", "sim", "swap")


class CompileError(Exception):
    """The compiled form cannot be built."""


def has_compiler() -> bool:
    """Whether the machine has the C compiler that Python was built with, or another, and Python's headers."""
    names = [(sysconfig.get_config_var("CC") or "cc").split()[0], os.environ.get("CC", "cc"), "gcc", "clang"]
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return header.exists() and any(shutil.which(name) for name in names)


def build(modules: Sequence[str] = (), target: Path = TARGET) -> Path:
    """The interpreter of the compiled form; built if it is not there or was built from other sources.

    Args:
        modules: paths of other modules than those that `setup.py` names, for a comparison.
        target: folder of the virtual environment.

    Raises:
        CompileError: no C compiler, or the build failed; the compiler's own words are in the message.
    """
    TARGET.parent.mkdir(exist_ok=True)
    with (TARGET.parent / "compiled.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # two at once would build into one folder
        return _build(" ".join(modules) or "1", target)


def _build(wanted: str, target: Path) -> Path:
    stamp, digest, python = target / "sources.sha256", _digest(wanted), target / "bin" / "python"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return python
    if not has_compiler():
        raise CompileError(
            "compiling needs a C compiler and Python's headers (Debian: apt-get install gcc python3-dev)"
        )
    wheels = ROOT / "build" / "wheel"
    for folder in (target, wheels, *(ROOT / "build").glob("lib*"), *(ROOT / "build").glob("bdist*")):
        shutil.rmtree(folder, ignore_errors=True)
    _run(wanted, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    venv.create(target, with_pip=False)
    (wheel,) = wheels.glob("*.whl")
    _run(wanted, "-m", "pip", "--python", str(python), "install", "--no-deps", str(wheel))
    # The compiled packages come first, then the folders that are in no wheel, then what all depend on.
    site = next((target / "lib").glob("python*/site-packages"))
    (site / "beside.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    stamp.write_text(digest, encoding="utf-8")
    return python


def _digest(wanted: str) -> str:
    """Of everything that goes into the wheel, of which modules are wanted, and of the Python it is for."""
    found = sha256(f"{sys.version}\n{wanted}\n".encode())
    for path in _sources():
        found.update(f"{path.relative_to(ROOT)}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _sources() -> Iterator[Path]:
    yield from (ROOT / name for name in ("setup.py", "pyproject.toml", "constraints.txt"))
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            # Modules that Python compiles come and go; the build makes the catalogues anew from what lies beside them.
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".mo":
                yield path


def _run(wanted: str, *arguments: str) -> None:
    command = [sys.executable, *arguments, "--quiet", "--disable-pip-version-check"]
    # A cache of its own: `make check` may run mypy at the same time.
    own = {"SWAPSTATION_COMPILE": wanted, "MYPY_CACHE_DIR": str(TARGET.parent / "mypy_cache")}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    try:
        built = build()
    except CompileError as error:
        sys.exit(str(error))
    print(
        f"compiled: {built.parent.relative_to(ROOT) / 'swap'} simulate|size|validate|... gives the same results, faster"
    )
