# What one types. Everything here is a short name for scripts/setup.sh, a CMake preset or a Python program.
BUILD := build/release
PYTHON := .venv/bin/python
JOBS ?= $(shell nproc)
SECONDS ?= 60

.PHONY: help demo test check tidy test-sanitizers fuzz bench build clean setup-demo setup-test setup-check setup-bench
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:
	@echo "make demo             set up, build and run the main job: MiniLM on real text, against ONNX Runtime"
	@echo "make test             set up, build and run every test (ctest and pytest)"
	@echo "make check            format, links, documents: what needs no build"
	@echo "make tidy             clang-tidy on the C++ files that changed; make tidy BASE=commit, make tidy BASE=--all"
	@echo "make test-sanitizers  build and run the C++ tests under ASan and UBSan, those of concurrency under TSan"
	@echo "make fuzz             build and run each fuzz target for a minute; SECONDS=7200: for two hours"
	@echo "make bench            set up, build and measure against every peer, about half an hour; make bench FULL=1: everything (hours; resumes)"
	@echo "                      make bench ISA=avx2: the table of AVX2, on a CPU that has AVX-512"
	@echo "make build            set up and build into $(BUILD)"
	@echo "make clean            remove build/ (the virtual environment .venv stays)"

demo: setup-demo
	@echo "[build] the library, the command line and the Python package, without tests"
	@cmake --preset release >/dev/null
	@cmake --build --preset release --target _pit pit_cli
	@echo "[demo] running examples/demo.py"
	$(PYTHON) examples/demo.py

test: build
	@echo "[test] C++ tests"
	ctest --preset release --parallel $(JOBS)
	@echo "[test] Python tests"
	$(PYTHON) -m pytest -q --numprocesses $(JOBS) --dist worksteal tests/python

check: setup-test
	@scripts/check.sh

tidy: setup-check
	@JOBS=$(JOBS) scripts/tidy.sh $(BASE)

test-sanitizers: setup-test
	@scripts/sanitizers.sh $(JOBS)

fuzz: setup-check
	@JOBS=$(JOBS) scripts/fuzz.sh $(SECONDS)

bench: setup-bench build
	@echo "[bench] measuring this machine's tiles, for the choice of rules (pit tune)"
	@$(if $(filter avx2,$(ISA)),PIT_CPU=haswell) $(BUILD)/pit tune
	@echo "[bench] running bench/run.py; results: build/bench/results.jsonl, docs/performance.md"
	.venv-bench/bin/python bench/run.py $(if $(FULL),--full) $(if $(ISA),--isa $(ISA))

build: setup-test
	@echo "[build] $(BUILD)"
	@cmake --preset release >/dev/null
	@cmake --build --preset release

setup-test:
	@scripts/setup.sh test

setup-check:
	@scripts/setup.sh check

setup-bench:
	@scripts/setup.sh bench

setup-demo:
	@scripts/setup.sh demo

clean:
	rm -rf build
