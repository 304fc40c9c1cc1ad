#!/usr/bin/env bash
# The C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, then those of concurrency under ThreadSanitizer.
#
#     scripts/sanitizers.sh [JOBS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs="${1:-$(nproc)}"

echo "[asan] building"
cmake --preset asan >/dev/null
cmake --build --preset asan
echo "[asan] C++ tests"
ctest --preset asan --parallel "$jobs"

# What runs on several threads: the pool, plans and runs of one model, concurrent calls.
echo "[tsan] building"
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target support_test concurrency_test contraction_test
echo "[tsan] C++ tests of concurrency"
ctest --preset tsan --parallel "$jobs" --tests-regex '^(support|concurrency|contraction)_test$'
