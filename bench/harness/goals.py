"""The goals: what each row must reach, computed from the results. Add one by adding a line to GOALS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .case import Case, parse
from .summary import choice_loss, own, paired_ratio, timed


@dataclass
class Point:
    """A goal's figure in one case: what was reached and what the limit would give."""
    record: dict
    value: float
    limit: float | None = None


def case_of(record: dict) -> Case:
    return parse(record["case"])[0]


def share(record: dict) -> Point | None:
    """Limit over time."""
    entry = own(record)
    return Point(record, record["limit"]["ms"] / entry["ms"], 1.0) if entry else None


def fma_share(record: dict) -> Point | None:
    entry = own(record)
    return Point(record, record["limit"]["flops_ms"] / entry["ms"], record["limit"]["flops_ms"] / record["limit"]["ms"]) if entry else None


def over(names: Callable[[str, dict], bool], best: bool = True):
    """PIT against the best of the contestants that `names` picks (or, with best=False, the slowest of them)."""
    def measure(record: dict) -> Point | None:
        entry = own(record)
        picked = [e for name, e in timed(record).items() if names(name, e)]
        if not entry or not picked:
            return None
        ratios = [(paired_ratio(e, entry), e["ms"]) for e in picked]
        value, ms = min(ratios) if best else max(ratios)
        return Point(record, value, ms / record["limit"]["ms"])
    return measure


over_peer = over(lambda name, e: e["sort"] != "own" and name != "memcpy")
over_dense_peer = over(lambda name, e: e["sort"] == "dense")
over_own_dense = over(lambda name, e: name == "pit-dense")
over_spmdm = over(lambda name, e: name == "libxsmm-spmdm")
over_single_sided = over(lambda name, e: name in ("pit-a", "pit-b"))
over_compress = over(lambda name, e: name == "libxsmm-compress")
over_conversions = over(lambda name, e: e["sort"] == "sparse" and name not in ("libxsmm-compress", "shim-to-csr"))
over_expression = over(lambda name, e: name.split("-")[-1] in ("maxplus", "logsumexp") and name.split("-")[0] in ("numpy", "torch"))


def choice(record: dict) -> Point | None:
    loss = choice_loss(record)
    return Point(record, loss, 1.0) if loss else None


def square(c: Case, side: int = 4096) -> bool:
    return c.m == c.n == c.k == side


def between(low: float, high: float):
    return lambda c: low <= c.zeros <= high


@dataclass
class Goal:
    text: str
    wanted: float
    figure: Callable[[dict], Point | None]
    cases: Callable[[Case], bool]
    how: str = "least"        # of the points: least, geomean, or "share within" (the share of points that are at most `within`)
    within: float = 0.0
    unit: str = "x"

    def points(self, records: list[dict]) -> list[Point]:
        found = [self.figure(record) for record in records if self.cases(case_of(record))]
        return [point for point in found if point is not None]

    def reached(self, records: list[dict]) -> tuple[float, float | None, dict] | None:
        """The figure, the limit's, and the record that decides (the worst one)."""
        points = self.points(records)
        if not points:
            return None
        if self.how == "share within":
            worst = max(points, key=lambda p: p.value)
            return sum(p.value <= self.within for p in points) / len(points), 1.0, worst.record
        worst = min(points, key=lambda p: p.value)
        if self.how == "geomean":
            limits = [p.limit for p in points if p.limit]
            return geomean([p.value for p in points]), geomean(limits) if limits else None, worst.record
        return worst.value, worst.limit, worst.record


def geomean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def dense(c: Case) -> bool:
    return c.kind == "matmul" and c.algebra == "sum" and c.zeros == c.b_zeros == c.c_zeros == 0


def only_a(c: Case) -> bool:
    return c.kind == "matmul" and c.algebra == "sum" and c.b_zeros == c.c_zeros == 0 and c.index == "detect"


def tile(*granularities, low: float, high: float, side: int = 4096):
    return lambda c: only_a(c) and square(c, side) and c.granularity in granularities and low <= c.zeros <= high and c.b == "static"


def transformer(c: Case) -> bool:
    return dense(c) and (c.k, c.n) in ((768, 768), (768, 3072), (3072, 768), (384, 1536), (4096, 11008))


def k128(zeros: float):
    return lambda c: only_a(c) and c.k == 128 and c.granularity == (32, 1) and c.zeros == zeros


def both(c: Case) -> bool:
    return (c.m, c.k, c.n) == (32, 3072, 768) and c.zeros == 0.95 and c.b_zeros == 0.75


def weights(granularity: tuple[int, int], zeros: float, b: str = "static"):
    return lambda c: c.zeros == 0 and c.b_granularity == granularity and c.b_zeros == zeros and c.b == b


def blocks(side: int, b: str):
    return weights((side, side), 0.9375, b)


def algebra(pruned_result: bool):
    return lambda c: c.algebra != "sum" and c.zeros == 0.9 and c.granularity[0] == c.m and (c.c_zeros == 0.9) == pruned_result


