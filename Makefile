# make demo: set up, then run the whole flow.   make test: set up, then test.   make: check and test.
# make docs: set up, then build the documentation's site, in build/site.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: all setup demo check test test-slow docs benchmark
all: check test

setup: $(READY)

# torch first: it must come as constraints.txt says, not as the newest build of all.
$(READY): pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/boresight demo -o runs/demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A process a core, each of one thread: tests are too small for torch to gain from more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile

test: setup
	$(PYTEST) -m "not slow and not gpu"

test-slow: setup
	$(PYTEST) -m "not gpu" --hypothesis-profile default

# Read it in build/site, or with search: .venv/bin/mkdocs serve
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

benchmark: setup
	$(BIN)/pip install -q -c constraints.txt -e '.[benchmark]'
	$(BIN)/python benchmarks/train_step.py
