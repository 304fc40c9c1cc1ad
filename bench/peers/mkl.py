"""MKL: sgemm, sgemm with packed weights, and its inspector-executor sparse BLAS."""

from __future__ import annotations

import ctypes

import numpy as np

from .base import Contestant, MKL_AVX2, NO_TRANSPOSE, Process, ROW_MAJOR, Sgemm, dense_to_csr_supported, library, shim

I64, P, F, I = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float, ctypes.c_int
B_MATRIX, PACKED = 162, 151


def processes(threads: int) -> list[Process]:
    # One OpenMP for MKL and the conversions around it.
    return [Process("mkl", {"MKL_THREADING_LAYER": "GNU" if threads > 1 else "SEQUENTIAL", "MKL_INTERFACE_LAYER": "LP64"}, MKL_AVX2)]


class PackedSgemm(Contestant):
    """cblas_sgemm_compute with B packed once."""
    name = "mkl-packed"

    def __init__(self, lib) -> None:
        self.size, self.pack, self.compute = lib.cblas_sgemm_pack_get_size, lib.cblas_sgemm_pack, lib.cblas_sgemm_compute
        self.size.restype, self.size.argtypes = ctypes.c_size_t, [I, I, I, I]
        self.pack.restype, self.pack.argtypes = None, [I, I, I, I, I, I, F, P, I, P]
        self.compute.restype, self.compute.argtypes = None, [I, I, I, I, I, I, P, I, P, I, F, P, I]

    def refuse(self, case):
        return super().refuse(case) or (None if case.b == "static" else "B is not static")

    def prepare(self, case, b):
        m, n, k = self.shape = case.m, case.n, case.k
        self.packed = np.empty(self.size(B_MATRIX, m, n, k), np.uint8)
        self.pack(ROW_MAJOR, B_MATRIX, NO_TRANSPOSE, m, n, k, 1.0, b.ctypes.data, n, self.packed.ctypes.data)

    def run(self, a, b, c_live, out, a_live):
        m, n, k = self.shape
        self.compute(ROW_MAJOR, NO_TRANSPOSE, PACKED, m, n, k, a.ctypes.data, k, self.packed.ctypes.data, n, 0.0, out.ctypes.data, n)


class Csr(Contestant):
    name, sort = "mkl-csr", "sparse"

    def __init__(self, lib) -> None:
        self.function = lib.mkl_csr
        self.function.argtypes = [P, P, P, I64, I64, I64]

    refuse = staticmethod(dense_to_csr_supported)

    def prepare(self, case, b):
        self.shape = case.m, case.n, case.k

    def run(self, a, b, c_live, out, a_live):
        if self.function(a.ctypes.data, b.ctypes.data, out.ctypes.data, *self.shape):
            raise RuntimeError("mkl_sparse_s_mm failed")


class Bsr(Csr):
    """Blocks are square in MKL: the largest square that fits into the micro-tile."""
    name = "mkl-bsr"

    def __init__(self, lib) -> None:
        self.function = lib.mkl_bsr
        self.function.argtypes = [P, P, P, I64, I64, I64, I64]

    def refuse(self, case):
        block = min(case.granularity)
        if block < 4 or case.m % block or case.k % block:
            return "no square blocks in this granularity"
        return dense_to_csr_supported(case)

    def prepare(self, case, b):
        self.shape = case.m, case.n, case.k, min(case.granularity)


class Weights(Contestant):
    """Zeros of B: B^T in CSR, inspected and optimised once."""
    name, sort = "mkl-csr-weights", "weights"
    create, multiply = "mkl_weights", "mkl_dense_sparse"

    def __init__(self, lib) -> None:
        self.new, self.function, self.free = getattr(lib, self.create), getattr(lib, self.multiply), lib.mkl_weights_free
        self.new.restype, self.new.argtypes = P, [P, I64, I64, I64]
        self.function.argtypes = [P, P, P, I64, I64, I64]
        self.free.argtypes = [P]
        self.weights = None

    def refuse(self, case):
        if case.b_zeros == 0:
            return "no zeros in B"
        return super().refuse(case)

    def prepare(self, case, b):
        self.shape, self.dynamic = (case.m, case.n, case.k), case.b == "dynamic"
        if self.weights:
            self.free(self.weights)
        self.weights = self.new(b.ctypes.data, case.k, case.n, case.m)

    def run(self, a, b, c_live, out, a_live):
        m, n, k = self.shape
        if self.dynamic:
            self.free(self.weights)
            self.weights = self.new(b.ctypes.data, k, n, m)
        if self.function(self.weights, a.ctypes.data, out.ctypes.data, m, n, k):
            raise RuntimeError("MKL failed")


class Both(Weights):
    """Zeros of both: mkl_sparse_s_spmmd."""
    name, create, multiply = "mkl-spmmd", "mkl_rows", "mkl_sparse_sparse"

    def refuse(self, case):
        return super().refuse(case) or dense_to_csr_supported(case)


class Convert(Contestant):
    name, sort = "mkl-to-csr", "sparse"

    def __init__(self, name, function) -> None:
        self.name, self.function = name, function
        function.restype, function.argtypes = I64, [P, I64, I64]

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def prepare(self, case, b):
        self.shape = case.m, case.k

    def run(self, a, b, c_live, out, a_live):
        self.live = self.function(a.ctypes.data, *self.shape)

    def report(self):
        return {"live_elements": self.live}


def load(process: str, threads: int) -> list[Contestant]:
    lib, own = library("lib/libmkl_rt.so.*"), shim("mkl")
    return [Sgemm("mkl", lib.cblas_sgemm, is_default=True), PackedSgemm(lib), Csr(own), Bsr(own), Weights(own), Both(own),
            Convert("mkl-to-csr", own.mkl_convert), Convert("shim-to-csr", own.shared_convert)]
