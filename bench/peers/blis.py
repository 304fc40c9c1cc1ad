"""BLIS, Debian's pthreads build. It chooses its kernels itself; BLIS_ARCH_TYPE is only for CPUs newer than it knows, and to limit it to AVX2."""

from __future__ import annotations

import ctypes

from harness.machine import has_avx512, limited

from .base import Absent, Process, Sgemm, library


def processes(threads: int) -> list[Process]:
    listed = [Process("blis", {"BLIS_ARCH_TYPE": "0"})] if has_avx512() else []
    return [*listed, Process("blis-default" if listed else "blis", avx2={"BLIS_ARCH_TYPE": "3"})]


def load(process: str, threads: int) -> list[Sgemm]:
    lib = library("/usr/lib/x86_64-linux-gnu/blis-pthread/libblis.so.4", "/usr/lib/x86_64-linux-gnu/libblis.so.4")
    if limited():  # other versions have other numbers, and take one that they do not have for none
        lib.bli_init()
        lib.bli_arch_string.restype = ctypes.c_char_p
        if (name := lib.bli_arch_string(lib.bli_arch_query_id())) != b"haswell":
            raise Absent(f"its kernels cannot be limited to AVX2: it chooses {name.decode()}")
    return [Sgemm(process, lib.cblas_sgemm, is_default=process.endswith("default"))]