PERCENT = "%"
GOALS = [
    Goal("dense, 1024^3 and 4096^3: share of the FMA peak", 0.92, fma_share, lambda c: dense(c) and (square(c) or square(c, 1024)), unit=PERCENT),
    Goal("dense, 1024^3 and 4096^3: over the best dense peer", 1.02, over_dense_peer, lambda c: dense(c) and (square(c) or square(c, 1024))),
    Goal("transformer shapes: over the best peer, geometric mean", 1.05, over_dense_peer, transformer, "geomean"),
    Goal("transformer shapes: over the best peer, least", 0.97, over_dense_peer, transformer),
    Goal("32x1 and 32x64, 50-95 %: share of the limit", 0.8, share, tile((32, 1), (32, 64), low=0.5, high=0.95), unit=PERCENT),
    Goal("32x1 and 32x64, 50-95 %: over the best peer", 1.3, over_peer, tile((32, 1), (32, 64), low=0.5, high=0.95)),
    Goal("1x64, 50-95 %: share of the limit", 0.75, share, tile((1, 64), low=0.5, high=0.95), unit=PERCENT),
    Goal("1x64, 50 %: over the best peer", 1.5, over_peer, tile((1, 64), low=0.5, high=0.5)),
    Goal("1x64, 70-95 %: over the best peer", 2.0, over_peer, tile((1, 64), low=0.7, high=0.95)),
    Goal("32x1, 1x64, 32x64, 99 %: share of the limit", 0.55, share, tile((32, 1), (1, 64), (32, 64), low=0.99, high=0.99), unit=PERCENT),
    *[Goal(f"32x1, {zeros:.0%}: over own dense", wanted, over_own_dense, tile((32, 1), low=zeros, high=zeros))
      for zeros, wanted in ((0.5, 1.7), (0.9, 7.5), (0.95, 14), (0.99, 28))],
    Goal("1x1, 50-99 %: over libxsmm spmdm", 1.3, over_spmdm, lambda c: only_a(c) and c.granularity == (1, 1) and 0.5 <= c.zeros),
    Goal("1x1, 50-99 %: over own dense", 1.0, over_own_dense, lambda c: only_a(c) and c.granularity == (1, 1) and 0.5 <= c.zeros),
    *[Goal(f"{rows}x1, 95 %: over own dense", wanted, over_own_dense, tile((rows, 1), low=0.95, high=0.95, side=2048))
      for rows, wanted in ((2, 6.0), (4, 7.5), (8, 9.0))],
    Goal("K = 128, 32x1, 25 %: over own dense", 1.0, over_own_dense, k128(0.25)),
    Goal("K = 128, 32x1, 95 %: over own dense", 4.0, over_own_dense, k128(0.95)),
    Goal("0-30 % zeros, N >= 1024: over own dense", 0.97, over_own_dense, lambda c: only_a(c) and c.n >= 1024 and c.zeros <= 0.3 and not transformer(c)),
    Goal("both operands, 95 % x 75 %: over own dense", 10.0, over_own_dense, both),
    Goal("both operands, 95 % x 75 %: over the best single-sided rule", 1.5, over_single_sided, both),
    *[Goal(f"weights at 1/16 in blocks of {side}x{side}, {text}: over own dense", wanted, over_own_dense, blocks(side, b))
      for b, text, wanted in (("static", "known before", 8.0), ("dynamic", "found in the call", 5.5)) for side in (4, 8, 16)],
    Goal("weights pruned by tiles of 64 columns, 75 %: over own dense", 3.0, over_own_dense, weights((1, 64), 0.75)),
    Goal("weights of which all columns share two of four rows: over own dense", 1.7, over_own_dense, lambda c: c.b_granularity == (1, c.n) and c.b_zeros == 0.5),
    Goal("result wanted in a tenth of 32x64 blocks, K = 64: over libxsmm", 1.1, over(lambda name, e: name.startswith("libxsmm")),
         lambda c: c.k == 64 and c.c_zeros == 0.9),
    Goal("few rows, 90 % of the weight rows dead: share of the limit", 0.75, share,
         lambda c: c.index == "known" and c.zeros == 0.9 and c.m <= 16, unit=PERCENT),
    Goal("detection: share of the limit", 0.8, share, lambda c: c.kind == "detect", unit=PERCENT),
    Goal("detection: over libxsmm's compression", 2.5, over_compress, lambda c: c.kind == "detect"),
    Goal("detection: over every other peer's conversion", 9.0, over_conversions, lambda c: c.kind == "detect"),
    Goal("max-plus and logsumexp, one axis pruned 90 %: over own dense", 8.0, over_own_dense, algebra(False)),
    Goal("max-plus and logsumexp, both axes pruned 90 %: over own dense", 40.0, over_own_dense, algebra(True)),
    Goal("max-plus and logsumexp, pruned 90 %: over the NumPy and PyTorch expressions", 20.0, over_expression,
         lambda c: algebra(True)(c) or algebra(False)(c)),
    Goal("selection: cases in which the choice is within 10 % of the best measured way", 0.95, choice,
         lambda c: c.kind == "matmul", "share within", 1.10, PERCENT),
]


def figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.0%}" if unit == PERCENT else f"{value:.2f}x" if value < 10 else f"{value:.1f}x"
