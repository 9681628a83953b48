# Everything runs in .venv, which any target makes when it is not there or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup scale bench test coverage speed soak pictures check lint report ui nightly lock clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "optsuite needs Python 3.11 or newer, got `$(PYTHON) --version 2>&1`: make PYTHON=/path/to/python3 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Setting up .venv: 6 GB, mostly torch; half a minute to some minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# What docs/scale.md and docs/server.md need beside: Ray, the driver of PostgreSQL, and passwords for MLflow's server.
scale: $(READY)
	@echo "Adding Ray and what a server over PostgreSQL needs to .venv"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-scale.lock

bench: $(READY)
	@$(BIN)/optsuite run $(ARGS)

report ui nightly: $(READY)
	@$(BIN)/optsuite $@ $(ARGS)

# Three processes, each a file at a time: its tests may share a cluster, a server or a browser. In the
# order of the folders, because the slowest files have few tests, and xdist would put those last.
test: $(READY)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# What runs in this process: that of workers and of commands in processes of their own is not counted.
coverage: $(READY)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered $(ARGS)

speed: $(READY)
	@PYTHONPATH=.:tests:scripts $(BIN)/python -m speed $(ARGS)

soak: $(READY)
	@PYTHONPATH=.:tests:scripts $(BIN)/python -m soak $(ARGS)

pictures: $(READY)
	@$(BIN)/python scripts/pictures.py

check: lint test

lint: $(READY)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

# requirements.lock pins every package, on every platform, and names no index. requirements-oldest.lock has the lowest
# version of each package that pyproject.toml names.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--extra dev pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--constraint requirements.lock --extra ray --extra server pyproject.toml --output-file requirements-scale.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--resolution lowest-direct --extra dev pyproject.toml --output-file requirements-oldest.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
