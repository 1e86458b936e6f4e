# Seven words: setup, demo, test, check, bench, gpu, docs. Each does the set-up it needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check packages sanitize bench gpu docs lock clean
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN_STAMP := $(VENV)/.installed-to-run
# make test FAST=1 is the daily tier; CI runs all but the soaks.
MARKS := $(if $(FAST),not slow and not soak,not soak)

# Kept even where the environment forbids it: else each process that tests start compiles torch anew.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo "make setup   create .venv and install the locked environment and lookalike into it"
	@echo "             (TORCH=cpu: torch's build without CUDA, from its own index)"
	@echo "make demo    train, evaluate, report and search on the built-in images; installs that alone"
	@echo "make test    run the test suite (FAST=1: without the slow tests)"
	@echo "make check   format, lint, types, layers, spelling"
	@echo "make packages  build the wheel, install it where nothing else is, and serve from there"
	@echo "make sanitize  run the native kernels' tests under AddressSanitizer and UBSan"
	@echo "make bench   measure losses, evaluation and engine beside their floors"
	@echo "make gpu     every check and figure of a GPU, in eight minutes (SMOKE=1: tiny, on the CPU)"
	@echo "make docs    build the documentation into site/"

setup: $(STAMP)

NATIVE := $(wildcard src/lookalike/ops/native/*.cpp src/lookalike/ops/native/*.hpp src/lookalike/ops/native/CMakeLists.txt)

$(STAMP): pyproject.toml requirements.lock scripts/setup.sh $(NATIVE)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH="$(TORCH)" sh scripts/setup.sh requirements.lock
	@touch $(STAMP)

# What trains, evaluates and searches, without what tests, documents, exports and serves.
$(RUN_STAMP): pyproject.toml requirements-run.lock scripts/setup.sh $(NATIVE)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH="$(TORCH)" sh scripts/setup.sh requirements-run.lock
	@touch $(RUN_STAMP)

demo: $(if $(wildcard $(STAMP)),setup,$(RUN_STAMP))
	@$(BIN)/lookalike train recipe=demo run=runs/demo --overwrite
	@$(BIN)/lookalike index build runs/demo runs/demo/evaluation/test/rows.parquet --out runs/demo/index
	@$(BIN)/python examples/draw_a_query.py runs/demo/query.png
	@$(BIN)/lookalike search runs/demo/index runs/demo/query.png --top 8 --sheet runs/demo/search.png
	@echo
	@echo "Look at it:        runs/demo/report.html  and  runs/demo/search.png"
	@echo "Your own images:   $(BIN)/lookalike data check FOLDER"
	@echo "                   $(BIN)/lookalike train dataset=FOLDER model=resnet18"
	@echo "All the words:     $(BIN)/lookalike --help"

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "$(MARKS)" $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/circles.py
	$(BIN)/deptry src
	$(BIN)/codespell src docs examples benchmarks *.md

packages: setup
	VENV=$(VENV) sh scripts/packages.sh

sanitize: setup
	VENV=$(VENV) sh scripts/sanitize.sh

bench: setup
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/engine.py

# Without a set-up: a bare machine uses its own Python and what scripts/pack_gpu.sh packed.
gpu:
	@PYTHON="$(BIN)/python" SMOKE="$(SMOKE)" sh scripts/gpu.sh $(ARGS)

docs: setup
	$(BIN)/zensical build

lock:
	$(BIN)/uv pip compile pyproject.toml --extra peers --extra serve --extra tune --extra wandb --extra export --extra pgvector --extra qdrant --group dev --group docs --universal \
	    --generate-hashes --python-version 3.11 --no-header -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group build --constraints requirements.lock --universal \
	    --generate-hashes --python-version 3.11 --no-header -o requirements-run.lock
	$(BIN)/uv pip compile --group exported --constraints requirements.lock --universal \
	    --generate-hashes --python-version 3.11 --no-header -o requirements-serve.lock

clean:
	rm -rf $(VENV) build site .pytest_cache .ruff_cache .hypothesis
	git clean -fdXq src/lookalike/ops
