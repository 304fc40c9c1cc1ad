"""libxsmm: spmdm, and batch-reduce GEMM over live blocks (of A, or of the result) with extraction inside the call."""

from __future__ import annotations

import ctypes

import numpy as np

from .base import Contestant, Process, dense_to_csr_supported, shim

I64, P = ctypes.c_int64, ctypes.c_void_p


def processes(threads: int) -> list[Process]:
    return [Process("libxsmm", avx2={"LIBXSMM_TARGET": "hsw"})]


class Spmdm(Contestant):
    name, sort = "libxsmm-spmdm", "sparse"

    def __init__(self, lib, threads: int) -> None:
        self.lib, self.threads, self.handle = lib, threads, None
        lib.spmdm_new.restype, lib.spmdm_new.argtypes = P, [I64, I64, I64, ctypes.c_int]
        lib.spmdm_compress.argtypes, lib.spmdm_multiply.argtypes, lib.spmdm_free.argtypes = [P, P], [P, P, P], [P]

    def refuse(self, case):
        return dense_to_csr_supported(case)

    def prepare(self, case, b):
        if self.handle:
            self.lib.spmdm_free(self.handle)
        self.handle = self.lib.spmdm_new(case.m, case.n, case.k, self.threads)

    def run(self, a, b, c_live, out, a_live):
        self.lib.spmdm_compress(self.handle, a.ctypes.data)
        self.lib.spmdm_multiply(self.handle, b.ctypes.data, out.ctypes.data)


class Compress(Spmdm):
    name = "libxsmm-compress"

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def run(self, a, b, c_live, out, a_live):
        self.lib.spmdm_compress(self.handle, a.ctypes.data)


class Blocks(Contestant):
    name, sort = "libxsmm-blocks", "sparse"

    def __init__(self, lib) -> None:
        self.lib, self.handle = lib, None
        lib.blocks_new.restype, lib.blocks_new.argtypes = P, [I64, I64, I64, I64, I64, P]
        lib.blocks_multiply.argtypes, lib.blocks_free.argtypes = [P, P, P, P], [P]

    def refuse(self, case):
        height, width = case.granularity
        if case.m % height or case.k % width or all(case.n % p for p in (64, 48, 32)):
            return "extents are no multiples of the blocks"
        if height * width < 32:
            return "blocks too small"
        return dense_to_csr_supported(case)

    def prepare(self, case, b):
        if self.handle:
            self.lib.blocks_free(self.handle)
        self.dynamic = case.b == "dynamic"
        self.handle = self.lib.blocks_new(case.m, case.n, case.k, *case.granularity, None if self.dynamic else b.ctypes.data)
        if not self.handle:
            raise RuntimeError("libxsmm has no kernel for these blocks")

    def run(self, a, b, c_live, out, a_live):
        self.lib.blocks_multiply(self.handle, a.ctypes.data, b.ctypes.data if self.dynamic else None, out.ctypes.data)


class Sampled(Contestant):
    name, sort = "libxsmm-sampled", "sparse"

    def __init__(self, lib) -> None:
        self.lib, self.handle = lib, None
        lib.sampled_new.restype, lib.sampled_new.argtypes = P, [I64, I64, I64, I64, I64, P]
        lib.sampled_multiply.argtypes, lib.sampled_free.argtypes = [P, P, P, P, P], [P]

    def refuse(self, case):
        height, width = case.c_granularity
        if case.c_zeros == 0 or case.zeros > 0:
            return "for a sampled result of dense operands"
        if case.m % height or case.n % width or case.k % 64 or height * width < 32:
            return "extents do not fit the blocks"
        return super().refuse(case)

    def prepare(self, case, b):
        if self.handle:
            self.lib.sampled_free(self.handle)
        self.dynamic = case.b == "dynamic"
        self.handle = self.lib.sampled_new(case.m, case.n, case.k, *case.c_granularity, None if self.dynamic else b.ctypes.data)
        if not self.handle:
            raise RuntimeError("libxsmm has no kernel for these blocks")

    def run(self, a, b, c_live, out, a_live):
        live = np.ascontiguousarray(c_live, np.uint8)
        self.lib.sampled_multiply(self.handle, a.ctypes.data, b.ctypes.data if self.dynamic else None, live.ctypes.data, out.ctypes.data)


def load(process: str, threads: int) -> list[Contestant]:
    lib = shim("libxsmm")
    return [Spmdm(lib, threads), Compress(lib, threads), Blocks(lib), Sampled(lib)]
