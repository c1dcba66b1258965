# Every target says what it does: `make` lists them. All of them set up what they need, in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGES := proto sdk execution_agent control_plane
WORKERS ?= 2
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-fast lint format types bench reference proto faults simulate fuzz wheels neighbours clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headway needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python $(PACKAGES:%=%/pyproject.toml) deploy/constraints/runtime.txt
	@echo "Installing Headway and what it runs on into .venv ..."
	@$(PIP) install -c deploy/constraints/runtime.txt -e proto -e 'sdk[cli]' -e execution_agent -e 'control_plane[local]'
	@touch $@

.venv/.installed-dev: .venv/.installed deploy/requirements-dev.txt deploy/constraints/dev.txt
	@echo "Installing the tools of tests and checks into .venv ..."
	@$(PIP) install -c deploy/constraints/runtime.txt -c deploy/constraints/dev.txt -r deploy/requirements-dev.txt
	@touch $@

setup: .venv/.installed-dev ## Make .venv with Headway, its dependencies and the development tools

demo: .venv/.installed ## Start everything on an embedded database and run the example flow (ARGS=--keep leaves it serving)
	@$(BIN)/headway demo $(ARGS)

up: .venv/.installed ## Start Headway on this machine and keep it running until Ctrl-C
	@$(BIN)/headway up $(ARGS)

test: .venv/.installed-dev ## Run all tests (TESTS=path for some, WORKERS=n in parallel)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS) $(ARGS)

test-fast: .venv/.installed-dev ## Run the tests that need neither database nor processes
	@$(BIN)/python -m pytest -n $(WORKERS) tests/unit tests/typing $(ARGS)

lint: .venv/.installed-dev ## Check style, formatting, import contracts, types and the wire contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy -p headway -p headway_agent -p headway_control_plane
	@MYPYPATH=sdk/src:control_plane/src/headway_control_plane/examples $(BIN)/mypy --config-file= --strict -p inventory
	@MYPYPATH=sdk/src:examples $(BIN)/mypy --config-file= --strict -p etl_duckdb -p approval -p partial_failure -p many_files
	@MYPYPATH=sdk/src:examples $(BIN)/mypy --config-file= --strict --disable-error-code=import-untyped -p training
	@cd proto && ../$(BIN)/buf lint

format: .venv/.installed-dev ## Format the code and sort the imports
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: .venv/.installed-dev ## Measure, each figure beside a raw limit of the same run (ARGS=name for one)
	@$(BIN)/python -m tests.benchmarks.run $(ARGS)

proto: .venv/bin/python ## Generate the Python code of the wire contract, in .venv-proto
	@$(BIN)/python proto/generate.py

faults: .venv/.installed-dev ## Break real processes, networks, disks and clocks under load and judge every invariant (ARGS=-k name)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/faults --faults=long $(ARGS)

simulate: .venv/.installed-dev ## Simulate both halves in a world of faults (ARGS='--seeds 0:1000 --mode liveness', --trace SEED, --power)
	@$(BIN)/python -m tests.simulation.run $(ARGS)

fuzz: .venv/.installed-dev ## Mutate what crosses every boundary (SECONDS=n for each, ARGS=name for one, ARGS='--seed N' to repeat)
	@$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),60) $(ARGS)

reference: .venv/.installed-dev ## Write docs/reference anew from the docstrings of the SDK
	@$(BIN)/python docs/make_reference.py

wheels: .venv/.installed-dev ## Build the four wheels into dist/
	@for package in $(PACKAGES); do $(BIN)/python -m build --wheel --no-isolation --outdir dist $$package >/dev/null || exit 1; done; ls dist

neighbours: .venv/.installed-dev ## Install the SDK beside the most used data packages (1 GB) and run a flow that uses them all
	@HEADWAY_TEST_NEIGHBOURS=all $(BIN)/python -m pytest tests/e2e/neighbours -rP $(ARGS)

clean: ## Remove environments, caches and builds
	@rm -rf .venv .venv-proto dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
