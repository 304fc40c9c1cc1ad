#!/usr/bin/env bash
# The C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, then those of concurrency under ThreadSanitizer.
#
#     scripts/sanitizers.sh [JOBS]
#
# Generated kernels are not instrumented: what they read and write is the subject of the differential tests, and of
# poison. Returned stack frames are not tracked: it doubles the time (ASAN_OPTIONS=detect_stack_use_after_return=1 by hand).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs="${1:-$(nproc)}"

# GCC 12's sanitizers expect shadow memory where newer kernels, which place things more randomly, may put a library.
fixed_addresses=()
if setarch -R true 2>/dev/null; then fixed_addresses=(setarch -R); fi

build() {
  local start=$SECONDS preset="$1"
  shift
  echo "[$preset] building"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" --parallel "$jobs" "$@"
  echo "[$preset] built in $((SECONDS - start)) s"
}

# Each its own cache of compiled kernels, which starts empty: compiling is part of what is looked at.
run_tests() {
  local start=$SECONDS preset="$1" cache
  shift
  cache="$(mktemp -d)"
  echo "[$preset] C++ tests"
  PIT_CACHE_DIR="$cache" "${fixed_addresses[@]}" ctest --preset "$preset" --parallel "$jobs" "$@"
  rm -rf "$cache"
  echo "[$preset] tests passed in $((SECONDS - start)) s"
}

build asan
run_tests asan --label-exclude cli  # Python that starts instrumented programs: slow, and little C++ that no other test runs

# What runs on several threads: the pool, plans and runs of one model, concurrent calls.
build tsan --target support_test concurrency_test contraction_test
run_tests tsan --tests-regex '^(support|concurrency|contraction)_test$'
