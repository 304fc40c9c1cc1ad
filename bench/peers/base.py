"""What a peer is to the driver.

A module of this folder describes one library: `processes(threads)` lists the processes that it wants (a name, an environment), and
`load(process, threads)` makes, inside such a process, its contestants. `Absent` from either says why the peer can't take part.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.machine import shims

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = Path(sys.prefix)


class Absent(Exception):
    """The peer can't take part on this machine; the text says why."""


ANY_ISA: dict[str, str] = {}  # for a peer whose code was compiled for less than AVX-512, or for what the benchmark asks for
MKL_AVX2 = {"MKL_ENABLE_INSTRUCTIONS": "AVX2"}
ONEDNN_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}
OPENBLAS_AVX2 = {"OPENBLAS_CORETYPE": "Haswell"}
NUMPY_AVX2 = OPENBLAS_AVX2 | {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}


@dataclass(frozen=True)
class Process:
    """`avx2`: what limits the library to AVX2 on a CPU that has AVX-512 (with --isa avx2), or why nothing does."""
    name: str
    environment: dict[str, str] = field(default_factory=dict)
    avx2: dict[str, str] | str = "nobody has said what limits it to AVX2"


class Contestant:
    """One way of computing a case. Sorts:

    own       PIT
    dense     computes everything, whatever A holds
    sparse    finds A's zeros in the timed call (or takes the index, where the case says that it is known)
    weights   uses the zeros of B, converted in prepare() where B is static
    """

    name = ""
    sort = "dense"
    is_default = False     # the library's default settings, shown beside its best
    weak = False           # so slow that the quick selection leaves it out of large cases

    def refuse(self, case) -> str | None:
        """Why the contestant can't do the case, or None."""
        return None if case.kind == "matmul" and case.algebra == "sum" else "sums of products only"

    def prepare(self, case, b: np.ndarray) -> None:
        """Before the clock starts: scratch, code, and for a static B whatever can be done to it once."""

    def run(self, a, b, c_live, out, a_live):
        """The timed call. Writes `out` or returns the result. `a_live`: A's mask of micro-tiles where the index is known, else None."""
        raise NotImplementedError

    def report(self) -> dict:
        """What the last call says of itself."""
        return {}

    def candidates(self) -> list[str]:
        """Other ways of the same contestant that could be timed for comparison."""
        return []


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def shim(name: str) -> ctypes.CDLL:
    path = shims() / f"{name}.so"
    if not path.exists():
        raise Absent(f"{path.name} was not built")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise Absent(str(error)) from None


def library(*candidates: str) -> ctypes.CDLL:
    """The first of these libraries that loads."""
    for name in candidates:
        for path in [Path(name)] if os.path.isabs(name) else sorted(PREFIX.glob(name)):
            if not path.exists():
                continue
            try:
                return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                raise Absent(str(error)) from None
    raise Absent(f"not installed: no {candidates[0]}")


ROW_MAJOR, NO_TRANSPOSE = 101, 111


class Sgemm(Contestant):
    """cblas_sgemm of any BLAS."""

    def __init__(self, name: str, function, is_default: bool = False) -> None:
        self.name, self.function, self.is_default = name, function, is_default
        i32, f32, p = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
        function.argtypes = [i32, i32, i32, i32, i32, i32, f32, p, i32, p, i32, f32, p, i32]
        function.restype = None

    def prepare(self, case, b):
        self.shape = case.m, case.n, case.k

    def run(self, a, b, c_live, out, a_live):
        m, n, k = self.shape
        self.function(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, m, n, k, 1.0, a.ctypes.data, k, b.ctypes.data, n, 0.0, out.ctypes.data, n)


def dense_to_csr_supported(case) -> str | None:
    """For contestants that turn A into a sparse format."""
    if case.kind != "matmul" or case.algebra != "sum":
        return "sums of products only"
    return None if case.zeros > 0 else "no zeros in A"
