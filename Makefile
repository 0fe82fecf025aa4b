# `make` shows the commands. Each sets up what it needs first: see deploy/bootstrap.py.
PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Tests mostly wait; tests/conftest.py says how many processes.
PARALLEL := -n auto --dist worksteal

# How much `make fuzz` does: messages changed at random, seconds of the guided fuzzer.
INPUTS ?= 200000
SECONDS ?= 120

.DEFAULT_GOAL := help
.PHONY: help ready demo test test-all test-containers check lint faults faults-short day fuzz bench beside fmt lock hooks clean

help: ## Show these commands
	@echo "make COMMAND, where COMMAND is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1~\2/p' $(MAKEFILE_LIST) | while IFS='~' read -r name text; do \
		printf '%-18s %s\n' "$$name" "$$text"; done

ready:
	@$(PYTHON) deploy/bootstrap.py

demo: ready ## Run a small farm on this machine: real broker, real database, three agents, a job
	@$(BIN)/farmhand demo

test: lint ## Check the code, then test it on real services; all that must pass before a change lands
	@$(PYTEST) $(PARALLEL) -m "not extensive"

test-all: lint ## All tests, those that take minutes too, and ten times as many random examples
	@$(PYTEST) $(PARALLEL) --hypothesis-profile=thorough

test-containers: ready ## The integration tests once more, on servers in containers
	@$(BIN)/python -m tests.containers

check: lint ## Without services, in seconds: format, lint, types, import contracts, unit tests
	@$(PYTEST) -q -n 2 tests/unit

lint: ready
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@contracts=$$($(BIN)/lint-imports --no-logo) || { echo "$$contracts"; exit 1; }

faults: ready ## Hurt a whole farm in every way we know, some hundred times, and write docs/faults.md (an hour or less)
	@$(BIN)/python -m coordinator.proof.faults --write docs/faults.md

faults-short: ready ## A selection of these, in a few minutes
	@$(BIN)/python -m coordinator.proof.faults --short --seconds 240

day: ready ## A day of a farm of a hundred workers in some 25 minutes: nothing may grow; writes docs/day.md
	@$(BIN)/python -m coordinator.proof.day --write docs/day.md

fuzz: ready ## Bad input by the million: make fuzz INPUTS=1000000 SECONDS=600
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/fuzz.txt
	@$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --seconds $(SECONDS)

bench: ready ## Measure, beside the best tool of its kind
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m coordinator.proof.bench
	@$(BIN)/python -m coordinator.proof.limited
	@$(BIN)/python -m coordinator.proof.deaths
	@$(BIN)/python -m coordinator.proof.celery_followed
	@$(BIN)/python -m coordinator.proof.calls
	@$(BIN)/python -m coordinator.proof.charts

beside: ready ## Measure this checkout beside another one: make beside OTHER=../before
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m coordinator.proof.beside $(OTHER)

fmt: ready ## Format and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

lock: ## Write requirements/*.txt anew from pyproject.toml (needs uv)
	@UV=$(UV) deploy/lock

hooks: ready ## Let git run the checks at each commit
	@$(BIN)/pre-commit install

clean: ## Remove all that was made here
	rm -rf .venv .farmhand dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
