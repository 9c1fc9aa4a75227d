# make run    set up .venv and serve the quickstart topology
# make test   set up .venv and run the tests
# make check  formatting, lint, types, imports
# make coverage  which lines the fast tests reach
# make short  the fault tests, in their short form
# make faults the long forms of the fault tests
# make fuzz   some thousand odd connections of each protocol against every kind of server
# make speed  what has a bar on a quiet machine: validate, the guard around plugins
# make docs   draw the tables and pictures of docs/ that the code decides
# make bench  cost per request and waiting behind long requests, beside peers, and threads; needs wrk and taskset
# Needs Python 3.11 or newer; another one than python3: make PYTHON=python3.12 run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-bench
# The tests wait for processes and for time more than they compute, so six jobs are about right for two cores.
JOBS ?= 6
# They start hundreds of servers: those keep what they have compiled, whatever the environment says.
PYTEST := env PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
TOPOLOGY ?= topologies/quickstart.yaml

# Those that mirror the package: they call its code, where others call servers that run it.
FAST := $(addprefix tests/,assembly cli config description proposal runtime supervision)

.PHONY: run test check coverage short faults fuzz speed docs bench clean

run: $(VENV)/installed
	@exec $(BIN)/poolctl run $(TOPOLOGY)

test: $(VENV)/installed-dev
	$(PYTEST) -n $(JOBS) --dist worksteal --ignore=tests/faults

coverage: $(VENV)/installed-dev
	@core=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")'); \
		COVERAGE_CORE=$$core $(PYTEST) -n $(JOBS) --dist worksteal --cov --cov-report term:skip-covered $(FAST)

short: $(VENV)/installed-dev
	$(PYTEST) -n $(JOBS) --dist worksteal tests/faults

faults: $(VENV)/installed-dev
	$(PYTEST) -n 2 -m slow

fuzz: $(VENV)/installed-dev
	$(PYTEST) -n 2 -m fuzz tests/fuzz

docs: $(VENV)/installed-dev
	$(BIN)/python tests/docs/drawn.py

speed: $(VENV)/installed-dev
	$(BIN)/python -m bench.validate
	$(BIN)/python -m bench.guard

bench: $(VENV)/installed $(PEERS)/installed
	$(BIN)/python -m bench.cost --peers $(PEERS)
	$(BIN)/python -m bench.tail --peers $(PEERS)
	$(BIN)/python -m bench.threads

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: poolctl needs Python 3.11 or newer, $(PYTHON) is `$(PYTHON) -V 2>&1`; name another with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(PEERS)/installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet granian gunicorn uvicorn httptools uvloop waitress
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
