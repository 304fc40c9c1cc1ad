#!/usr/bin/env bash
# clang-tidy (.clang-tidy) on the C++ files that changed, with the flags of build/release; exits with 1 if it finds something.
#
#     scripts/tidy.sh           changed since the branch left origin/main, else since the last commit but one
#     scripts/tidy.sh BASE      changed since BASE, uncommitted and new files included
#     scripts/tidy.sh --all     everything: some minutes
#
# JOBS=n: that many at a time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs="${JOBS:-$(nproc)}"

cmake --preset release >/dev/null  # compile_commands.json
known="$(grep -oP '"file": "\K[^"]+' build/release/compile_commands.json | sed "s|^$PWD/||" | grep -v '^build/\|^\.venv/' | sort -u)"

base_of() {
  local base
  base="$(git merge-base HEAD origin/main 2>/dev/null || true)"
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then base="HEAD~1"; fi
  git rev-parse --verify --quiet "$base" || git hash-object -t tree /dev/null  # the first commit: all of it is new
}

# A header is looked at by itself, with the flags of a source beside it (clang guesses them from the names); those of include/ and
# of tests/fuzz, which have no source beside them in this build, and onnx_model.h, whose likest neighbour does not see
# protobuf's headers, with the sources that include them.
changed() {
  local paths
  paths="$(git diff --name-only --diff-filter=d "$1" -- '*.cpp' '*.h'; git ls-files --others --exclude-standard -- '*.cpp' '*.h')"
  grep -E '^(src|tests|cli|python)/.*\.h$' <<<"$paths" | grep -v '^tests/fuzz/\|/onnx_model\.h$' || true
  grep -Fx "$known" <<<"$paths" || true
}

if [ "${1:-}" = --all ]; then
  mapfile -t files <<<"$known"
else
  base="${1:-$(base_of)}"
  mapfile -t files < <(changed "$base" | sort -u)
fi
if [ "${#files[@]}" -eq 0 ]; then echo "[tidy] no C++ file changed"; exit 0; fi

tidy_one() {
  echo "[tidy] $1/$TIDY_COUNT $2"
  .venv/bin/clang-tidy -p build/release --quiet --warnings-as-errors='*' "$2" 2>/dev/null
}
export -f tidy_one
export TIDY_COUNT="${#files[@]}"
i=0
for file in "${files[@]}"; do echo "$((++i)) $file"; done | xargs -P "$jobs" -L 1 bash -c 'tidy_one "$0" "$1"' || {
  echo "[tidy] findings: mend them, or turn a check off in .clang-tidy with its reason" >&2
  exit 1
}
echo "[tidy] clean"
