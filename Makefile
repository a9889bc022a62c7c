# Needs python3 (3.11 or newer, with venv) and make. Everything else is installed into .venv by the hashes in the lock files.

SHELL := /bin/bash
PYTHON ?= python3
ARGS ?=
SEEDS ?= 100
CRASHES ?= 100
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help install install-dev lint format test simulate crash demo messages screenshot lock clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

install: .venv/.installed ## make .venv/bin/almenara

install-dev: .venv/.installed-dev ## and what lint, test and lock need

lint: .venv/.installed-dev ## ruff, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev ## let ruff repair and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: .venv/.installed-dev ## the whole suite; ARGS goes to pytest
	.ci/system-packages
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

demo: .venv/.installed ## three nodes on this machine; ARGS=--check asserts and ends
	$(BIN)/almenara demo $(ARGS)

messages: .venv/.installed-dev ## bring the panel's catalogues up to date with its sentences
	$(BIN)/python .ci/messages.py

simulate: .venv/.installed-dev ## SEEDS=1000 runs of 20 nodes and 200 alerts with faults; ARGS='--seed 7 --loud' replays one
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

crash: .venv/.installed-dev ## kill a loaded node, at CRASHES=100 more writes than in the suite
	CRASHES=$(CRASHES) $(BIN)/pytest tests/integration/test_crash.py $(ARGS)

bench: .venv/.installed ## rates, latency and memory against their bars; alone on the machine, some minutes
	$(BIN)/python -m tests.bench $(ARGS)

screenshot: .venv/.installed-dev ## take the README's picture from two real nodes in a real browser
	PYTHONPATH=. $(BIN)/python .ci/screenshot.py

lock: .venv/.installed-dev ## renew the three lock files
	$(COMPILE) --upgrade --only-build-deps --build-deps-for=editable --output-file=requirements-build.lock pyproject.toml
	$(COMPILE) --upgrade --output-file=requirements.lock pyproject.toml
	$(COMPILE) --upgrade --extra=dev --constraint=requirements.lock --constraint=requirements-build.lock \
		--output-file=requirements-dev.lock pyproject.toml

clean: ## remove .venv, caches and built files
	rm -rf .venv dist build .coverage* .hypothesis .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "almenara needs Python 3.11 or newer as $(PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "almenara needs Python's venv: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

# The project itself is installed without isolation: its build tools come from a lock file too.
.venv/.installed: .venv/.made requirements.lock requirements-build.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
