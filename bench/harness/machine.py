"""What the machine is, what it can do, and whether it is quiet enough to be measured."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from importlib import metadata
from pathlib import Path

from .limits import Rates

ROOT = Path(__file__).resolve().parent.parent.parent
ISA = "PIT_BENCH_ISA"      # the environment variable by which the driver tells its workers that --isa was given
LIMITED = "AVX2 of AVX-512"

LOADED_SHARE = 0.05      # of the CPUs, used by others
LOADED_SLOWDOWN = 0.90   # of the FMA rate that this run has seen


def cpu_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


def cpu_has_avx512() -> bool:
    return {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= cpu_flags()


def limited() -> bool:
    """Whether everybody is to use AVX2 on a CPU that has AVX-512."""
    return os.environ.get(ISA) == "avx2" and cpu_has_avx512()


def has_avx512() -> bool:
    """Whether contestants may use AVX-512."""
    return cpu_has_avx512() and not limited()


def shims() -> Path:
    """The folder of the compiled shims: those for AVX2 of a CPU with more lie apart from those for all that it can."""
    folder = ROOT / "build" / "bench"
    return folder / "avx2" if limited() else folder


def cache_bytes(level: int) -> int:
    """Size of a cache that cpu0 sees; what this machine's kernel does not tell is taken to be small."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (index / "level").read_text().strip() == str(level) and (index / "type").read_text().strip() != "Instruction":
            return int((index / "size").read_text().strip().rstrip("K")) << 10
    return {2: 512 << 10, 3: 8 << 20}[level]


def describe() -> dict:
    info = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    memory = int(Path("/proc/meminfo").read_text().split()[1]) << 10
    return {
        "cpu": info.get("model name", platform.machine()), "family": info.get("cpu family"), "model": info.get("model"),
        "isa": LIMITED if limited() else "AVX-512" if has_avx512() else "AVX2", "cpus": len(os.sched_getaffinity(0)), "memory_gib": round(memory / 2**30, 1),
        "l2_kib": cache_bytes(2) >> 10, "l3_mib": cache_bytes(3) >> 20, "kernel": platform.release().split("-")[0], "python": platform.python_version(),
    }


def versions(packages) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


class Machine:
    """The benchmark's own measurements, through peers/machine.cpp."""

    def __init__(self) -> None:
        self.lib = ctypes.CDLL(str(shims() / "machine.so"))
        for name in ("fma_gflops", "read_gbytes", "write_gbytes", "copy_gbytes"):
            function = getattr(self.lib, f"machine_{name}")
            function.restype = ctypes.c_double
            tail = [] if name == "fma_gflops" else [ctypes.c_int64]
            function.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_double, *tail]
        self.best_fma: dict[int, float] = {}

    def rates(self, cpus: list[int], seconds: float = 0.15) -> Rates:
        ids, count = (ctypes.c_int * len(cpus))(*cpus), len(cpus)
        l2, l3 = cache_bytes(2), cache_bytes(3)
        large = 256 << 20
        fma = self.lib.machine_fma_gflops(count, ids, seconds)
        self.best_fma[count] = max(self.best_fma.get(count, 0), fma)
        return Rates(fma_gflops=fma,
                     read_gbytes=self.lib.machine_read_gbytes(count, ids, 3 * seconds, large),
                     write_gbytes=self.lib.machine_write_gbytes(count, ids, 3 * seconds, large),
                     copy_gbytes=self.lib.machine_copy_gbytes(count, ids, 3 * seconds, large),
                     l2_read_gbytes=self.lib.machine_read_gbytes(count, ids, seconds, l2 // 2),
                     l3_read_gbytes=self.lib.machine_read_gbytes(count, ids, seconds, max(l2, l3 // 4 // count)),
                     l2_bytes=l2 * count, l3_bytes=l3,
                     between=[[size, self.lib.machine_read_gbytes(count, ids, seconds, size // count)] for size in (l3 // 2, l3, 2 * l3)])

    def speed(self, cpus: list[int]) -> float:
        """The FMA rate now, as a share of the best that this run has seen: below 1, somebody else is using the cores."""
        ids = (ctypes.c_int * len(cpus))(*cpus)
        now = self.lib.machine_fma_gflops(len(cpus), ids, 0.01)
        best = self.best_fma[len(cpus)] = max(self.best_fma.get(len(cpus), 0), now)
        return now / best


class Load:
    """CPU time that others use between two looks, as a share of all CPUs."""

    def __init__(self) -> None:
        self.tick = os.sysconf("SC_CLK_TCK")
        self.cpus = os.cpu_count() or 1
        self.look()

    def _busy(self) -> float:
        fields = [int(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        idle = fields[3] + fields[4]
        return (sum(fields[:8]) - idle) / self.tick

    @staticmethod
    def _ours(pids) -> float:
        total = 0.0
        for pid in pids:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def look(self, pids=()) -> None:
        self.pids = [os.getpid(), *pids]
        self.started, self.busy, self.ours = time.monotonic(), self._busy(), self._ours(self.pids)

    def others(self) -> float:
        elapsed = max(time.monotonic() - self.started, 1e-3)
        foreign = (self._busy() - self.busy) - (self._ours(self.pids) - self.ours)
        return max(0.0, foreign / elapsed / self.cpus)


def load_average() -> float:
    return os.getloadavg()[0]
