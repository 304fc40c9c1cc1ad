"""BLIS, Debian's pthreads build. It chooses its kernels itself; BLIS_ARCH_TYPE is only for CPUs newer than it knows."""

from __future__ import annotations

from harness.machine import has_avx512

from .base import Process, Sgemm, library


def processes(threads: int) -> list[Process]:
    listed = [Process("blis", {"BLIS_ARCH_TYPE": "0"})] if has_avx512() else []
    return [*listed, Process("blis-default" if listed else "blis")]


def load(process: str, threads: int) -> list[Sgemm]:
    lib = library("/usr/lib/x86_64-linux-gnu/blis-pthread/libblis.so.4", "/usr/lib/x86_64-linux-gnu/libblis.so.4")
    return [Sgemm(process, lib.cblas_sgemm, is_default=process.endswith("default"))]
