"""The least time that a case can take on this machine, from measured rates: what "per cent of the limit" is per cent of.

    limit = max(FLOPs of live micro-tiles / FMA peak, bytes that must move / bandwidth)

and where the live micro-tiles have to be found in the values, which nobody can know before reading them, the scan of A comes first:

    limit = bytes of A / read bandwidth + max(FLOPs / FMA peak, other bytes that must move / bandwidth)

* FLOPs: two per multiply-add whose element of A, of B and of C all lie in live micro-tiles.
* Bytes that must move: live micro-tiles of A, rows of B that some live element of A meets (of them the live micro-tiles), wanted elements of C.
* Bandwidth: what reading data of the operands' total size, again and again, was measured to reach, so that what lies in a cache is not
  charged as memory. What does not fit into a quarter of L3 is written with streaming stores.
* A case never has a limit above that of its dense computation, which is always possible: max over all FLOPs and bytes, no scan.
* max-plus: an addition and a maximum count as one multiply-add. logsumexp: an exponential costs at least 8 operations on top; the limit is
  then a lower bound of the time that nobody is known to reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .case import Case
from .operands import Masks, expand

FMA_PER_TERM = {"sum": 1, "maxplus": 1, "logsumexp": 8}


@dataclass
class Rates:
    """Of all threads together: GFLOP/s and GB/s."""
    fma_gflops: float
    read_gbytes: float
    write_gbytes: float
    copy_gbytes: float
    l2_read_gbytes: float
    l3_read_gbytes: float
    l2_bytes: int = 512 << 10
    l3_bytes: int = 32 << 20
    between: list = field(default_factory=list)  # [bytes, GB/s] of reads of data larger than l3_read_gbytes stands for

    def curve(self) -> list:
        """[bytes, GB/s], ascending: reading that much, again and again. A quarter of L3 is what l3_read_gbytes was measured with."""
        inner = [[self.l2_bytes / 2, self.l2_read_gbytes], [self.l3_bytes / 4, self.l3_read_gbytes]]
        return inner + [[size, max(rate, self.read_gbytes)] for size, rate in self.between] + [[8 * self.l3_bytes, self.read_gbytes]]

    def reads(self, working_set: float) -> float:
        """Bytes per second at which operands of this total size come, interpolated between measured sizes."""
        sizes, rates = zip(*self.curve())
        return float(np.interp(np.log(working_set), np.log(sizes), rates)) * 1e9

    def writes(self, working_set: float) -> float:
        """To a cache as fast as it is read, to memory with streaming stores."""
        return self.reads(working_set) if working_set <= self.l3_bytes / 4 else self.write_gbytes * 1e9


def live_terms(case: Case, masks: Masks) -> float:
    """Number of multiply-adds in live micro-tiles."""
    if case.zeros == 0 and case.b_zeros == 0 and case.c_zeros == 0:
        return float(case.m) * case.n * case.k
    a = expand(masks.a, case.m, case.k, case.granularity) if case.zeros > 0 else None
    b = expand(masks.b, case.k, case.n, case.b_granularity) if case.b_zeros > 0 else None
    c = expand(masks.c, case.m, case.n, case.c_granularity) if case.c_zeros > 0 else None
    def per(mask, axis, extent, other):
        return mask.sum(axis, dtype=np.float64) if mask is not None else np.full(extent, float(other))
    if c is None:
        return float(per(a, 0, case.k, case.m) @ per(b, 1, case.k, case.n))
    if b is None:
        return float(per(a, 1, case.m, case.k) @ per(c, 1, case.m, case.n))
    if a is None:
        return float(per(b, 0, case.n, case.k) @ per(c, 0, case.n, case.m))
    return float(np.sum((a.astype(np.float32) @ b.astype(np.float32)) * c, dtype=np.float64))


@dataclass
class Limit:
    seconds: float
    scan_seconds: float
    flops_seconds: float
    bytes_seconds: float
    live_fraction: float
    bound: str  # what it is that limits: "scan", "flops" or "bytes"


def limit(case: Case, masks: Masks, rates: Rates) -> Limit:
    if case.kind == "detect":
        return detection_limit(case, masks, rates)
    m, n, k = case.m, case.n, case.k
    working_set = 4.0 * (m * k + k * n + m * n)
    read, write = rates.reads(working_set), rates.writes(working_set)
    a_live = expand(masks.a, m, k, case.granularity)
    met = a_live.any(0)  # rows of B that anything meets
    if case.c_zeros > 0:
        c_live = expand(masks.c, m, n, case.c_granularity)
        wanted, columns = float(c_live.sum()), c_live.any(0)
        a_bytes = 4.0 * float(a_live[c_live.any(1)].sum())
    else:
        wanted, columns, a_bytes = float(m) * n, np.ones(n, bool), 4.0 * float(a_live.sum())
    if case.b_zeros > 0:
        b_bytes = 4.0 * float(expand(masks.b, k, n, case.b_granularity)[met][:, columns].sum())
    else:
        b_bytes = 4.0 * float(met.sum()) * float(columns.sum())
    terms = live_terms(case, masks)
    flops = 2 * terms * FMA_PER_TERM[case.algebra] / (rates.fma_gflops * 1e9)
    detected = case.index == "detect" and case.zeros > 0
    scan = 4.0 * m * k / read if detected else 0.0
    if case.b_zeros > 0 and case.b == "dynamic":
        scan += 4.0 * k * n / read
        b_bytes = 0.0
    moved = (0.0 if detected else a_bytes / read) + b_bytes / read + 4.0 * wanted / write
    sparse = scan + max(flops, moved)
    dense_flops = 2.0 * m * n * k * FMA_PER_TERM[case.algebra] / (rates.fma_gflops * 1e9)
    dense_moved = 4.0 * (m * k + k * n) / read + 4.0 * m * n / write
    dense = max(dense_flops, dense_moved)
    if dense < sparse:
        return Limit(dense, 0.0, dense_flops, dense_moved, terms / (m * n * k), "flops" if dense_flops >= dense_moved else "bytes")
    bound = max((scan, "scan"), (flops, "flops") if flops >= moved else (moved, "bytes"))[1]
    return Limit(sparse, scan, flops, moved, terms / (m * n * k), bound)


def detection_limit(case: Case, masks: Masks, rates: Rates) -> Limit:
    """Reading A and writing the index: an i32 per live micro-tile, an i64 per row of micro-tiles."""
    working_set = 4.0 * case.m * case.k
    live = float(masks.a.sum())
    scan = 4.0 * case.m * case.k / rates.reads(working_set)
    written = (4 * live + 8 * (masks.a.shape[0] + 1)) / rates.writes(working_set)
    return Limit(scan + written, scan, 0.0, written, live / masks.a.size, "scan")
