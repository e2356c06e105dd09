# Two commands do it all: `make demo` runs everything on this machine, `make test` proves it.

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UP_ARGS ?=

.PHONY: help demo test lint system-tools lock clean
.DEFAULT_GOAL := help

help: ## What there is to call
	@grep -E '^[a-z-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## Install and start everything here: UP_ARGS="--stores 2" passes options on
	@exec $(BIN)/cartwright up $(UP_ARGS)

test: $(VENV)/.dev system-tools ## Lint, types, import rules and all tests
	$(MAKE) --no-print-directory lint
	PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python -m pytest -n 2 --dist loadgroup

lint: $(VENV)/.dev ## Lint, types and import rules only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate -q tests

system-tools:
	@sh deploy/install_test_tools.sh

$(VENV)/bin/pip:
	@sh deploy/create_venv.sh "$(PYTHON)" "$(VENV)"

# The locks are whole, so nothing is resolved anew: pip's resolver would look at `google-auth[pyopenssl]` by itself
# and stop as soon as that package has a newer release than the lock.
$(VENV)/.demo: $(VENV)/bin/pip requirements/demo.lock pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/demo.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# torch is large and only trains the detector: CI installs it, elsewhere its tests say that it is missing.
$(VENV)/.dev: $(VENV)/bin/pip requirements/dev.lock pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@if [ "$$CI" = true ]; then $(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0; fi
	@touch $(VENV)/.demo $@

lock: ## Resolve the dependency tree anew (needs uv)
	uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--extra demo requirements/build.in pyproject.toml -o requirements/demo.lock
	uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--extra dev requirements/build.in pyproject.toml -c requirements/demo.lock -o requirements/dev.lock
	uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--extra training pyproject.toml -c requirements/demo.lock -o requirements/training.lock

clean: ## Remove the virtual environment and caches; keeps the demo's data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build
