# What a person types: make demo, make test. Needs Python 3.11 or newer, make, and the network for packages.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bin/uv
ARGS ?=
GOAL ?=

# Where it is set, each of the hundreds of processes that the tests start would compile every library again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test faults bench accuracy fuzz lint lock clean

help:            ## show this
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed ## make .venv as locked

$(UV): requirements/uv.txt
	$(PYTHON) -c 'import sys; sys.exit("ccdwatch needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.installed: $(UV) requirements/dev.txt pyproject.toml
	$(UV) pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements/uv.txt requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m flows.calibration.inner_loops
	@touch $@

demo: setup ## the whole service on real frames; ARGS=--exit stops it afterwards, ARGS=--history shows two simulated years
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --target .demo/frames -r requirements/demo.txt
	$(BIN)/python deploy/demo/demo.py --frames .demo/frames --work .demo/work $(ARGS)

test: setup ## all tests, a process for each processor; ARGS are handed to pytest
	$(BIN)/pytest --numprocesses logical --dist loadfile $(ARGS)

faults: setup ## measure the goals of reliability in full, which takes hours; GOAL=3 for one of them
	$(BIN)/python -m tests.faults $(GOAL:%=--goal %) $(ARGS)

bench: setup ## what combining and the pages cost here, as Markdown tables; ARGS=--quick leaves out other programs
	$(BIN)/python -m benchmarks.bench $(ARGS)
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.changes

accuracy: setup ## simulate known truth, measure it, write docs/accuracy.md; ARGS=--quick prints a short run
	$(BIN)/python -m benchmarks.accuracy $(ARGS)
	$(BIN)/python -m benchmarks.culprits $(filter --quick,$(ARGS))

fuzz: setup ## 2000 nights of cameras and faults drawn by chance: what is wrong without a word
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

lint: setup ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(UV) ## bring the lock files up to date
	$(UV) pip compile $(LOCK) --all-extras pyproject.toml -o requirements/runtime.txt
	$(UV) pip compile $(LOCK) --all-extras --group dev pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt
	echo uv | $(UV) pip compile $(LOCK) - -o requirements/uv.txt
	echo 'msfc-ccd==1.2.0' | $(UV) pip compile $(LOCK) --no-deps - -o requirements/demo.txt

LOCK := --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11

clean: ## remove what make made
	rm -rf $(VENV) .demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
