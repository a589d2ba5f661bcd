# SPDX-License-Identifier: Apache-2.0
# Two commands for a newcomer: `make demo` and `make test`. Needs git, make, g++ and python3 (3.11 or newer).
PYTHON ?= python3
ROWS ?= 200000
ONLY ?= benchmarks
PROCESSES ?= 2
GPU_CHECK ?=
GATE ?=

VENV := .venv/bin
SETUP := $(PYTHON) tools/bootstrap.py --extras
NATIVE = $(shell find csrc bindings kernels tests/native tests/cuda_on_cpu -name '*.h' -o -name '*.cpp' -o -name '*.cuh' -o -name '*.cu' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-slow lint gate format typecheck docs performance bench peers gpu-check wheel clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo "  variables: PYTHON=$(PYTHON) ROWS=$(ROWS) ONLY=$(ONLY) PROCESSES=$(PROCESSES)"

build:  ## .venv with the package built into it (again, when sources changed)
	@$(SETUP) ""

demo: build  ## a real PSI between two processes on generated data (ROWS=n)
	@$(VENV)/crypsis demo psi --rows $(ROWS)

test:  ## the quick test suite (PROCESSES=n side by side)
	@$(SETUP) test
	@$(VENV)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

test-slow:  ## the tests that take minutes
	@$(SETUP) test
	@$(VENV)/python -m pytest -m slow

lint:  ## ruff, clang-format, mypy, layers, figures of the documents: changes nothing
	@$(SETUP) lint
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/clang-format --dry-run -Werror $(NATIVE)
	$(VENV)/python tools/typecheck.py
	$(VENV)/python tools/check_layers.py
	$(VENV)/python tools/performance_page.py --check

gate:  ## CUDA kernels to machine code, compared with their tables of registers and spills (GATE=--all: unchanged ones too)
	@$(SETUP) gate
	@$(VENV)/python tools/cubin_gate.py $(GATE)

format:  ## ruff and clang-format, in place
	@$(SETUP) lint
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .
	$(VENV)/clang-format -i $(NATIVE)

typecheck:  ## mypy --strict on the package
	@$(SETUP) lint
	$(VENV)/python tools/typecheck.py

docs:  ## the site of the documents, in build/site; fails on a broken link
	@$(SETUP) docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/python -m mkdocs build
	@echo "docs: build/site/index.html"

performance:  ## docs/performance.md and the measured tables of pages, from benchmarks/results
	@$(PYTHON) tools/performance_page.py

bench:  ## benchmarks, quick sizes (CRYPSIS_BENCH_SCALE=full for all; ONLY=path)
	@$(SETUP) bench,test
	@$(VENV)/python -m pytest --benchmark-quiet $(ONLY)

peers:  ## virtual environments of the peers that benchmarks compare with
	@$(PYTHON) benchmarks/peers/install.py

gpu-check:  ## on a GPU: right answers, rates, units, gpu tests, sanitizers; no network (GPU_CHECK="--minutes 8.5 ...")
	@$(PYTHON) tools/gpu_check.py $(GPU_CHECK)

wheel: build  ## dist/crypsis-*.whl
	@$(VENV)/python tools/build_package.py wheel

clean:  ## everything that was made
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
