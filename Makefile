# make run    set up .venv and serve the quickstart topology
# make test   set up .venv, run the tests, and measure what those of runtime/ reach
# make check  check formatting, lint, types and imports
# make coverage  show which lines the fast tests reach
# make short  run the short form of the fault tests
# make faults the long forms of all tests: every model, every combination
# make fuzz   fuzz every kind of server, with thousands of malformed connections per protocol, and draw the input of
#             tests anew, twenty times as much
# make compiled  compile the hot path in a copy of this tree, build/compiled, and run the tests that start servers there;
#             needs a C compiler and Python's headers; make compiled-short  a few of these tests
# make soak   ten minutes of changing mixes while workers die and classes, dispatch and bounds are reloaded
# make speed  check speed limits, on a quiet machine: validate, the guard around plugins
# make words  run the tests that know all words and keys: after a new one, the places that miss it
# make docs   generate what comes from the code: tables and diagrams of docs/, topologies/poolctl.schema.json
# make bench  compare cost per request, waiting, threads, reloads and overload with other servers; needs wrk and taskset
# Needs Python 3.11 or newer. To use another Python than python3: make PYTHON=python3.12 run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-bench
# The tests wait for processes and for time as much as they compute, so four jobs are about right for two cores; each
# job imports and collects everything first.
JOBS ?= 4
# The tests start hundreds of servers, which must be able to write bytecode, whatever the environment says.
PYTEST := env PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
TOPOLOGY ?= topologies/quickstart.yaml

# Those that mirror the package: they call its code, where others call servers that run it.
FAST := $(addprefix tests/,assembly cli config description proposal runtime supervision)

# Those that go through all words and keys of the language, and fail where one is missing.
WORDS := $(addprefix tests/,$(addprefix docs/test_,language.py places.py drawn.py) description assembly/fitting \
	assembly/test_registry.py $(addprefix config/test_,load.py diagnostics.py broken.py) runtime/dispatch)

.PHONY: run test words check coverage short faults soak fuzz compiled compiled-copy compiled-short speed docs bench clean

run: $(VENV)/installed
	@exec $(BIN)/poolctl run $(TOPOLOGY)

test: $(VENV)/installed-dev
	$(PYTEST) -n $(JOBS) --dist worksteal -p tests.harness.measured --ignore=tests/faults

words: $(VENV)/installed-dev
	$(PYTEST) -q -n $(JOBS) $(WORDS)

coverage: $(VENV)/installed-dev
	@core=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")'); \
		COVERAGE_CORE=$$core $(PYTEST) -n $(JOBS) --dist worksteal --cov --cov-report term:skip-covered $(FAST)

short: $(VENV)/installed-dev
	$(PYTEST) -n $(JOBS) --dist worksteal tests/faults

faults: $(VENV)/installed-dev
	$(PYTEST) -n 2 -m slow

soak: $(VENV)/installed-dev
	SOAK_SECONDS=600 $(PYTEST) -s -n 3 tests/faults/test_waiting.py

fuzz: $(VENV)/installed-dev
	$(PYTEST) -n 2 -m fuzz tests/fuzz
	$(PYTEST) -n 2 -m hypothesis --hypothesis-profile=fuzz

# Those that call the code as its users do, and none that replaces a part of it.
SERVED := $(addprefix tests/,applications fuzz operations topologies)

# Of these, what shows most in little time: each ownership, malformed requests, and the answers of the server itself.
FEW_SERVED := $(addprefix tests/,$(addprefix topologies/test_,malformed.py own_answers.py retry.py) operations/test_control.py)

# The copy has the packages of this tree's environment, but not this tree.
compiled-copy: $(VENV)/installed-dev
	rm -rf build/compiled && mkdir -p build/compiled
	git ls-files -z | xargs -0 cp --parents -t build/compiled
	$(BIN)/python -m venv --without-pip build/compiled/$(VENV)
	packages='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		{ echo "$(CURDIR)/build/compiled"; $(BIN)/python -c "$$packages"; } > \
		"$$(build/compiled/$(BIN)/python -c "$$packages")/this.pth"
	cd build/compiled && POOLCTL_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace --parallel 2
	cd build/compiled && $(BIN)/python -m poolctl --version | grep '(compiled)'

compiled: compiled-copy
	cd build/compiled && $(PYTEST) -n $(JOBS) --dist worksteal $(SERVED)

compiled-short: compiled-copy
	cd build/compiled && $(PYTEST) -n $(JOBS) --dist worksteal $(FEW_SERVED)

docs: $(VENV)/installed-dev
	$(BIN)/python tests/docs/drawn.py

speed: $(VENV)/installed-dev
	$(BIN)/python -m bench.validate
	$(BIN)/python -m bench.guard

bench: $(VENV)/installed $(PEERS)/installed
	$(BIN)/python -m bench.cost --peers $(PEERS)
	$(BIN)/python -m bench.tail --peers $(PEERS)
	$(BIN)/python -m bench.threads
	$(BIN)/python -m bench.reloads --peers $(PEERS)
	$(BIN)/python -m bench.goodput --peers $(PEERS) --seconds 4 --loads 0.8,1.25,2

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: poolctl needs Python 3.11 or newer, but $(PYTHON) is `$(PYTHON) -V 2>&1`; set PYTHON=..." >&2; exit 1; }
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
