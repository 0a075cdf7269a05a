# Everything runs in virtual environments in this folder. They are made when they are missing, and brought
# up to date when what they hold has changed; all that it takes is a Python.

PYTHON ?= python3
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo screenshots test test-airflow test-all test-lowest lint docs bench mutants constraints \
  release-check clean no-node

# Without its bytecode cache Airflow starts three to four times slower.
unexport PYTHONDONTWRITEBYTECODE
# What an activated environment sets, and could lead astray.
unexport PYTHONHOME
unexport VIRTUAL_ENV

PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
INSTALLED := .venv/installed-$(PYTHON_VERSION)
BENCHMARKS_INSTALLED := .venv/installed-benchmarks-$(PYTHON_VERSION)
DOCS_INSTALLED := .venv/installed-docs-$(PYTHON_VERSION)
RELEASE_INSTALLED := .venv/installed-release-$(PYTHON_VERSION)
SDK1_INSTALLED := .venv-sdk1/installed-$(PYTHON_VERSION)
SDK2_INSTALLED := .venv-sdk2/installed-$(PYTHON_VERSION)
LOWEST_INSTALLED := .venv-lowest/installed-$(PYTHON_VERSION)
MUTANTS_INSTALLED := .venv-mutants/installed-$(PYTHON_VERSION)
# SailPoint's TypeScript SDK takes part where there is Node.js.
NPM := $(shell command -v npm 2>/dev/null)
NODE_SDK_INSTALLED := $(if $(NPM),.node-sdk/installed,no-node)

# The lowest version of Airflow that pyproject.toml allows, the highest one that is tested, and what is between.
LOWEST_AIRFLOW := $(shell sed -n 's/^ *"apache-airflow>=\([0-9.]*\)",$$/\1/p' pyproject.toml)
HIGHEST_AIRFLOW := $(shell sed -n 's/^apache-airflow==//p' constraints.txt)
AIRFLOWS := $(LOWEST_AIRFLOW) 3.2.2 $(HIGHEST_AIRFLOW)
VERSION ?= $(LOWEST_AIRFLOW)
AIRFLOW_VENV := .venv-airflow-$(VERSION)
AIRFLOW_INSTALLED := $(AIRFLOW_VENV)/installed-$(PYTHON_VERSION)
AIRFLOW_CONSTRAINTS := $(if $(filter $(HIGHEST_AIRFLOW),$(VERSION)),constraints.txt,constraints/airflow-$(VERSION).txt)
# Older versions of Airflow need what there was in their time, but for faults that were found since.
TIME_3.1.8 := 2026-04-30
TIME_3.2.2 := 2026-06-30
MENDED := urllib3=2026-06-30 python-multipart=2026-06-30

UV := .venv/bin/uv --quiet
INSTALL := $(UV) pip install --constraints constraints.txt --build-constraints constraints.txt

help:
	@echo "make demo     show sensors, a DAG that starts when data is fresh, and a stuck task being cleared, in a"
	@echo "              real Airflow, with no tenant"
	@echo "              (KEEP=1 leaves it running, to look around in Airflow's UI)"
	@echo "make test     lint, types and tests (PYTEST_ARGS='-k sensor' for some of them)"
	@echo "make test-airflow VERSION=$(LOWEST_AIRFLOW)   what concerns Airflow, in one of the versions $(AIRFLOWS)"
	@echo "make test-all      make test with each Python that is found, and all versions of Airflow"
	@echo "make test-lowest   the same at the lowest versions of the dependencies, where these matter"
	@echo "make lint     ruff and mypy"
	@echo "make docs     build the documentation in docs/_build/html; a warning is an error"
	@echo "make bench    compare with what else one could use"
	@echo "make mutants  put small faults into the package, one at a time, and show those that no test finds"
	@echo "              (SEED=7 NUMBER=150 MODULES='client waiting' MINUTES=60; AGAIN=1 for the last survivors)"
	@echo "make release-check  build the packages, and follow the README with them in an empty environment"
	@echo "make screenshots  take the pictures of the page in docs/images again (needs Chromium)"
	@echo "make clean    remove everything that these made"
	@echo
	@echo "Each sets up what it needs; PYTHON=python3.13 chooses the Python, from 3.11 on."

