# Every target does the set-up it needs; a second call costs nothing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
VENV_READY := $(VENV)/.stamp
TOOLS_READY := $(VENV)/.tools.stamp
ASSETS_READY := api/console/static/vendor/.stamp
# What runs a station, and with it what tests and checks it; what the second brings is not needed for the first.
EXTRAS := postgres
TOOLS := $(EXTRAS),cluster,dev,e2e
CATALOGUES := $(wildcard api/locale/*/LC_MESSAGES/*.po sim/report/locale/*/LC_MESSAGES/*.po)

STATION ?= examples/yangquan_mine/station.toml
ARGS ?=
TESTS ?=
BENCH ?=

# The first Python that is new enough and can make a virtual environment. Looked for only when one is made.
find_python = for p in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
	  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$p"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "Python 3.11 or newer with the venv module is needed (Debian: apt-get install python3-venv)." >&2; \
	  echo "If it has another name: make setup PYTHON=/path/to/python" >&2; exit 1; \
	fi

# compat mode puts this folder on the path as a whole, so a new package needs no new install
install = $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --config-settings editable_mode=compat

.PHONY: help setup tools compiled run test drill check prove twin mutants bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(VENV_READY) $(ASSETS_READY) ## make .venv with what runs a station, compile the catalogues, fetch the console's browser files

tools: $(TOOLS_READY) $(ASSETS_READY) ## setup, and what tests, checks and measures

$(VENV_READY): constraints.txt pyproject.toml setup.py $(CATALOGUES)
	@if ! [ -x $(PY) ] || ! $(PY) -c 'import pip' 2>/dev/null; then \
	  $(find_python); echo "making $(VENV) with $$($$found --version)"; "$$found" -m venv --clear $(VENV); \
	fi
	$(install) -e '.[$(EXTRAS)]'
	@touch $@

$(TOOLS_READY): $(VENV_READY)
	$(install) -e '.[$(TOOLS)]'
	@touch $@

$(ASSETS_READY): package-lock.json package.json .npmrc deploy/vendor_assets.py | $(VENV_READY)
	$(PY) deploy/vendor_assets.py
	@touch $@

compiled: tools ## build/compiled/bin/swap: the study as machine code, same results, faster; needs a C compiler
	@$(PY) deploy/compiled.py

run: setup ## run a simulated station with its console; STATION=file.toml ARGS='...'
	@exec $(VENV)/bin/swap run $(STATION) $(ARGS)

# Two more than two processors: some tests wait for real seconds, and others work meanwhile.
test: tools ## all tests; TESTS='tests/sim -k name' for some
	$(PY) -m pytest -n 4 --dist worksteal $(TESTS)

drill: tools ## the drills that need real seconds: a slow, locked or lost database, a blocked loop, a power cut
	$(PY) -m pytest -m drill $(TESTS)

check: tools ## lint, format, types, import layers, migrations against tables
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/swap db check

prove: tools ## explore every state, kill at every step, and print the counts; `make test` has a shorter form
	PROVE=all $(PY) -m pytest -n 2 --dist worksteal tests/prove

twin: tools ## live station against study on TWIN_DRAWS=200 random stations, new ones each time; long
	TWIN_DRAWS=$(or $(TWIN_DRAWS),200) $(PY) -m pytest tests/sim/test_twin_random.py

mutants: tools ## one small change at a time in what must not be wrong: does a test notice? Long; ONLY=recovery for some
	$(PY) -m deploy.mutants $(if $(ONLY),--only $(ONLY))

bench: tools ## measure speed into var/bench/*.json; BENCH='name ...' for some
	$(PY) -m benchmarks $(BENCH)

clean: ## remove everything that the other targets make
	rm -rf $(VENV) build dist *.egg-info api/console/static/vendor var/bench \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
