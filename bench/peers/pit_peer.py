"""PIT itself: the selector's choice, its dense kernels, single-sided rules where both operands have zeros, and any rule by name."""

from __future__ import annotations

import os

from .base import Absent, Contestant, Process

EXPRESSIONS = {
    "sum": "C[m,n] += A[m,k] * B[k,n]",
    "maxplus": "C[m,n] max= A[m,k] + B[k,n]",
    "logsumexp": "C[m,n] logsumexp= A[m,k] + B[k,n]",
}


def processes(threads: int) -> list[Process]:
    return [Process("pit", avx2={"PIT_CPU": "haswell"})]


class Pit(Contestant):
    sort = "own"

    def __init__(self, pit, name: str, threads: int, use_a: bool = True, use_b: bool = True, rule: str | None = None) -> None:
        self.pit, self.name, self.threads, self.use_a, self.use_b, self.rule = pit, name, threads, use_a, use_b, rule
        self.use_c = use_a or use_b
        self.last: dict = {}

    def refuse(self, case):
        if case.kind != "matmul":
            return "matrix products only"
        if not (self.use_a and self.use_b) and self.rule is None and not (case.zeros > 0 and case.b_zeros > 0):
            return "for cases with zeros in both operands"
        return None

    def prepare(self, case, b):
        self.case = case
        self.contraction = self.pit.Contraction(EXPRESSIONS[case.algebra], threads=self.threads)
        self.static = case.b == "static"
        self.options = {}
        b_sparse = case.b_zeros > 0 and self.use_b
        if self.static:
            self.weights = (self.contraction.prepare(b, zeros="detect", granularity=case.b_granularity) if b_sparse
                            else self.contraction.prepare(b))
        elif b_sparse:
            self.options |= {"b_zeros": "detect", "b_granularity": case.b_granularity}
        if self.rule is not None:
            self.options["rule"] = self.rule

    def run(self, a, b, c_live, out, a_live):
        case, options, live_set = self.case, self.options, self.pit.LiveSet
        if case.zeros > 0 and self.use_a:
            known = case.index == "known"
            zeros = live_set.from_mask(a_live, rows=case.m, columns=case.k, granularity=case.granularity) if known else "detect"
            options = options | {"zeros": zeros, "granularity": case.granularity}
        else:
            options = options | {"zeros": None}
        if case.c_zeros > 0 and self.use_c:
            options["c_live"] = live_set.from_mask(c_live, rows=case.m, columns=case.n, granularity=case.c_granularity)
        if self.rule == "dense" and options["rule"] == "dense":  # the first call, which nobody times: the rule's full name, with its tile
            _, first = self.contraction(a, self.weights if self.static else b, out=out, report=True, zeros=None)
            options["rule"] = self.options["rule"] = next(rule for rule, _ in first["candidates"] if rule.startswith("dense"))
        _, self.last = self.contraction(a, self.weights if self.static else b, out=out, report=True, **options)

    def report(self):
        return self.last | {"candidates": [{"rule": rule, "seconds": seconds} for rule, seconds in self.last.get("candidates", [])]}

    def candidates(self):
        """Rules that were costed, cheapest first."""
        return [rule for rule, _ in self.last.get("candidates", [])]


class Detect(Contestant):
    name, sort = "pit-detect", "own"

    def __init__(self, pit, threads: int) -> None:
        self.pit, self.threads = pit, threads

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def prepare(self, case, b):
        self.granularity, self.pattern = case.granularity, None

    def run(self, a, b, c_live, out, a_live):
        self.found = self.pit.detect(a, granularity=self.granularity, threads=self.threads)

    def report(self):
        return {"live_fraction": self.found.fraction, "mask": self.found.mask().reshape(-1).tobytes()}


def load(process: str, threads: int) -> list[Contestant]:
    if os.environ.get("PIT_BENCH_FAKE"):
        from harness import fake_pit as pit
    else:
        try:
            import pit
        except ImportError as error:
            raise Absent(f"not built: {error}") from None
        if not hasattr(pit, "Contraction"):
            raise Absent("this build has no pit.Contraction")
    Pit.module = pit
    return [Pit(pit, "pit", threads), Pit(pit, "pit-dense", threads, use_a=False, use_b=False, rule="dense"), Pit(pit, "pit-a", threads, use_b=False),
            Pit(pit, "pit-b", threads, use_a=False), Detect(pit, threads)]


def forced(contestants: dict, rule: str) -> Contestant:
    """The contestant that always takes this rule."""
    main = contestants["pit"]
    return Pit(main.pit, f"pit:{rule}", main.threads, rule=rule)


def limits(threads: int) -> dict:
    return Pit.module.measure_limits(threads=threads)._asdict()