demo: $(INSTALLED)
	@.venv/bin/python -m demo $(if $(filter-out 0,$(KEEP)),--keep)

screenshots: $(INSTALLED)
	@.venv/bin/python -m demo.screenshots

test: lint $(SDK1_INSTALLED) $(SDK2_INSTALLED) $(NODE_SDK_INSTALLED)
	@SAILPOINT_SDK1_PYTHON="$(CURDIR)/.venv-sdk1/bin/python" \
	SAILPOINT_SDK2_PYTHON="$(CURDIR)/.venv-sdk2/bin/python" \
	SAILPOINT_SDK_NODE_MODULES="$(if $(NPM),$(CURDIR)/.node-sdk/node_modules)" \
	.venv/bin/python -m pytest --numprocesses 3 $(PYTEST_ARGS)

# What has to do with the dependencies, at the lowest versions that pyproject.toml allows.
test-lowest: $(LOWEST_INSTALLED) $(SDK2_INSTALLED)
	@SAILPOINT_SDK2_PYTHON="$(CURDIR)/.venv-sdk2/bin/python" \
	.venv-lowest/bin/python -m pytest --numprocesses 3 tests/client tests/emulator tests/contract tests/hooks \
	  tests/test_secrets.py tests/test_secrets_paths.py $(PYTEST_ARGS)

# The unit tests that concern Airflow, and a real Airflow of that version.
test-airflow: $(AIRFLOW_INSTALLED)
	@$(AIRFLOW_VENV)/bin/python -m pytest --numprocesses 3 tests/airflow tests/hooks tests/operators tests/sensors \
	  tests/triggers tests/waiting tests/test_assets.py tests/test_completions.py tests/test_from_trigger.py \
	  tests/test_links.py tests/test_provider_info.py tests/test_versions.py $(PYTEST_ARGS)

test-all:
	@for python in python3.11 python3.12 python3.13 python3.14; do \
	  if command -v $$python >/dev/null; then $(MAKE) test PYTHON=$$python || exit 1; \
	  else echo "There is no $$python."; fi; \
	done
	@$(MAKE) test-lowest
	@for version in $(AIRFLOWS); do $(MAKE) test-airflow VERSION=$$version || exit 1; done

lint: $(INSTALLED)
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check . || { .venv/bin/ruff format --diff .; exit 1; }
	@.venv/bin/python -m mypy >.venv/mypy.log || { cat .venv/mypy.log; exit 1; }

# What links lead to, other than on the web, is checked too.
docs: $(DOCS_INSTALLED)
	@.venv/bin/python -m sphinx --builder html --quiet --nitpicky --fail-on-warning --keep-going --fresh-env \
	  docs docs/_build/html
	@echo "docs/_build/html/index.html"

release-check: $(RELEASE_INSTALLED)
	@.venv/bin/python -m release

bench: $(BENCHMARKS_INSTALLED) $(SDK1_INSTALLED) $(SDK2_INSTALLED)
	@SAILPOINT_SDK1_PYTHON="$(CURDIR)/.venv-sdk1/bin/python" \
	SAILPOINT_SDK2_PYTHON="$(CURDIR)/.venv-sdk2/bin/python" \
	.venv/bin/python -m benchmarks

# First, whether it does what it says.
mutants: $(MUTANTS_INSTALLED)
	@.venv-mutants/bin/python -m pytest --quiet tests/test_mutants.py
	@.venv-mutants/bin/python -m mutants $(if $(SEED),--seed $(SEED)) $(if $(NUMBER),--number $(NUMBER)) \
	  $(if $(MODULES),--modules $(MODULES)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(filter-out 0,$(AGAIN)),--again)

