.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PLAIN := .venv/.demo
LOWEST := .venv-lowest
# Markers of tests that run one after another: they measure time, or drive programs that are not ours.
ALONE := serial foreign kubectl redis browser conformance balancer
# How xdist spreads the rest over all cores; counting by file, as loadfile does, takes quadratic time.
SPREAD := -n auto --dist worksteal
# What some of these drive, from the system's packages.
PROGRAMS := redis-server chromium haproxy nginx

# Tests as pytest has rewritten them are kept, or each of the runs below would do that again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test cover thorough lowest fast check fix snapshots docs bench clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(PLAIN) ## watch an agent build, repair, upgrade and remove clusters on the simulator
	@$(BIN)/ap-mcp demo

test: $(STAMP) ## run all tests: first those that measure time or drive programs of others, one marker after another, then the rest on every core
	@tools/programs.sh $(PROGRAMS)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --group browser --group balancer
	@set -e; for each in $(ALONE); do echo "pytest -m $$each"; $(BIN)/pytest -m $$each; done
	$(BIN)/pytest $(SPREAD)

cover: $(STAMP) ## run all tests of our own code with coverage, and fail below the floor in pyproject.toml
	$(BIN)/pytest -m serial
	$(BIN)/pytest -m kubectl --cov --cov-report= --cov-fail-under=0
	$(BIN)/pytest $(SPREAD) --cov --cov-append --cov-report=term:skip-covered

thorough: $(STAMP) ## run the tests that draw their cases, with many more of them, and others each time
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest $(SPREAD) -m hypothesis

lowest: ## run all tests with the lowest versions that pyproject.toml allows, in an environment of their own
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install -q --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install -q --python $(LOWEST) --resolution lowest-direct --editable . --group test
	$(LOWEST)/bin/pytest $(SPREAD)

fast: $(STAMP) ## run the tests that failed last, then the rest, without coverage
	$(BIN)/pytest --failed-first -x

check: $(STAMP) ## lint, types, specs and generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/ap-mcp specs check
	$(BIN)/ap-mcp docs --check

fix: $(STAMP) ## fix what a program can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/ap-mcp specs check --write
	$(BIN)/ap-mcp docs --write

snapshots: $(STAMP) ## record the tools as clients see them
	UPDATE_SNAPSHOTS=1 $(BIN)/pytest tests/test_tool_snapshots.py

docs: $(STAMP) ## write the generated parts of README.md and docs
	$(BIN)/ap-mcp docs --write

bench: $(STAMP) ## measure sizes, recall, start-up and calls, into benchmarks/RESULTS.md
	$(BIN)/python -m pip install -q --disable-pip-version-check --group bench
	PYTHONPATH=tests/support $(BIN)/python benchmarks/run.py

clean: ## remove what the other targets made
	rm -rf .venv $(LOWEST) tests/*/node_modules .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist

$(PLAIN): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'ap-mcp needs Python 3.11 or later: make PYTHON=python3.12'; exit 1; }
	@echo 'Installing ap-mcp and what it needs into .venv, once.'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check --editable .
	@touch $@

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'ap-mcp needs Python 3.11 or later: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -q --disable-pip-version-check --editable . --group dev
	@touch $@ $(PLAIN)
