"""Eigen: its dense product, its sparse times dense (A converted by our fast routine, and by its own sparseView as the default)."""

from __future__ import annotations

import ctypes

from .base import ANY_ISA, Contestant, Process, dense_to_csr_supported, shim

I64, P = ctypes.c_int64, ctypes.c_void_p


def processes(threads: int) -> list[Process]:
    return [Process("eigen", avx2=ANY_ISA)]


class Call(Contestant):
    def __init__(self, name: str, function, sort: str = "dense", is_default: bool = False, weak: bool = False) -> None:
        self.name, self.function, self.sort, self.is_default, self.weak = name, function, sort, is_default, weak
        function.restype, function.argtypes = None, [P, P, P, I64, I64, I64]

    def refuse(self, case):
        return dense_to_csr_supported(case) if self.sort == "sparse" else super().refuse(case)

    def prepare(self, case, b):
        self.shape = case.m, case.n, case.k

    def run(self, a, b, c_live, out, a_live):
        self.function(a.ctypes.data, b.ctypes.data, out.ctypes.data, *self.shape)


class Weights(Call):
    def __init__(self, name: str, lib, function, both: bool) -> None:
        super().__init__(name, function, "weights", weak=True)
        self.new, self.free, self.both, self.weights = lib.eigen_weights, lib.eigen_free, both, None
        self.new.restype, self.new.argtypes, self.free.argtypes = P, [P, I64, I64], [P]

    def refuse(self, case):
        if case.b_zeros == 0 or (self.both and case.zeros == 0):
            return "no zeros in B" if not self.both else "not both operands have zeros"
        return Contestant.refuse(self, case)

    def prepare(self, case, b):
        super().prepare(case, b)
        self.dynamic = case.b == "dynamic"
        self._convert(b)

    def _convert(self, b):
        if self.weights:
            self.free(self.weights)
        self.weights = self.new(b.ctypes.data, self.shape[2], self.shape[1])

    def run(self, a, b, c_live, out, a_live):
        if self.dynamic:
            self._convert(b)
        self.function(a.ctypes.data, self.weights, out.ctypes.data, *self.shape)


class Convert(Contestant):
    name, sort = "eigen-sparseview", "sparse"

    def __init__(self, function) -> None:
        self.function = function
        function.restype, function.argtypes = None, [P, I64, I64]

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def prepare(self, case, b):
        self.shape = case.m, case.k

    def run(self, a, b, c_live, out, a_live):
        self.function(a.ctypes.data, *self.shape)


def load(process: str, threads: int) -> list[Contestant]:
    lib = shim("eigen")
    lib.eigen_threads(threads)
    return [Call("eigen", lib.eigen_dense), Call("eigen-csr", lib.eigen_csr, "sparse", weak=True),
            Call("eigen-csr-default", lib.eigen_view, "sparse", is_default=True, weak=True),
            Weights("eigen-weights", lib, lib.eigen_dense_sparse, False), Weights("eigen-both", lib, lib.eigen_sparse_sparse, True),
            Convert(lib.eigen_convert)]
