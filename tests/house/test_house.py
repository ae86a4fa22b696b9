"""The house rules that no linter checks: what may be committed, file sizes, pins, make targets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from deploy.house import PACKAGES
from deploy.vendor_assets import FILES

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 600  # "about 500": what grows past this is split

# Put together here, so that this file does not contain them itself.
FORBIDDEN = {
    "a package registry's host": [
        "pypi" + ".org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "npm" + "js.com",
    ],
    "a system package host": ["deb." + "debian.org", "security." + "debian.org", "archive." + "ubuntu.com"],
    "a path of one machine": [
        "/work" + "/",
        "/root" + "/",
        "/opt" + "/wheels",
        ".py" + "env/",
        "file:" + "///",
    ],
}


@cache
def tracked() -> list[Path]:
    """Return the files git tracks, as they are in the working tree now."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    output = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in output.split("\0") if name and (path := ROOT / name).is_file()]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def normal(requirement: str) -> str:
    """Return the package name of a requirement or a pin, as registries compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", requirement)[0]).lower()


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what: str) -> None:
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN[what] if word in text]
    assert not found


def test_python_files_are_short_enough_to_read() -> None:
    lines = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in tracked() if p.suffix == ".py"}
    assert {name: count for name, count in lines.items() if count >= MAX_LINES} == {}


def test_nothing_generated_is_tracked() -> None:
    names = {str(p.relative_to(ROOT)) for p in tracked()}
    assert "uv.lock" not in names
    assert not [n for n in names if n.startswith(("var/", "node_modules/", "api/console/static/vendor/"))]
    assert not [n for n in names if n.endswith(".mo")]


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    lines = [line for line in read("constraints.txt").splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[^\s/@]+", line)] == []
    assert {normal(r) for r in wanted} - {normal(line) for line in lines} == set()


PLUGINS = {
    "httptools": "uvicorn parses HTTP with it",
    "websockets": "uvicorn serves the console's live page with it",
    "python-multipart": "Starlette reads the console's forms with it",
    "tzdata": "zoneinfo reads it where the system has no zone files",
}
"""Dependencies that another one looks for by itself."""


def test_every_dependency_of_the_product_is_imported() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = {normal(requirement) for requirement in project["dependencies"]} - set(PLUGINS)
    owners = {module: {normal(name) for name in names} for module, names in packages_distributions().items()}
    imported = set[str]()
    for path in tracked():
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES:
            for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text("utf-8"), flags=re.MULTILINE):
                imported |= owners.get(name, set())
    assert wanted - imported == set()


def test_npm_lock_is_exact_and_names_no_addresses() -> None:
    wanted = json.loads(read("package.json"))["dependencies"]
    lock = json.loads(read("package-lock.json"))["packages"]
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, entry in lock.items() if "resolved" in entry] == []
    assert [name for name, entry in lock.items() if name and "integrity" not in entry] == []


def test_every_browser_package_is_served_with_its_licence() -> None:
    folders = {Path(target).parent for target in FILES.values()}
    licensed = {Path(target).parent for target in FILES.values() if "LICENSE" in target}
    assert folders == licensed
    for package in json.loads(read("package.json"))["dependencies"]:
        assert any(source.startswith(f"{package}/") for source in FILES), package


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    assert {"setup", "run", "test", "check", "bench"} <= targets
    for page in (p for p in tracked() if p.suffix == ".md"):
        used = re.findall(r"(?:`|^\s*\$? ?)make ([a-z]+)", page.read_text("utf-8"), flags=re.MULTILINE)
        assert set(used) - targets == set(), page.relative_to(ROOT)


def test_licence_is_the_full_text() -> None:
    text = read("LICENSE")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
