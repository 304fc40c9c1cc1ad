"""OpenBLAS: Debian's (pthreads) and the newer one from PyPI that SciPy ships; with the best core type for this CPU, and as it comes."""

from __future__ import annotations

from harness.machine import has_avx512, limited

from .base import OPENBLAS_AVX2, Process, Sgemm, library

DEBIAN = "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0"
PYPI = "lib/python3*/site-packages/scipy_openblas32/lib/libscipy_openblas.so"


def processes(threads: int) -> list[Process]:
    # OpenBLAS 0.3.21 takes a CPU that it does not know for an older one.
    core = "SkylakeX" if has_avx512() else "Haswell"
    asked = Process("openblas", {"OPENBLAS_CORETYPE": core}, OPENBLAS_AVX2)
    default = [] if limited() else [Process("openblas-default")]  # as it comes, it is not limited
    return [asked, *default, Process("openblas-new", avx2=OPENBLAS_AVX2)]


def load(process: str, threads: int) -> list[Sgemm]:
    if process == "openblas-new":
        return [Sgemm("openblas-new", library(PYPI).scipy_cblas_sgemm)]
    return [Sgemm(process, library(DEBIAN).cblas_sgemm, is_default=process.endswith("default"))]
