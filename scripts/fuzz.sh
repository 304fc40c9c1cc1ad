#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, as many at once as JOBS says (default: one per core).
#
#     scripts/fuzz.sh [SECONDS] [TARGET...]      default: 60 seconds of each
#
# FUZZ_SEED=n: the same inputs each time, as far as the clock allows (CI: a gate should not depend on luck). An input may take a minute, which is
# much on an idle machine and little on a busy one.
# What raised coverage stays in build/fuzz/corpus/TARGET for the next run, inputs that failed in build/fuzz/findings/TARGET: they are tried first
# until they pass. Exits with 1 if there is a finding, and says how to repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds="${1:-60}"
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(expr_fuzz kernel_ir_fuzz graph_fuzz importer_fuzz plan_fuzz); fi
build=build/fuzz

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
symbolizer="$(command -v llvm-symbolizer-19 || true)"
if [ -n "$symbolizer" ]; then export ASAN_SYMBOLIZER_PATH="$symbolizer" UBSAN_OPTIONS="$UBSAN_OPTIONS:external_symbolizer_path=$symbolizer"; fi

echo "[fuzz] building"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]}"
.venv/bin/python tests/fuzz/seeds.py "$build"

statistic() { grep -aoP "^stat::$2: *\K\d+" "$1" || echo 0; }

# One target; 1 if it found something.
run() {
  local target="$1" log="$build/$1.log" corpus="$build/corpus/$1" findings="$build/findings/$1" options=()
  mkdir -p "$corpus" "$findings"
  if [ -n "${FUZZ_SEED:-}" ]; then options+=("-seed=$FUZZ_SEED"); fi
  if [ -e "$build/dictionaries/$target" ]; then options+=("-dict=$build/dictionaries/$target"); fi
  echo "[fuzz] $target: $seconds s"
  if "$build/tests/fuzz/$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=3072 -max_len=32768 -print_final_stats=1 \
    "${options[@]}" -artifact_prefix="$findings/" "$corpus" "$build/seeds/$target" "$findings" >"$log" 2>&1; then
    echo "[fuzz] $target: $(statistic "$log" number_of_executed_units) runs, $(find "$corpus" -type f | wc -l) inputs in the corpus, no finding"
    return 0
  fi
  echo "[fuzz] $target: a FINDING; all of it: $log" >&2
  grep -a -m1 -E '^(finding: |SUMMARY: |ALARM|==.*ERROR)|what\(\)' "$log" >&2 || tail -3 "$log" >&2
  local input
  input="$(grep -aoP 'Test unit written to \K.*' "$log" | tail -1 || true)"
  echo "[fuzz]   again:    $build/tests/fuzz/$target $input" >&2
  echo "[fuzz]   smaller:  $build/tests/fuzz/$target -minimize_crash=1 -max_total_time=60 -exact_artifact_path=smaller $input" >&2
  return 1
}

wrong=0 running=0
for target in "${targets[@]}"; do
  if [ "$running" -ge "${JOBS:-$(nproc)}" ]; then
    wait -n || wrong=1
    running=$((running - 1))
  fi
  run "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || wrong=1
  running=$((running - 1))
done
exit "$wrong"
