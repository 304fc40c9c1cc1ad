#!/usr/bin/env bash
# What can be said of a tree without building it: format, links, documents. Says what to do about each finding; exits with 1 if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
wrong=0
fail() { echo "[check] $*" >&2; wrong=1; }

echo "[check] format"
mapfile -t sources < <(find src include tests cli python bench examples -name '*.cpp' -o -name '*.h' | sort)
.venv/bin/clang-format --dry-run -Werror "${sources[@]}" 2>/dev/null || {
  for f in "${sources[@]}"; do .venv/bin/clang-format --dry-run -Werror "$f" >/dev/null 2>&1 || echo "    $f"; done
  fail "not formatted: .venv/bin/clang-format -i FILE"
}

echo "[check] links between folders, links in documents"
"$python" -m pytest -q tests/python/test_architecture.py tests/python/test_documents.py || fail "see above"

exit "$wrong"
