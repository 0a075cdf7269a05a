# Everything runs in virtual environments in this folder. They are made when they are missing, and brought
# up to date when what they hold has changed; all that it takes is a Python.

PYTHON ?= python3
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo screenshots test test-lowest lint docs bench constraints release-check clean no-node

# Without its bytecode cache Airflow starts three to four times slower.
unexport PYTHONDONTWRITEBYTECODE
# What an activated environment sets, and could lead astray.
unexport PYTHONHOME
unexport VIRTUAL_ENV

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
INSTALLED := .venv/installed-$(VERSION)
BENCHMARKS_INSTALLED := .venv/installed-benchmarks-$(VERSION)
DOCS_INSTALLED := .venv/installed-docs-$(VERSION)
RELEASE_INSTALLED := .venv/installed-release-$(VERSION)
SDK1_INSTALLED := .venv-sdk1/installed-$(VERSION)
SDK2_INSTALLED := .venv-sdk2/installed-$(VERSION)
LOWEST_INSTALLED := .venv-lowest/installed-$(VERSION)
# SailPoint's TypeScript SDK takes part where there is Node.js.
NPM := $(shell command -v npm 2>/dev/null)
NODE_SDK_INSTALLED := $(if $(NPM),.node-sdk/installed,no-node)

UV := .venv/bin/uv --quiet
INSTALL := $(UV) pip install --constraints constraints.txt --build-constraints constraints.txt

help:
	@echo "make demo     show sensors, a DAG that starts when data is fresh, and a stuck task being cleared, in a"
	@echo "              real Airflow, with no tenant"
	@echo "              (KEEP=1 leaves it running, to look around in Airflow's UI)"
	@echo "make test     lint, types and tests (PYTEST_ARGS='-k sensor' for some of them)"
	@echo "make test-lowest   the same at the lowest versions of the dependencies, where these matter"
	@echo "make lint     ruff and mypy"
	@echo "make docs     build the documentation in docs/_build/html; a warning is an error"
	@echo "make bench    compare with what else one could use"
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

# Pins again what pyproject.toml asks for, for every Python that is supported.
constraints: $(INSTALLED)
	@printf '%s\n' apache-airflow==3.3.2 hatchling uv | $(UV) pip compile --universal --python-version 3.11 \
	  --upgrade --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt \
	  --extra emulator --group benchmarks --group dev --group docs --group release pyproject.toml -
	@for sdk in 1 2; do \
	  sed -n 's/^sailpoint==\(.\).*/sailpoint==\1.*/p' tests/contract/requirements-sdk$$sdk.txt | \
	  $(UV) pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate --no-emit-index-url \
	    --no-emit-find-links --output-file tests/contract/requirements-sdk$$sdk.txt - || exit 1; \
	done
	@test -z "$(NPM)" || { cd tests/contract/typescript && rm -f package-lock.json && \
	  npm install --silent --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund; }

clean:
	@rm -rf .venv .venv-sdk1 .venv-sdk2 .venv-lowest .node-sdk .demo build dist docs/_build \
	  .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or later is needed, and $(PYTHON) is $(or $(VERSION),not there). Choose one: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Setting up .venv with Python $(VERSION)"
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

$(DOCS_INSTALLED): $(INSTALLED)
	@$(INSTALL) --python .venv --group docs
	@touch $@

$(RELEASE_INSTALLED): $(INSTALLED)
	@$(INSTALL) --python .venv --group release
	@touch $@

.venv-sdk%/installed-$(VERSION): tests/contract/requirements-sdk%.txt $(INSTALLED)
	@$(UV) venv --clear --python .venv .venv-sdk$*
	@$(UV) pip install --python .venv-sdk$* --requirements $<
	@touch $@

.node-sdk/installed: tests/contract/typescript/package.json tests/contract/typescript/package-lock.json
	@rm -rf .node-sdk && mkdir .node-sdk && cp $^ .node-sdk
	@cd .node-sdk && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

no-node:
	@echo "THERE IS NO NODE.JS: SailPoint's TypeScript SDK is left out of the tests." >&2
