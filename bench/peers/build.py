"""Compiles the shims in this folder (`*.cpp`, an extern "C" interface each) into build/bench/*.so; what can't be built is absent, with the reason.

Run by bench/run.py, with --isa avx2 for the folder avx2/ there; each library is rebuilt only when its sources, its flags or the compiler's version change.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "build" / "bench"
PREFIX = Path(sys.prefix)  # MKL and the newer oneDNN come from PyPI, with headers and libraries under the environment's prefix

FLAGS = "-std=c++20 -O3 -march={} -fPIC -shared -fopenmp -Wall -Wextra".split()


@dataclass(frozen=True)
class Shim:
    name: str
    source: str
    needs: tuple[Path, ...] = ()   # files that say whether the peer is installed
    includes: tuple[Path, ...] = ()
    flags: tuple[str, ...] = field(default=())


def one(pattern: str) -> Path:
    """The file that matches, or the pattern itself (which then doesn't exist, and is named as missing)."""
    found = sorted(PREFIX.glob(pattern))
    return found[0] if found else PREFIX / pattern


def shims() -> list[Shim]:
    lib = PREFIX / "lib"
    rpath = f"-Wl,-rpath,{lib}"
    mkl = one("lib/libmkl_rt.so.*")
    dnnl = one("lib/libdnnl.so.*")
    return [
        Shim("machine", "machine.cpp"),
        Shim("libxsmm", "libxsmm.cpp", (Path("/usr/include/libxsmm.h"),), flags=("-lxsmm", "-lxsmmnoblas", "-ldl")),
        Shim("eigen", "eigen.cpp", (Path("/usr/include/eigen3/Eigen/Dense"),), (Path("/usr/include/eigen3"),)),
        Shim("onednn2", "onednn.cpp", (Path("/usr/include/dnnl.hpp"),), flags=("-ldnnl",)),
        Shim("onednn", "onednn.cpp", (PREFIX / "include/dnnl.hpp", dnnl), (PREFIX / "include",), (str(dnnl), rpath)),
        Shim("mkl", "mkl.cpp", (PREFIX / "include/mkl.h", mkl), (PREFIX / "include",), (str(mkl), rpath)),
    ]


def build(shim: Shim, compiler: str, march: str, out: Path) -> str | None:
    """None, or why it could not be built."""
    for path in shim.needs:
        if not path.exists():
            return f"not installed: no {path.name}"
    source = HERE / shim.source
    target = out / f"{shim.name}.so"
    command = [compiler, *(flag.format(march) for flag in FLAGS), *(f"-isystem{p}" for p in shim.includes), str(source), "-o", str(target), *shim.flags]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("model name", "flags"))][:2]  # -march=native
    text = source.read_text() + (HERE / "convert.h").read_text() + shlex.join(command) + version + "".join(cpu)
    key = hashlib.sha256(text.encode()).hexdigest()
    stamp = out / f"{shim.name}.key"
    if target.exists() and stamp.exists() and stamp.read_text() == key:
        return None
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if "error" in line or "undefined" in line]
        return f"does not compile: {errors[0] if errors else result.stderr.strip()[-200:]}"
    stamp.write_text(key)
    return None


def build_all(avx2: bool = False) -> dict[str, str | None]:
    """Shim -> None (there) or the reason why it's absent. `avx2`: no more than that, whatever the CPU has."""
    march, out = ("haswell", OUT / "avx2") if avx2 else ("native", OUT)
    out.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CXX", "g++")
    state = {shim.name: build(shim, compiler, march, out) for shim in shims()}
    (out / "shims.json").write_text(json.dumps(state, indent=1))
    return state


if __name__ == "__main__":
    for shim_name, reason in build_all().items():
        print(f"{shim_name:12}{reason or 'built'}")
