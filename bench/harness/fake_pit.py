"""PIT's Python interface in NumPy, for tests of the benchmark itself: `PIT_BENCH_FAKE=1`. Right, and nothing else."""

from __future__ import annotations

import time
from collections import namedtuple

import numpy as np

from .operands import ceil_div, expand


class LiveSet:
    def __init__(self, mask, rows, columns, granularity):
        self._mask, self.rows, self.columns, self.granularity = np.asarray(mask, bool), rows, columns, granularity

    @classmethod
    def from_mask(cls, mask, granularity=(1, 1), rows=None, columns=None):
        return cls(mask, rows, columns, granularity)

    @property
    def fraction(self):
        return float(self._mask.mean()) if self._mask.size else 1.0

    def mask(self):
        return self._mask[None]

    def index(self):
        counts = self._mask.sum(1)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.nonzero(self._mask)[1].astype(np.int32)

    def elements(self):
        return expand(self._mask, self.rows, self.columns, self.granularity)


def detect(a, granularity=(32, 1), absent=0.0, threads=None):
    rows, columns = a.shape
    down, across = ceil_div(rows, granularity[0]), ceil_div(columns, granularity[1])
    padded = np.zeros((down * granularity[0], across * granularity[1]), bool)
    padded[:rows, :columns] = a != absent
    return LiveSet(padded.reshape(down, granularity[0], across, granularity[1]).any((1, 3)), rows, columns, granularity)


class Contraction:
    def __init__(self, expression, threads=None):
        self.algebra = "maxplus" if "max=" in expression else "logsumexp" if "logsumexp=" in expression else "sum"
        self.missing = 0.0 if self.algebra == "sum" else -np.inf

    def prepare(self, b, zeros=None, granularity=(1, 1)):
        return b

    def __call__(self, a, b, zeros="detect", granularity=(32, 1), b_zeros=None, b_granularity=(1, 1), c_live=None, rule=None, out=None,
                 report=False):
        start = time.perf_counter()
        live = detect(a, granularity, self.missing) if isinstance(zeros, str) else zeros
        found = time.perf_counter()
        if self.algebra == "sum":
            y = np.matmul(a, b, out=out)
        else:
            y = np.empty((a.shape[0], b.shape[1]), np.float32) if out is None else out
            reduce = np.maximum.reduce if self.algebra == "maxplus" else np.logaddexp.reduce
            for i in range(a.shape[0]):
                y[i] = reduce(a[i][:, None] + b, axis=0)
        if c_live is not None:
            y[~c_live.elements()] = self.missing
        if not report:
            return y
        candidates = [("k 32x1 @ 6x16", 1e-3), ("dense @ 6x16", 2e-3)]
        return y, {"rule": rule or "k 32x1 @ 6x16", "candidates": candidates, "live_fraction": live.fraction if live is not None else 1.0,
                   "detect_seconds": found - start, "choose_seconds": 0.0, "compute_seconds": time.perf_counter() - found,
                   "total_seconds": time.perf_counter() - start}


def measure_limits(threads=1):
    names = "cpu target threads fma_gflops read_gbytes write_gbytes copy_gbytes l2_read_gbytes l3_read_gbytes"
    return namedtuple("MachineLimits", names)("fake", "fake", threads, 10.0, 5.0, 5.0, 5.0, 20.0, 10.0)