# Pins again what pyproject.toml asks for, for every Python that is supported.
constraints: $(INSTALLED)
	@printf '%s\n' apache-airflow==3.3.2 hatchling uv | $(UV) pip compile --universal --python-version 3.11 \
	  --upgrade --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt \
	  --extra emulator --group benchmarks --group dev --group docs --group mutants --group release \
	  pyproject.toml -
	@$(foreach version,$(filter-out $(HIGHEST_AIRFLOW),$(AIRFLOWS)), \
	  echo apache-airflow==$(version) | $(UV) pip compile --universal --python-version 3.11 --upgrade \
	    --exclude-newer $(TIME_$(version)) $(MENDED:%=--exclude-newer-package %) --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    --output-file constraints/airflow-$(version).txt --extra emulator --group airflow pyproject.toml - &&) true
	@for sdk in 1 2; do \
	  sed -n 's/^sailpoint==\(.\).*/sailpoint==\1.*/p' tests/contract/requirements-sdk$$sdk.txt | \
	  $(UV) pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate --no-emit-index-url \
	    --no-emit-find-links --output-file tests/contract/requirements-sdk$$sdk.txt - || exit 1; \
	done
	@test -z "$(NPM)" || { cd tests/contract/typescript && rm -f package-lock.json && \
	  npm install --silent --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund; }

clean:
	@rm -rf .venv .venv-airflow-* .venv-sdk1 .venv-sdk2 .venv-lowest .venv-mutants .node-sdk .demo .mutants build dist \
	  docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or later is needed, and $(PYTHON) is $(or $(PYTHON_VERSION),not there). Choose one: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Setting up .venv with Python $(PYTHON_VERSION)"
	@test -e $@ || { $(PYTHON) -m venv --clear .venv && \
	  .venv/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt uv; }
	@$(INSTALL) --python .venv --group dev --editable '.[emulator]'
	@touch $@

$(BENCHMARKS_INSTALLED): $(INSTALLED)
	@$(INSTALL) --python .venv --group benchmarks
	@touch $@

$(LOWEST_INSTALLED): harness/lowest.py $(INSTALLED)
	@$(UV) venv --clear --python .venv .venv-lowest
	@.venv/bin/python harness/lowest.py .venv-lowest
	@$(UV) pip install --constraints .venv-lowest/constraints.txt --overrides .venv-lowest/overrides.txt \
	  --build-constraints constraints.txt --python .venv-lowest --group dev --editable '.[emulator]'
	@touch $@

# Its dependencies are of its time, all but what builds this package.
$(AIRFLOW_INSTALLED): $(AIRFLOW_CONSTRAINTS) $(INSTALLED)
	@echo "Setting up $(AIRFLOW_VENV) with Python $(PYTHON_VERSION)"
	@$(UV) venv --clear --python .venv $(AIRFLOW_VENV)
	@$(UV) pip install --constraints $(AIRFLOW_CONSTRAINTS) --build-constraints constraints.txt \
	  --python $(AIRFLOW_VENV) --group airflow --editable '.[emulator]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@$(INSTALL) --python .venv --group docs
	@touch $@

$(MUTANTS_INSTALLED): $(INSTALLED)
	@$(UV) venv --clear --python .venv .venv-mutants
	@$(INSTALL) --python .venv-mutants --group dev --group mutants --editable '.[emulator]'
	@touch $@

$(RELEASE_INSTALLED): $(INSTALLED)
	@$(INSTALL) --python .venv --group release
	@touch $@

.venv-sdk%/installed-$(PYTHON_VERSION): tests/contract/requirements-sdk%.txt $(INSTALLED)
	@$(UV) venv --clear --python .venv .venv-sdk$*
	@$(UV) pip install --python .venv-sdk$* --requirements $<
	@touch $@

.node-sdk/installed: tests/contract/typescript/package.json tests/contract/typescript/package-lock.json
	@rm -rf .node-sdk && mkdir .node-sdk && cp $^ .node-sdk
	@cd .node-sdk && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

no-node:
	@echo "THERE IS NO NODE.JS: SailPoint's TypeScript SDK is left out of the tests." >&2
