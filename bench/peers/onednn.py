"""oneDNN: matmul with weights in its own format where they are static, plain otherwise; A in CSR. PyPI's build (SYCL runtime) and Debian's (OpenMP)."""

from __future__ import annotations

import ctypes

from .base import Absent, Contestant, ONEDNN_AVX2, PREFIX, Process, dense_to_csr_supported, shim

I64, P = ctypes.c_int64, ctypes.c_void_p


def processes(threads: int) -> list[Process]:
    lib = PREFIX / "lib"  # with the CPU device of the SYCL runtime, which looks for its own libraries on the path
    sycl = {"LD_LIBRARY_PATH": str(lib), "OCL_ICD_FILENAMES": str(lib / "libintelocl.so"), "DPCPP_CPU_NUM_CUS": str(threads)}
    return [Process("onednn", sycl, ONEDNN_AVX2), Process("onednn2", avx2=ONEDNN_AVX2)]


class Dense(Contestant):
    def __init__(self, lib, name: str, packs: bool) -> None:
        self.lib, self.name, self.packs, self.is_default = lib, name, packs, not packs
        lib.onednn_new.restype, lib.onednn_new.argtypes = P, [I64, I64, I64, P]
        lib.onednn_run.argtypes = lib.onednn_csr.argtypes = [P, P, P, P]
        lib.onednn_free.argtypes = [P]
        self.handle = None

    def refuse(self, case):
        return super().refuse(case) or (None if case.b == "static" or not self.packs else "B is not static")

    def prepare(self, case, b):
        if self.handle:
            self.lib.onednn_free(self.handle)
        self.handle = self.lib.onednn_new(case.m, case.n, case.k, b.ctypes.data if self.packs else None)
        if not self.handle:
            raise RuntimeError("oneDNN refuses the shape")

    def run(self, a, b, c_live, out, a_live):
        if self.lib.onednn_run(self.handle, a.ctypes.data, b.ctypes.data, out.ctypes.data):
            raise RuntimeError("oneDNN failed")


class Csr(Dense):
    sort = "sparse"

    def __init__(self, lib, name: str) -> None:
        super().__init__(lib, name, packs=False)
        self.is_default = False

    refuse = staticmethod(dense_to_csr_supported)

    def run(self, a, b, c_live, out, a_live):
        if self.lib.onednn_csr(self.handle, a.ctypes.data, b.ctypes.data, out.ctypes.data):
            raise RuntimeError("oneDNN failed")


def load(process: str, threads: int) -> list[Contestant]:
    lib = shim(process)
    if not lib.onednn_version():
        raise Absent("no version")
    contestants = [Dense(lib, f"{process}-packed", True), Dense(lib, process, False)]
    return [*contestants, Csr(lib, f"{process}-csr")] if lib.onednn_has_csr() else contestants
