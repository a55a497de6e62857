# The doors. Each makes the virtual environment it needs from nothing; `make` alone lists them.

VENV    ?= .venv
BIN     := $(VENV)/bin
ARGS    ?=
# The interpreter of the original, asab, which tests and benchmarks run beside ours.
export ASAB_PYTHON ?= $(abspath $(VENV)-asab/bin/python)
# Pythons besides the one of the environment, of which those that are installed are tested on: by `make test`, and what it
# has no time for by `make test-all`.
PYTHONS ?= python3.13
PYTHONS_ALL ?= python3.12 python3.14

# The tests start hundreds of processes: compiled once, as installed, they take a tenth less time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench clean

help: ## list the doors
	@echo "peerage: make <door> [ARGS=\"...\"]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## a shop calls three pricing services by name; one is killed, one joins (ARGS="--seconds 15")
	@$(BIN)/peerage demo $(ARGS)

test: $(VENV)/.test $(VENV)-asab/.peer ## the tests, on this Python and on a newer one where present (ARGS="-k name")
	@scripts/zookeeper
	scripts/test together $(BIN)/python 3 $(ARGS)
	scripts/test alone $(BIN)/python $(ARGS)
	@scripts/test-pythons $(PYTHONS)

test-all: $(VENV)/.test $(VENV)-asab/.peer ## what `make test` leaves out: further Pythons, several ZooKeeper servers, long tests
	@scripts/zookeeper
	@scripts/test-pythons $(PYTHONS_ALL)
	$(BIN)/python -X dev -W error -m pytest -m 'ensemble or long' $(ARGS)

check: $(VENV)/.check ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench $(VENV)-asab/.peer ## the table of budgets, measured on this machine (ARGS="--only directory")
	@scripts/zookeeper
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what the doors made
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp for each set of packages, made again when the project's file changes.
$(VENV)/.run: pyproject.toml
	@scripts/venv $(VENV) '.[cli,zookeeper]'
	@touch $@

$(VENV)/.test: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group test
	@touch $@ $(VENV)/.run

$(VENV)/.check: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group test --group check
	@touch $@ $(VENV)/.run $(VENV)/.test

# The original, in an environment of its own.
$(VENV)-asab/.peer: tests/interop/asab.txt scripts/asab | $(VENV)/.run
	@scripts/asab $(BIN)/python $(VENV)-asab
	@touch $@

$(VENV)/.bench: pyproject.toml
	@scripts/venv $(VENV) '.[all]' --group bench
	@touch $@ $(VENV)/.run
