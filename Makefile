# make demo | test | check | bench | cluster. Everything sets itself up in .venv on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes for the tests: the tests start servers and browsers, so more than the cores does not help.
JOBS ?= 2

.PHONY: demo test check bench cluster hostile versions format clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stguard needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/stguard demo

test: $(STAMP) check
	sh tests/install-system-parts.sh
	$(BIN)/python -m pytest -n $(JOBS) --dist=loadgroup

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stguard check policies

cluster: $(STAMP)
	sh tests/install-system-parts.sh
	$(BIN)/python -m tests.cluster

bench: $(STAMP)
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.rerun
	$(BIN)/python -m benchmarks.fragments
	$(BIN)/python -m benchmarks.sessions
	$(BIN)/python -m benchmarks.gateway
	$(BIN)/python -m benchmarks.replicas
	$(BIN)/python -m benchmarks.analysis

hostile: $(STAMP)
	$(BIN)/python -m tests.hostile

versions:
	PYTHON=$(PYTHON) sh tests/streamlit-versions.sh

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
