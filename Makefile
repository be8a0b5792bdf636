# make run    build, start on the embedded default, print the ready line and a first call to paste
# make test   everything in short form: system packages, build, lint, types, unit, contract, integration, e2e
# make prove  the long forms; evidence under bench/results/
# make bench  rates of the native core and over HTTP, as ratios against baselines of the same run
# make gate   fails when a ratio has dropped by more than 10% against bench/baseline.json; make test runs most of it
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
RUST := ext/cache_rs
export CARGO_TARGET_DIR ?= $(CURDIR)/$(RUST)/target
export PIP_DISABLE_PIP_VERSION_CHECK = 1

RUST_SOURCES := $(shell find $(RUST) \( -path $(RUST)/target -o -path $(RUST)/fuzz \) -prune -o \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.py' -o -name '*.pyi' \) -print)
APP_SOURCES := pyproject.toml setup.py LICENSE README.md $(RUST)/py/python/ronkms_native/ronkms_native.h $(shell find ronkms ext -path $(RUST) -prune -o -type f \( -name '*.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.html' -o -name '*.css' -o -name '*.js' -o -name 'py.typed' \) -print)

PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-input

.PHONY: help run test prove bench gate gate-short gate-baseline wheels install lint types rust-test loom fuzz pytest lock clean docs system-run system-test system-fuzz system-bench

help:
	@sed -n 's/^# //p' Makefile | head -5

# --- build -------------------------------------------------------------------------------------

system-run:
	@sh scripts/system_packages.sh run

system-test:
	@sh scripts/system_packages.sh test

system-fuzz:
	@sh scripts/system_packages.sh fuzz

system-bench:
	@sh scripts/system_packages.sh bench

$(STAMPS)/venv: requirements/build.lock | system-run
	@echo "making $(VENV)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements/build.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements/runtime.lock $(STAMPS)/venv
	@$(PIP_INSTALL) --require-hashes -r requirements/runtime.lock
	@touch $@

$(STAMPS)/test: requirements/test.lock $(STAMPS)/runtime
	@$(PIP_INSTALL) --require-hashes -r requirements/test.lock
	@touch $@

$(STAMPS)/native-wheel: $(RUST_SOURCES) $(STAMPS)/venv
	@echo "building ronkms-native (Rust; some minutes the first time)"
	@mkdir -p dist && rm -f dist/ronkms_native-*.whl
	@cd $(RUST)/py && $(CURDIR)/$(BIN)/maturin build --quiet --release --locked --interpreter $(CURDIR)/$(BIN)/python --out $(CURDIR)/dist 2>&1 | grep -vE '^(🍹|🐍|🔗|📡|📦)'; exit $${PIPESTATUS[0]}
	@touch $@

$(STAMPS)/app-wheel: $(APP_SOURCES) $(STAMPS)/venv
	@echo "building ronkms (Python, Cython)"
	@mkdir -p dist && rm -rf dist/ronkms-*.whl build/lib* build/bdist*
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >build-app.log 2>&1 || { cat build-app.log; rm -f build-app.log; exit 1; }
	@rm -f build-app.log
	@touch $@

$(STAMPS)/native: $(STAMPS)/native-wheel $(STAMPS)/runtime
	@$(PIP_INSTALL) --no-deps --force-reinstall dist/ronkms_native-*.whl
	@touch $@

$(STAMPS)/app: $(STAMPS)/app-wheel $(STAMPS)/native
	@$(PIP_INSTALL) --no-deps --force-reinstall dist/ronkms-*.whl
	@touch $@

wheels: $(STAMPS)/native-wheel $(STAMPS)/app-wheel
	@ls dist/*.whl

install: $(STAMPS)/app

# --- use ---------------------------------------------------------------------------------------

run: install
	@exec $(BIN)/ron-kms --dev

# --- prove -------------------------------------------------------------------------------------

lint: install $(STAMPS)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	cd $(RUST) && cargo fmt --check
	cd $(RUST) && cargo clippy --release --locked --workspace --all-targets -- -D warnings

types: install $(STAMPS)/test
	$(BIN)/mypy
	$(BIN)/mypy scripts
	cd $(VENV) && bin/python -m mypy.stubtest --allowlist ../tests/stubtest_allowlist.txt ronkms_native._native ronkms._fastpath

rust-test: install
	cd $(RUST) && cargo test --quiet --release --locked -p ronkms-arena -p ronkms-custody -p ronkms-fuzz

loom:
	cd $(RUST) && CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom RUSTFLAGS="--cfg loom" cargo test --quiet --release --locked -p ronkms-arena --test loom_pools --test loom_cache -- --include-ignored

pytest: install $(STAMPS)/test
	$(BIN)/pytest -m "not long"

# Every target of docs/FUZZING.md for RONKMS_FUZZ_SECONDS (180) under libFuzzer and the address sanitizer.
fuzz: system-fuzz
	$(PYTHON) scripts/fuzz.py

test: system-test install $(STAMPS)/test lint types rust-test loom pytest gate-short

prove: system-test system-fuzz install $(STAMPS)/test
	$(BIN)/python scripts/prove.py
	$(MAKE) bench

bench: system-bench install $(STAMPS)/test
	$(BIN)/python -m bench.native --out bench/results
	$(BIN)/python -m bench.http --out bench/results
	$(BIN)/python -m bench.scale --out bench/results
	$(BIN)/python -m bench.overload --out bench/results
	$(BIN)/python -m bench.audit_cost --out bench/results

gate: system-test install $(STAMPS)/test
	$(BIN)/python -m bench.gate

# Without servers and sockets, whose cost other load moves by 8%.
gate-short: install $(STAMPS)/test
	$(BIN)/python -m bench.gate --part native --part wsgi

gate-baseline: system-test install $(STAMPS)/test
	$(BIN)/python -m bench.gate --record

lock: $(STAMPS)/venv
	@$(PIP_INSTALL) uv
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python scripts/lock.py
	cd $(RUST) && cargo update
	cd $(RUST)/fuzz/libfuzzer && cp ../../Cargo.lock . && cargo metadata --format-version 1 >/dev/null

clean:
	rm -rf $(VENV) dist build $(RUST)/target *.egg-info
