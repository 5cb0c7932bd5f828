# Two commands do everything: `make demo` shows the tool at work, `make test` runs the whole test suite.
# Both set up their own virtual environment, and are quick the second time.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SHELL  := bash
.SHELLFLAGS := -o pipefail -c
# Some tests wait for other processes: one worker more than there are cores leaves none idle.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST_ARGS ?=
COVERAGE ?= --cov --cov-report=term

# The same pins for what is installed and for what builds it (older and newer pips read different variables).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-lowest lint types check bench picture constraints clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.for-demo ## the main job, step by step, against a local authorization server
	@$(BIN)/banno-creds demo

test: needs $(VENV)/.for-test interop ## the whole test suite, with coverage: some 9 minutes, more on a busy machine
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(COVERAGE) $(PYTEST_ARGS)

# In an environment of its own. `.ci/run` chooses the tests that use each package; without PYTEST_ARGS it is all of them.
test-lowest: ## the tests with the lowest versions that pyproject.toml allows
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.for-lowest
	.venv-lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

check: lint types test ## everything that has to be green before a commit lands

lint: $(VENV)/.for-test ## style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.for-test ## mypy --strict on code, tests and benchmarks
	$(BIN)/mypy
	$(BIN)/mypy --cache-dir .mypy_cache/win32 --platform win32 --always-false MODES_MEAN_SOMETHING --no-warn-unreachable src

# In an environment without the test tools: httpx imports trio where it finds it, which users seldom have.
bench: ## whole-process times and memory beside the peers that are installed
	@$(MAKE) --no-print-directory VENV=.venv-bench .venv-bench/.for-demo
	.venv-bench/bin/python benchmarks/bench.py
	.venv-bench/bin/python benchmarks/many.py
	@$(MAKE) --no-print-directory $(VENV)/.for-test
	PYTHONPATH=. $(BIN)/python benchmarks/holders.py
	PYTHONPATH=. $(BIN)/python benchmarks/shared_cache.py

.PHONY: needs
needs:
	@$(PYTHON) tests/needs.py

# oidc-provider from npm, for the interop tests. Without Node they are skipped, and say so. The other providers come as
# packages of Debian, which `make test` names at its start.
.PHONY: interop
interop:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory tests/interop/node_modules/.installed; fi

tests/interop/node_modules/.installed: tests/interop/package-lock.json
	@echo "Installing oidc-provider from npm, the first time alone: half a minute"
	cd tests/interop && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "banno-creds needs Python 3.11 or later; this is " + sys.version)'
	@echo "Making $(VENV): a few seconds"
	@$(PYTHON) -m venv $(VENV)

# One line a package, as it comes. Not by awk: some read a pipe only in large blocks, and show nothing for a minute.
ONE_LINE_EACH = while IFS= read -r line; do case "$$line" in \
  "  Installing build dependencies: started") echo "  what builds it" ;; \
  Collecting*) line=$${line\#Collecting }; echo "  $${line%% (from *}" ;; \
  "Installing collected"*) echo "  all of them are here: installing, some 20 seconds more" ;; \
  *ERROR*|*error*) echo "$$line" ;; esac; done

$(VENV)/.for-demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing some 25 packages into $(VENV), the first time alone: about a minute"
	@$(BIN)/pip install --editable '.[sandbox]' | $(ONE_LINE_EACH)
	@touch $@

$(VENV)/.for-test: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing some 60 packages into $(VENV), with the tools of the tests, the first time alone: 2 minutes"
	@$(BIN)/pip install --editable '.[sandbox,keyring,dev]' | $(ONE_LINE_EACH)
	@touch $@ $(VENV)/.for-demo

$(VENV)/.for-lowest: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing the lowest versions into $(VENV):"
	@$(BIN)/python tests/lowest.py >$(VENV)/lowest.txt
	@PIP_CONSTRAINT=$(VENV)/lowest.txt $(BIN)/pip install --editable '.[sandbox,keyring,dev]' | $(ONE_LINE_EACH)
	@touch $@

# Windows' Python under Wine, on this Linux: tests/windows/wine/set-up.sh says what it makes and needs.
WINE ?= .wine
.PHONY: wine wine-smoke
wine: wine-smoke ## the smoke list and the whole suite on Windows' Python under Wine: a good half hour
	python3 tests/windows/wine/suite.py $(WINE) $(WINE_FILES)

wine-smoke: ## the smoke list alone, each command once: 2 minutes, and one more at first
	PYTHON=$(PYTHON) tests/windows/wine/set-up.sh $(WINE)
	$(WINE)/python -m pytest -q -p no:cacheprovider tests/windows/test_smoke.py </dev/null

picture: $(VENV)/.for-demo ## draw docs/demo.svg anew
	$(BIN)/python docs/picture.py

constraints: $(VENV)/.for-test ## renew constraints.txt from pyproject.toml
	$(BIN)/pip install --quiet uv
	printf 'flit_core\n' | $(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --upgrade --quiet \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o constraints.txt pyproject.toml -

clean: ## forget virtual environments and caches
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis
