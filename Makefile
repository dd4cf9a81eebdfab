# What people type. Needs make, a shell and Python 3.11 or newer: everything else is installed
# into .venv. A stamp per requirements file, named by its content, so that nothing is installed
# twice and nothing is forgotten after a pull.

PYTHON ?= python3
# test processes side by side, each with its own servers
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
HASH = $(shell cat requirements*.txt constraints.txt pyproject.toml | cksum | cut -d" " -f1)
RUN_STAMP = $(VENV)/installed-run-$(HASH)
DEV_STAMP = $(VENV)/installed-dev-$(HASH)
# pip is asked for nothing but the packages: no new-version notice, no prompt
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help run dev test lint format bench bench-scale scorecard docs clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(RUN_STAMP)  ## Start everything: pages, API, workers, scheduler, embedded Valkey
	@exec $(BIN)/engine up

dev: $(RUN_STAMP)  ## The same, restarted when a source file changes
	@exec $(BIN)/engine up --reload

# The first three levels share the cores; the others break, time and watch whole systems, alone.
test: lint  ## Lint, then all tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/unit tests/integration tests/functional
	@$(BIN)/python -m pytest tests/faults tests/scorecard tests/e2e

lint: $(DEV_STAMP)  ## Style, types, and which part may import which
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy engine actors engine_app examples benchmarks tests
	@$(BIN)/lint-imports

format: $(DEV_STAMP)  ## Put the sources in the one style
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(DEV_STAMP)  ## Measure; the last line is JSON
	@$(BIN)/python -m benchmarks

bench-scale: $(DEV_STAMP)  ## What a million executions cost: EXECUTIONS=, DATABASE=, ONLY=, KEEP= (a folder)
	@$(BIN)/python -m benchmarks.scale $(foreach option,EXECUTIONS DATABASE ONLY KEEP,$(if $($(option)),--$(shell echo $(option) | tr A-Z a-z) $($(option))))

scorecard: $(DEV_STAMP)  ## Break it on purpose: DB=, SEED=, MINUTES=, ROWS=, SCALE=, WRITE= (a document)
	@$(BIN)/python -m tests.scorecard $(foreach option,DB SEED MINUTES ROWS SCALE WRITE,$(if $($(option)),--$(shell echo $(option) | tr A-Z a-z) $($(option))))

docs: $(DEV_STAMP)  ## Run the commands of the documents, and check what they claim
	@$(BIN)/python -m pytest tests/functional/test_docs.py

clean:  ## Remove what was built; data in .engine stays
	rm -rf $(VENV) .web .states build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "the engine needs Python 3.11 or newer as '$(PYTHON)': run 'make PYTHON=/path/to/python3.11 …'" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module: install it (on Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(RUN_STAMP): $(VENV)/made
	@echo "installing requirements.txt into $(VENV)"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@rm -f $(VENV)/installed-run-*
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "installing requirements-dev.txt into $(VENV)"
	@$(PIP) -r requirements-dev.txt
	@rm -f $(VENV)/installed-dev-*
	@touch $@
