#!/usr/bin/env python3
"""How good the choice of a rule is: the model's, and the one after five calls that taught it what rules take.

    bench/learned.py                         # the quick selection's products; a row per case and a summary
    bench/learned.py --full --rounds 9 --largest 1e10
    bench/learned.py "matmul m=512 n=1024 k=1024 zeros=0.9 b=static" --json

Per case a new pit.Contraction is called five times (--calls), each with a fresh pattern. What it would choose then is compared with the best of its
candidates and with dense: each is run by name in turns, in a new order each round, and the minimum of its rounds counts. `of best` and `at first`
compare what computing takes; `of dense` whole calls, detection included, with dense ones that look for nothing.

On a busy machine a case is begun anew, up to --attempts times, while one of its five calls waited more than 2 % of its time for a CPU (as in
bench/README.md); the attempt that waited least counts, and `disturbed` says how many cases had none without.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.case import Case, CaseError, parse, select  # noqa: E402
from harness.operands import Source  # noqa: E402
from harness.worker import stolen, waited  # noqa: E402
from peers.pit_peer import EXPRESSIONS  # noqa: E402

WAITED = 0.02  # share of a call, beyond which it was disturbed
NEAR, SLOWER = 1.05, 1.03  # the goals: of the best way, of dense


class Product:
    """A case with its operands; each call has a fresh pattern."""

    def __init__(self, pit, case: Case, source: Source) -> None:
        self.pit, self.case, self.source, self.iteration = pit, case, source, 0
        self.contraction = pit.Contraction(EXPRESSIONS[case.algebra], threads=case.threads)
        self.a, self.b = np.empty((case.m, case.k), np.float32), np.empty((case.k, case.n), np.float32)
        self.out = np.empty((case.m, case.n), np.float32)
        source.fill_b(case, 0, self.b)
        b_zeros = {"zeros": "detect", "granularity": case.b_granularity} if case.b_zeros > 0 else {}
        self.weights = self.contraction.prepare(self.b, **b_zeros) if case.b == "static" else self.b
        self.fresh()

    def fresh(self) -> None:
        case, self.iteration = self.case, self.iteration + 1
        a_live = self.source.fill_a(case, self.iteration, self.a)
        self.options = {}
        if case.zeros > 0:
            known = case.index == "known"
            live = self.pit.LiveSet.from_mask(a_live, rows=case.m, columns=case.k, granularity=case.granularity) if known else "detect"
            self.options = {"zeros": live, "granularity": case.granularity}
        if case.b == "dynamic" and case.b_zeros > 0:
            self.source.fill_b(case, self.iteration, self.b)
            self.options |= {"b_zeros": "detect", "b_granularity": case.b_granularity}
        if case.c_zeros > 0:
            c_live = self.source.draw_c(case, self.iteration)
            self.options["c_live"] = self.pit.LiveSet.from_mask(c_live, rows=case.m, columns=case.n, granularity=case.c_granularity)

    def call(self, rule: str | None = None) -> dict:
        plain = rule is not None and rule.startswith("dense")
        options = {} if plain else self.options
        before = waited() + stolen()
        report = self.contraction(self.a, self.weights, out=self.out, rule=rule, report=True, **options)[1]
        report["waited"] = (waited() + stolen() - before) / 1e9 / report["total_seconds"]
        return report


def settled(report: dict) -> str:
    """What would have run if no price were to be learned."""
    return min(report["candidates"], key=lambda candidate: candidate[1])[0]


def teach(pit, case: Case, source: Source, calls: int) -> tuple[Product, dict, str, float]:
    """A product after its calls, the report of the next one, the rule of the first and the most that one of the calls waited."""
    product, reports = Product(pit, case, source), []
    for _ in range(calls + 1):
        product.fresh()
        reports.append(product.call())
    return product, reports[-1], reports[0]["rule"], max(r["waited"] for r in reports[:calls])


def measure(pit, case: Case, source: Source, arguments) -> dict:
    best_attempt = None
    for _ in range(arguments.attempts):
        attempt = teach(pit, case, source, arguments.calls)
        if best_attempt is None or attempt[3] < best_attempt[3]:
            best_attempt = attempt
        if attempt[3] <= WAITED:
            break
    product, report, first, most_waited = best_attempt
    chosen, rules = settled(report), [rule for rule, _ in report["candidates"]]
    scanned = len(rules) > 1
    compute: dict[str, list[float]] = {rule: [] for rule in rules}
    total: dict[str, list[float]] = {rule: [] for rule in rules}
    for _ in range(arguments.rounds):
        product.fresh()
        for rule in random.sample(rules, len(rules)):
            found = product.call(rule)
            compute[rule].append(found["compute_seconds"])
            total[rule].append(found["total_seconds"])
        if chosen.startswith("dense"):  # looking for zeros is part of what the choice costs
            looked = product.call()
            extra = looked["detect_seconds"] + looked["choose_seconds"] if scanned else looked["choose_seconds"]
            total.setdefault("chosen", []).append(compute[chosen][-1] + extra)
    best_of = {rule: min(times) for rule, times in compute.items()}
    best = min(best_of, key=best_of.get)
    dense = next((rule for rule in rules if rule.startswith("dense")), best)
    return {"case": case.line(), "ways": len(rules), "first": first, "chosen": chosen, "best": best,
            "first_of_best": best_of.get(first, best_of[chosen]) / best_of[best], "chosen_of_best": best_of[chosen] / best_of[best],
            "chosen_of_dense": min(total.get("chosen", total[chosen])) / min(total[dense]),
            "compute_of_dense": best_of[chosen] / best_of[dense], "disturbed": most_waited > WAITED, "seconds": best_of}  # fmt: skip


def summary(results: list[dict]) -> dict:
    several = [r for r in results if r["ways"] > 1]
    share = lambda key: sum(r[key] <= NEAR for r in several) / max(1, len(several))  # noqa: E731
    return {"cases": len(results), "with_a_choice": len(several), "disturbed": sum(r["disturbed"] for r in results), "near_at_first": share("first_of_best"), "near": share("chosen_of_best"),
            "worst_of_best": max((r["chosen_of_best"] for r in several), default=1), "worst_of_dense": max((r["chosen_of_dense"] for r in results), default=1),
            "worst_compute_of_dense": max((r["compute_of_dense"] for r in results), default=1),
            "slower_than_dense": sum(r["chosen_of_dense"] > SLOWER for r in results)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help="lines of cases (default: the quick selection)")
    parser.add_argument("--full", action="store_true", help="all cases")
    parser.add_argument("--calls", type=int, default=5, help="that teach (default: 5)")
    parser.add_argument("--attempts", type=int, default=8, help="per case, while calls are disturbed (default: 8)")
    parser.add_argument("--rounds", type=int, default=7, help="per case (default: 7)")
    parser.add_argument("--largest", type=float, default=float("inf"), help="leaves out cases of more multiply-adds, zeros included")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    try:
        cases = [case for line in arguments.cases for case in parse(line)] or select(arguments.full)
    except CaseError as error:
        parser.error(str(error))
    import pit

    source, results = Source(), []
    for case in cases:
        if case.kind != "matmul" or case.m * case.n * case.k > arguments.largest:
            continue
        results.append(r := measure(pit, case, source, arguments))
        if not arguments.json:
            print(f"at first {r['first_of_best']:.3f}  of best {r['chosen_of_best']:.3f}  of dense {r['chosen_of_dense']:.3f}  {r['chosen']}"
                  f"{'' if r['chosen'] == r['best'] else ' (best: ' + r['best'] + ')'}  {r['case']}{'  (disturbed)' if r['disturbed'] else ''}", flush=True)  # fmt: skip
    found = summary(results)
    print(json.dumps({"summary": found, "cases": results}) if arguments.json else "\n" + "\n".join(f"{k:<24}{v:.4g}" for k, v in found.items()))


if __name__ == "__main__":
    main()
