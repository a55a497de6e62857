# Each target makes the virtual environment it needs. `make` alone lists the targets.

VENV    ?= .venv
BIN     := $(VENV)/bin
ARGS    ?=
# The interpreter of the original, asab, which tests and benchmarks run beside ours.
export ASAB_PYTHON ?= $(abspath $(VENV)-asab/bin/python)
# Further Pythons to test on, where they are installed: by `make test`, and by `make test-all`.
PYTHONS     ?= system
PYTHONS_ALL ?= python3.12 python3.13 python3.14

# The tests start hundreds of processes, which takes a tenth less time with compiled files.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all simulate mutants check docs pictures bench clean

help: ## list the targets
	@echo "peerage: make TARGET [ARGS=\"...\"]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## run a shop that calls three services by name; one is killed, one joins (ARGS="--seconds 15", ARGS=--page: in a browser as well)
	@$(BIN)/peerage demo $(ARGS)

test: $(VENV)/.test $(VENV)-asab/.peer ## run the tests, on this Python and on the distribution's (ARGS="-k name")
	@scripts/zookeeper
	scripts/test together $(BIN)/python 4 $(ARGS)
	scripts/test alone $(BIN)/python $(ARGS)
	@scripts/test-pythons $(BIN)/python $(PYTHONS)

test-all: $(VENV)/.test-all $(VENV)-asab/.peer ## run what `make test` leaves out: further Pythons, wheel and sdist, several ZooKeeper servers, long tests
	@scripts/zookeeper
	@scripts/chromium
	@scripts/prometheus
	@command -v ip >/dev/null || scripts/debian iproute2
	@scripts/test-pythons $(BIN)/python $(PYTHONS_ALL)
	@scripts/test-newest-kazoo $(BIN)/python
	@scripts/test-packages $(BIN)/python $(PYTHONS) $(PYTHONS_ALL)
	TESTS=long scripts/test together $(BIN)/python 2 $(ARGS)
	TESTS=long scripts/test alone $(BIN)/python $(ARGS)

simulate: $(VENV)/.test ## simulate clusters with faults of all kinds, in virtual time (ARGS="--schedules 100000", ARGS="--replay TOKEN")
	$(BIN)/python -m peerage.testing.simulation $(ARGS)

mutants: $(VENV)/.test ## put known defects into a copy of the sources, one at a time; the simulation must catch each (ARGS="--only NAME")
	$(BIN)/python tests/mutants/run.py $(ARGS)

check: $(VENV)/.check ## run ruff, mypy --strict, pyright on the public names, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/.docs ## build the documentation in site/; a warning, a broken link or a file from another host is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

pictures: $(VENV)/.pictures ## draw the pictures of the demo and of the page, from a demo and a cluster that run for them
	@scripts/zookeeper
	@scripts/chromium
	@fc-list : family | grep -qx Inter || scripts/debian fonts-inter
	$(BIN)/python docs/pictures/demo.py docs/pictures/demo.svg
	$(BIN)/python -m docs.pictures.page docs/pictures

bench: $(VENV)/.bench $(VENV)-asab/.peer ## measure the budgets on this machine, and print the table (ARGS="--only directory")
	@scripts/zookeeper
	@scripts/chromium
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what the targets made
	rm -rf site .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One file for each set of packages says when it was installed; pyproject.toml is newer after a change.
$(VENV)/.run: pyproject.toml
	@scripts/venv $(VENV) '.[cli,zookeeper]'
	@touch $@

$(VENV)/.test: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group test
	@touch $@ $(VENV)/.run

$(VENV)/.test-all: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group test-all
	@touch $@ $(VENV)/.run $(VENV)/.test

$(VENV)/.check: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group test --group check
	@touch $@ $(VENV)/.run $(VENV)/.test

$(VENV)-asab/.peer: tests/interop/asab.txt scripts/asab | $(VENV)/.run
	@scripts/asab $(BIN)/python $(VENV)-asab
	@touch $@

$(VENV)/.bench: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group bench
	@touch $@ $(VENV)/.run

$(VENV)/.pictures: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group pictures
	@touch $@ $(VENV)/.run

$(VENV)/.docs: pyproject.toml
	@scripts/venv $(VENV) '.[all,testing]' --group docs
	@touch $@ $(VENV)/.run
