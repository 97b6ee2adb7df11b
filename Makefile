# Two commands: `make run` and `make test`. Everything else is for those who change the code.
PYTHON ?= python3
BIN := .venv/bin
IMPORT ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-fast format check bench docs packages live audit lock clean

help:  ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/run.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "deai-index needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make run PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/run.stamp
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

run: .venv/run.stamp  ## start scheduler, API and page on 127.0.0.1:8000 (IMPORT=path loads files first)
	$(BIN)/deai up $(if $(IMPORT),--import $(IMPORT))

test: .venv/dev.stamp  ## run all tests, a process a core
	$(BIN)/python -m pytest -q -n auto --dist loadgroup --no-loadscope-reorder

test-fast: .venv/dev.stamp  ## the tests of a minute: no browser, node, npm, PostgreSQL or long history
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not (slow or postgres or browser or evm or generated or live)"

format: .venv/dev.stamp  ## lay out the code and sort its imports
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

check: .venv/dev.stamp  ## style, types, import directions, dead code, licences; known faults where the network allows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/dead_code.py
	$(BIN)/pip-licenses --packages $$(sed -n 's/^\([a-z0-9_.-]*\)==.*/\1/p' requirements.lock) >/dev/null
	@if $(BIN)/python -c 'import socket; socket.create_connection(("api.osv.dev", 443), 5)' 2>/dev/null; then \
	  $(MAKE) audit; else echo "api.osv.dev is not to be reached: known faults of dependencies were not asked for"; fi

audit: .venv/dev.stamp  ## known faults of the locked dependencies (needs the internet)
	$(BIN)/pip-audit --vulnerability-service osv --disable-pip --require-hashes --requirement requirements.lock

bench: .venv/dev.stamp  ## measure against the alternatives, as ratios
	$(BIN)/python -m benchmarks

docs: .venv/dev.stamp  ## build the documentation into build/site
	$(BIN)/deai settings --markdown > docs/settings.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

packages: .venv/dev.stamp  ## build the client alone for pip and npm into build/packages
	$(BIN)/python packages/build.py build/packages

live: .venv/dev.stamp  ## check the real providers and chains, and list what they answered (needs the internet)
	$(BIN)/python -m pytest -q -rxP -m live tests/live_providers

lock:  ## resolve the dependencies again, and see that each platform has its wheels (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --python-version 3.11 pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --python-version 3.11 pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
	for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin x86_64-apple-darwin \
	  x86_64-pc-windows-msvc; do for python in 3.11 3.12 3.13 3.14; do \
	  uv pip install --quiet --dry-run --only-binary :all: --require-hashes -r requirements.lock --target build/wheels \
	    --python-platform $$platform --python-version $$python || exit 1; done; done

clean:  ## forget the environment and caches (not the data in var/)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
