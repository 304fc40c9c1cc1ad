"""Are the results right? Every timed output is looked at: small products against float64, large ones by sampled rows and a random projection for
our own dense kernel, which every other output is then compared with element by element."""

from __future__ import annotations

import numpy as np

from .case import Case
from .operands import Masks, absent, expand

FULL_CHECK = 3e9  # multiply-adds times two, up to which float64 computes the whole reference


class Wrong(RuntimeError):
    """A result that is not the product."""


def tolerance(case: Case) -> float:
    """Sums of k products of standard normal numbers in f32, in any order: one chain of k additions errs by about 2e-7 k at worst (k terms, partial
    sums of about sqrt(k), the largest of many elements). A lost term is about 1."""
    return 1e-5 if case.algebra == "maxplus" else 1e-4 if case.algebra == "logsumexp" else 1e-6 * max(case.k, 100)


def exact_rows(case: Case, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of a few rows in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if case.algebra == "sum":
        return a @ b
    out = np.empty((a.shape[0], b.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(a.shape[0]):
            terms = a[i][:, None] + b
            top = terms.max(0)
            if case.algebra == "logsumexp":
                shift = np.where(np.isfinite(top), top, 0)
                top = np.log(np.exp(terms - shift).sum(0)) + shift
            out[i] = top
    return out


def difference(y: np.ndarray, reference: np.ndarray, live: np.ndarray | None = None) -> float:
    """Largest absolute difference (where wanted); equal infinities do not differ, NaN always does."""
    worst = 0.0
    for start in range(0, y.shape[0], 512):  # in pieces that stay in the caches
        part, expected = y[start : start + 512], reference[start : start + 512]
        with np.errstate(invalid="ignore"):
            delta = np.abs(part - expected)
        if not np.isfinite(delta).all():
            delta = np.where(part == expected, 0, delta)
        if live is not None:
            delta = delta[live[start : start + 512]]
        if delta.size:
            top = float(delta.max())
            worst = max(worst, np.inf if np.isnan(top) else top)
    return worst


class Checker:
    """One pattern of one case."""

    def __init__(self, case: Case, a: np.ndarray, b: np.ndarray, masks: Masks) -> None:
        self.case, self.a, self.b = case, a, b
        self.live = expand(masks.c, case.m, case.n, case.c_granularity) if case.c_zeros > 0 else None
        self.limit = tolerance(case)
        self.reference: np.ndarray | None = None  # what outputs are compared with
        self.own_dense: np.ndarray | None = None
        if 2.0 * case.m * case.n * case.k * (1 if case.algebra == "sum" else 8) <= FULL_CHECK:
            self.reference = exact_rows(case, a, b).astype(np.float32)

    def check(self, y: np.ndarray, own: bool, is_own_dense: bool) -> dict:
        """`max_abs_diff` against the reference (for PIT: against its own dense kernel), Wrong if too large."""
        if self.reference is None:
            self._sample(y)
            self.reference = np.array(y)
        worst = difference(y, self.reference, self.live)
        if not worst <= self.limit:
            raise Wrong(f"largest difference {worst:.2g}, allowed {self.limit:.2g}")
        if is_own_dense:
            self.own_dense = np.array(y)
            return {"max_abs_diff": 0.0, "exact": True}
        if not own:
            return {"max_abs_diff": worst}
        if self.live is not None and not (y[~self.live] == absent(self.case)).all():
            raise Wrong("elements outside of the wanted ones are not the identity")
        if self.own_dense is not None:
            worst = difference(y, self.own_dense, self.live)
        return {"max_abs_diff": worst, "exact": worst == 0}

    def _sample(self, y: np.ndarray) -> None:
        case, rng = self.case, np.random.default_rng(0)
        rows = np.sort(rng.choice(case.m, min(case.m, 16), replace=False))
        live = None if self.live is None else self.live[rows]
        worst = difference(y[rows].astype(np.float64), exact_rows(case, self.a[rows], self.b), live)
        if not worst <= self.limit:
            raise Wrong(f"sampled rows differ by {worst:.2g}, allowed {self.limit:.2g}")
        if case.algebra != "sum" or self.live is not None:
            return
        # (A B) x = A (B x) for random x: an error in any one element shows in its row.
        x = rng.choice([-1.0, 1.0], (case.n, 2)).astype(np.float32)
        projected = project(self.a, project(self.b, x))
        worst = np.abs(project(y, x) - projected).max()
        allowed = self.limit * case.n ** 0.5 * 2
        if not worst <= allowed:
            raise Wrong(f"a random projection differs by {worst:.2g}, allowed {allowed:.2g}")


def project(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """matrix @ x in float64, without a float64 copy of the whole matrix."""
    x = x.astype(np.float64)
    return np.concatenate([matrix[i : i + 256].astype(np.float64) @ x for i in range(0, matrix.shape[0], 256)])
